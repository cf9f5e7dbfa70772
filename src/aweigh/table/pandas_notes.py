"""What pandas notes in a Parquet or Arrow file of how its frame looked: which columns were the index, which dtypes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from aweigh.table.columns import Table

EXTENSION_DTYPES = frozenset(
    [f"{kind}{bits}" for kind in ("Int", "UInt") for bits in (8, 16, 32, 64)]
    + ["Float32", "Float64", "boolean", "string"]
)


@dataclass(frozen=True, slots=True)
class PandasNotes:
    """``index``: columns that pandas reads back as the index. ``dtypes``: those that the file's types do not say."""

    index: frozenset[str]
    dtypes: Mapping[str, str]

    def apply(self, table: Table) -> Table:
        """The table as pandas reads it back: without the index, with its own dtypes."""
        columns = {
            name: replace(values, dtype=self.dtypes.get(name, values.dtype))
            for name, values in table.columns.items()
            if name not in self.index
        }
        return Table(columns, table.rows)


class _NotedColumn(msgspec.Struct):
    name: str | None = None
    numpy_type: str = ""


class _Noted(msgspec.Struct):
    index_columns: list[object] = []
    columns: list[_NotedColumn] = []


def read_notes(metadata: Mapping[bytes, bytes] | None) -> PandasNotes:
    """The notes in the metadata of a file's schema; none when pandas did not write it, or not as it does today."""
    try:
        noted = msgspec.json.decode((metadata or {}).get(b"pandas", b"{}"), type=_Noted)
    except (msgspec.DecodeError, UnicodeDecodeError):
        noted = _Noted()
    dtypes = {
        column.name: column.numpy_type
        for column in noted.columns
        if column.name and (column.numpy_type in EXTENSION_DTYPES or column.numpy_type.endswith("[pyarrow]"))
    }
    # A range as index is a description, not a column.
    return PandasNotes(frozenset(name for name in noted.index_columns if isinstance(name, str)), dtypes)
