"""An Arrow stream into a checked table: whole blocks where it is plainly right, column by column where it is not.

How the columns of a stream become blocks is worked out from its schema message, and kept for the next stream that
begins with the same bytes, as every request of one client does. What the quick way does not take (nulls where none may
be, a type that needs judging, damage of any kind) it leaves to ``read_arrow`` and ``check``, which alone decide what
is wrong and say so. It never takes what they would refuse, and makes the same table of what it takes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
    InMemory,
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
    """How the batches of a stream become tables; ``apart`` are the fields of columns that lie in no block.

    ``firsts``: see ``Batch``; None where every batch says how many buffers its columns have.
    """

    fields: tuple[Field, ...]
    fills: tuple[Fill, ...]
    apart: tuple[int, ...]
    firsts: tuple[int, ...] | None


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
        for kind, header, part in iter_messages(InMemory(body)):
            if kind == SCHEMA and plan is None:
                plan = self._plan(header)
            elif kind == DICTIONARY_BATCH and plan is not None:
                number, kinds = read_dictionary(header, part, plan.fields, limits)
                dictionaries[number] = kinds
            elif kind == RECORD_BATCH and plan is not None:
                tables.append(self._table(plan, _open(header, part, plan, dictionaries, limits)))
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
        message = bytes(header.message)
        if latest is not None and message == latest[0]:
            return latest[1]
        plan = self._new_plan(header)
        if len(message) <= MAX_KEPT_BYTES:
            self._latest = (message, plan)
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
        views = any(field.type.kind == "string_view" for field in fields)
        return _Plan(fields, tuple(fills), tuple(apart), None if views else _firsts(fields, iter(())))


def _open(
    header: FlatTable,
    body: memoryview,
    plan: _Plan,
    dictionaries: Mapping[int, ArrowColumn],
    limits: ArrowLimits,
) -> Batch:
    """A record batch whose every buffer lies within the body."""
    rows = header.number(0, INT64)
    lengths = np.frombuffer(header.elements(1, PAIR.size), "<i8")[:: len(("rows", "nulls"))]
    spans = np.frombuffer(header.elements(2, PAIR.size), "<i8").reshape(-1, 2)
    if header.table(3) is not None or rows <= 0 or len(lengths) < len(plan.fields):
        raise Later
    starts, sizes = spans[:, 0], spans[:, 1]
    if (lengths[: len(plan.fields)] != rows).any() or spans.min() < 0 or (starts > len(body) - sizes).any():
        raise Later
    places = spans.tolist()
    limits.take(rows, sum(size for _, size in places))
    firsts = plan.firsts
    if firsts is None:
        firsts = _firsts(plan.fields, iter([count for (count,) in header.structs(4, INT64)]), most=len(places))
    if firsts[-1] > len(places):
        raise Later
    return Batch(rows, body, places, firsts, plan.fields, dictionaries)


def _firsts(fields: Sequence[Field], more: Iterator[int], *, most: int = 0) -> tuple[int, ...]:
    """Which buffer is each field's first, and how many there are; ``more``: how many the next view has, up to most."""
    firsts = [0]
    for field in fields:
        count = COUNTS.get(field.type.kind, 2)
        if field.type.kind == "string_view":
            beside = next(more, -1)
            if not 0 <= beside <= most:
                raise Later
            count += beside
        firsts.append(firsts[-1] + count)
    return tuple(firsts)


def _column(batch: Batch, i: int) -> ArrowColumn:
    """A column for the patient reader."""
    field = batch.fields[i]
    buffers = [batch.body[start : start + size] for start, size in batch.places[batch.firsts[i] : batch.firsts[i + 1]]]
    return ArrowColumn(field.name, field.type, batch.rows, tuple(buffers))
