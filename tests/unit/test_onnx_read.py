"""What a graph's outputs say: labels by a dict or all at once, numbers that are none, classes that nobody knows."""

import numpy as np
import pytest

from aweigh.bundle.manifest import Graph
from aweigh.errors import InvalidRows
from aweigh.models.onnx_read import MANY_LABELS, compile_reader
from aweigh.schema import Output

GRAPH = Graph(inputs=(), label="label", probabilities="chances")


def reader(*classes):
    return compile_reader(GRAPH, Output(task="class", name="y", classes=classes, probabilities=True))


def chances(rows, width=2):
    return np.full((rows, width), 1 / width)


@pytest.mark.parametrize("rows", [1, MANY_LABELS, 5 * MANY_LABELS])
@pytest.mark.parametrize("classes", [(0, 1), (False, True), (1, 0), (3, 5), ("no", "yes"), (0.0, 1.0)], ids=str)
def test_labels_are_the_places_of_their_classes(classes, rows):
    places = np.random.default_rng(0).integers(0, 2, rows)
    named = np.array(classes, dtype=object if isinstance(classes[0], str) else None)[places]
    named = named.astype(np.int64) if named.dtype == np.bool_ else named
    answers = reader(*classes)([named, chances(rows)])
    assert (answers.index.dtype, answers.index.tolist()) == (np.int64, places.tolist())


@pytest.mark.parametrize("rows", [1, MANY_LABELS])
@pytest.mark.parametrize("stranger", [-1, 2])
def test_a_class_that_nobody_knows_is_no_answer(stranger, rows):
    labels = np.zeros(rows, np.int64)
    labels[-1] = stranger
    with pytest.raises(ValueError, match="names a class that it does not know"):
        reader(0, 1)([labels, chances(rows)])


@pytest.mark.parametrize("rows", [1, 3])
def test_rows_with_numbers_that_are_none_are_named(rows):
    some = chances(rows)
    some[-1, 1] = np.nan
    with pytest.raises(InvalidRows) as error:
        reader(0, 1)([np.zeros(rows, np.int64), some])
    assert [one.row for one in error.value.problems] == [rows - 1]


def test_infinite_numbers_are_numbers_and_one_column_of_two_classes_is_completed():
    answers = reader(0, 1)([np.zeros(2, np.int64), np.array([[np.inf, -np.inf], [1e308, 1e308]])])
    assert np.isposinf(answers.probabilities[0, 0])
    answers = reader(0, 1)([np.ones(2, np.int64), np.array([[0.75], [1.0]], np.float32)])
    assert answers.probabilities.tolist() == [[0.25, 0.75], [0.0, 1.0]]
