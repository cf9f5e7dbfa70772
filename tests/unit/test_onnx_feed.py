"""A graph is fed the same from columns that lie in blocks as from columns on their own."""

import msgspec
import numpy as np
import pytest

from aweigh.bundle.manifest import Graph, GraphInput
from aweigh.errors import UnsupportedModel
from aweigh.models.onnx_feed import Feed
from aweigh.schema import Column, Output, Schema
from aweigh.schema.check import check_rows
from aweigh.schema.decode import compile_decoder

SCHEMA = Schema(
    columns=(
        Column(name="a", type="number", dtype="float64", nullable=True),
        Column(name="s", type="category", dtype="str", nullable=True),
        Column(name="n", type="integer", dtype="int64", nullable=True),
        Column(name="b", type="number", dtype="float64"),
        Column(name="t", type="text", dtype="str", nullable=True),
        Column(name="on", type="boolean", dtype="bool"),
        Column(name="day", type="date", dtype="datetime64[us]"),
    ),
    output=Output(task="number", name="z"),
)
FULL = {"a": 1e300, "s": "x", "n": 2**53 + 1, "b": -0.5, "t": "é", "on": True, "day": "2026-01-31"}
GAPS = FULL | {"a": None, "s": None, "n": None, "t": None}
DECODE = compile_decoder(SCHEMA, max_rows=9)


def given(name, element, *columns):
    return GraphInput(name=name, columns=columns, element=element)


def fed(inputs, rows, *, rank=2):
    """The feeds from columns, which are those from blocks, in type, shape and value."""
    feed = Feed(Graph(inputs=inputs, missing_text="?"), {one.name: rank for one in inputs})
    table = DECODE(msgspec.json.encode({"rows": rows}))
    wanted = feed(check_rows(SCHEMA, rows))
    got = feed(table)
    assert got.keys() == wanted.keys()
    for name, cells in wanted.items():
        assert (got[name].dtype, got[name].shape) == (cells.dtype, cells.shape)
        assert got[name].flags.c_contiguous
        np.testing.assert_array_equal(got[name], cells)
    return got


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("rows", [[FULL], [GAPS], [FULL, GAPS, FULL]], ids=["full", "gaps", "both"])
def test_inputs_of_a_column_each(rows, rank):
    got = fed(
        (given("A", "double", "a"), given("S", "string", "s"), given("T", "string", "t"), given("B", "float", "b"),
         given("N", "double", "n"), given("O", "bool", "on"), given("A2", "float", "a")),
        rows, rank=rank,
    )  # fmt: skip
    if rows[0] is GAPS:
        assert (got["S"].ravel()[0], got["T"].ravel()[0]) == ("?", "?")
        assert np.isnan(got["A"]).ravel()[0]
    else:
        assert got["A2"].ravel()[0] == np.inf


@pytest.mark.parametrize("element", ["double", "float"])
@pytest.mark.parametrize(
    "columns", [("a", "b"), ("b", "a"), ("a", "n", "b"), ("on", "n"), ("b", "b")], ids=lambda some: " ".join(some)
)
@pytest.mark.parametrize("rows", [[FULL], [GAPS, FULL]], ids=["full", "gaps"])
def test_inputs_of_several_columns(rows, columns, element):
    assert fed((given("X", element, *columns),), rows)["X"].shape == (len(rows), len(columns))


def test_texts_side_by_side_and_whole_numbers():
    got = fed((given("X", "string", "t", "s"), given("Y", "int64", "n", "on")), [FULL, FULL])
    assert got["X"].tolist() == [["é", "x"]] * 2
    assert got["Y"].tolist() == [[2**53 + 1, 1]] * 2


def test_a_gap_where_the_graph_has_no_word_for_it_is_told():
    feed = Feed(Graph(inputs=(given("N", "int64", "n"),)), {"N": 2})
    for table in (check_rows(SCHEMA, [GAPS]), DECODE(msgspec.json.encode({"rows": [GAPS]}))):
        with pytest.raises(UnsupportedModel, match="int64 cannot hold a missing value"):
            feed(table)


def test_a_model_is_fed_from_tables_of_several_layouts_in_turn():
    feed = Feed(Graph(inputs=(given("X", "double", "a", "b"),)), {"X": 2})
    other = compile_decoder(SCHEMA, max_rows=9)
    body = msgspec.json.encode({"rows": [FULL]})
    for decode in (DECODE, other, DECODE):
        assert feed(decode(body))["X"].tolist() == [[1e300, -0.5]]


def test_a_block_that_a_graph_takes_whole_is_not_copied():
    feed = Feed(Graph(inputs=(given("X", "double", "a", "b"), given("S", "string", "s", "t"))), {"X": 2, "S": 2})
    table = DECODE(msgspec.json.encode({"rows": [FULL, FULL]}))
    got = feed(table)
    assert all(any(np.shares_memory(cells, block.data) for block in table.columns.blocks) for cells in got.values())


@pytest.mark.parametrize(
    "columns", [("a", "b", "n", "on"), ("n", "on", "a", "b"), ("on", "b", "n", "a")], ids=lambda some: " ".join(some)
)
def test_blocks_side_by_side(columns):
    assert fed((given("X", "double", *columns),), [FULL, GAPS, FULL])["X"].shape == (3, 4)
