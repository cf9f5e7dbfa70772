"""Tables that come over the wire: JSON, CSV, Arrow, Parquet's last bytes, tensors. Quick ways against patient ones."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from fuzz_bounds import Found, Run

from aweigh.errors import DataError, InvalidRows, MalformedBody
from aweigh.schema import Column, Output, Schema
from aweigh.schema.check import check, check_rows
from aweigh.schema.decode import compile_decoder, read_rows
from aweigh.schema.decode_arrow import compile_arrow
from aweigh.server import tensors
from aweigh.table import Table, csv, csv_parts
from aweigh.table.arrow import read_arrow
from aweigh.table.files import MAGIC, read_sample
from aweigh.table.parquet_head import read_parquet_head

MAX_ROWS = 40


def _schema(*columns: Column) -> Schema:
    return Schema(columns=columns, output=Output(task="number", name="y"))


WIDE = _schema(
    Column(name="n", type="number", dtype="float64", nullable=True),
    Column(name="f", type="number", dtype="float32", nullable=True, upper_limit=1e6),
    Column(name="i", type="integer", dtype="int64", nullable=True, lower_limit=-5),
    Column(name="b", type="boolean", dtype="bool", nullable=True),
    Column(name="c", type="category", dtype="str", nullable=True, categories=("x", "NA", "é"), closed=True),
    Column(name="t", type="text", dtype="str", nullable=True),
    Column(name="d", type="date", dtype="str", nullable=True),
    Column(name="m", type="datetime", dtype="datetime64[us]", nullable=True),
)
ODD = _schema(
    Column(name="a:b", type="text", dtype="str"),
    Column(name=" é", type="number", dtype="float32"),
    Column(name="rows", type="integer", dtype="int64"),
)
NUMBERS = _schema(*(Column(name=name, type="number", dtype="float64") for name in "xyz"))
SCHEMAS = (WIDE, ODD, NUMBERS)

ARROW = _schema(
    *(
        Column(name=name, type=kind, dtype="float32" if name == "single" else "str", nullable=True)
        for name, kind in (
            *(("kind", "text"), ("text", "text"), ("large", "text"), ("view", "text"), ("number", "number")),
            *(("single", "number"), ("integer", "integer"), ("flag", "boolean"), ("moment", "datetime")),
        )
    )
)


def _told(read: Callable[[bytes], Table], body: bytes) -> object:
    """What is made of a body: the table's cells, or the refusal in its words."""
    try:
        table = read(body)
    except DataError as error:
        return type(error).__name__, str(error), error.hint, getattr(error, "problems", None)
    # Not the cells themselves: NaN is unlike itself.
    cells = [(name, repr(values.cells()), str(values.data.dtype)) for name, values in table.columns.items()]
    if any(len(values.cells()) != table.rows for values in table.columns.values()):
        raise Found("a column has another number of rows than its table")
    return cells


def _same(data: bytes, quick: Callable[[bytes], Table], patient: Callable[[bytes], Table]) -> None:
    one, other = _told(quick, data), _told(patient, data)
    if one != other:
        raise Found(f"the quick way says {one!r}, the patient one {other!r}")


def json_bodies() -> Run:
    """The decoder that is compiled from a schema against the patient reader; the first byte chooses the schema."""
    quick = [compile_decoder(schema, max_rows=MAX_ROWS) for schema in SCHEMAS]

    def run(data: bytes) -> None:
        chosen = data[0] % len(SCHEMAS) if data else 0
        _same(data[1:], quick[chosen], lambda body: read_rows(SCHEMAS[chosen], body, max_rows=MAX_ROWS))

    return run


CHARSETS = (None, "utf-8", "windows-1252", "utf-16", "shift_jis", "gb18030", "utf-32-be", "punycode", "\x00", "x" * 99)


def csv_files() -> Run:
    """A CSV at once and in parts, which must be the same rows; the first byte chooses the charset that is named."""
    csv_parts.READ_BYTES = 64  # so that inputs of a few bytes have borders between blocks, too

    def run(data: bytes) -> None:
        charset = CHARSETS[data[0] % len(CHARSETS)] if data else None
        body = data[1:]
        whole = parts = None
        refused = ""
        try:
            whole = csv.read_csv(body, charset=charset, max_rows=MAX_ROWS * 10)
        except DataError as error:
            refused = str(error)
        try:
            made = csv_parts.CsvParts(io.BytesIO(body), chunk_rows=3, charset=charset)
            parts = list(made)
        except MalformedBody:
            pass
        if whole is not None:
            for schema in (WIDE, NUMBERS):
                try:
                    check(schema, whole)
                except InvalidRows:
                    continue
            if parts is None:
                raise Found("a CSV is read at once, and not in parts")
            if any(part.unread for part in parts):
                raise Found("a row of a CSV is read at once, and not in parts")
            cells = {name: [one for part in parts for one in part.table.columns[name]] for name in made.names}
            if cells != whole.columns:
                raise Found(f"at once {whole.columns!r}, in parts {cells!r}")
        elif parts is not None and not any(part.unread for part in parts) and "More than" not in refused:
            raise Found(f"a CSV is read in parts, and at once refused: {refused}")

    return run


def arrow_streams() -> Run:
    """Arrow in whole blocks against the patient reader, for two schemas."""
    quick = [compile_arrow(schema, max_rows=MAX_ROWS) for schema in (ARROW, WIDE)]

    def run(data: bytes) -> None:
        for read, schema in zip(quick, (ARROW, WIDE), strict=True):
            _same(data, read, lambda body, schema=schema: check(schema, read_arrow(body, max_rows=MAX_ROWS)))

    return run


def parquet_heads() -> Run:
    """The last bytes of a Parquet file."""

    def run(data: bytes) -> None:
        try:
            read_parquet_head(io.BufferedReader(io.BytesIO(data)))
        except MalformedBody:
            return

    return run


def tensor_bodies() -> Run:
    """Requests of the Open Inference Protocol; the first two bytes are the length of the JSON, where they are not 0."""

    def run(data: bytes) -> None:
        length = int.from_bytes(data[:2], "little")
        body = data[2:]
        if length > len(body):
            return  # refused before it is read
        try:
            request = tensors.read_request(body, json_bytes=length or None)
        except DataError:
            return
        for schema in SCHEMAS:
            try:
                rows = tensors.rows_of(schema, request.inputs, max_rows=MAX_ROWS)
                table = check_rows(schema, rows)
            except DataError:
                continue
            if table.rows > MAX_ROWS:
                raise Found("there are more rows than the limit")

    return run


SUFFIXES = ("", ".csv", ".json", ".jsonl", ".parquet", ".csv.gz")


def row_files() -> Run:
    """Files of rows that are text, packed or not; the first byte chooses the suffix. Others are read by pyarrow."""
    folder = tempfile.TemporaryDirectory(prefix="aweigh-fuzz-")

    def run(data: bytes) -> None:
        path = Path(folder.name) / f"rows{SUFFIXES[data[0] % len(SUFFIXES)] if data else ''}"
        body = data[1:]
        if any(body.startswith(magic) for magic in MAGIC):
            return
        path.write_bytes(body)
        try:
            table = read_sample(path, max_rows=10, most_rows=MAX_ROWS, most_bytes=2**20)
        except DataError:
            return
        if table.rows > MAX_ROWS:
            raise Found("there are more rows than the limit")

    return run


TARGETS = {
    "files": row_files,
    "json": json_bodies,
    "csv": csv_files,
    "arrow": arrow_streams,
    "parquet": parquet_heads,
    "oip": tensor_bodies,
}
