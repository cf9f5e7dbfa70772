"""Small pictures in plain HTML: bars and histograms whose text is the data, so that they read aloud as they look.

Every name and number that comes from data is escaped here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

MOST_BARS = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: ``share`` is its length, 0 to 1, ``figure`` what is written at its end."""

    name: str
    share: float
    figure: str
    strong: bool = False


def bars(rows: Sequence[Bar], *, label: str) -> str:
    """Horizontal bars with their names before and their figures behind; a list to a screen reader."""
    items = "".join(
        f'<li{" class=aw-strong" if row.strong else ""}><span class="aw-name">{escape(row.name)}</span>'
        f'<span class="aw-track" aria-hidden="true"><i style="width:{_percent(row.share)}"></i></span>'
        f'<span class="aw-figure">{escape(row.figure)}</span></li>'
        for row in rows
    )
    return f'<ol class="aw-bars" aria-label="{escape(label)}">{items}</ol>'


def _percent(share: float) -> str:
    return "0" if share <= 0 else f"max(2px, {min(1.0, share) * 100:.2f}%)"


def histogram(
    counts: Sequence[float], *, label: str, ends: tuple[str, str] = ("", ""), marked: int | None = None
) -> str:
    """Columns side by side, as high as their counts; ``label`` says in words what they show, ``marked`` is one."""
    tallest = max(counts, default=0) or 1
    columns = "".join(
        f'<i style="height:{max(2.0 if count else 0.0, 100 * count / tallest):.1f}%"'
        f"{' class=aw-marked' if i == marked else ''}></i>"
        for i, count in enumerate(counts)
    )
    low, high = (escape(end) for end in ends)
    axis = (
        f'<span class="aw-ends" aria-hidden="true"><span>{low}</span><span>{high}</span></span>' if low or high else ""
    )
    return (
        f'<figure class="aw-histogram" role="img" aria-label="{escape(label)}">'
        f'<div aria-hidden="true">{columns}</div>{axis}</figure>'
    )
