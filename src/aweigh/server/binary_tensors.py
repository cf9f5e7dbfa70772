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


def read_values(data: bytes, datatype: str) -> list[Any]:
    r"""The values that the bytes of a tensor hold; a number that is none is a missing value.

    >>> read_values(b"\x01\x00\x00\x00a\x00\x00\x00\x00", "BYTES"), read_values(b"\x01\x00", "BOOL")
    (['a', ''], [True, False])

    Raises:
        ValueError: the bytes are not what the datatype says.
    """
    if datatype == "BYTES":
        return _read_texts(data)
    values: list[Any] = np.frombuffer(data, dtype=WIDTHS[datatype]).tolist()
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _read_texts(data: bytes) -> list[Any]:
    found: list[Any] = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            msg = "a length is cut off"
            raise ValueError(msg)
        (length,) = struct.unpack_from("<I", data, at)
        at += 4 + length
        if at > len(data):
            msg = "a text is cut off"
            raise ValueError(msg)
        found.append(data[at - length : at].decode())
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
