"""Parquet and Arrow files, read a part at a time by pyarrow (the extra ``files``)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

from aweigh.errors import MalformedBody, MissingExtra
from aweigh.table.arrow import iter_arrow, table_of_columns
from aweigh.table.arrow_stream import FILE_MAGIC, ArrowColumn, ArrowType, check_name, check_type
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
    with path.open("rb") as file:
        try:
            parquet = pa.parquet.ParquetFile(file, pre_buffer=False)
            schema = parquet.schema_arrow
            batches = parquet.iter_batches(batch_size=chunk_rows, columns=None if columns is None else list(columns))
            yield from _tables(pa, schema, batches, chunk_rows=chunk_rows)
        except (pa.ArrowException, OSError) as error:
            raise _damaged("Parquet", error) from error


def iter_arrow_file(file: BufferedReader, *, chunk_rows: int) -> Iterator[Table]:
    """The rows of an Arrow IPC stream or file in order; at least one table, perhaps of no rows.

    pyarrow, where it is installed, reads layouts that nanoarrow does not: views of text, compressed dictionaries.

    Raises:
        MalformedBody: the file is not Arrow, or it is damaged.
        UnsupportedMedia: a column of a type that no model takes.
    """
    try:
        pa = import_pyarrow()
    except MissingExtra:
        yield from iter_arrow(file)
        return
    try:
        if file.peek(len(FILE_MAGIC)).startswith(FILE_MAGIC):
            stored = pa.ipc.open_file(file)
            batches = (stored.get_batch(i) for i in range(stored.num_record_batches))
        else:
            stored = batches = pa.ipc.open_stream(file)
        yield from _tables(pa, stored.schema, batches, chunk_rows=chunk_rows)
    except (pa.ArrowException, OSError) as error:
        raise _damaged("Arrow", error) from error


def _tables(pa: Any, schema: Any, batches: Iterable[Any], *, chunk_rows: int) -> Iterator[Table]:
    types: dict[str, ArrowType] = {}
    for field in schema:
        check_name(field.name, types)
        types[field.name] = _type(pa, field.type)
        check_type(field.name, types[field.name])
    notes = read_notes(schema.metadata)
    some = False
    for batch in batches:
        for start in range(0, batch.num_rows, chunk_rows):
            some = True
            yield notes.apply(_table(types, batch.slice(start, chunk_rows)))
    if not some:
        yield notes.apply(_table(types, pa.RecordBatch.from_pylist([], schema)))


def _table(types: Mapping[str, ArrowType], batch: Any) -> Table:
    columns = [_column(name, kind, array) for (name, kind), array in zip(types.items(), batch.columns, strict=True)]
    return table_of_columns(columns, batch.num_rows)


def _column(name: str, kind: ArrowType, array: Any) -> ArrowColumn:
    """pyarrow's array as the buffers that it consists of; they stay alive as long as somebody looks at them."""
    buffers = tuple(memoryview(b"") if buffer is None else memoryview(buffer) for buffer in array.buffers())
    dictionary = None if kind.of is None else _column(name, kind.of, array.dictionary)
    return ArrowColumn(name, kind, len(array), buffers, array.offset, dictionary)


def _type(pa: Any, kind: Any) -> ArrowType:
    """pyarrow's type by the name that Arrow gives it."""
    if pa.types.is_dictionary(kind):
        of = _type(pa, kind.value_type)
        return ArrowType("dictionary", codes=str(kind.index_type), of=of, ordered=kind.ordered)
    if pa.types.is_timestamp(kind):
        return ArrowType("timestamp", unit=kind.unit, zone=kind.tz or "")
    if pa.types.is_decimal(kind):
        return ArrowType("decimal", scale=kind.scale, width=kind.bit_width)
    if isinstance(kind, pa.BaseExtensionType):
        return _type(pa, kind.storage_type)
    word = str(kind).partition("[")[0]
    return ArrowType({"halffloat": "half_float"}.get(word, word.partition("<")[0]))


def _damaged(kind: str, error: Exception) -> MalformedBody:
    """pyarrow's reason in one line, without the path that some reasons carry."""
    line = (str(error).splitlines() or ["nobody knows why"])[0]
    reason = line.split(" '/")[0].rstrip(".")[:160]
    return MalformedBody(f"The {kind} file cannot be read: {reason}.", hint="write it anew, or send CSV")
