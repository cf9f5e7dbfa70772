"""An Arrow stream into a checked table: whole blocks where it is plainly right, column by column where it is not.

How the columns of a stream become blocks is worked out from its schema message, and kept for the next stream that
begins with the same bytes, as every request of one client does. What the quick way does not take (nulls where none may
be, a type that needs judging, damage of any kind) it leaves to ``read_arrow`` and ``check``, which alone decide what
is wrong and say so. It never takes what they would refuse, and makes the same table of what it takes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import msgspec
import numpy as np

from aweigh.errors import AweighError
from aweigh.schema.arrow_blocks import COUNTS, PLAIN, Batch, Fill, compile_fill
from aweigh.schema.check import check
from aweigh.schema.column import Schema
from aweigh.schema.decode_fast import Later
from aweigh.schema.layout import is_apart, layout_of, together
from aweigh.table import Table, Values
from aweigh.table.arrow import MAX_BUFFER_BYTES, read_arrow, table_of_columns
from aweigh.table.arrow_stream import (
    DICTIONARY_BATCH,
    PAIR,
    RECORD_BATCH,
    SCHEMA,
    ArrowColumn,
    ArrowLimits,
    Field,
    iter_messages,
    read_dictionary,
    read_schema,
)
from aweigh.table.blocks import Blocks, Layout
from aweigh.table.columns import concatenate
from aweigh.table.flatbuffer import ASTRAY, INT64, FlatTable
from aweigh.table.pandas_notes import read_notes

MAX_KEPT_BYTES = 2**18
"""A schema message that is larger is worked out anew for each stream: whoever sends it shall not fill our memory."""

LEAST_CELLS = 1_000_000
"""A table of so few cells is always read, so that what is wrong with it can be told."""

Read = Callable[[bytes], Table]


def compile_arrow(schema: Schema, *, max_rows: int, layout: Layout | None = None) -> Read:
    """A function from an Arrow IPC stream or file to the table in the schema's columns, order and types.

    ``layout``: that of the table's blocks, where others make tables of the schema as well.

    Raises:
        DataError: (the function) what ``read_arrow`` and ``check`` raise.
    """
    quick = _Quick(schema, max_rows=max_rows, layout=layout_of(schema) if layout is None else layout)
    # Columns that the schema does not have are refused only when they have been read: so few cells they may hold.
    max_cells = max(LEAST_CELLS, max_rows * len(schema.columns))

    def read(body: bytes) -> Table:
        try:
            return quick(body)
        except (AweighError, Later, TypeError, OverflowError, *ASTRAY):
            return check(schema, read_arrow(body, max_rows=max_rows, max_cells=max_cells))

    return read


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the batches of a stream become tables; ``apart`` are the fields of columns that lie in no block."""

    fields: tuple[Field, ...]
    fills: tuple[Fill, ...]
    apart: tuple[int, ...]


class _Quick:
    """The quick way; it raises ``Later``, or whatever a damaged stream raises, when in doubt."""

    def __init__(self, schema: Schema, *, max_rows: int, layout: Layout) -> None:
        self._schema = schema
        self._max_rows = max_rows
        self._layout = layout
        self._apart = msgspec.structs.replace(schema, columns=tuple(one for one in schema.columns if is_apart(one)))
        self._latest: tuple[bytes, _Plan] | None = None

    def __call__(self, body: bytes) -> Table:
        limits = ArrowLimits(self._max_rows, MAX_BUFFER_BYTES)
        plan: _Plan | None = None
        dictionaries: dict[int, ArrowColumn] = {}
        tables: list[Table] = []
        for kind, header, part in iter_messages(BytesIO(body)):
            if kind == SCHEMA and plan is None:
                plan = self._plan(header)
            elif kind == DICTIONARY_BATCH and plan is not None:
                number, kinds = read_dictionary(header, part, plan.fields, limits)
                dictionaries[number] = kinds
            elif kind == RECORD_BATCH and plan is not None:
                tables.append(self._table(plan, _open(header, part, plan.fields, dictionaries, limits)))
            else:
                raise Later
        if not tables:
            raise Later
        return concatenate(tables)

    def _table(self, plan: _Plan, batch: Batch) -> Table:
        blocks = [fill(batch) for fill in plan.fills]
        rest: Mapping[str, Values] = {}
        if plan.apart:
            columns = [_column(batch, i) for i in plan.apart]
            rest = check(self._apart, table_of_columns(columns, batch.rows)).columns
        return Table(Blocks(self._layout, blocks, rest), batch.rows)

    def _plan(self, header: FlatTable) -> _Plan:
        latest = self._latest
        if latest is not None and header.message == latest[0]:
            return latest[1]
        plan = self._new_plan(header)
        if len(header.message) <= MAX_KEPT_BYTES:
            self._latest = (bytes(header.message), plan)
        return plan

    def _new_plan(self, header: FlatTable) -> _Plan:
        fields, notes = read_schema(header)
        place = {field.name: i for i, field in enumerate(fields)}
        if place.keys() != set(self._schema.names) or read_notes(notes).index:
            raise Later
        fills, apart = [], []
        for places in together(self._schema):
            columns = [self._schema.columns[i] for i in places]
            among = [place[column.name] for column in columns]
            if is_apart(columns[0]):
                apart += among
            else:
                fills.append(compile_fill(columns, among, [fields[i].type for i in among]))
        if any(fields[i].type.kind not in PLAIN for i in apart):
            raise Later
        return _Plan(fields, tuple(fills), tuple(apart))


def _open(
    header: FlatTable,
    body: memoryview,
    fields: Sequence[Field],
    dictionaries: Mapping[int, ArrowColumn],
    limits: ArrowLimits,
) -> Batch:
    """A record batch whose every buffer lies within the body."""
    rows, nodes, places = header.number(0, INT64), header.structs(1, PAIR), header.structs(2, PAIR)
    if header.table(3) is not None or rows <= 0 or len(nodes) < len(fields):
        raise Later
    spans = np.array(places, dtype=np.int64).reshape(-1, 2)
    if spans.min(initial=0) < 0 or (spans[:, 0] > len(body) - spans[:, 1]).any():
        raise Later
    limits.take(rows, sum(size for _, size in places))
    more = iter(header.structs(4, INT64))
    firsts, first = [], 0
    for field, (length, _) in zip(fields, nodes, strict=False):
        if length != rows:
            raise Later
        firsts.append(first)
        first += COUNTS.get(field.type.kind, 2)
        if field.type.kind == "string_view":
            (count,) = next(more, (-1,))
            if not 0 <= count <= len(places):
                raise Later
            first += count
    if first > len(places):
        raise Later
    return Batch(rows, body, places, [*firsts, first], fields, dictionaries)


def _column(batch: Batch, i: int) -> ArrowColumn:
    """A column for the patient reader."""
    field = batch.fields[i]
    buffers = [batch.body[start : start + size] for start, size in batch.places[batch.firsts[i] : batch.firsts[i + 1]]]
    return ArrowColumn(field.name, field.type, batch.rows, tuple(buffers))
