"""Golden rows are few and different, and the card says what is known and no more."""

import numpy as np
import pytest

from aweigh.bundle.manifest import FORMAT, Attempt, Manifest, Proof
from aweigh.config import AppConfig, Config, ModelConfig
from aweigh.packing.card import NOT_STATED, card, sentence
from aweigh.packing.golden import MAX_GOLDEN_ROWS, golden
from aweigh.schema import Answers, Column, Output, Schema
from aweigh.schema.check import check_rows
from aweigh.table import Table, Values

SPECIES = Output(task="class", name="species", classes=("ant", "bee"), probabilities=True)
COLUMNS = (
    Column(name="size", type="number", dtype="float64", nullable=True, minimum=0.0, maximum=9.0, unit="mm"),
    Column(name="kind", type="category", dtype="str", categories=("a", "b")),
    Column(name="seen", type="date", dtype="datetime64[us]", minimum="2024-01-01", maximum="2024-02-09"),
)


def table(rows):
    size = np.arange(rows, dtype=float)
    missing = np.arange(rows) % 7 == 3
    days = np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")
    kinds = np.array(["a", "b"], dtype=object)[np.arange(rows) % 2]
    return Table({"size": Values(size, missing), "kind": Values(kinds), "seen": Values(days)}, rows)


def classes(rows):
    second = np.linspace(0.02, 0.98, rows)
    index = (second > 0.5).astype(np.int64)
    return Answers(SPECIES, rows, index=index, probabilities=np.column_stack([1 - second, second]))


def test_the_clearest_of_each_class_the_closest_call_and_one_with_gaps():
    rows = 40
    answers = classes(rows)
    schema = Schema(columns=COLUMNS, output=SPECIES)
    found = golden(schema, table(rows), answers)
    assert found.titles[:3] == ["Clearly ant", "Clearly bee", "Hard to tell: ant or bee"]
    assert found.predictions[0] == answers.documents()[0]
    assert found.predictions[1] == answers.documents()[rows - 1]
    assert "Without size" in found.titles
    assert len(found.rows) == len(found.predictions) == len(found.titles) <= MAX_GOLDEN_ROWS
    assert len(set(found.titles)) == len(found.titles)
    assert found.rows[0]["seen"] == "2024-01-01"
    assert check_rows(schema, found.rows).rows == len(found.rows)  # each of them may be asked as it stands


@pytest.mark.parametrize(
    ("output", "parts", "titles"),
    [
        (
            Output(task="number", name="y"),
            {"values": np.array([[5.0], [1.0], [9.0], [4.0]])},
            ["In the middle", "The lowest", "The highest"],
        ),
        (
            Output(task="cluster", name="c"),
            {"cluster": np.array([1, 1, 0, 2])},
            ["Cluster 0", "Cluster 1", "Cluster 2"],
        ),
        (
            Output(task="outlier", name="o", scores=True),
            {"outlier": np.array([False, True, False, False]), "scores": np.zeros(4)},
            ["Nothing unusual", "An outlier"],
        ),
        (Output(task="number", name="y"), {"values": np.full((4, 1), np.nan)}, []),
    ],
)
def test_other_answers_have_other_golden_rows(output, parts, titles):
    found = golden(Schema(columns=COLUMNS, output=output), table(4), Answers(output, 4, **parts))
    assert [title for title in found.titles if title in titles] == titles
    assert len(found.rows) == 4


def test_one_row_is_enough():
    found = golden(Schema(columns=COLUMNS, output=SPECIES), table(1), classes(1))
    assert len(found.rows) == 1


PROOF = Proof(
    rows=40, probe_rows=1200, single_rows=40, absolute_tolerance=1e-5, relative_tolerance=1e-5, largest_difference=3e-8,
    attempts=(Attempt(form="ONNX", agreed=True, largest_difference=3e-8),),
)  # fmt: skip


MANIFEST = Manifest(
    format=FORMAT, name="insects", family="sklearn", model="A tree", runtime="onnx", runtime_reason="it agrees",
    model_file="model/model.onnx", python="3.11", made_with={}, proof=PROOF, files={},
)  # fmt: skip


def test_the_card_says_what_its_owner_said():
    said = ModelConfig(
        intended_use="Counting insects.", not_intended_for="Birds.", training_data="40 insects.", licence="CC0-1.0",
        contact="a@example.org", metrics={"accuracy": 0.98},
    )  # fmt: skip
    config = Config(model=said, app=AppConfig(title="Insects", description="Tells them apart."))
    text = card(MANIFEST, schema=Schema(columns=COLUMNS, output=SPECIES), config=config)
    lines = text.splitlines()
    assert lines[0] == "# Insects"
    for sentence_of_owner in ("Tells them apart.", "Counting insects.", "Birds.", "40 insects.", "- accuracy: 0.98"):
        assert sentence_of_owner in lines
    assert "Contact: a@example.org" in lines
    assert "Licence: CC0-1.0" in lines
    assert "- `size` (number, mm): 0.0 to 9.0 in the sample; may be missing." in lines
    assert "held against the original model on 1,240 rows" in text
    assert NOT_STATED not in text


def test_the_card_of_a_silent_owner_admits_it():
    text = card(MANIFEST, schema=Schema(columns=COLUMNS, output=SPECIES), config=Config())
    assert text.splitlines()[0] == "# insects"
    assert text.count(NOT_STATED) == 4
    assert "## Owner" not in text


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (SPECIES, "Predicts species from size, kind and seen."),
        (Output(task="numbers", name="y", names=("p", "q")), "Predicts 2 numbers from size, kind and seen."),
        (Output(task="cluster", name="c"), "Finds the cluster that a row belongs to from size, kind and seen."),
        (Output(task="outlier", name="o"), "Tells unusual rows from usual ones from size, kind and seen."),
        (Output(task="transform", name="t", names=("p",)), "Computes 1 numbers from size, kind and seen."),
    ],
)
def test_a_sentence_for_every_task(output, words):
    assert sentence(Schema(columns=COLUMNS, output=output)) == words


def test_many_columns_are_counted():
    many = tuple(Column(name=f"x_{i}", type="number", dtype="float64") for i in range(9))
    assert sentence(Schema(columns=many, output=SPECIES)) == "Predicts species from x 0, x 1, x 2 and 6 more."
