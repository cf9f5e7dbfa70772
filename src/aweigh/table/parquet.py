"""Parquet, read a part at a time by pyarrow (the extra ``files``)."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from aweigh.errors import MalformedBody, MissingExtra
from aweigh.table.arrow import column_names, table_of_batch
from aweigh.table.columns import Table
from aweigh.table.pandas_notes import read_notes


def import_pyarrow() -> Any:
    """The module ``pyarrow``, with ``pyarrow.parquet`` loaded.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("Parquet", extra="files") from error
    return pa


def iter_parquet(path: Path, *, chunk_rows: int, columns: Sequence[str] | None = None) -> Iterator[Table]:
    """The rows of a Parquet file in order, at most ``chunk_rows`` at a time; at least one table, perhaps of no rows.

    Raises:
        MalformedBody: the file is not Parquet, or it is damaged.
        MissingExtra: pyarrow is not installed.
        UnsupportedMedia: a column of a type that no model takes.
    """
    pa = import_pyarrow()
    with ExitStack() as stack:
        try:
            file = stack.enter_context(pa.parquet.ParquetFile(path, memory_map=False, pre_buffer=False))
            column_names(list(file.schema_arrow.names))
            notes = read_notes(file.schema_arrow.metadata)
            batches = file.iter_batches(batch_size=chunk_rows, columns=None if columns is None else list(columns))
            some = False
            for batch in batches:
                some = True
                yield notes.apply(table_of_batch(_plain(pa, batch)))
            if not some:
                yield notes.apply(table_of_batch(_plain(pa, pa.RecordBatch.from_pylist([], file.schema_arrow))))
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
                raise
            raise MalformedBody(
                f"The Parquet file cannot be read: {_first_line(error)}.", hint="write it anew, or send CSV"
            ) from error


def _plain(pa: Any, batch: Any) -> Any:
    """The batch with views of text (a layout that nanoarrow does not read) as ordinary text."""
    views = {pa.string_view()} if hasattr(pa, "string_view") else set()
    fields = [field.with_type(pa.large_string()) if field.type in views else field for field in batch.schema]
    return batch.cast(pa.schema(fields)) if any(field.type in views for field in batch.schema) else batch


def _first_line(error: Exception) -> str:
    """pyarrow's reason in one line, without the path that some reasons carry."""
    line = (str(error).splitlines() or ["unknown reason"])[0]
    return line.split(" '/")[0].rstrip(".")[:160]
