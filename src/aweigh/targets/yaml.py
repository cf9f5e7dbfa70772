r"""YAML written so that every reader takes it alike: block mappings and lists, and each doubtful text in quotes.

A text stands bare only where it is a word that no version of YAML takes for anything else; all others are in double
quotes, with every character beyond printable ASCII as an escape. Nothing in a text can end its line or begin another,
nor is there a brace in one: a template's delimiters cannot be put together from texts.

>>> print(to_yaml({"name": "penguins", "on": Said("a: b", "why it is so")}), end="")
name: penguins
# why it is so
"on": "a: b"
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

INDENT = "  "
_BARE = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")
_NO_TEXTS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", ".inf", ".nan"})
"""What some version of YAML takes for something else than a text, in any case."""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True, slots=True)
class Said:
    """A value with a comment above it; the comment is ours, and one line for each line."""

    value: object
    comment: str


@dataclass(frozen=True, slots=True)
class Raw:
    """What is written as it stands, on one line: a template's expression, which is ours and nobody else's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Between:
    """An entry of a mapping or a list between two lines, written as they stand: a template's condition and its end."""

    value: object
    before: str
    after: str


def to_yaml(value: Mapping[str, object], *, head: str = "") -> str:
    """The document; ``head`` is a comment at its top.

    Raises:
        TypeError: something in it is no value of YAML, or a comment is no plain text.
    """
    lines = [*_comment(head, ""), *_mapping(value, "")]
    return "".join(f"{one}\n" for one in lines)


def literal(value: object) -> object:
    """The value with every ``$`` doubled, its keys included: compose puts in variables for single ones.

    >>> literal({"A": ["$HOME", 1]})
    {'A': ['$$HOME', 1]}
    """
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Said):
        return Said(literal(value.value), value.comment)
    if isinstance(value, Mapping):
        return {key: literal(one) for key, one in value.items()}
    if isinstance(value, Sequence):
        return [literal(one) for one in value]
    return value


def _mapping(value: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, one in value.items():
        if isinstance(one, Said):
            yield from _comment(one.comment, indent)
            one = one.value  # noqa: PLW2901  the value without its comment
        if isinstance(one, Between):
            yield f"{indent}{one.before}"
            yield from _mapping({key: one.value}, indent)
            yield f"{indent}{one.after}"
            continue
        name = f"{indent}{_text(key)}:"
        if isinstance(one, Mapping) and one:
            yield name
            yield from _mapping(one, indent + INDENT)
        elif _is_list(one) and one:
            yield from _listed(name, one, indent)
        else:
            yield f"{name} {_scalar(one)}"


def _listed(name: str, items: object, indent: str) -> Iterator[str]:
    assert isinstance(items, Sequence)  # noqa: S101  _is_list said so
    if all(not _is_list(one) and not isinstance(one, Mapping | Said | Between) for one in items):
        flow = f"{name} [{', '.join(_scalar(one) for one in items)}]"
        if len(flow) <= 110:
            yield flow
            return
    yield name
    for one in items:
        if isinstance(one, Said):
            yield from _comment(one.comment, indent + INDENT)
        if isinstance(one, Between):
            yield f"{indent}{INDENT}{one.before}"
        yield from _item(one.value if isinstance(one, Said | Between) else one, indent + INDENT)
        if isinstance(one, Between):
            yield f"{indent}{INDENT}{one.after}"


def _item(value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        first, *rest = _mapping(value, indent + INDENT)
        yield f"{indent}- {first.lstrip()}"
        yield from rest
    else:
        yield f"{indent}- {_scalar(value)}"


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return repr(value)
    if isinstance(value, float):
        # YAML 1.1 takes a number with an exponent for text where it has no point: 1e-05.
        mantissa, e, exponent = repr(value).partition("e")
        return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Mapping) and not value:
        return "{}"
    if _is_list(value) and not value:
        return "[]"
    msg = f"no value of YAML: {type(value).__name__}"
    raise TypeError(msg)


def _text(text: str) -> str:
    if not isinstance(text, str):
        msg = f"no text: {type(text).__name__}"
        raise TypeError(msg)
    if _BARE.fullmatch(text) and text.lower() not in _NO_TEXTS and not text.startswith((".", "_")):
        return text
    return f'"{"".join(_escaped(one) for one in text)}"'


def _escaped(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    code = ord(one)
    if 0xD800 <= code < 0xE000:
        msg = "half a character is no text"
        raise TypeError(msg)
    if 0x20 <= code < 0x7F and one not in "{}":
        return one
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in text.split("\n") if text else ():
        if not line.isprintable() or not line.isascii():
            msg = f"no comment: {line!a}"
            raise TypeError(msg)
        yield f"{indent}# {line}".rstrip()
