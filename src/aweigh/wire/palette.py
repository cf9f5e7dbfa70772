"""One accent and greys: the colours of both themes, the owner's accent made readable on them, and the anchor.

The app's pages and the server's own wear them, before and after sign-in.

Contrast is WCAG 2.2's (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio): text needs 4.5 to 1 (level AA).
"""

import re
from dataclasses import dataclass

from aweigh.errors import ConfigError

READABLE = 4.5
"""The contrast that AA asks of text."""

READABLE_IN_THE_DARK = 6.0
"""The same number looks fainter on a dark ground."""

DEFAULT_ACCENT = "#0b6a83"
ANCHOR = "M16 10v18M9.5 15h13M4.5 19.5C6 25.5 10 28 16 28s10-2.5 11.5-8.5"
"""The anchor below its ring, as the path of an SVG in a box of 32 by 32."""

_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
_TINT = 0.12


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of one theme, as ``#rrggbb``: ``panel`` lies on ``ground``, ``line`` separates, ``edge`` bounds."""

    ground: str
    panel: str
    text: str
    quiet: str
    line: str
    edge: str
    accent: str
    on_accent: str
    tint: str
    amber: str
    amber_ground: str
    red: str
    red_ground: str


_LIGHT = {
    "ground": "#ffffff", "panel": "#f5f7f8", "text": "#17222a", "quiet": "#55646e", "line": "#dbe2e6",
    "edge": "#7d8b94", "amber": "#7a4d00", "amber_ground": "#fdf3df", "red": "#a3211b", "red_ground": "#fdeceb",
}  # fmt: skip
_DARK = {
    "ground": "#12181c", "panel": "#1a2228", "text": "#e8edf0", "quiet": "#9fb0ba", "line": "#2f3a42",
    "edge": "#6b7b86", "amber": "#f0c36a", "amber_ground": "#2b2314", "red": "#ff9d94", "red_ground": "#331a19",
}  # fmt: skip


def light(accent: str | None = None) -> Theme:
    """The light theme with this accent, darkened until it can be read.

    Raises:
        ConfigError: the accent is no ``#rgb`` or ``#rrggbb``.
    """
    return _theme(_LIGHT, accent or DEFAULT_ACCENT, brighter=False)


def dark(accent: str | None = None) -> Theme:
    """The dark theme with this accent, brightened until it can be read.

    Raises:
        ConfigError: the accent is no ``#rgb`` or ``#rrggbb``.
    """
    return _theme(_DARK, accent or DEFAULT_ACCENT, brighter=True)


def _theme(greys: dict[str, str], accent: str, *, brighter: bool) -> Theme:
    if not _HEX.match(accent):
        raise ConfigError(f"The accent {accent!r} is no colour.", hint="write it as #rrggbb, for example #0b6a83")
    readable = adjusted(accent, (greys["ground"], greys["panel"]), brighter=brighter)
    on_accent = max(("#ffffff", "#0c1114"), key=lambda one: contrast(one, readable))
    return Theme(**greys, accent=readable, on_accent=on_accent, tint=tint(readable, greys["ground"]))


def css_variables(*, light: Theme, dark: Theme) -> str:
    """Both themes as custom properties: the browser picks by ``color-scheme``, which a page may set for its theme."""
    names = list(Theme.__dataclass_fields__)
    lines = [f"--aw-{n.replace('_', '-')}: light-dark({getattr(light, n)}, {getattr(dark, n)});" for n in names]
    return ":root {\n  color-scheme: light dark;\n  " + "\n  ".join(lines) + "\n}\n"


def anchor_icon(colour: str) -> str:
    """The address of the icon in a tab: an anchor of this colour (``#rrggbb``), without a file."""
    return (
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' fill='none' "
        f"stroke='{colour.replace('#', '%23')}' stroke-width='3' stroke-linecap='round'%3E"
        f"%3Ccircle cx='16' cy='6.5' r='3.5'/%3E%3Cpath d='{ANCHOR}'/%3E%3C/svg%3E"
    )


def tint(accent: str, ground: str) -> str:
    """A trace of the accent on a ground: what is chosen, what the pointer is over."""
    return mix(accent, ground, _TINT)


def adjusted(colour: str, grounds: tuple[str, ...], *, brighter: bool) -> str:
    """The colour with as little white (or black) in it as makes it readable on every ground and on its own tint."""
    added, least = ("#ffffff", READABLE_IN_THE_DARK) if brighter else ("#000000", READABLE)
    for percent in range(101):
        tried = mix(added, colour, percent / 100)
        under = (*grounds, tint(tried, grounds[0]))
        if all(contrast(tried, ground) >= least for ground in under):
            return tried
    return added


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of ``#rgb`` or ``#rrggbb``."""
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def _hex(rgb: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(min(1.0, max(0.0, channel)) * 255):02x}" for channel in rgb)


def mix(colour: str, ground: str, share: float) -> str:
    """``share`` (0 to 1) of the colour laid over the ground."""
    pairs = zip(channels(colour), channels(ground), strict=True)
    red, green, blue = ((share * top + (1 - share) * bottom) / 255 for top, bottom in pairs)
    return _hex((red, green, blue))


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    red, green, blue = (_linear(channel / 255) for channel in channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return float(channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
