"""Sweeps: made-up rows are told from real ones, sub-populations from neither, in bounded memory."""

import pickle

import numpy as np
import pytest

from aweigh.guard.sweep import FADE_ROWS, LEAST_ROWS, REMEMBERED, SweepReference, SweepWatch
from aweigh.packing.combination import learn
from aweigh.profile import build_profile
from aweigh.schema.answers import Answers
from aweigh.schema.column import Column, Output, Schema
from aweigh.table import Table, Values

OUTPUT = Output(task="number", name="y")
SCHEMA = Schema(
    columns=(
        *(Column(name=f"x{i}", type="number", dtype="float64", nullable=True) for i in range(5)),
        Column(name="site", type="category", dtype="object", categories=("north", "south")),
    ),
    output=OUTPUT,
)


def real(rows, seed, site=None):
    random = np.random.default_rng(seed)
    common = random.normal(size=rows)
    south = random.random(rows) < 0.5 if site is None else np.full(rows, site == "south")
    columns = {f"x{i}": Values(common + south + 0.4 * random.normal(size=rows)) for i in range(5)}
    return Table(columns | {"site": Values(np.where(south, "south", "north").astype(object))}, rows)


def made_up(rows, seed, *, uniform):
    random = np.random.default_rng(seed)
    source = real(4000, 99)
    columns = {}
    for name, values in source.columns.items():
        cells = random.choice(values.data, rows)
        if uniform and name != "site":
            cells = random.uniform(values.data.min(), values.data.max(), rows)
        columns[name] = Values(cells)
    return Table(columns, rows)


def reference(sample, *, combinations=True):
    known = learn(SCHEMA, sample, golden=sample.take(slice(0, 3))) if combinations else None
    answers = Answers(OUTPUT, sample.rows, values=np.zeros((sample.rows, 1)))
    return SweepReference(SCHEMA, build_profile(SCHEMA, sample, answers, combinations=known))


@pytest.fixture(scope="module")
def known():
    return reference(real(4000, 0))


def verdict(known, table):
    return SweepWatch().add(known.look(table))


@pytest.mark.parametrize("rows", [LEAST_ROWS, 200, 1500])
def test_made_up_rows_are_told_and_real_ones_are_not(known, rows):
    assert verdict(known, made_up(rows, 1, uniform=True)).is_sweep
    assert verdict(known, made_up(rows, 2, uniform=False)).is_sweep
    assert not verdict(known, real(rows, 3)).is_sweep
    for site in ("north", "south"):
        assert not verdict(known, real(rows, 4, site)).is_sweep


def test_nothing_is_said_of_few_rows_nor_of_one_that_comes_again_and_again(known):
    assert not verdict(known, made_up(LEAST_ROWS - 1, 1, uniform=True)).is_sweep
    watch, one = SweepWatch(), known.look(made_up(1, 5, uniform=True))
    for _ in range(500):
        found = watch.add(one)
    assert (found.rows, found.is_sweep) == (1, False)


def test_without_combinations_a_sweep_over_the_ranges_is_told_still():
    bare = reference(real(4000, 0), combinations=False)
    found = verdict(bare, made_up(300, 1, uniform=True))
    assert (found.strange, found.is_sweep) == (None, True)
    assert not verdict(bare, made_up(300, 2, uniform=False)).is_sweep
    assert not verdict(bare, real(300, 3)).is_sweep


def test_row_by_row_is_as_all_at_once(known):
    table = made_up(120, 1, uniform=True)
    watch = SweepWatch()
    for row in range(120):
        found = watch.add(known.look(table.take(slice(row, row + 1))))
    together = verdict(known, table)
    assert (found.rows, found.is_sweep) == (together.rows, together.is_sweep)
    assert found.strange == pytest.approx(together.strange)
    assert found.outer == pytest.approx(together.outer)


def test_a_new_habit_shows_and_an_old_one_fades(known):
    watch = SweepWatch()
    assert not watch.add(known.look(real(10 * FADE_ROWS, 1))).is_sweep
    assert watch.add(known.look(made_up(FADE_ROWS, 2, uniform=True))).is_sweep
    for seed in range(5):
        last = watch.add(known.look(real(FADE_ROWS, 10 + seed)))
    assert not last.is_sweep


def test_a_client_takes_little_memory_whatever_it_asks(known):
    watch = SweepWatch()
    for seed in range(5):
        watch.add(known.look(real(5000, seed)))
    assert len(watch._last) == REMEMBERED
    assert len(pickle.dumps(watch._last)) < 20_000


def test_missing_cells_count_for_nothing(known):
    table = real(100, 1)
    gone = {f"x{i}": Values(table[f"x{i}"].data * 0, np.ones(100, dtype=bool)) for i in range(5)}
    found = verdict(known, Table(dict(table.columns) | gone, 100))
    assert (found.strange, found.outer) == (0.0, 0.0)
