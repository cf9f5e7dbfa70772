"""The record batches of a table under way, one behind the other in a file that may be cut after any of them.

Parquet and Arrow files end in a footer that only their writer knows: what has been written of one cannot be gone on
with. The log can, and the same batches written again give the same bytes.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from aweigh.table.parquet import import_pyarrow, readable

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""Ends an Arrow IPC stream; another one may follow."""
SIZE = b"bytes"


class ArrowLog:
    """A log that is written; ``more`` when the file holds one already, which was cut after a batch."""

    def __init__(self, stream: BinaryIO, *, more: bool = False) -> None:
        self._pa = import_pyarrow()
        self._stream = stream
        self._writer: Any = None
        if more:
            stream.write(END)

    def add(self, batch: Any) -> None:
        """Writes a batch, and what it weighs: read back it may be lighter, and would fall into another group."""
        if self._writer is None:
            options = self._pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = self._pa.ipc.new_stream(self._stream, batch.schema, options=options)
        self._writer.write_batch(batch, custom_metadata={SIZE: str(batch.nbytes)})


def read_log(stream: BinaryIO, *, size_bytes: int) -> Iterator[tuple[Any, int]]:
    """The batches of the first so many bytes, and what each weighed.

    Raises:
        MalformedBody: the file is not a log, or was cut in a batch.
    """
    pa = import_pyarrow()
    with readable("Arrow"):
        while stream.tell() < size_bytes:
            reader = pa.ipc.open_stream(stream)
            while stream.tell() < size_bytes:
                try:
                    batch, notes = reader.read_next_batch_with_custom_metadata()
                except StopIteration:
                    break
                yield batch, int(notes[SIZE])
