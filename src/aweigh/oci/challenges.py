"""What a server asks of who is not signed in: the ``WWW-Authenticate`` header of RFC 9110, section 11.

Several challenges may stand in one header, between commas that also separate their parameters; commas within quotes
separate nothing. What cannot be understood ends the reading, and what came before it counts.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MOST_CHARACTERS = 16 * 1024
"""Of one header: more than any server sends."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  RFC 9110's word for a run of characters
_GAP = re.compile(r"[ \t]*(?:,[ \t]*)*")
_SCHEME = re.compile(rf"({_TOKEN})(?: +|(?=[ \t]*(?:,|\Z)))")
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")(?=[ \t]*(?:,|\Z))', re.DOTALL)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|\Z))")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to sign in: its scheme and the names of its parameters in small letters."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of these headers, in their order; a parameter that comes twice counts as it came first.

    >>> parse_challenges(['Basic realm="a, b", Bearer realm="https://x/token",service=y'])[1].parameters["service"]
    'y'
    """
    return [one for header in headers for one in _parse(header[:MOST_CHARACTERS])]


def _parse(text: str) -> list[Challenge]:
    found: list[tuple[str, dict[str, str]]] = []
    place = 0
    while True:
        place = _end(_GAP.match(text, place))
        parameter = _PARAMETER.match(text, place) if found else None
        if parameter is not None:
            name, plain, quoted = parameter.groups()
            found[-1][1].setdefault(name.lower(), plain if quoted is None else _ESCAPED.sub(r"\1", quoted))
            place = parameter.end()
            continue
        scheme = _SCHEME.match(text, place)
        if scheme is None:
            return [Challenge(name, parameters) for name, parameters in found]
        found.append((scheme[1].lower(), {}))
        place = scheme.end()
        # What follows a scheme at once may be one value without a name (token68); nothing here has a use for it.
        if _PARAMETER.match(text, place) is None and (value := _TOKEN68.match(text, place)) is not None:
            place = value.end()


def _end(found: re.Match[str] | None) -> int:
    return 0 if found is None else found.end()
