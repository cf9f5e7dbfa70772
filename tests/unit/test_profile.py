"""The frozen reference: counts that add up, observed values only, the same bytes each time."""

import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.bundle.manifest import to_json
from aweigh.profile import CONFIDENCE, MAX_BINS, MAX_PREDICTIONS, MAX_VALUES, Observed, Profile, build_profile
from aweigh.schema.answers import Answers
from aweigh.schema.column import Column, Output, Schema
from aweigh.table import Table, Values

NUMBER = Output(task="number", name="y")


def profile_of(kind, cells, missing=None, **more):
    data = np.array(cells, dtype={"text": object, "category": object}.get(kind))
    values = Values(data, None if missing is None else np.array(missing))
    schema = Schema(columns=(Column(name="x", type=kind, dtype="object", **more),), output=NUMBER)
    answers = Answers(NUMBER, len(data), values=np.zeros((len(data), 1)))
    return build_profile(schema, Table({"x": values}, len(data)), answers).observed("x")


def test_few_values_have_a_bin_each():
    seen = profile_of("integer", [2007, 2008, 2009, 2009, 0], missing=[False] * 4 + [True])
    assert seen.edges == (2007, 2008, 2009, 2009)
    assert seen.counts == (1, 1, 2)
    assert (seen.missing, seen.median) == (1, 2008)
    assert all(isinstance(edge, int) for edge in seen.edges)


def test_many_values_are_in_bins_of_about_equally_many():
    seen = profile_of("number", np.random.default_rng(0).lognormal(size=10_000))
    assert len(seen.counts) == MAX_BINS
    assert sum(seen.counts) == 10_000
    assert max(seen.counts) - min(seen.counts) <= 2
    assert len(seen.histogram) == MAX_BINS
    assert sum(seen.histogram) == 10_000
    assert seen.histogram[0] > seen.histogram[-1]


def test_a_value_that_many_rows_have_keeps_its_own_bin():
    seen = profile_of("number", [*range(1000), *[2000.0] * 1000])
    assert seen.edges[-2:] == (2000.0, 2000.0)
    assert seen.counts[-1] == 1000
    assert sum(seen.counts) == 2000


def test_a_constant_and_a_column_without_values():
    same = profile_of("number", [1.5] * 3)
    assert (same.edges, same.counts, same.histogram, same.quantiles) == ((1.5, 1.5), (3,), (), (1.5,) * 5)
    empty = profile_of("number", [0.0, 0.0], missing=[True, True])
    assert empty == Observed(name="x", kind="numbers", missing=2)
    assert empty.median is None


def test_numbers_that_no_difference_can_tell_have_no_histogram():
    seen = profile_of("number", [-1.7e308, 1.7e308])
    assert seen.histogram == ()
    assert seen.counts == (1, 1)


def test_large_whole_numbers_stay_exact():
    seen = profile_of("integer", [2**62 + 1, 2**62 + 3, -(2**62)])
    assert seen.quantiles == (-(2**62), -(2**62), 2**62 + 1, 2**62 + 3, 2**62 + 3)


def test_categories_are_ranked_and_the_rest_is_counted():
    cells = [f"kind {i:03}" for i in range(60) for _ in range(60 - i)]
    seen = profile_of("category", cells, categories=("kind 000",))
    assert len(seen.values) == MAX_VALUES
    assert (seen.values[0], seen.counts[0]) == ("kind 000", 60)
    assert sum(seen.counts) + seen.other == len(cells)
    assert profile_of("category", ["b", "a", "c", "c"]).values == ("c", "a", "b")


def test_text_is_known_by_its_lengths_alone():
    seen = profile_of("text", ["secret", "é", ""])
    assert (seen.kind, seen.edges, seen.counts) == ("lengths", (0, 1, 6, 6), (1, 1, 1))
    assert b"secret" not in to_json(seen)


def test_booleans_and_times():
    assert profile_of("boolean", [True, False, True]).values == ("true", "false")
    moments = np.array(["2026-01-31", "2026-02-01T12:30:00.5"], dtype="datetime64[us]")
    assert profile_of("datetime", moments).edges == ("2026-01-31T00:00:00", *["2026-02-01T12:30:00.500000"] * 2)
    days = profile_of("date", moments[:1])
    assert (days.edges, days.median) == (("2026-01-31", "2026-01-31"), "2026-01-31")


def test_an_unknown_column_is_a_key_error():
    with pytest.raises(KeyError):
        Profile(rows=0, columns=(), predictions=()).observed("x")


# -- predictions -----------------------------------------------------------------------------------------------------


def predictions_of(answers):
    return build_profile(Schema(columns=(), output=answers.output), Table({}, answers.rows), answers).predictions


def test_classes_are_counted_with_how_sure_the_model_was():
    output = Output(task="class", name="species", classes=("a", 2, True), probabilities=True)
    answers = Answers(
        output, 3, index=np.array([0, 2, 2]), probabilities=np.array([[0.9, 0.1, 0], [0, 0, 1], [0.2, 0.2, 0.6]])
    )
    labels, sure = predictions_of(answers)
    assert (labels.name, labels.values, labels.counts) == ("species", ("true", "a"), (2, 1))
    assert (sure.name, sure.quantiles[0], sure.quantiles[-1]) == (CONFIDENCE, 0.6, 1.0)


def test_other_answers():
    (one,) = predictions_of(Answers(NUMBER, 3, values=np.array([[1.0], [2.0], [np.nan]])))
    assert (one.name, one.counts, one.missing) == ("y", (1, 1), 1)
    wide = Output(task="transform", name="t", names=tuple(f"c{i}" for i in range(80)))
    assert len(predictions_of(Answers(wide, 2, values=np.zeros((2, 80))))) == MAX_PREDICTIONS
    cluster = Output(task="cluster", name="cluster")
    assert predictions_of(Answers(cluster, 2, cluster=np.array([3, 3])))[0].values == ("3",)
    outlier = Output(task="outlier", name="outlier", scores=True)
    flags, scores = predictions_of(Answers(outlier, 2, outlier=np.array([True, False]), scores=np.array([-0.1, 0.1])))
    assert (flags.values, scores.name) == (("false", "true"), "score")
    assert len(predictions_of(Answers(outlier, 1, outlier=np.array([True])))) == 1
    assert predictions_of(Answers(NUMBER, 0)) == ()


# -- always ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1))
def test_every_value_is_counted_once_where_the_edges_say(cells):
    seen = profile_of("number", np.array(cells, dtype=float))
    assert sum(seen.counts) == len(cells)
    assert len(seen.counts) == len(seen.edges) - 1 <= MAX_BINS
    assert set(seen.edges) <= set(cells)
    assert set(seen.quantiles) <= set(cells)
    assert list(seen.edges) == sorted(seen.edges)
    last = len(seen.counts) - 1
    for i, count in enumerate(seen.counts):
        low, high = seen.edges[i], seen.edges[i + 1]
        assert count == sum(low <= one and (one < high or (i == last and one <= high)) for one in cells)


def test_a_profile_is_read_as_it_was_written():
    seen = Profile(rows=2, columns=(profile_of("number", [0.1, 0.30000000000000004]),), predictions=())
    assert msgspec.json.decode(to_json(seen), type=Profile) == seen


def test_the_same_bytes_in_another_process():
    code = (
        "import sys, numpy as np\n"
        "from aweigh.profile import *; from aweigh.bundle.manifest import to_json; from aweigh.table import Table\n"
        "from aweigh.schema.answers import Answers; from aweigh.schema.column import Column, Output, Schema\n"
        "from aweigh.table import Values\n"
        "rng = np.random.default_rng(1); n = 5000; out = Output(task='number', name='y')\n"
        "schema = Schema(columns=(Column(name='a', type='number', dtype='float64'),\n"
        "  Column(name='b', type='category', dtype='object')), output=out)\n"
        "table = Table({'a': Values(rng.normal(size=n)),\n"
        "  'b': Values(np.array([f'k{i}' for i in rng.integers(0, 99, n)], dtype=object))}, n)\n"
        "made = build_profile(schema, table, Answers(out, n, values=rng.normal(size=(n, 1))))\n"
        "sys.stdout.buffer.write(to_json(made))"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "NPY_DISABLE_CPU_FEATURES": off},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed, threads, off in [("0", "1", ""), ("7", "2", "AVX2")]
    ]
    assert made[0] == made[1]
    assert len(made[0]) < 20_000
