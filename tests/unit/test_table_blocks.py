"""Columns that lie in blocks are the same columns: cut, taken, joined, asked for by name."""

import msgspec
import numpy as np
import pytest

from aweigh.schema import Column, Output, Schema
from aweigh.schema.check import check_rows
from aweigh.schema.decode import compile_decoder
from aweigh.table import Table, Values
from aweigh.table.blocks import Block, Blocks, Layout
from aweigh.table.columns import concatenate

SCHEMA = Schema(
    columns=(
        Column(name="x", type="number", dtype="float64", nullable=True),
        Column(name="when", type="date", dtype="datetime64[us]", nullable=True),
        Column(name="kind", type="category", dtype="str", nullable=True),
        Column(name="n", type="integer", dtype="int64", nullable=True),
        Column(name="y", type="number", dtype="float64"),
        Column(name="on", type="boolean", dtype="bool", nullable=True),
    ),
    output=Output(task="number", name="z"),
)
ROWS = [
    {"x": 1.5, "when": "2026-01-31", "kind": "a", "n": 2**62 + 1, "y": 0.5, "on": True},
    {"x": None, "when": None, "kind": None, "n": None, "y": -1.0, "on": None},
    {"x": 2.5, "when": "2026-02-01", "kind": "", "n": -3, "y": 3.0, "on": False},
]


def decoded(rows):
    return compile_decoder(SCHEMA, max_rows=100)(msgspec.json.encode({"rows": rows}))


def plain(table):
    return list(table.iter_rows())


def test_rows_of_json_lie_in_blocks_and_read_as_columns():
    table = decoded(ROWS)
    assert isinstance(table.columns, Blocks)
    assert list(table.columns) == list(SCHEMA.names)
    assert len(table.columns) == len(SCHEMA.names)
    assert plain(table) == plain(check_rows(SCHEMA, ROWS))
    assert table.columns["x"] is table.columns["x"]
    with pytest.raises(KeyError):
        table.columns["z"]


def test_what_is_cut_out_is_nobody_elses():
    table = decoded(ROWS)
    table["y"].data[0] = 99
    assert table.columns.blocks[0].data[0].tolist() == [1.5, 0.5]


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([2, 0]), np.array([True, False, True])])
def test_rows_are_taken_from_the_blocks(rows):
    taken = decoded(ROWS).take(rows)
    assert isinstance(taken.columns, Blocks)
    assert plain(taken) == [ROWS_AS_READ[i] for i in np.arange(3)[rows]]


def test_tables_of_one_layout_are_joined_as_blocks():
    decode = compile_decoder(SCHEMA, max_rows=100)
    parts = [decode(msgspec.json.encode({"rows": [row]})) for row in ROWS]
    joined = concatenate(parts)
    assert isinstance(joined.columns, Blocks)
    assert joined.columns.layout is parts[0].columns.layout
    assert plain(joined) == ROWS_AS_READ


def test_tables_of_several_layouts_are_joined_as_columns():
    joined = concatenate([decoded(ROWS[:1]), decoded(ROWS[1:]), check_rows(SCHEMA, ROWS)])
    assert plain(joined) == ROWS_AS_READ * 2


def test_a_block_of_another_shape_is_refused():
    layout = Layout(("a", "b"), (("a", "b"),))
    with pytest.raises(ValueError, match="1 rows of 2 columns"):
        Table(Blocks(layout, [Block(np.zeros((2, 2)))], {}), 1)
    beside = Layout(("a", "b"), (("a",),))
    with pytest.raises(ValueError, match="column 'b' has 2 rows"):
        Table(Blocks(beside, [Block(np.zeros((1, 1)))], {"b": Values(np.zeros(2))}), 1)


ROWS_AS_READ = plain(check_rows(SCHEMA, ROWS))
