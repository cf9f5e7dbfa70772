"""Compressed bytes to plain ones, by what they begin with, and never more of them than the limits allow."""

import bz2
import lzma
import zlib
from typing import Any

from aweigh.models.scan.limits import Limits, Refused

# What joblib writes, by the bytes that it goes by; a pickle begins with none of them.
MAGIC = {
    "gzip": b"\x1f\x8b",
    "bz2": b"BZh",
    "xz": b"\xfd7zXZ",
    "lzma": b"\x5d\x00",
    "lz4": b"\x04\x22\x4d\x18",
    "zlib": b"\x78",
    "zstd": b"\x28\xb5\x2f\xfd",
}
CHUNK_BYTES = 1 << 20
# Larger dictionaries than the highest preset's (64 MB) only serve to take memory.
LZMA_MEMORY_BYTES = 256 << 20


def compression_of(data: bytes) -> str | None:
    """The compression that these bytes are in, or None."""
    return next((name for name, magic in MAGIC.items() if data.startswith(magic)), None)


def decompress(data: bytes, compression: str, *, limits: Limits) -> bytes:
    """All that is in one compressed stream, which must end where the data does.

    Raises:
        Refused: It is damaged, cut short, followed by something else, or grows beyond the limits.
    """
    try:
        stream = _open(compression)
    except ImportError:
        raise Refused(
            f"it is compressed with {compression}, and the Python package '{compression}' is not installed here"
        ) from None
    try:
        return _bounded(stream, data, limits)
    except (zlib.error, OSError, EOFError, ValueError, RuntimeError, lzma.LZMAError) as error:
        raise Refused(f"its {compression} compression is damaged ({error})") from error


def _open(compression: str) -> "_Stream":
    match compression:
        case "zlib":
            return _ZlibStream(zlib.decompressobj())
        case "gzip":
            return _ZlibStream(zlib.decompressobj(wbits=zlib.MAX_WBITS | 16))
        case "bz2":
            return _Stream(bz2.BZ2Decompressor())
        case "xz":
            return _Stream(lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY_BYTES))
        case "lzma":
            return _Stream(lzma.LZMADecompressor(lzma.FORMAT_ALONE, LZMA_MEMORY_BYTES))
        case "lz4":
            from lz4.frame import LZ4FrameDecompressor

            return _Stream(LZ4FrameDecompressor())
    raise Refused(f"it is compressed with {compression}, which joblib does not write")


class _Stream:
    """bz2, lzma and lz4 in one shape: at most so many bytes out of the bytes given so far."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @property
    def ended(self) -> bool:
        return bool(self.inner.eof)

    @property
    def unused(self) -> bytes:
        return self.inner.unused_data or b""

    @property
    def wants_input(self) -> bool:
        return bool(self.inner.needs_input)

    def read(self, data: bytes, most: int) -> bytes:
        return bytes(self.inner.decompress(data, most))


class _ZlibStream(_Stream):
    """zlib gives back what it has not read yet."""

    @property
    def wants_input(self) -> bool:
        return not self.inner.unconsumed_tail

    def read(self, data: bytes, most: int) -> bytes:
        return bytes(self.inner.decompress(self.inner.unconsumed_tail + data, most))


def _bounded(stream: _Stream, data: bytes, limits: Limits) -> bytes:
    out = bytearray()
    position = 0
    view = memoryview(data)
    while not stream.ended:
        given = b""
        if stream.wants_input:
            given = bytes(view[position : position + CHUNK_BYTES])
            position += len(given)
        block = stream.read(given, CHUNK_BYTES)
        out += block
        if not given and not block and not stream.ended:
            raise Refused("its compressed data is cut short")
        check_growth(len(data), len(out), limits)
    if stream.unused or position < len(data):
        raise Refused("its compressed data is followed by something else")
    return bytes(out)


def check_growth(packed: int, unpacked: int, limits: Limits) -> None:
    """Refuse what is larger than the limit, or has grown as only bombs grow."""
    if unpacked > limits.size_bytes:
        raise Refused(f"it unpacks to more than {limits.size_bytes:,} bytes")
    if unpacked > limits.ratio_from and unpacked > packed * limits.ratio:
        raise Refused(f"it unpacks to more than {limits.ratio} times its size")
