"""How much work a file may make before it counts as a bomb, and the refusal that says so."""

from dataclasses import dataclass


class Refused(Exception):  # noqa: N818  (an outcome, not a fault: the scan reports it)
    """The file cannot be read further; the text is the reason, as it is shown."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest file that is read; the defaults are far above what models need.

    ``ratio`` (bytes out per byte in) counts only from ``ratio_from`` bytes on: sparse coefficients do shrink a
    thousandfold, and while they are small that harms nobody. Twenty million opcodes take half a minute and two
    gigabytes at worst; a vectorizer that knows a million words needs four million.
    """

    size_bytes: int = 4 << 30
    ratio: int = 1000
    ratio_from: int = 256 << 20
    opcodes: int = 20_000_000
    depth: int = 10_000


DEFAULT = Limits()
