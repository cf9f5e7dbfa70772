"""The attack at pack time: against models whose nearest flip and steepest slope are known by geometry."""

import numpy as np
import pytest

from aweigh.bundle.manifest import to_json
from aweigh.errors import UsageError
from aweigh.packing.robustness import SIZES, Attack, robustness
from aweigh.schema.answers import Answers
from aweigh.schema.column import Column, Output, Schema
from aweigh.table import Table, Values

CLASSES = Output(task="class", name="y", classes=("no", "yes"))
NUMBER = Output(task="number", name="y")
SLOPE = np.array([3.0, -2.0, 0.5])


def numbers(output, *, kind="number", columns=3, dtype="float64"):
    ends = {"minimum": -9, "maximum": 9} if kind == "integer" else {"minimum": -9.0, "maximum": 9.0}
    return Schema(
        columns=tuple(Column(name=f"x{i}", type=kind, dtype=dtype, nullable=True, **ends) for i in range(columns)),
        output=output,
    )


def sample(rows=400, columns=3, seed=0, whole=False):
    """Numbers whose interquartile ranges differ by column."""
    random = np.random.default_rng(seed)
    found = {f"x{i}": np.clip(random.normal(scale=1 + i, size=rows), -9, 9) for i in range(columns)}
    return Table({name: Values(np.rint(one).astype(np.int64) if whole else one) for name, one in found.items()}, rows)


def matrix(table):
    return np.array([values.data.astype(np.float64) for values in table.columns.values()]).T


def classes_by(score, output=CLASSES):
    return lambda table: Answers(output, table.rows, index=(score(matrix(table)) > 0).astype(np.int64))


def nobody(done, total):
    """Watch nothing."""


def attacked(predict, schema, table, **more):
    attack = Attack(predict, schema, table, most_s=1e9, rows=more.pop("rows", 60), **more)
    return attack, attack.run()


def test_the_nearest_flip_of_a_plane_is_found():
    schema, table = numbers(CLASSES), sample()
    attack, found = attacked(classes_by(lambda x: x @ SLOPE - 1), schema, table)
    own = matrix(attack.own)
    true = np.abs(own @ SLOPE - 1) / np.linalg.norm(SLOPE * attack.unit)
    assert np.isfinite(attack.distances).all()
    assert (attack.distances >= true * 0.999).all(), "nearer than geometry allows"
    assert np.median(attack.distances / true) < 1.02
    assert np.quantile(attack.distances / true, 0.95) < 1.15
    assert found.shares == tuple(float(f"{(attack.distances <= size).mean():.4g}") for size in SIZES)
    assert found.median == pytest.approx(np.median(attack.distances), rel=1e-3)
    assert found.columns[0].column == "x1"  # 2 x its range of twice x0's
    assert found.queries < 60 * 3000


def test_the_nearest_flip_of_a_step_moves_one_column_alone():
    """A tree's boundary has corners: the change that counts lies in one column, to the threshold and no further."""
    schema, table = numbers(CLASSES, columns=6), sample(columns=6)
    attack, found = attacked(classes_by(lambda x: x[:, 4] - 1.5), schema, table)
    true = np.abs(matrix(attack.own)[:, 4] - 1.5) / attack.unit[4]
    assert np.median(attack.distances / true) < 1.1
    assert found.columns[0].column == "x4"
    assert found.columns[0].share > 0.9


def test_whole_numbers_stay_whole_and_missing_ones_stay_missing():
    asked = []

    def predict(table):
        asked.append(table)
        return classes_by(lambda x: x @ SLOPE - 0.5)(table)

    schema = numbers(CLASSES, kind="integer", dtype="int64")
    table = sample(whole=True)
    gone = np.arange(400) % 5 == 0
    columns = dict(table.columns) | {"x2": Values(np.where(gone, 0, table["x2"].data), gone)}
    _, found = attacked(predict, schema, Table(columns, 400))
    assert found.shares[-1] > 0
    for one in asked:
        assert all(one[name].data.dtype == np.int64 for name in schema.names)
        assert all(np.abs(one[name].data).max() <= 9 for name in schema.names)
    assert all((one["x2"].data[one["x2"].as_mask()] == 0).all() for one in asked)


def test_a_model_of_one_answer_is_never_flipped():
    _, found = attacked(classes_by(lambda x: np.full(len(x), 1.0)), numbers(CLASSES), sample())
    assert (found.shares, found.median, found.columns) == ((0.0,) * 4, None, ())


def test_a_slope_is_climbed_as_far_as_the_size_allows():
    schema, table = numbers(NUMBER), sample()
    attack, found = attacked(
        lambda given: Answers(NUMBER, given.rows, values=(matrix(given) @ SLOPE).reshape(-1, 1)), schema, table
    )
    steepest = np.linalg.norm(SLOPE * attack.unit)
    assert found.how == "moves"
    assert found.middle == pytest.approx([steepest * size for size in SIZES], rel=0.02)
    assert all(middle <= steepest * size * 1.001 for middle, size in zip(found.middle, SIZES, strict=True))
    low, high = np.quantile(matrix(table) @ SLOPE, [0.25, 0.75])
    assert found.spread == pytest.approx(high - low, rel=1e-3)


CHOICES = Schema(
    columns=(
        Column(name="decides", type="category", dtype="object", categories=("a", "b", "c")),
        Column(name="idle", type="boolean", dtype="bool"),
        Column(name="note", type="text", dtype="object"),
    ),
    output=CLASSES,
)


def choices(rows=90):
    place = np.arange(rows)
    text = {
        "decides": Values(np.array(["abc"[i % 3] for i in place], dtype=object)),
        "idle": Values(place % 2 == 0),
        "note": Values(np.array(["x"] * rows, dtype=object)),
    }
    return Table(text, rows)


def test_another_choice_is_told_by_its_column():
    def predict(table):
        return Answers(CLASSES, table.rows, index=(table["decides"].data == "a").astype(np.int64))

    found = robustness(predict, CHOICES, choices(), watch=nobody)
    assert [(one.column, one.share) for one in found.swaps] == [("decides", 1.0), ("idle", 0.0)]
    assert found.shares == (0.0,) * 4


def test_the_same_sample_gives_the_same_figures_and_the_watcher_sees_it_go():
    told = []
    predict = classes_by(lambda x: np.sin(x).sum(axis=1))
    first, second = (
        robustness(predict, numbers(CLASSES), sample(), watch=lambda done, total: told.append((done, total)))
        for _ in range(2)
    )
    assert to_json(first) == to_json(second)
    assert told[:2] == [(0, 20), (1, 20)]


def test_it_ends_when_its_time_is_up():
    whole = robustness(classes_by(lambda x: x @ SLOPE), numbers(CLASSES), sample(), watch=nobody)
    short = robustness(classes_by(lambda x: x @ SLOPE), numbers(CLASSES), sample(), watch=nobody, most_s=-1.0)
    assert (whole.cut_short, short.cut_short) == (False, True)
    assert short.queries < whole.queries / 4


def test_what_cannot_be_attacked_is_said():
    text = Schema(columns=CHOICES.columns[2:], output=CLASSES)
    with pytest.raises(UsageError, match="nothing to change"):
        robustness(classes_by(len), text, choices().select(["note"]), watch=nobody)
    many = Output(task="numbers", name="y", names=("u", "v"))
    with pytest.raises(UsageError, match="'numbers'"):
        robustness(
            lambda table: Answers(many, table.rows, values=np.zeros((table.rows, 2))), numbers(many), sample(),
            watch=nobody,
        )  # fmt: skip
