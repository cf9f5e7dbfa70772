"""Rows with their answers into a file, a part at a time: CSV, JSON lines, Parquet or Arrow."""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.runtime.arrow_log import ArrowLog
from aweigh.runtime.cells_out import Cells, as_arrow, as_json, as_text, disarmed
from aweigh.table.parquet import import_pyarrow

OutKind = Literal["csv", "jsonl", "parquet", "arrow"]
SUFFIXES: dict[str, OutKind] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
    ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip
GROUP_BYTES = 4 * 2**20
"""A Parquet row group, an Arrow record batch: large enough for who reads it, small enough to be held until written."""
GZIP_LEVEL = 6
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True, eq=False)
class OutPart:
    """Columns of ``rows`` rows, in the order of the file; ``bad`` rows have no answer, and perhaps no values.

    ``before`` are JSON rows that stand before the columns in JSON lines, as they came.
    """

    columns: Mapping[str, Cells]
    rows: int
    bad: NDArray[np.bool_]
    before: Sequence[Mapping[str, Any]] | None = None


class CsvWriter:
    """CSV in UTF-8 with a header line; cells that a spreadsheet would run are disarmed.

    Without ``names`` the header is there already.
    """

    def __init__(
        self, stream: BinaryIO, names: Sequence[str] | None, *, delimiter: str = ",", marked: bool = False
    ) -> None:
        self._stream = stream
        self._delimiter = delimiter
        if names is None:
            return
        mark = BYTE_ORDER_MARK if marked else ""
        self._stream.write((mark + self._quoted([disarmed([name]) for name in names])).encode())

    def write(self, part: OutPart) -> None:
        """Writes the rows of a part."""
        columns = [as_text(cells) for cells in part.columns.values()]
        text = "\n".join(map(self._delimiter.join, zip(*columns, strict=True))) + "\n" if part.rows else ""
        if not self._plain(text, len(columns), part.rows):
            text = self._quoted(columns)
        self._stream.write(text.encode())

    def close(self) -> None:
        """Nothing is left to write."""

    def _plain(self, text: str, columns: int, rows: int) -> bool:
        """Whether no cell needs quotes: the text has the delimiters and line ends that were put there, and no other."""
        return (
            columns > 1  # the one empty cell of a row would be a blank line
            and '"' not in text
            and "\r" not in text
            and text.count("\n") == rows
            and text.count(self._delimiter) == rows * (columns - 1)
        )

    def _quoted(self, columns: Sequence[Sequence[str]]) -> str:
        out = io.StringIO(newline="")
        # Python's writer leaves a lone carriage return without the quotes that it needs, unless all cells have them.
        lone = any("\r" in cell for cells in columns for cell in cells)
        csv.writer(
            out,
            delimiter=self._delimiter,
            lineterminator="\n",
            quoting=csv.QUOTE_ALL if lone else csv.QUOTE_MINIMAL,
        ).writerows(zip(*columns, strict=True))
        return out.getvalue()


class JsonLinesWriter:
    """One JSON object a line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._encoder = msgspec.json.Encoder()

    def write(self, part: OutPart) -> None:
        """Writes the rows of a part."""
        names = list(part.columns)
        columns = [as_json(cells, part.bad) for cells in part.columns.values()]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        if part.before is not None:
            rows = [{**before, **row} for before, row in zip(part.before, rows, strict=True)]
        self._stream.write(self._encoder.encode_lines(rows))

    def close(self) -> None:
        """Nothing is left to write."""


class ArrowWriter:
    """Parquet, or an Arrow IPC file (Feather), by pyarrow.

    Neither can be gone on with once its writer is gone: ``log`` keeps what comes, for ``put`` to write it anew.
    """

    def __init__(self, stream: BinaryIO, kind: OutKind, *, log: ArrowLog | None = None) -> None:
        self._pa = import_pyarrow()
        self._stream = stream
        self._kind = kind
        self._writer: Any = None
        self._schema: Any = None
        self._kept: list[Any] = []
        self._kept_bytes = 0
        self.log = log

    def write(self, part: OutPart) -> None:
        """Keeps the rows of a part, and writes what is kept when it is a group."""
        arrays = [self._plain(as_arrow(cells)) for cells in part.columns.values()]
        if self._schema is None:
            types = zip(part.columns, (array.type for array in arrays), strict=True)
            self._schema = self._pa.schema(list(types))
        cast = [array.cast(field.type) for array, field in zip(arrays, self._schema, strict=True)]
        batch = self._pa.RecordBatch.from_arrays(cast, schema=self._schema)
        if self.log is not None:
            self.log.add(batch)
        self.put(batch, size_bytes=batch.nbytes)

    def put(self, batch: Any, *, size_bytes: int) -> None:
        """The same for rows that are a batch already; ``size_bytes`` decides what becomes one group."""
        if self._writer is None:
            self._schema = batch.schema
            self._writer = self._open()
        self._kept.append(batch)
        self._kept_bytes += size_bytes
        if self._kept_bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Writes what is kept, and the footer."""
        if self._writer is not None:
            self._flush()
            self._writer.close()

    def abandon(self) -> None:
        """Ends the writer, which would otherwise write its footer whenever Python clears it away."""
        writer, self._writer = self._writer, None
        with suppress(Exception):
            if writer is not None:
                writer.close()
        if self._kind == "parquet" and writer is not None:
            writer.is_open = False

    def _open(self) -> Any:
        if self._kind == "parquet":
            # Answers are nearly all different: a dictionary of numbers costs time and memory, and saves no room.
            texts = [field.name for field in self._schema if not self._pa.types.is_primitive(field.type)]
            return self._pa.parquet.ParquetWriter(self._stream, self._schema, use_dictionary=texts or False)
        return self._pa.ipc.new_file(self._stream, self._schema)

    def _flush(self) -> None:
        table = self._pa.Table.from_batches(self._kept, schema=self._schema)
        self._kept, self._kept_bytes = [], 0
        if self._kind == "parquet":
            self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        else:
            self._writer.write_table(table.combine_chunks())

    def _plain(self, array: Any) -> Any:
        """Dictionaries as what they stand for, where the file holds only one dictionary for all batches."""
        if self._kind == "arrow" and self._pa.types.is_dictionary(array.type):
            return array.dictionary_decode()
        return array


Writer = CsvWriter | JsonLinesWriter | ArrowWriter


def out_kind(name: str) -> OutKind | None:
    """The kind of file that a name's suffix says; ``.gz`` may follow those that are text. None when it says nothing."""
    suffixes = [part.lower() for part in name.rpartition("/")[2].split(".")[1:]]
    packed = bool(suffixes) and suffixes[-1] == "gz"
    if packed:
        suffixes.pop()
    kind = SUFFIXES.get("." + suffixes[-1]) if suffixes else None
    return None if packed and kind in {"parquet", "arrow"} else kind


def packed(stream: BinaryIO) -> gzip.GzipFile:
    """A stream that packs what is written into it; the same content gives the same bytes."""
    return gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=GZIP_LEVEL, mtime=0, filename="")
