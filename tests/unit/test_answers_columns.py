"""An answer's columns are its flat rows, typed: what goes into a file is what the API says."""

import numpy as np
import pytest

from aweigh.schema import Answers, Output

NAN = float("nan")
ANSWERS = {
    "text classes": Answers(
        Output(task="class", name="y", classes=("b", "a"), probabilities=True),
        2,
        index=np.array([1, 0]),
        probabilities=np.array([[0.25, 0.75], [NAN, 1.0]]),
    ),
    "whole classes": Answers(Output(task="class", name="y", classes=(3, 1)), 2, index=np.array([1, 0])),
    "fractional classes": Answers(Output(task="class", name="y", classes=(0.5, 1.5)), 2, index=np.array([1, 0])),
    "truth": Answers(Output(task="class", name="y", classes=(False, True)), 2, index=np.array([1, 0])),
    "a number": Answers(Output(task="number", name="y"), 2, values=np.array([[1.5], [np.inf]])),
    "numbers": Answers(
        Output(task="numbers", name="y", names=("u", "v")), 2, values=np.array([[1.5, NAN], [0.0, 2.0]])
    ),
    "clusters": Answers(Output(task="cluster", name="y"), 2, cluster=np.array([3, 0])),
    "outliers": Answers(Output(task="outlier", name="y"), 2, outlier=np.array([True, False])),
    "scored outliers": Answers(
        Output(task="outlier", name="y", scores=True),
        2,
        outlier=np.array([True, False]),
        scores=np.array([-0.5, 0.25]),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_columns_are_the_flat_rows(name):
    answers = ANSWERS[name]
    heads, rows = answers.flat()
    columns = answers.columns()
    assert list(columns) == heads
    cells = [list(row) for row in zip(*(values.cells() for values in columns.values()), strict=True)]
    # A probability that is no number has no word in a file either.
    assert cells == [[None if cell != cell else cell for cell in row] for row in rows]  # noqa: PLR0124
    assert [[type(cell) for cell in row] for row in cells] == [
        [type(None if cell != cell else cell) for cell in row]  # noqa: PLR0124
        for row in rows
    ]


@pytest.mark.parametrize("name", ANSWERS)
def test_no_rows_have_the_same_columns(name):
    answers = ANSWERS[name]
    empty = Answers.empty(answers.output).columns()
    assert list(empty) == list(answers.columns())
    kinds = [values.data.dtype.kind for values in answers.columns().values()]
    assert [values.data.dtype.kind for values in empty.values()] == kinds
    assert {len(values) for values in empty.values()} == {0}


def test_classes_of_several_types_are_text():
    answers = Answers(Output(task="class", name="y", classes=(1, "one", True)), 3, index=np.array([0, 1, 2]))
    assert answers.columns()["y"].cells() == ["1", "one", "true"]
