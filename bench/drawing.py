"""Pictures as plain SVG, in the app's own colours, light or dark as the reader's system is.

Three kinds: ``bars`` on a logarithmic scale, ``curves`` as small multiples on two of them, and a ``timeline``.
Every mark is labelled where it stands, and every picture says in a ``desc`` what it shows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH = 760
STYLE = """
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #17222a; }
  .quiet { fill: #55646e; } .small { font-size: 11.5px; } .bold { font-weight: 600; } .number { font-variant-numeric: tabular-nums; }
  .ground { fill: #ffffff; } .axis { stroke: #dbe2e6; stroke-width: 1; fill: none; }
  .bar { fill: #aab6bd; } .ours { fill: #0b6a83; } .base { fill: #7d8b94; }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke: #7d8b94; } .line.ours { stroke: #0b6a83; } path.line { fill: none; }
  .mark { stroke: #a3211b; stroke-width: 1; } .thin { stroke-dasharray: 3 3; stroke: #7d8b94; fill: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8edf0; } .quiet { fill: #9fb0ba; } .ground { fill: #12181c; } .axis { stroke: #2f3a42; }
    .bar { fill: #46545d; } .ours { fill: #4fb0c9; } .base { fill: #8b9aa4; }
    .line { stroke: #8b9aa4; } .line.ours { stroke: #4fb0c9; } .mark { stroke: #ff9d94; } .thin { stroke: #6b7b86; }
  }
"""
Point = tuple[float, float]


def figure(value: float) -> str:
    """A number as people read it: three digits that count, thousands apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 4)}f}" if abs(value) < 1000 else f"{value:,.0f}"


def _document(height: float, title: str, description: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-labelledby="title desc">\n'
        f'<title id="title">{escape(title)}</title>\n<desc id="desc">{escape(description)}</desc>\n'
        f'<style>{STYLE}</style>\n<rect class="ground" width="100%" height="100%" rx="6"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


# -- bars ------------------------------------------------------------------------------------------------------------

ROW, NAME_WIDTH, VALUE_WIDTH = 25, 168, 150


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: ``kind`` is ``ours``, ``base`` or ``bar``; ``note`` stands behind the number."""

    name: str
    value: float
    kind: str = "bar"
    note: str = ""


def bars(
    title: str,
    panels: Sequence[tuple[str, Sequence[Bar]]],
    *,
    unit: str,
    short: str = "ms",
    names: int = NAME_WIDTH,
    logarithmic: bool = True,
) -> str:
    """Panels of bars under one another, all on the same scale; ``names`` is the room for the bars' names."""
    values = [bar.value for _, some in panels for bar in some]
    low, high = 10 ** math.floor(math.log10(min(values))), max(values)
    room = WIDTH - names - VALUE_WIDTH - 20
    scale = f"{unit}, logarithmic" if logarithmic else unit

    def length(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if logarithmic else value / high
        return max(2.0, room * share)

    parts, y = [_text(20, 30, title, kind="bold"), _text(WIDTH - 20, 30, scale, kind="quiet small", anchor="end")], 38.0
    for heading, some in panels:
        y += 26
        parts.append(_text(20, y, heading, kind="quiet"))
        y += 10
        for bar in some:
            strong = "bold" if bar.kind == "ours" else ""
            parts.append(_text(20 + names - 12, y + 14, bar.name, kind=strong, anchor="end"))
            wide = length(bar.value)
            parts.append(f'<rect class="{bar.kind}" x="{20 + names}" y="{y}" width="{wide:.1f}" height="18" rx="2"/>')
            said = f"{figure(bar.value)} {short}{f', {bar.note}' if bar.note else ''}"
            parts.append(_text(20 + names + wide + 8, y + 14, said, kind=f"number small {strong}"))
            y += ROW
    said = "; ".join(f"{heading}: {', '.join(f'{bar.name} {figure(bar.value)}' for bar in some)}"
                     for heading, some in panels)  # fmt: skip
    return _document(y + 14, title, f"{unit}. {said}.", parts)


# -- curves ----------------------------------------------------------------------------------------------------------

PANEL_WIDTH, PANEL_HEIGHT, GAP = 350, 230, 20


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: its points in order, and the name that stands at its end."""

    name: str
    points: tuple[Point, ...]
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One small picture: what lies along x and what y says."""

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]


def curves(title: str, panels: Sequence[Panel]) -> str:
    """Small multiples, two in a row, each on logarithmic scales of its own."""
    parts = [_text(20, 30, title, kind="bold")]
    for i, panel in enumerate(panels):
        left = 20 + (i % 2) * (PANEL_WIDTH + GAP)
        parts += _panel(panel, left, 46 + (i // 2) * (PANEL_HEIGHT + GAP))
    height = 46 + math.ceil(len(panels) / 2) * (PANEL_HEIGHT + GAP)
    said = " ".join(
        f"{panel.title}: "
        + "; ".join(
            f"{curve.name} from {figure(curve.points[0][1])} at {figure(curve.points[0][0])} to "
            f"{figure(curve.points[-1][1])} at {figure(curve.points[-1][0])} {panel.x}"
            for curve in panel.curves
        )
        + "."
        for panel in panels
    )
    return _document(height, title, said, parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _panel(panel: Panel, left: float, top: float) -> list[str]:
    xs = [x for curve in panel.curves for x, _ in curve.points]
    ys = [y for curve in panel.curves for _, y in curve.points]
    (x_low, x_high), (y_low, y_high) = _decades(xs), _decades(ys)
    x0, x1, y0, y1 = left + 44, left + PANEL_WIDTH - 96, top + PANEL_HEIGHT - 44, top + 40

    def at(point: Point) -> Point:
        across = (math.log10(point[0]) - x_low) / (x_high - x_low)
        up = (math.log10(point[1]) - y_low) / (y_high - y_low)
        return x0 + across * (x1 - x0), y0 + up * (y1 - y0)

    parts = [_text(left, top + 12, panel.title), _text(left, top + 28, panel.y, kind="quiet small")]
    for decade in range(y_low, y_high + 1):
        y = at((10**x_low, 10**decade))[1]
        parts.append(f'<path class="axis" d="M{x0} {y:.1f}H{x1}"/>')
        parts.append(_text(x0 - 6, y + 4, _power(decade), kind="quiet small number", anchor="end"))
    for decade in range(x_low, x_high + 1):
        x = at((10**decade, 10**y_low))[0]
        parts.append(_text(x, y0 + 16, _power(decade), kind="quiet small number", anchor="middle"))
    parts.append(_text((x0 + x1) / 2, y0 + 33, panel.x, kind="quiet small", anchor="middle"))
    ends = _apart([at(curve.points[-1])[1] for curve in panel.curves])
    for curve, end in zip(panel.curves, ends, strict=True):
        spots = [at(point) for point in curve.points]
        kind = "ours" if curve.ours else "base"
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(f'<path class="line {kind}" d="M{path}"/>')
        parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in spots]
        parts.append(_text(spots[-1][0] + 8, end + 4, curve.name, kind="small bold" if curve.ours else "small quiet"))
    return parts


def _power(decade: int) -> str:
    if decade >= 9:
        return f"{10 ** (decade - 9)}G"
    if decade >= 6:
        return f"{10 ** (decade - 6)}M"
    if decade >= 3:
        return f"{10 ** (decade - 3)}k"
    return f"{10**decade:g}"


def _apart(heights: Sequence[float], least: float = 14.0) -> list[float]:
    """The heights, moved so that no two labels lie on one another."""
    found = list(heights)
    order = sorted(range(len(found)), key=lambda i: found[i])
    for before, after in pairwise(order):
        found[after] = max(found[after], found[before] + least)
    return found


# -- time ------------------------------------------------------------------------------------------------------------


def round_step(most: float) -> float:
    """A round distance of which four to nine reach so far: one, two or five times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(power * one for one in (1.0, 0.5, 0.2, 0.1) if most / (power * one) >= 4)


def timeline(
    title: str, lines: Sequence[Curve], *, unit: str, marks: Sequence[float], mark_name: str, height: float = 250
) -> str:
    """Lines over seconds, from zero up, with a thin stroke where something was done."""
    end = max(x for line in lines for x, _ in line.points)
    highest = max(y for line in lines for _, y in line.points)
    step = round_step(highest)
    top = step * math.ceil(highest / step)
    x0, x1, y0, y1 = 64.0, WIDTH - 130.0, height - 40, 64.0

    def at(point: Point) -> Point:
        return x0 + point[0] / end * (x1 - x0), y0 - point[1] / top * (y0 - y1)

    parts = [_text(20, 30, title, kind="bold"),
             _text(WIDTH - 20, 30, f"red strokes: {mark_name}", kind="quiet small", anchor="end")]  # fmt: skip
    for i in range(round(top / step) + 1):
        y = at((0, step * i))[1]
        parts.append(f'<path class="axis" d="M{x0} {y:.1f}H{x1}"/>')
        parts.append(_text(x0 - 6, y + 4, f"{step * i:,g}", kind="quiet small number", anchor="end"))
    step = round_step(end)
    for i in range(math.floor(end / step) + 1):
        x = at((step * i, 0))[0]
        parts.append(_text(x, y0 + 18, f"{step * i:g} s", kind="quiet small number", anchor="middle"))
    parts.append(_text(20, 46, unit, kind="quiet small"))
    parts += [f'<path class="mark" d="M{at((mark, 0))[0]:.1f} {y0:.1f}v-7"/>' for mark in marks if mark <= end]
    ends = _apart([at(line.points[-1])[1] for line in lines])
    for line, label in zip(lines, ends, strict=True):
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in map(at, line.points))
        parts.append(f'<path class="line {"ours" if line.ours else "base"}" d="M{path}"/>')
        parts.append(_text(x1 + 8, label + 4, line.name, kind="small bold" if line.ours else "small quiet"))
    said = "; ".join(f"{line.name} from {figure(line.points[0][1])} to {figure(line.points[-1][1])}" for line in lines)
    return _document(height, title, f"{unit} over {end:.0f} seconds: {said}. {len(marks)} times {mark_name}.", parts)
