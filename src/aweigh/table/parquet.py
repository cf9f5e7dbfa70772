"""Parquet and Arrow files, read a part at a time by pyarrow (the extra ``files``)."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from aweigh.errors import MalformedBody, MissingExtra, TooLarge
from aweigh.table.arrow import MAX_TEXT_BYTES, table_of_columns
from aweigh.table.arrow_stream import FILE_MAGIC, ArrowColumn, ArrowType, check_name, check_type
from aweigh.table.columns import Table
from aweigh.table.pandas_notes import PandasNotes, read_notes

BUFFER_BYTES = 2**17


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


@dataclass(frozen=True, slots=True, eq=False)
class RecordBatches:
    """pyarrow's record batches of a file, in order, at most ``chunk_rows`` rows each; ``rows`` of all where known."""

    kind: str
    schema: Any
    chunk_rows: int
    rows: int | None
    _batches: Iterable[Any]

    @property
    def notes(self) -> PandasNotes:
        """What pandas noted in the file, if it wrote it."""
        return read_notes(self.schema.metadata)

    def __iter__(self) -> Iterator[Any]:
        """The batches, as pyarrow's own.

        Raises:
            MalformedBody: the file is damaged.
        """
        with readable(self.kind):
            for batch in self._batches:
                for start in range(0, batch.num_rows, self.chunk_rows):
                    yield batch.slice(start, self.chunk_rows)

    def tables(self) -> Iterator[Table]:
        """The batches as tables, as pandas would read them back; at least one, perhaps of no rows.

        Raises:
            MalformedBody: the file is damaged.
            UnsupportedMedia: a column of a type that no model takes.
        """
        some = False
        for batch in self:
            some = True
            yield self.notes.apply(table_of_batch(batch))
        if not some:
            yield self.notes.apply(table_of_batch(self.empty()))

    def empty(self) -> Any:
        """A batch of no rows."""
        return import_pyarrow().RecordBatch.from_pylist([], self.schema)


@contextmanager
def readable(kind: str) -> Iterator[None]:
    """Turns what pyarrow says of a damaged file into our own words.

    Raises:
        MalformedBody: the file is not of its kind, or it is damaged.
    """
    pa = import_pyarrow()
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # Only the reason, in one line, and without the path that some reasons carry.
        reason = (str(error).splitlines() or ["nobody knows why"])[0].split(" '/")[0].rstrip(".")[:160]
        raise MalformedBody(f"The {kind} file cannot be read: {reason}.", hint="write it anew, or send CSV") from error


def open_parquet(file: BufferedReader, *, chunk_rows: int) -> RecordBatches:
    """A Parquet file's rows.

    Raises:
        MalformedBody: the file is not Parquet.
        MissingExtra: pyarrow is not installed.
    """
    pa = import_pyarrow()
    with readable("Parquet"):
        # Without a buffer pyarrow reads a whole row group, which may be the whole file.
        found = pa.parquet.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES)
        schema, metadata = found.schema_arrow, found.metadata
        texts = [one.name for one in schema if _is_text(pa, one.type)]
        # Text is read as codes, so that what is stored once and named a million times can be counted before it is made.
        coded = pa.parquet.ParquetFile(
            file, metadata=metadata, read_dictionary=texts, pre_buffer=False, buffer_size=BUFFER_BYTES
        )
        batches = coded.iter_batches(batch_size=chunk_rows, use_threads=False)
        return RecordBatches("Parquet", schema, chunk_rows, metadata.num_rows, _written_out(pa, batches, schema))


def _is_text(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _written_out(pa: Any, batches: Iterable[Any], schema: Any) -> Iterator[Any]:
    """Batches in the file's own types, whose text came as codes.

    Raises:
        TooLarge: a column of one would hold more text than is taken at once.
    """
    import pyarrow.compute as pc

    for batch in batches:
        columns = []
        for field, column in zip(schema, batch.columns, strict=True):
            if not pa.types.is_dictionary(column.type) or pa.types.is_dictionary(field.type):
                columns.append(column)
                continue
            sizes = pc.take(pc.binary_length(column.dictionary), column.indices)
            if (pc.sum(sizes).as_py() or 0) > MAX_TEXT_BYTES:
                raise TooLarge(
                    f"Column {field.name!r} of the file holds more text than is taken at once.", hint="split the file"
                )
            columns.append(column.dictionary_decode().cast(field.type))
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def open_arrow(file: BufferedReader, *, chunk_rows: int) -> RecordBatches:
    """The rows of an Arrow IPC stream or file, also those in layouts that ``table/arrow.py`` does not read.

    Raises:
        MalformedBody: the file is not Arrow.
        MissingExtra: pyarrow is not installed.
    """
    pa = import_pyarrow()
    with readable("Arrow"):
        if not file.peek(len(FILE_MAGIC)).startswith(FILE_MAGIC):
            stream = pa.ipc.open_stream(file)
            return RecordBatches("Arrow", stream.schema, chunk_rows, None, stream)
        stored = pa.ipc.open_file(file)
        batches = (stored.get_batch(i) for i in range(stored.num_record_batches))
        return RecordBatches("Arrow", stored.schema, chunk_rows, None, batches)


def table_of_batch(batch: Any, names: Collection[str] | None = None) -> Table:
    """A record batch of pyarrow's as a table, all of its columns or those named.

    Raises:
        MalformedBody: column names that are empty or double.
        UnsupportedMedia: a column of a type that no model takes.
    """
    pa = import_pyarrow()
    columns: dict[str, ArrowColumn] = {}
    for field, array in zip(batch.schema, batch.columns, strict=True):
        if names is None or field.name in names:
            check_name(field.name, columns)
            kind = _type(pa, field.type)
            check_type(field.name, kind)
            columns[field.name] = _column(field.name, kind, array)
    return table_of_columns(list(columns.values()), batch.num_rows)


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
