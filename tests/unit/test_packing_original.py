"""The original, asked: which categories are closed, which columns may be null, which rows it has no answer for."""

import numpy as np
import pytest

from aweigh.errors import ModelError, UnsupportedModel
from aweigh.packing.original import ask
from aweigh.schema import Answers, Column, Output, Schema
from aweigh.table import Table, Values

NUMBER = Output(task="number", name="y")


def sample(rows=40):
    g = np.random.default_rng(0)
    missing = g.random(rows) < 0.2
    return Table(
        {
            "kind": Values(g.choice(np.array(["a", "b"], dtype=object), rows)),
            "size": Values(np.where(missing, 0.0, g.uniform(1, 2, rows)), missing),
        },
        rows,
    )


def schema(*, nullable=True):
    return Schema(
        columns=(
            Column(name="kind", type="category", dtype="str", categories=("a", "b")),
            Column(name="size", type="number", dtype="float64", nullable=nullable, minimum=1.0, maximum=2.0),
        ),
        output=NUMBER,
    )


def answer(table, known):
    return Answers(known.output, table.rows, values=np.nan_to_num(table["size"].data).reshape(-1, 1))


def asked(predict, table=None, known=None):
    return ask(predict, known or schema(), table or sample(), widen=lambda answers: answers)


def test_a_model_that_answers_everything_leaves_everything_open():
    found = asked(answer)
    assert not found.schema.column("kind").closed
    assert found.trial.refused is None
    assert found.notes == ()
    assert found.trial.sample_rows == 40
    assert found.trial.table.rows > 1000
    assert len(found.trial.expected_single) == len(found.trial.single) == 40


def test_a_column_whose_unseen_kinds_are_refused_is_closed():
    def predict(table, known):
        if not set(table["kind"].data.tolist()) <= {"a", "b"}:
            raise ValueError("found unknown categories")
        return answer(table, known)

    found = asked(predict)
    assert found.schema.column("kind").closed
    assert not found.schema.column("size").closed
    assert len(found.notes) == 1
    assert found.notes[0].startswith("kind: the model refuses unseen categories")
    assert set(found.trial.table["kind"].data.tolist()) == {"a", "b"}
    assert found.trial.refused is None


def test_a_nullable_column_whose_nulls_are_refused_is_an_error_with_a_way_out():
    def predict(table, known):
        if table["size"].as_mask().any():
            raise ValueError("Input X contains NaN.")
        return answer(table, known)

    whole = Table({"kind": sample()["kind"], "size": Values(np.linspace(1, 2, 40))}, 40)
    with pytest.raises(ModelError, match="cannot answer when 'size' is missing: ValueError: Input X") as told:
        asked(predict, whole)
    assert "imputer" in told.value.hint


def test_a_model_that_fails_on_a_row_alone_is_an_error():
    def predict(table, known):
        if table.rows == 1:
            raise ValueError("Expected n_neighbors <= n_samples")
        return answer(table, known)

    with pytest.raises(ModelError, match="fails on one of them alone: ValueError: Expected n_neighbors"):
        asked(predict)


def test_a_sample_that_the_model_cannot_answer_is_an_error_without_the_machines_paths():
    def predict(table, known):
        raise KeyError("columns are missing: {'x'} in " + "/usr/lib/site-packages/sklearn/compose.py")

    with pytest.raises(ModelError, match="cannot answer the sample: KeyError") as told:
        asked(predict)
    assert "site-packages" not in str(told.value)


def typed_text(**changed):
    """Forty cells of a column that was meant to be one of numbers, some of them changed."""
    cells = [f"{number}.5" for number in range(40)]
    for place, cell in changed.items():
        cells[int(place.removeprefix("at"))] = cell
    return Values(np.array(cells, dtype=object))


def as_numbers(table, known):
    for values in table.columns.values():
        values.data.astype(np.float64)
    return answer(table, known)


TEXTS = Schema(columns=tuple(Column(name=name, type="text", dtype="str") for name in ("kind", "size")), output=NUMBER)


def test_the_cell_that_is_no_number_is_named():
    table = Table({"kind": typed_text(), "size": typed_text(at7="abc")}, 40)
    with pytest.raises(ModelError) as told:
        asked(as_numbers, table, TEXTS)
    assert told.value.message == (
        "The model cannot answer the sample: column 'size', row 7: 'abc' is no number, and nearly all others there are."
    )
    assert "correct that cell" in told.value.hint


WORDS = typed_text(**{f"at{place}": "abc" for place in range(20)})


@pytest.mark.parametrize(
    "kind",
    [typed_text(at3="abc"), WORDS],
    ids=["it could be another column's", "the column is one of words"],
)
def test_a_cell_is_not_guessed(kind):
    size = typed_text(at7="abc") if kind is not WORDS else typed_text()
    with pytest.raises(ModelError, match="cannot answer the sample: ValueError: could not convert string to float"):
        asked(as_numbers, Table({"kind": kind, "size": size}, 40), TEXTS)


def test_errors_of_our_own_pass_as_they_are():
    def predict(table, known):
        raise UnsupportedModel("it answers pictures")

    with pytest.raises(UnsupportedModel, match="it answers pictures"):
        asked(predict)


def test_rows_without_an_answer_are_kept_apart_and_the_others_of_their_group_are_not_lost():
    def predict(table, known):
        if (table["size"].data < 0).any():
            raise ValueError("Negative values in data passed to X")
        return answer(table, known)

    found = asked(predict)
    assert found.trial.refused is not None
    assert 0 < found.trial.refused.rows <= 20
    assert (found.trial.refused["size"].data < 0).all()
    assert (found.trial.table["size"].data >= 0).all()
    assert found.trial.table["size"].data.max() > 1000  # the far rows that it does answer
    assert any("size" in note and "Negative values" in note for note in found.notes)


def test_a_long_sample_is_thinned_and_its_ends_are_kept():
    table = Table({"kind": Values(np.array(["a"] * 5000, dtype=object)), "size": Values(np.linspace(1, 2, 5000))}, 5000)
    found = asked(answer, table, schema(nullable=False))
    assert found.trial.sample_rows == found.table.rows == 2000
    assert found.table["size"].data[[0, -1]].tolist() == [1.0, 2.0]
    assert found.answers.rows == 2000


def test_what_an_answer_shows_of_the_output_is_taken_over():
    wide = Output(task="numbers", name="y", names=("p", "q"))

    def predict(table, known):
        return Answers(known.output, table.rows, values=np.zeros((table.rows, 2)))

    found = ask(predict, schema(), sample(), widen=lambda answers: Answers(wide, answers.rows, values=answers.values))
    assert found.schema.output == wide
    assert found.answers.output == wide


def test_one_row_is_a_sample():
    found = asked(answer, sample(1), schema())
    assert found.trial.sample_rows == 1
