"""Words and figures as people read them: column names made human, units, numbers with the digits that they deserve."""

import math
import re
from functools import lru_cache

from aweigh.schema import Column

MANY_DECIMALS = 15
FIRST_SEPARATED = 10_000
SHORT_LABEL_CHARACTERS = 48
MOST_REMEMBERED = 1024
"""Labels and units that are kept: a page says the same ones at each change."""
THIN_SPACE = "\u202f"
MINUS = "\u2212"
_SUPERSCRIPTS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")

_UNITS = {
    "mm": "mm", "cm": "cm", "km": "km", "nm": "nm", "kg": "kg", "mg": "mg", "lb": "lb", "lbs": "lb", "ml": "ml",
    "ms": "ms", "kw": "kW", "kwh": "kWh", "mw": "MW", "hz": "Hz", "khz": "kHz", "mhz": "MHz", "ghz": "GHz",
    "db": "dB", "kb": "kB", "mb": "MB", "gb": "GB", "tb": "TB", "psi": "psi", "hpa": "hPa", "kpa": "kPa",
    "kmh": "km/h", "mph": "mph", "rpm": "rpm", "ppm": "ppm", "pct": "%", "percent": "%", "usd": "USD", "eur": "EUR",
    "gbp": "GBP", "chf": "CHF", "celsius": "°C", "fahrenheit": "°F", "kelvin": "K", "sqft": "sq ft", "sqm": "m²",
    "m2": "m²", "m3": "m³", "km2": "km²",
}  # fmt: skip
"""Last words of a column's name that can hardly be anything but a unit."""

_ONE_LETTER_UNITS = {
    "g": ("g", {"mass", "weight"}),
    "m": ("m", {"length", "height", "width", "depth", "distance", "altitude", "elevation"}),
    "s": ("s", {"time", "duration", "elapsed", "latency", "delay"}),
    "h": ("h", {"time", "duration", "elapsed"}),
    "l": ("l", {"volume", "capacity"}),
    "w": ("W", {"power", "consumption"}),
    "v": ("V", {"voltage"}),
    "a": ("A", {"current"}),
    "c": ("°C", {"temp", "temperature"}),
    "f": ("°F", {"temp", "temperature"}),
    "k": ("K", {"temp", "temperature"}),
}
"""One letter is a unit only behind a word that measures in it: vitamin_c is no temperature."""

_IN_BRACKETS = re.compile(r"^(?P<name>.+?)\s*[(\[](?P<unit>[^()\[\]]{1,12})[)\]]$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@lru_cache(MOST_REMEMBERED)
def split_unit(name: str, *, number: bool = True) -> tuple[str, str | None]:
    """A column's name made human, and the unit it ends with when the column holds numbers.

    >>> split_unit("bill_length_mm")
    ('Bill length', 'mm')
    >>> split_unit("sepal length (cm)")
    ('Sepal length', 'cm')
    >>> split_unit("vitamin_c")
    ('Vitamin c', None)
    """
    bracketed = _IN_BRACKETS.match(name)
    if bracketed and number:
        return human(bracketed["name"]), bracketed["unit"].strip()
    words = _words(name)
    if number and len(words) > 1:
        last, before = words[-1].casefold(), words[-2].casefold()
        if last in _UNITS:
            return human(" ".join(words[:-1])), _UNITS[last]
        one = _ONE_LETTER_UNITS.get(last)
        if one is not None and before in one[1]:
            return human(" ".join(words[:-1])), one[0]
    return human(name), None


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[_\s]+", _CAMEL.sub(" ", name)) if word]


def human(name: str) -> str:
    """A name as the start of a sentence: words apart, one capital; abbreviations as they are.

    >>> human("bill_length")
    'Bill length'
    >>> human("meanBMI")
    'Mean BMI'
    """
    words = _words(name)
    shouted = name.isupper() and len(words) > 1
    plain = [word if (word.isupper() and not shouted) or not word.isalpha() else word.lower() for word in words]
    text = " ".join(plain) or name
    return text[:1].upper() + text[1:]


def label_of(column: Column) -> str:
    """What an input is called: the owner's title, a short description, or the column's name made human."""
    if column.title:
        return column.title
    if column.description and len(column.description) <= SHORT_LABEL_CHARACTERS:
        return column.description.rstrip(".")
    return split_unit(column.name, number=column.is_number)[0]


def unit_of(column: Column) -> str | None:
    """The column's unit: the owner's, else the one that its name ends with."""
    if column.unit:
        return column.unit
    return split_unit(column.name, number=True)[1] if column.is_number else None


def figure(value: float, *, digits: int = 4) -> str:
    """A number for reading: ``digits`` significant ones, the whole part never cut, separators, a real minus.

    >>> figure(4207.31)
    '4,207'
    >>> figure(0.034129)
    '0.03413'
    """
    if not math.isfinite(value):
        return "no number"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -digits - 1 or exponent >= MANY_DECIMALS:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{_signed(mantissa.rstrip('0').rstrip('.'))} × 10{str(int(power)).translate(_SUPERSCRIPTS)}"
    decimals = max(0, digits - 1 - exponent)
    text = f"{value:,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return _signed(text)


def exact(value: float, *, decimals: int | None = None) -> str:
    """A number as data holds it: with ``decimals`` places when they are enough to say it, else with all of its own.

    Separators begin at five digits before the point, so that a year reads as one.

    >>> exact(3750.0, decimals=1), exact(12500)
    ('3750.0', '12,500')
    >>> exact(39.15, decimals=1)
    '39.15'
    """
    comma = "," if abs(value) >= FIRST_SEPARATED else ""
    if isinstance(value, int):
        return _signed(f"{value:{comma}}")
    if decimals is not None:
        text = f"{value:{comma}.{decimals}f}"
        if float(text.replace(",", "")) == value:
            return _signed(text)
    if value.is_integer() and abs(value) < 10**MANY_DECIMALS:
        return _signed(f"{int(value):{comma}}")
    return _signed(repr(value) if "e" in repr(value) else f"{value:{comma}}")


def _signed(text: str) -> str:
    return MINUS + text[1:] if text.startswith("-") else text


def percent(share: float, *, decimals: int = 0) -> str:
    """A share as a percentage; 100 and 0 only when it is exactly that.

    >>> percent(0.976).replace(THIN_SPACE, " ")
    '98 %'
    >>> percent(0.9999).replace(THIN_SPACE, " ")
    '>99 %'
    """
    least = 10.0**-decimals
    shown = round(share * 100, decimals)
    if share > 0 and shown < least:
        return f"<{least:.{decimals}f}{THIN_SPACE}%"
    if share < 1 and shown >= 100:
        return f">{100 - least:.{decimals}f}{THIN_SPACE}%"
    return f"{shown:.{decimals}f}{THIN_SPACE}%"


def with_unit(text: str, unit: str | None) -> str:
    """A number's text with its unit behind a thin space; the percent sign too."""
    return f"{text}{THIN_SPACE}{unit}" if unit else text


def value_text(column: Column, value: object) -> str:
    """A cell of the column as people read it."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return exact(value, decimals=column.decimals)
    if column.is_time:
        return str(value).replace("T", " ")
    return str(value)


def range_text(column: Column) -> str | None:
    """The observed range in words (``32.1 to 59.6``), or None where there is none."""
    if column.minimum is None or column.maximum is None:
        return None
    return f"{value_text(column, column.minimum)} to {value_text(column, column.maximum)}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listing(names: list[str], *, most: int = 4) -> str:
    """Names in a sentence: ``a, b and c``; beyond ``most`` the rest is counted."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


@lru_cache(MOST_REMEMBERED, typed=True)
def plain(text: str) -> str:
    """Text that stays what it is where Streamlit reads Markdown: labels, buttons, help.

    Only what would be read as Markdown is escaped: screen readers are given a label as it is written.
    """
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(str(text).split()))


_MARKDOWN = re.compile(
    r"[\\`*\[\]$~]"
    r"|^(?:[#+>-])|(?<=^\d)[.)](?=\s)"  # what begins a block
    r"|(?<!\w)_|_(?!\w)"  # within a word an underscore is one
    r"|<(?=[\w/!?])|&(?=[#\w]+;)"  # tags and entities
    r"|:(?=\w|//)"  # Streamlit's :red[...], :smile:, and links
)
