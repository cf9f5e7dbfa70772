"""How much of an answer is told: less, and the same in every form."""

import json

import msgspec
import numpy as np
import pytest

from aweigh.errors import ConfigError
from aweigh.guard.disclosure import Disclosure, labels_only, read_disclosure, round_probabilities
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output
from aweigh.server.reply import Replies
from aweigh.table.arrow import read_arrow

OUTPUT = Output(task="class", name="y", classes=("a", "b", "c"), probabilities=True)
ANSWERS = Answers(
    OUTPUT, 2, index=np.array([1, 2]), probabilities=np.array([[0.333333, 0.4249, 0.241767], [0.05, 0.4499, 0.5001]])
)
NUMBER = Answers(Output(task="number", name="y"), 1, values=np.array([[1.23456]]))
OUTLIER = Answers(
    Output(task="outlier", name="y", scores=True), 1, outlier=np.array([True]), scores=np.array([-0.12345])
)


def forms(answers):
    """Return the labels and the probabilities that each form of the reply tells."""
    replies = Replies(OUTPUT, name="m", version="v")
    told = json.loads(replies.write("json", answers, [])[1])["predictions"]
    csv = [line.split(",") for line in replies.write("csv", answers, [])[1].decode().split()]
    arrow = {
        name: values.cells() for name, values in read_arrow(replies.write("arrow", answers, [])[1]).columns.items()
    }
    return told, csv, arrow


@pytest.mark.parametrize(("decimals", "first"), [(2, [0.33, 0.42, 0.24]), (1, [0.3, 0.4, 0.2])])
def test_rounded_probabilities_are_the_same_in_every_form(decimals, first):
    told, csv, arrow = forms(Disclosure(decimals=decimals).of(ANSWERS))
    assert list(told[0]["probabilities"].values()) == first
    assert [float(cell) for cell in csv[1][1:]] == first
    assert [arrow[f"probability_{name}"][0] for name in "abc"] == first
    assert [one["label"] for one in told] == ["b", "c"] == [line[0] for line in csv[1:]] == arrow["y"]


def test_labels_alone_are_all_that_any_form_tells():
    told, csv, arrow = forms(Disclosure(labels=True).of(ANSWERS))
    assert told == [{"label": "b"}, {"label": "c"}]
    assert csv == [["y"], ["b"], ["c"]]
    assert arrow == {"y": ["b", "c"]}


def test_a_label_stays_the_models_own_where_rounding_makes_two_alike():
    close = msgspec.structs.replace(ANSWERS, probabilities=np.array([[0.3, 0.36, 0.34], [0.1, 0.449, 0.451]]))
    told, _, _ = forms(round_probabilities(close, 1))
    assert [one["label"] for one in told] == ["b", "c"]


def test_a_predicted_number_is_told_whole_and_a_score_is_not():
    assert round_probabilities(NUMBER, 1) is NUMBER
    assert labels_only(NUMBER) is NUMBER
    assert round_probabilities(OUTLIER, 2).documents() == [{"outlier": True, "score": -0.12}]
    assert labels_only(OUTLIER).documents() == [{"outlier": True}]
    assert Disclosure().of(ANSWERS) is ANSWERS


def test_it_is_said_in_a_word():
    words = {"all": Disclosure(), "labels": Disclosure(labels=True), " 2 ": Disclosure(decimals=2)}
    assert {text: read_disclosure(text) for text in words} == words
    for text in ("", "0", "16", "-1", "1.5", "label", "²", "9" * 5000):
        with pytest.raises(ConfigError, match="how much of an answer"):
            read_disclosure(text)
