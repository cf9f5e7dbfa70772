"""The binary tensor extension of the Open Inference Protocol, which Triton's clients use: bytes behind the JSON.

Numbers are little-endian, in row-major order; a text is its length in four bytes, little-endian, and its UTF-8. The
only missing value in it is NaN.
"""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTHS = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""numpy's word for each datatype of a fixed width."""


def size_of(datatype: str, count: int) -> int | None:
    """How many bytes so many values take; None: that is theirs to say."""
    width = WIDTHS.get(datatype)
    return None if width is None else np.dtype(width).itemsize * count


def read_values(data: bytes, datatype: str, *, most: int) -> list[Any]:
    r"""The values that the bytes of a tensor hold, at most so many; a number that is none is a missing value.

    >>> read_values(b"\x01\x00\x00\x00a\x00\x00\x00\x00", "BYTES", most=2), read_values(b"\x01\x00", "BOOL", most=2)
    (['a', ''], [True, False])

    Raises:
        ValueError: the bytes are not what the datatype says, or hold more.
    """
    if datatype == "BYTES":
        return _read_texts(data, most)
    if datatype == "BOOL" and data.translate(None, b"\0\1"):
        msg = "a byte is neither 0 nor 1"
        raise ValueError(msg)
    values: list[Any] = np.frombuffer(data, dtype=WIDTHS[datatype]).tolist()
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _read_texts(data: bytes, most: int) -> list[Any]:
    found: list[Any] = []
    at = 0
    while at < len(data):
        if len(found) >= most:
            msg = "it holds more texts than its shape says"
            raise ValueError(msg)
        if at + 4 > len(data):
            msg = "a length is cut off"
            raise ValueError(msg)
        (length,) = struct.unpack_from("<I", data, at)
        at += 4 + length
        if at > len(data):
            msg = "a text is cut off"
            raise ValueError(msg)
        try:
            found.append(data[at - length : at].decode())
        except UnicodeDecodeError as error:
            msg = f"text {len(found)} is not UTF-8"
            raise ValueError(msg) from error
    return found


def write_values(values: NDArray[Any] | Sequence[str], datatype: str) -> bytes:
    """Values as the bytes of a tensor; a number that is none, infinity too, is NaN."""
    if datatype == "BYTES":
        texts = [str(one).encode("utf-8", "replace") for one in values]
        return b"".join(part for text in texts for part in (struct.pack("<I", len(text)), text))
    numbers = np.asarray(values)
    if numbers.dtype.kind == "f":
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    return numbers.astype(WIDTHS[datatype]).tobytes()
