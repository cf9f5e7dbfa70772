"""A JSON reply says what the answers' own documents say, whatever the classes are called."""

import json

import msgspec
import numpy as np
import pytest

from aweigh.schema import Answers, Output
from aweigh.server import reply
from aweigh.server.reply import FEW_ROWS, Replies, compile_documents

NAN = float("nan")


def classes(*names, probabilities=True):
    output = Output(task="class", name="y", classes=names, probabilities=probabilities)
    shares = np.array([[0.25] * len(names), [NAN] + [0.1] * (len(names) - 1)])
    return Answers(output, 2, index=np.array([1, 0]), probabilities=shares if probabilities else None)


ANSWERS = {
    "text classes": classes("b", "a"),
    "whole classes": classes(3, 1),
    "fractional classes": classes(0.5, 1.5),
    "truth": classes(False, True),
    "labels alone": classes("b", "a", probabilities=False),
    "names that msgspec does not take": classes('"quoted"', "back\\slash", "line\n"),
    "two classes of one name": classes("1", 1),
    "a number": Answers(Output(task="number", name="y"), 2, values=np.array([[1.5], [np.inf]])),
    "numbers": Answers(
        Output(task="numbers", name="y", names=("u", 'the "v"')), 2, values=np.array([[1.5, NAN], [-0.0, 1e300]])
    ),
    "a row": Answers(
        Output(task="transform", name="y", names=("u", "é")), 2, values=np.array([[1, NAN], [0.1, -np.inf]])
    ),
    "clusters": Answers(Output(task="cluster", name="y"), 2, cluster=np.array([3, 0])),
    "outliers": Answers(
        Output(task="outlier", name="y", scores=True), 2, outlier=np.array([True, False]), scores=np.array([-0.5, 0.25])
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_reply_is_the_documents(name):
    answers = ANSWERS[name]
    encode = msgspec.json.encode
    assert encode(compile_documents(answers.output)(answers)) == encode(answers.documents())
    headers, body = Replies(answers.output, name="m", version="v").write("json", answers, [])
    assert json.loads(body)["predictions"] == json.loads(encode(answers.documents()))
    assert (b"content-length", b"%d" % len(body)) in headers


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1, 1000])
def test_many_rows_are_written_as_one_is(name, rows):
    answers = ANSWERS[name].take(np.arange(rows) % 2)
    documents = compile_documents(answers.output)
    alone = [msgspec.json.encode(documents(answers.take(slice(i, i + 1)))) for i in range(rows)]
    assert msgspec.json.encode(documents(answers)) == b"[" + b",".join(one[1:-1] for one in alone) + b"]"
    assert msgspec.json.encode(documents(answers)) == msgspec.json.encode(answers.documents())


@pytest.mark.parametrize("name", ANSWERS)
def test_no_rows_are_no_predictions(name):
    output = ANSWERS[name].output
    _, body = Replies(output, name="m", version="v").write("json", Answers.empty(output), [])
    assert json.loads(body)["predictions"] == []


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("different", [2, 60, 1000])
def test_what_is_said_of_many_rows_is_what_is_said_of_each(name, different):
    some, rows = ANSWERS[name].take(np.arange(1000) % 2), np.arange(1000)
    numbers = {}
    for field in ("probabilities", "values"):
        if (found := getattr(some, field)) is not None:
            # Numbers of which some are equal, in rows that differ in another column or in the label alone.
            numbers[field] = np.where(np.isnan(found), found, found + (rows % different // 2)[:, None])
    answers = msgspec.structs.replace(some, **numbers)
    body = Replies(answers.output, name="m", version="v").json(answers, [])
    assert b'"predictions":%b,"warnings"' % msgspec.json.encode(answers.documents()) in body


def test_answers_that_are_alike_are_written_once(monkeypatch):
    answers = ANSWERS["a number"].take(np.zeros(5000, dtype=np.int64))
    written = []
    encode = reply._encode
    monkeypatch.setattr(reply, "_encode", lambda said: written.append(said) or encode(said))
    replies = Replies(answers.output, name="m", version="v")
    written.clear()
    assert replies.json(answers, []).count(b'{"value":1.5}') == 5000
    assert len(written) == 1
