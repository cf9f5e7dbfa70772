"""Parquet and Arrow files, read a part at a time by pyarrow (the extra ``files``)."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from typing import Any

from aweigh.errors import MalformedBody, MissingExtra
from aweigh.table.arrow import table_of_columns
from aweigh.table.arrow_stream import FILE_MAGIC, ArrowColumn, ArrowType, check_name, check_type
from aweigh.table.columns import Table
from aweigh.table.cut import Unpacked, cut_batch
from aweigh.table.pandas_notes import PandasNotes, read_notes
from aweigh.table.parquet_pages import Pages, Way

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
    """pyarrow's record batches of a file, in order, at most ``chunk_rows`` rows each; ``rows`` of all where known.

    They are smaller where rows are long, and all together unpack to no more than ``most_bytes``; ``plain`` makes of a
    small batch one in the file's own types.
    """

    kind: str
    schema: Any
    chunk_rows: int
    rows: int | None
    _batches: Iterable[Any]
    most_bytes: int | None = None
    plain: Callable[[Any], Any] = lambda batch: batch

    @property
    def notes(self) -> PandasNotes:
        """What pandas noted in the file, if it wrote it."""
        return read_notes(self.schema.metadata)

    def __iter__(self) -> Iterator[Any]:
        """The batches, as pyarrow's own.

        Raises:
            MalformedBody: the file is damaged.
            TooLarge: more than ``most_bytes``, or a row that is too long.
        """
        pa, unpacked = import_pyarrow(), Unpacked(self.most_bytes)
        with readable(self.kind):
            for batch in self._batches:
                for part in cut_batch(pa, batch, rows=self.chunk_rows, unpacked=unpacked):
                    yield self.plain(part)

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


def open_parquet(file: BufferedReader, *, chunk_rows: int, most_bytes: int | None = None) -> RecordBatches:
    """A Parquet file's rows, which unpack to no more than ``most_bytes``.

    With that bound the file is a stranger's: pages that are large are refused, too.

    Raises:
        MalformedBody: the file is not Parquet.
        MissingExtra: pyarrow is not installed.
    """
    pa = import_pyarrow()
    with readable("Parquet"):
        # Without a buffer pyarrow reads a whole row group, which may be the whole file.
        found = pa.parquet.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES)
        schema, metadata = found.schema_arrow, found.metadata
        stored = [metadata.schema.column(place) for place in range(metadata.num_columns)]
        coded, may_be = _texts(pa, schema, stored)
        pages = Pages(
            file,
            [one.length for one in stored],
            groups=metadata.num_row_groups,
            coded=coded,
            may_be_coded=may_be,
            nested=frozenset(place for place, one in enumerate(stored) if "." in one.path),
            bounded=most_bytes is not None,
        )

        def reader(places: frozenset[int]) -> Any:
            # Text is read as codes, so that what is stored once and named a million times is counted before it is made.
            return pa.parquet.ParquetFile(
                file, metadata=metadata, read_dictionary=[stored[place].path for place in places], pre_buffer=False,
                buffer_size=BUFFER_BYTES,
            )  # fmt: skip

        batches = _batches(reader, pages.ways(chunk_rows))
        plain = partial(_written_out, pa, schema)
        return RecordBatches("Parquet", schema, chunk_rows, metadata.num_rows, batches, most_bytes, plain)


def _texts(pa: Any, schema: Any, stored: Sequence[Any]) -> tuple[frozenset[int], frozenset[int]]:
    """The places of what comes as codes anyway, and of text and bytes that may.

    Inside of others pyarrow makes no views of codes.
    """
    kinds = {field.name: field.type for field in schema}
    always, may_be = set(), set()
    for place, one in enumerate(stored):
        if one.physical_type != "BYTE_ARRAY" or one.logical_type.type == "DECIMAL":
            continue
        kind = kinds.get(one.path) or kinds.get(one.path.partition(".")[0])
        if kind is not None and pa.types.is_dictionary(kind):
            always.add(place)
        elif kind is not None and not (pa.types.is_nested(kind) and "view" in str(kind)):
            may_be.add(place)
    return frozenset(always), frozenset(may_be)


def _batches(reader: Callable[[frozenset[int]], Any], ways: Iterable[Way]) -> Iterator[Any]:
    """The batches, of fewer rows in groups whose rows are long."""
    for way, several in itertools.groupby(enumerate(ways), lambda pair: pair[1]):
        found = reader(way.coded)
        groups = (group for group, _ in several)
        for run in ([group] for group in groups) if way.alone else [list(groups)]:
            yield from found.iter_batches(batch_size=way.rows, row_groups=run, use_threads=False)


def _written_out(pa: Any, schema: Any, batch: Any) -> Any:
    """A batch in the file's own types, whose text came as codes."""
    columns = []
    for field, column in zip(schema, batch.columns, strict=True):
        if column.type.equals(field.type):
            columns.append(column)
        elif pa.types.is_dictionary(column.type):
            columns.append(column.dictionary_decode().cast(field.type))
        else:  # taken, as a cast writes out all that stands before the slice
            columns.append(column.take(pa.array(range(len(column)), pa.int64())).cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def open_arrow(file: BufferedReader, *, chunk_rows: int, most_bytes: int | None = None) -> RecordBatches:
    """The rows of an Arrow IPC stream or file, also those in layouts that ``table/arrow.py`` does not read.

    They unpack to no more than ``most_bytes``; ``arrow_unpacked.py`` says whether one message by itself does.

    Raises:
        MalformedBody: the file is not Arrow.
        MissingExtra: pyarrow is not installed.
    """
    pa = import_pyarrow()
    with readable("Arrow"):
        if not file.peek(len(FILE_MAGIC)).startswith(FILE_MAGIC):
            stream = pa.ipc.open_stream(file)
            return RecordBatches("Arrow", stream.schema, chunk_rows, None, stream, most_bytes)
        stored = pa.ipc.open_file(file)
        batches = (stored.get_batch(i) for i in range(stored.num_record_batches))
        return RecordBatches("Arrow", stored.schema, chunk_rows, None, batches, most_bytes)


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
