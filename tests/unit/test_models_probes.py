"""Probe rows: the same every time, within what the schema takes, and what a sample does not hold."""

import numpy as np
import pytest
from tests.partly import partly_slow

from aweigh.models.probes import MOST_COLUMNS, OWN_ROWS, decomposed, probes
from aweigh.schema import Column, Output, Schema
from aweigh.schema.check import examine
from aweigh.table import Table, Values
from aweigh.table.columns import concatenate

OUTPUT = Output(task="number", name="y")
ROWS = 60


def made(*columns):
    """A schema and a sample of 60 rows that fits it."""
    g = np.random.default_rng(1)
    cells = {
        "number": lambda column: g.uniform(column.minimum, column.maximum, ROWS).astype(column.dtype).astype(float),
        "integer": lambda column: g.integers(column.minimum, column.maximum, ROWS, endpoint=True),
        "boolean": lambda _: g.random(ROWS) < 0.5,
        "category": lambda column: g.choice(np.array(column.categories, dtype=object), ROWS),
        "text": lambda _: np.array([f"Some words, number {i}: café" for i in range(ROWS)], dtype=object),
        "date": lambda _: np.datetime64("2024-01-01", "us") + np.arange(ROWS) * np.timedelta64(1, "D"),
    }
    schema = Schema(columns=columns, output=OUTPUT)
    table = Table({column.name: Values(cells[column.type](column)) for column in columns}, ROWS)
    return schema, table


NUMBER = Column(name="n", type="number", dtype="float64", minimum=10.0, maximum=20.0, nullable=True)
SINGLE = Column(name="s", type="number", dtype="float32", minimum=0.0, maximum=1.0)
WHOLE = Column(name="w", type="integer", dtype="int64", minimum=1, maximum=9)
HUGE = Column(name="h", type="integer", dtype="int64", minimum=2**62, maximum=2**63 - 1)
TRUTH = Column(name="b", type="boolean", dtype="bool")
CHOICE = Column(name="c", type="category", dtype="str", categories=("Zürich", "basic"), nullable=True)
CLOSED = Column(name="d", type="category", dtype="str", categories=("x", "y"), closed=True)
TEXT = Column(name="t", type="text", dtype="str")
DAY = Column(name="day", type="date", dtype="datetime64[us]", minimum="2024-01-01", maximum="2024-02-29")
ALL = (NUMBER, SINGLE, WHOLE, HUGE, TRUTH, CHOICE, CLOSED, TEXT, DAY)


def joined(*columns):
    return concatenate([probe.table for probe in probes(*made(*columns))])


def test_the_same_sample_gives_the_same_probes():
    first, second = joined(*ALL), joined(*ALL)
    for name in first.columns:
        assert first[name].cells() == second[name].cells()


def test_the_schema_takes_every_probe():
    schema, table = made(*ALL)
    for probe in probes(schema, table):
        found = examine(schema, probe.table)
        assert found.problems == (), (probe.kind, probe.column)


def test_every_question_is_asked():
    schema, table = made(*ALL)
    asked = [(probe.kind, probe.column) for probe in probes(schema, table)]
    assert ("null", "n") in asked
    assert ("null", "c") in asked
    assert ("null", None) in asked
    assert ("unseen", "c") in asked
    assert ("unseen", "d") not in asked
    assert ("text", "t") in asked
    assert ("time", "day") in asked
    assert [kind for kind, column in asked if column is None] == ["null", "mixed", "mixed", "far"]


def test_numbers_are_at_the_edge_just_beyond_and_far_beyond():
    cells = joined(NUMBER)["n"].present()
    for wanted in (10.0, 20.0, np.nextafter(10.0, 0), np.nextafter(20.0, 99), 0.0, 30.0):
        assert wanted in cells
    assert cells.max() > 1e6
    assert cells.min() < -1e6


def test_numbers_stand_beside_those_seen_and_halfway_between_them():
    _, table = made(NUMBER)
    seen = np.unique(table["n"].data)
    cells = set(joined(NUMBER)["n"].present().tolist())
    middles = set(((seen[:-1] + seen[1:]) / 2).tolist())
    assert len(cells & set(seen.tolist())) > ROWS / 2
    assert len(cells & middles) > 10
    assert cells & {float(np.nextafter(one, np.inf)) for one in seen}
    assert cells & {float(np.nextafter(np.float32(one), np.float32(np.inf))) for one in seen}
    assert any(round(one, 2) == one and one not in seen for one in cells)


def test_single_precision_stays_single():
    cells = joined(SINGLE)["s"].data
    assert (cells == cells.astype(np.float32).astype(np.float64)).all()


def test_whole_numbers_stay_whole_and_within_64_bits():
    assert joined(WHOLE)["w"].data.dtype == np.int64
    cells = joined(HUGE)["h"].data
    assert cells.max() == 2**63 - 1
    assert len(np.unique(cells)) > 100


def test_the_owners_limits_are_kept():
    limited = Column(
        name="n", type="number", dtype="float64", minimum=10.0, maximum=20.0, lower_limit=5, upper_limit=25
    )
    cells = joined(limited)["n"].data
    assert cells.min() >= 5
    assert cells.max() <= 25


def test_unseen_kinds_look_like_nothing_like_others_and_like_those_seen():
    schema, table = made(CHOICE)
    unseen = next(probe for probe in probes(schema, table) if probe.kind == "unseen")
    cells = set(unseen.table["c"].data.tolist())
    assert not cells & set(CHOICE.categories)
    assert {"", " ", "nan"} <= cells


def test_text_comes_in_other_letters_and_with_accents_apart():
    cells = [str(one) for one in joined(TEXT)["t"].data]
    assert any(one.isupper() for one in cells)
    assert any(decomposed("é") in one and "é" not in one for one in cells)
    assert "" in cells


@pytest.mark.parametrize("count", partly_slow(1, 300, slow=[3000]))
def test_many_columns_do_not_make_endless_rows(count):
    columns = [
        Column(name=f"x{i}", type="number", dtype="float64", minimum=0.0, maximum=1.0, nullable=True)
        for i in range(count)
    ]
    schema, table = made(*columns)
    found = list(probes(schema, table))
    own = [probe for probe in found if probe.column is not None]
    assert len({probe.column for probe in own}) == min(count, MOST_COLUMNS)
    assert sum(probe.table.rows for probe in own) <= 2 * OWN_ROWS
    assert sum(probe.table.rows for probe in found) * count <= 50_000_000


def test_a_constant_and_an_empty_column_have_probes():
    still = Column(name="k", type="number", dtype="float64", minimum=3.0, maximum=3.0)
    empty = Column(name="e", type="number", dtype="float64", nullable=True)
    table = Table({"k": Values(np.full(5, 3.0)), "e": Values(np.zeros(5), np.ones(5, dtype=bool))}, 5)
    schema = Schema(columns=(still, empty), output=OUTPUT)
    cells = concatenate([probe.table for probe in probes(schema, table)])
    assert len(np.unique(cells["k"].data)) > 5
    assert cells["e"].as_mask().any()


def test_one_row_is_enough():
    schema, table = made(*ALL)
    assert sum(probe.table.rows for probe in probes(schema, table.take(slice(0, 1)))) > 100
