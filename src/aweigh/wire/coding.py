"""Content codings: which one a client takes (RFC 9110, 12.5.3), and bytes in it.

Nothing here mixes a secret with what a client sends: an answer holds the caller's own rows and the model's numbers, so
that its length tells nobody anything (BREACH).
"""

import re
import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Literal, cast

Coding = Literal["identity", "gzip", "zstd"]
Packing = Literal["gzip", "deflate"]
"""A coding that a body may come in."""

CODINGS: tuple[Coding, ...] = ("zstd", "gzip")
"""Those that bodies are sent in, the best first."""

WORTH_BYTES = 4096
"""Bodies from here on are compressed for who takes it: 25 microseconds for 3 kB less, a tenth of what those take at
100 Mbit/s. Of a body of 1 kB half of that would be gained for the same price."""

GZIP_LEVEL, ZSTD_LEVEL = 1, 1
"""For what is made once and sent once. 1,000 rows of a classifier, 77 kB: gzip to 23 kB in 0.43 ms at level 1, to 21 kB
in 1.4 ms at 6; zstd to 18 kB in 0.13 ms at level 1, and no smaller at 6."""

KEPT_GZIP_LEVEL, KEPT_ZSTD_LEVEL = 6, 9
"""For what is made once and sent often. Streamlit's first page, 2.1 MB: 508 kB in 44 ms, 476 kB in 39 ms; at the next
levels up 0.3 and 1 % smaller."""

_GZIP_WINDOW = 31  # zlib's largest window, with gzip's header, which says no time
_WINDOWS: dict[Packing, int] = {
    "gzip": _GZIP_WINDOW,
    "deflate": zlib.MAX_WBITS,
}  # "deflate" has zlib's header (RFC 9110)
_WEIGHT = re.compile(r"q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


@lru_cache(maxsize=256)
def coding_for(accepted: bytes, *, worth: bool = True, among: tuple[Coding, ...] = CODINGS) -> Coding:
    """The coding for a client that sent this ``Accept-Encoding`` (several are joined with commas).

    ``worth``: whether the body is large enough to be worth it; a small one is compressed only for who refuses it plain.
    A client that refuses everything there is gets it plain, and one that takes "anything" gets gzip, as everybody does.
    """
    if not accepted:
        return "identity"
    weights = _weights(accepted.decode("latin-1"))
    other = weights.get("*")
    plain = weights.get("identity", 0.0 if other == 0 else None)
    if not worth and plain != 0:
        return "identity"
    best: Coding = "identity"
    most = 0.0 if plain is None else plain
    for one in among:
        if one == "zstd" and _zstd() is None:
            continue
        weight = weights.get(one, weights.get("x-gzip", other) if one == "gzip" else None) or 0.0
        if weight > most or (best == "identity" and weight == most > 0):
            best, most = one, weight
    return best


def _weights(text: str) -> dict[str, float]:
    """What a client says of each coding; what is not well formed is passed over."""
    found: dict[str, float] = {}
    for one in text.split(","):
        name, _, parameter = one.partition(";")
        if not parameter.strip():
            weight = 1.0
        elif match := _WEIGHT.fullmatch(parameter.strip()):
            weight = float(match[1])
        else:
            continue
        found[name.strip().lower()] = weight
    return found


def compress(body: bytes, coding: Coding, *, kept: bool = False) -> bytes:
    """The body in a coding; ``kept``: it will be sent often, so that a smaller one is worth some time.

    Raises:
        ValueError: this Python has no zstd (``coding_for`` names it only where it is there).
    """
    if coding == "gzip":
        making = zlib.compressobj(KEPT_GZIP_LEVEL if kept else GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        return making.compress(body) + making.flush()
    if coding == "zstd":
        zstd = _zstd()
        if zstd is None:
            msg = "no zstd here"
            raise ValueError(msg)
        return zstd(body, KEPT_ZSTD_LEVEL if kept else ZSTD_LEVEL)
    return body


def decompress(body: bytes, packing: Packing, *, most_bytes: int) -> bytes | None:
    """What a body in a coding holds; None: that is more than ``most_bytes``, and no more of it has been unpacked.

    >>> decompress(compress(b"penguins", "gzip"), "gzip", most_bytes=8)
    b'penguins'

    Raises:
        ValueError: it is not in that coding, is cut short, or something follows it.
    """
    reading = zlib.decompressobj(_WINDOWS[packing])
    try:
        found = reading.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(found) > most_bytes:
        return None
    if not reading.eof or reading.unused_data:
        msg = "it is cut short, or something follows it"
        raise ValueError(msg)
    return found


@cache
def _zstd() -> Callable[[bytes, int], bytes] | None:
    """The compressor of Python 3.14, or its backport; None where neither is: it is no more than a saving."""
    try:
        from compression.zstd import compress as made  # type: ignore[import-not-found,unused-ignore]  # from 3.14 on
    except ImportError:
        try:
            from backports.zstd import compress as made  # type: ignore[no-redef,unused-ignore]
        except ImportError:
            return None
    return cast("Callable[[bytes, int], bytes]", made)
