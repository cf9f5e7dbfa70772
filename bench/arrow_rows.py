"""Rows as an Arrow stream, as a client with pyarrow would send them."""

from collections.abc import Sequence
from typing import Any

CONTENT_TYPE = "application/vnd.apache.arrow.stream"


def arrow_stream(rows: Sequence[dict[str, Any]]) -> bytes:
    """One record batch with these rows."""
    import pyarrow as pa

    table = pa.Table.from_pylist(list(rows))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
