"""Combinations: what is learnt of how columns go together, and that a row's distance never hangs on its company."""

import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.bundle.manifest import to_json
from aweigh.errors import DamagedBundle, OutsideDomain
from aweigh.packing.combination import LEAST_THRESHOLD, MOST_PAIRS, learn, threshold_of
from aweigh.profile import Profile
from aweigh.schema.check import check, check_rows
from aweigh.schema.column import Column, Output, Schema
from aweigh.schema.combination import FEW_ROWS, Binned, Calibration, Combinations, Distance, Pair, read_combinations
from aweigh.schema.decode import compile_decoder
from aweigh.schema.domain import Domain
from aweigh.schema.policy import Policy
from aweigh.table import Table, Values

OUTPUT = Output(task="number", name="y")
SCHEMA = Schema(
    columns=(
        Column(name="height", type="number", dtype="float64", nullable=True, minimum=1.0, maximum=2.2, unit="m"),
        Column(name="mass", type="number", dtype="float64", nullable=True, minimum=3.0, maximum=180.0),
        Column(name="age", type="integer", dtype="int64", minimum=0, maximum=99),
        Column(name="kind", type="category", dtype="object", nullable=True, categories=("adult", "child")),
        Column(name="works", type="boolean", dtype="bool"),
        Column(name="size", type="integer", dtype="category", categories=("1", "2")),
        Column(name="note", type="text", dtype="object", nullable=True),
        Column(name="day", type="date", dtype="datetime64[us]", nullable=True),
    ),
    output=OUTPUT,
)


def people(rows, seed=0):
    """Children are small, light, young, do not work and have size 1."""
    random = np.random.default_rng(seed)
    child = random.random(rows) < 0.4
    height = np.where(child, random.normal(1.2, 0.08, rows), random.normal(1.75, 0.08, rows))
    kinds = np.where(child, "child", "adult").astype(object)
    gone = random.random(rows) < 0.05
    return Table(
        {
            "height": Values(np.where(gone, 0.0, height), gone),
            "mass": Values(height**2 * random.normal(22, 1.5, rows)),
            "age": Values(np.where(child, random.integers(2, 12, rows), random.integers(18, 99, rows))),
            "kind": Values(kinds),
            "works": Values(~child & (random.random(rows) < 0.8)),
            "size": Values(np.where(child, 1, 2)),
            "note": Values(np.array(["x"] * rows, dtype=object)),
            "day": Values(np.full(rows, np.datetime64("2026-01-01", "us"))),
        },
        rows,
    )


@pytest.fixture(scope="module")
def known():
    sample = people(4000)
    return learn(SCHEMA, sample, golden=sample.take(slice(0, 5)))


def test_what_never_comes_together_is_told_and_what_does_is_not(known):
    warn = Domain(SCHEMA, combinations=known).compile("flag")
    honest = people(20_000, seed=1)
    flagged = [one for one in warn(honest) if one.code == "unlikely_combination"]
    assert len(Domain(SCHEMA, combinations=known).compile("flag", limit=None)(honest)) < 20_000 * 0.02
    assert len(flagged) < 60
    odd = {"height": 1.8, "mass": 70.0, "age": 6, "kind": "child", "works": False, "size": 1}
    (one,) = warn(check_rows(SCHEMA, [odd]))
    assert (one.code, one.row) == ("unlikely_combination", 0)
    assert "is a combination that the model has hardly seen" in one.message
    assert "height" in {one.column, *one.message.split("'")} or "mass" in {one.column, *one.message.split("'")}


def test_the_calibration_says_what_was_wanted_and_what_came_of_it(known):
    did = known.calibration
    assert (did.rows, did.wanted) == (4000, 0.001)
    assert did.flagged <= 0.004
    assert did.shuffled > 0.8
    assert did.swapped > 0.2
    honest = people(50_000, seed=2)
    distance = Distance(SCHEMA, known)
    assert (distance.many(distance.codes(honest)) > known.threshold).mean() < 0.004


def test_text_and_times_are_not_looked_at_and_missing_says_nothing(known):
    assert {one.name for one in known.columns} == {"height", "mass", "age", "kind", "works", "size"}
    rows = [{"height": None, "mass": None, "age": 6, "kind": None, "works": False, "size": 1}]
    assert Domain(SCHEMA, combinations=known).compile("flag")(check_rows(SCHEMA, rows)) == []


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "age": st.integers(0, 99),
                "works": st.booleans(),
                "size": st.sampled_from([1, 2]),
            },
            optional={
                "height": st.none() | st.floats(1.0, 2.2),
                "mass": st.none() | st.floats(3, 180),
                "kind": st.none() | st.sampled_from(["adult", "child", "Martian"]),
            },
        ),
        min_size=1,
        max_size=FEW_ROWS + 8,
    )
)
def test_a_row_has_one_distance_alone_in_company_and_however_it_came(known, rows):
    decode = compile_decoder(SCHEMA, max_rows=100)
    distance = Distance(SCHEMA, known)
    blocks = decode(msgspec.json.encode({"rows": rows}))
    every = distance.many(distance.codes(check_rows(SCHEMA, rows))).tolist()
    assert distance.many(distance.codes(blocks)).tolist() == every
    for threshold in sorted({0, *every}):
        beyond = [row for row, one in enumerate(every) if one > threshold]
        assert distance.rows_beyond(blocks, threshold) == beyond
        assert distance.rows_beyond(check_rows(SCHEMA, rows), threshold) == beyond
        for i, row in enumerate(rows):
            alone = decode(msgspec.json.encode({"rows": [row]}))
            assert distance.rows_beyond(alone, threshold) == ([0] if i in beyond else [])


def test_columns_that_know_nothing_of_each_other_give_nothing_to_look_at():
    random = np.random.default_rng(0)
    names = [f"x{i}" for i in range(12)]
    schema = Schema(columns=tuple(Column(name=one, type="number", dtype="float64") for one in names), output=OUTPUT)
    table = Table({one: Values(random.normal(size=5000)) for one in names}, 5000)
    assert learn(schema, table, golden=table.take(slice(0, 3))) is None
    few = people(99)
    assert learn(SCHEMA, few, golden=few.take(slice(0, 3))) is None


def test_many_columns_have_few_pairs_and_none_is_left_out():
    random = np.random.default_rng(0)
    common = random.normal(size=3000)
    names = [f"x{i}" for i in range(40)]
    schema = Schema(columns=tuple(Column(name=one, type="number", dtype="float64") for one in names), output=OUTPUT)
    table = Table({one: Values(common + 0.5 * random.normal(size=3000)) for one in names}, 3000)
    known = learn(schema, table, golden=table.take(slice(0, 3)))
    assert len(known.pairs) == MOST_PAIRS
    assert {one.name for one in known.columns} == set(names)


def test_no_golden_row_is_unlikely():
    sample = people(2000)
    odd = check_rows(SCHEMA, [{"height": 1.9, "mass": 5.0, "age": 3, "kind": "adult", "works": True, "size": 1}])
    usual = learn(SCHEMA, sample, golden=sample.take(slice(0, 5)))
    assert Domain(SCHEMA, combinations=usual).compile("flag")(odd) != []
    raised = learn(SCHEMA, sample, golden=odd)
    assert raised.threshold > usual.threshold
    assert Domain(SCHEMA, combinations=raised).compile("flag")(odd) == []


def test_the_threshold_lets_one_in_a_thousand_pass():
    random = np.random.default_rng(0)
    many = np.rint(random.exponential(100, 100_000)).astype(np.int64)
    assert threshold_of(many) == pytest.approx(691, rel=0.05)  # 100 ln 1000
    few = [threshold_of(np.rint(random.exponential(100, 300)).astype(np.int64)) for _ in range(50)]
    assert np.median(few) == pytest.approx(691, rel=0.2)
    assert threshold_of(np.zeros(500, dtype=np.int64)) == LEAST_THRESHOLD


def test_the_same_sample_gives_the_same_bytes(known):
    sample = people(4000)
    assert to_json(learn(SCHEMA, sample, golden=sample.take(slice(0, 5)))) == to_json(known)


def test_the_profile_carries_it_and_older_ones_do_not(known):
    written = to_json(Profile(rows=4000, columns=(), predictions=(), combinations=known))
    assert read_combinations(written, SCHEMA) == known
    assert read_combinations(to_json(Profile(rows=3, columns=(), predictions=())), SCHEMA) is None
    assert b"combinations" not in to_json(Profile(rows=3, columns=(), predictions=()))


CALIBRATION = Calibration(rows=1, wanted=0.001, flagged=0.0, swapped=0.0, shuffled=0.0)
GOOD = Combinations(
    columns=(Binned(name="age", edges=(5, 9)), Binned(name="works", values=("false", "true"))),
    pairs=(Pair(first=0, second=1, surprise=(0, 1, 2, 3, 4, 5)),),
    threshold=3,
    usual=1,
    calibration=CALIBRATION,
)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": (Binned(name="nobody", edges=(5, 9)), GOOD.columns[1])},
        {"columns": (Binned(name="age", edges=(9, 5)), GOOD.columns[1])},
        {"columns": (Binned(name="age", edges=("a", "b")), GOOD.columns[1])},
        {"columns": (Binned(name="note", edges=(5, 9)), GOOD.columns[1])},
        {"columns": (Binned(name="size", values=("x", "y", "z")), GOOD.columns[1])},
        {"pairs": ()},
        {"pairs": (Pair(first=0, second=2, surprise=(0,) * 6),)},
        {"pairs": (Pair(first=-1, second=1, surprise=(0,) * 6),)},
        {"pairs": (Pair(first=0, second=1, surprise=(0,) * 5),)},
        {"pairs": (Pair(first=0, second=1, surprise=(0, 0, 0, 0, 0, -1)),)},
        {"pairs": (Pair(first=0, second=1, surprise=(0, 0, 0, 0, 0, 2**62)),)},
    ],
)
def test_tables_that_cannot_be_are_a_damaged_bundle(change):
    assert read_combinations(to_json({"combinations": GOOD}), SCHEMA) == GOOD
    with pytest.raises(DamagedBundle, match="combinations"):
        read_combinations(to_json({"combinations": msgspec.structs.replace(GOOD, **change)}), SCHEMA)


def test_a_refusal_lists_the_first_hundred_and_counts_all():
    domain = Domain(SCHEMA, Policy(combination="reject"), GOOD)
    refuse = domain.compile_refusal()
    usual = {"age": 3, "works": True, "size": 1}
    refuse(check_rows(SCHEMA, [usual] * 200))
    with pytest.raises(OutsideDomain) as caught:
        refuse(check_rows(SCHEMA, [usual | {"age": 50}] * 150))
    assert (len(caught.value.problems), caught.value.total) == (100, 150)
    assert caught.value.problems[7].row == 7
    assert caught.value.problems[7].code == "unlikely_combination"
    assert domain.compile("flag")(check_rows(SCHEMA, [usual | {"age": 50}])) == []
    assert Domain(SCHEMA, Policy(), GOOD).compile_refusal() is None
    assert Domain(SCHEMA, Policy(columns="ignore", combination="ignore"), GOOD).compile("flag") is None


def test_a_refusal_words_what_it_lists_and_no_more():
    """A file of a million rows that are all refused costs the words of the first hundred."""
    columns = tuple(Column(name=f"x{i}", type="number", dtype="float64", minimum=0.0, maximum=1.0) for i in range(20))
    schema = Schema(columns=columns, output=OUTPUT)
    table = Table({one.name: Values(np.full(50_000, 2.0)) for one in columns}, 50_000)
    refuse = Domain(schema, Policy(columns="reject")).compile_refusal()
    tracemalloc.start()
    with pytest.raises(OutsideDomain) as caught:
        refuse(table)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(caught.value.problems), caught.value.total) == (100, 1_000_000)
    assert [(one.row, one.column) for one in caught.value.problems[18:22]] == [
        (0, "x18"), (0, "x19"), (1, "x0"), (1, "x1"),
    ]  # fmt: skip
    assert most < 16 * caught.value.total


@given(st.lists(st.tuples(st.integers(0, 99), st.booleans()), min_size=1, max_size=FEW_ROWS + 8))
def test_places_are_those_of_what_is_told(some):
    rows = [{"age": age, "works": works, "size": 1} for age, works in some]
    domain = Domain(SCHEMA, combinations=GOOD)
    table = check_rows(SCHEMA, rows)
    told = domain.compile("flag", limit=None)(table)
    places = domain.compile_places("flag")(table)
    assert sorted((row, one.code) for one in places for row in one.rows.tolist()) == sorted(
        (one.row, one.code) for one in told
    )
    assert all(domain.compile("flag")(check_rows(SCHEMA, [rows[one.row]])) for one in told)


def test_a_number_on_an_edge_lies_above_it():
    distance = Distance(SCHEMA, GOOD)
    table = check(SCHEMA, Table({
        "age": Values(np.array([4, 5, 8, 9])), "works": Values(np.array([True] * 4)),
        "size": Values(np.array([1] * 4)),
    }, 4))  # fmt: skip
    assert distance.many(distance.codes(table)).tolist() == [1, 3, 3, 5]
    assert [distance.rows_beyond(table, threshold) for threshold in (0, 2, 4, 5)] == [[0, 1, 2, 3], [1, 2, 3], [3], []]
