"""The proof: what counts as the same answer, which way is taken, and what is said of those that lose."""

import numpy as np
import pytest

from aweigh.errors import InvalidRows, Problem, ProofFailed
from aweigh.models.family import Form, Way
from aweigh.models.parity import MAX_REASON_CHARACTERS, compare, hold, make_trial, prove, reason_of
from aweigh.schema import Answers, Output
from aweigh.table import Table, Values

NUMBER = Output(task="number", name="y")
CLASS = Output(task="class", name="y", classes=("a", "b"), probabilities=True)
ROWS = Table({"x": Values(np.linspace(-1, 1, 50))}, 50)
ODD = Table({"x": Values(np.array([7.0, 8.0]))}, 2)


def numbers(*values):
    return Answers(NUMBER, len(values), values=np.array(values, dtype=float).reshape(-1, 1))


def line(table, *, off=0.0, at=None):
    values = table["x"].data * 100.0
    if at is not None:
        values = values + np.where(np.abs(values - at) < 1e-9, off, 0.0)
    return Answers(NUMBER, table.rows, values=(values + (off if at is None else 0.0)).reshape(-1, 1))


def labels(table, *, wrong=()):
    index = (table["x"].data > 0).astype(np.int64)
    index[list(wrong)] = 1 - index[list(wrong)]
    second = np.clip(table["x"].data, 0, 1)
    return Answers(CLASS, table.rows, index=index, probabilities=np.column_stack([1 - second, second]))


def way(name, predict):
    return Way(name, lambda: Form("onnx", "model/model.onnx", b"", predict))


def raising(error):
    def make():
        raise error

    return Way("broken", make)


# -- the same answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "wanted", "agrees"),
    [
        (1.0, 1.0 + 1e-6, True),
        (1.0, 1.0 + 1e-4, False),
        (1e6, 1e6 + 5, True),
        (1e6, 1e6 + 50, False),
        (0.0, -0.0, True),
        (np.nan, np.nan, True),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (1e300, np.inf, False),
    ],
)
def test_numbers_are_the_same_within_the_tolerance(got, wanted, agrees):
    assert compare(numbers(got), numbers(wanted), absolute_tolerance=1e-5).agrees is agrees


def test_one_label_of_many_is_enough_to_differ():
    found = compare(labels(ROWS, wrong=[3]), labels(ROWS), absolute_tolerance=1.0)
    assert (found.labels_differing, found.numbers_differing, found.agrees) == (1, 0, False)


def test_answers_of_another_width_differ():
    wide = Answers(NUMBER, 2, values=np.zeros((2, 2)))
    assert compare(wide, numbers(0, 0), absolute_tolerance=1.0).largest_difference == float("inf")


def test_the_tolerance_shrinks_with_the_answers():
    small = make_trial(lambda table: numbers(*(table["x"].data * 1e-6)), ROWS, sample_rows=50)
    large = make_trial(line, ROWS, sample_rows=50)
    none = make_trial(lambda table: numbers(*np.zeros(table.rows)), ROWS, sample_rows=50)
    assert small.absolute_tolerance == pytest.approx(1e-11)
    assert large.absolute_tolerance == pytest.approx(1e-5)
    assert none.absolute_tolerance == pytest.approx(1e-5)


# -- the proof -------------------------------------------------------------------------------------------------------


def test_the_first_way_that_agrees_is_taken_and_all_are_told_of():
    trial = make_trial(line, ROWS, sample_rows=30)
    told = []
    tried = [
        raising(NotImplementedError("no converter")),
        way("rounded", lambda table: line(table, off=1.0)),
        way("exact", line),
        way("never tried", line),
    ]
    form, proof = prove(tried, trial, tell=told.append)
    assert form.predict is line
    assert told == ["broken", "rounded", "exact"]
    assert [(one.form, one.agreed) for one in proof.attempts] == [
        ("broken", False),
        ("rounded", False),
        ("exact", True),
    ]
    assert proof.attempts[0].reason == "NotImplementedError: no converter"
    assert proof.attempts[1].reason.endswith("numbers differ, by at most 1")
    assert proof.attempts[1].largest_difference == pytest.approx(1.0)
    assert (proof.rows, proof.probe_rows, proof.single_rows) == (30, 20, 40)
    assert proof.largest_difference == 0.0


def test_when_none_agrees_nothing_is_served_and_each_reason_is_told():
    trial = make_trial(labels, ROWS, sample_rows=50)
    tried = [raising(RuntimeError("opset 7")), way("flipped", lambda table: labels(table, wrong=[0]))]
    with pytest.raises(ProofFailed, match="broken: RuntimeError: opset 7; flipped: 41 of 90 labels differ") as failed:
        prove(tried, trial)
    assert "module:function" in failed.value.hint


def test_a_form_that_differs_only_alone_is_not_taken():
    trial = make_trial(line, ROWS, sample_rows=50)
    found = hold(lambda table: line(table, off=1.0 if table.rows == 1 else 0.0), trial)
    assert found.numbers_differing == 40


def test_a_form_that_fails_alone_is_not_taken():
    def together_only(table):
        if table.rows == 1:
            raise ValueError("a batch of one")
        return line(table)

    with pytest.raises(ProofFailed, match="a batch of one"):
        prove([way("batches", together_only)], make_trial(line, ROWS, sample_rows=50))


def test_what_the_original_refuses_must_be_refused():
    trial = make_trial(labels, ROWS, sample_rows=50, refused=ODD)

    def refuses(table):
        if (table["x"].data > 1).any():
            raise InvalidRows((Problem("no_answer", "none"),))
        return labels(table)

    form, _ = prove([way("answers all", labels), way("refuses", refuses)], trial)
    assert form.predict is refuses
    assert hold(labels, trial).unwanted == 2


def test_a_number_that_is_none_is_a_refusal_and_a_label_beside_one_is_not():
    refused = make_trial(line, ROWS, sample_rows=50, refused=ODD)
    assert hold(lambda table: numbers(*np.where(table["x"].data > 1, np.nan, table["x"].data * 100)), refused).agrees

    def label_and_nothing(table):
        answers = labels(table)
        shares = np.where(table["x"].data[:, None] > 1, np.nan, answers.probabilities)
        return Answers(CLASS, table.rows, index=answers.index, probabilities=shares)

    assert hold(label_and_nothing, make_trial(labels, ROWS, sample_rows=50, refused=ODD)).unwanted == 2


# -- reasons ---------------------------------------------------------------------------------------------------------


def test_a_reason_is_one_line_without_paths_and_not_long():
    where = "/usr/lib/python3/site-packages/skl2onnx/convert.py"
    text = reason_of(RuntimeError(f"\n\n  it failed in {where} here  \nand more below"))
    assert text == "RuntimeError:"  # the first line that says anything
    assert reason_of(ValueError(f"it failed in {where} here")) == "ValueError: it failed in here"
    assert len(reason_of(ValueError("x" * 1000))) == MAX_REASON_CHARACTERS
    assert reason_of(ValueError()) == "ValueError:"
    assert reason_of(InvalidRows((Problem("no_answer", "no answer for row 3"),))) == "no answer for row 3"
