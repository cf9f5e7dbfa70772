"""Answers that are kept: what makes two rows one, what goes when it is full, what is asked of the model."""

import asyncio

import numpy as np
import pytest

from aweigh.runtime.cache import ENTRY_BYTES, Cache, compile_keys, secret_of
from aweigh.runtime.known import MAX_ROWS, Known
from aweigh.schema import Answers, Column, Output, Schema
from aweigh.schema.check import check_rows
from aweigh.schema.decode import compile_decoder
from aweigh.schema.stored import RowForm
from aweigh.secret import Secret
from aweigh.table import Table

TYPES = ("number", "integer", "boolean", "category", "text", "date", "datetime")
DTYPES = {"number": "float64", "integer": "int64", "boolean": "bool", "date": "date", "datetime": "datetime64[us]"}
SCHEMA = Schema(
    columns=tuple(Column(name=one, type=one, dtype=DTYPES.get(one, "object"), nullable=True) for one in TYPES),
    output=Output(task="number", name="y"),
)
ROW = {
    "number": 1.5,
    "integer": 3,
    "boolean": True,
    "category": "a",
    "text": "b",
    "date": "2020-02-29",
    "datetime": "2020-02-29T12:00:00",
}
KEYS = compile_keys(SCHEMA, digest="ab" * 32)


def keys_of(*rows, keys=KEYS):
    return keys(check_rows(SCHEMA, list(rows)))


def test_every_cell_makes_a_difference():
    others = {
        "number": (1.25, 0.0, -0.0, None),
        "integer": (4, 0, None),
        "boolean": (False, None),
        "category": ("b", "", None),
        "text": ("a", "", "ab", None),
        "date": ("2020-03-01", "1970-01-01", None),
        "datetime": ("2020-02-29T12:00:00.000001", "1970-01-01T00:00:00", None),
    }
    rows = [ROW, *(ROW | {name: value} for name, values in others.items() for value in values)]
    rows += [ROW | {"category": "ab", "text": ""}, ROW | {"category": "", "text": "ab"}]
    found = keys_of(*rows)
    assert len(set(found)) == len(rows)
    assert {len(key) for key in found} == {32}


def test_one_row_has_one_key_however_it_was_written():
    decode = compile_decoder(SCHEMA, max_rows=10)
    (key,) = keys_of(ROW | {"number": 1.0, "text": None})
    written = [
        b'{"rows":[{"number":1,"integer":3,"boolean":true,"category":"a","date":"2020-02-29","datetime":"2020-02-29T12:00:00"}]}',
        b'{"rows":[{"datetime":"2020-02-29T12:00:00","number":1.0e0,"integer":3,"boolean":true,"category":"\\u0061","text":null,"date":"2020-02-29"}]}',
    ]
    assert [KEYS(decode(body)) for body in written] == [[key], [key]]


def test_a_row_has_one_key_in_any_company():
    rows = [ROW, dict.fromkeys(TYPES), ROW | {"number": None}, ROW | {"text": "\U0001f427"}]
    assert keys_of(*rows) == [keys_of(row)[0] for row in rows]


def test_bundles_identities_outputs_and_secrets_share_nothing():
    other = Schema(columns=SCHEMA.columns, output=Output(task="numbers", name="y", names=("a", "b")))
    makers = [
        KEYS,
        compile_keys(SCHEMA, digest="cd" * 32),
        compile_keys(SCHEMA, digest="ab" * 32, scope=b"somebody"),
        compile_keys(SCHEMA, digest="ab" * 32, secret=secret_of(Secret("hush"))),
        compile_keys(SCHEMA, digest="ab" * 32, secret=secret_of(Secret("hush" * 100))),
        compile_keys(other, digest="ab" * 32),
    ]
    assert len({keys_of(ROW, keys=one)[0] for one in makers}) == len(makers)


def test_what_was_unused_longest_goes_first():
    cache = Cache(size_bytes=3 * (ENTRY_BYTES + 8))
    cache.put([b"a", b"b", b"c"], [b"12345678"] * 3)
    assert cache.get([b"a"]) == [b"12345678"]
    cache.put([b"d"], [b"abcdefgh"])
    assert cache.get([b"a", b"b", b"c", b"d"]) == [b"12345678", None, b"12345678", b"abcdefgh"]
    assert (len(cache), cache.held_bytes, cache.evictions) == (3, cache.size_bytes, 1)
    cache.put([b"a"], [b"1"])  # in the place of the old one
    assert (len(cache), cache.held_bytes) == (3, cache.size_bytes - 7)


def test_what_is_larger_than_the_cache_is_not_kept():
    cache = Cache(size_bytes=ENTRY_BYTES)
    cache.put([b"a"], [b"1"])
    assert (len(cache), cache.held_bytes, cache.get([b"a"])) == (0, 0, [None])


# -- answers as bytes ------------------------------------------------------------------------------------------------

OUTPUTS = {
    "class": (Output(task="class", name="y", classes=("a", "b"), probabilities=True), {}),
    "label": (Output(task="class", name="y", classes=(1, 2)), {}),
    "number": (Output(task="number", name="y"), {}),
    "numbers": (Output(task="numbers", name="y", names=("a", "b", "c")), {}),
    "cluster": (Output(task="cluster", name="y"), {}),
    "outlier": (Output(task="outlier", name="y", scores=True), {}),
    "flag": (Output(task="outlier", name="y"), {}),
}
NUMBERS = np.array([[0.1, -0.0], [np.nan, np.inf], [5e-324, 1 / 3]])


def answers_of(name):
    output = OUTPUTS[name][0]
    parts = {
        "class": {"index": np.array([1, 0, 1]), "probabilities": NUMBERS},
        "label": {"index": np.array([1, 0, 1])},
        "number": {"values": NUMBERS[:, :1]},
        "numbers": {"values": np.hstack([NUMBERS, NUMBERS[:, :1]])},
        "cluster": {"cluster": np.array([7, -1, 2**40])},
        "outlier": {"outlier": np.array([True, False, True]), "scores": NUMBERS[:, 0]},
        "flag": {"outlier": np.array([True, False, True])},
    }[name]
    return Answers(output, 3, **parts)


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_very_bits_go_in_and_come_out(name):
    answers = answers_of(name)
    form = RowForm(answers.output)
    pieces = form.dump(answers)
    back = form.load(pieces)
    assert form.dump(back) == pieces
    assert repr(back.documents()) == repr(answers.documents())
    assert {len(one) for one in pieces} == {form.size_bytes}
    order = [2, 0, 2]
    assert form.dump(answers.take(np.array(order))) == [pieces[i] for i in order]
    assert form.load([]).rows == 0


def test_what_is_no_answer_of_the_model_is_refused():
    classes, flags = RowForm(OUTPUTS["label"][0]), RowForm(OUTPUTS["flag"][0])
    for sound in (classes.dump(answers_of("label"))[0], b"\1" + b"\0" * 7):
        assert classes.is_sound(sound)
    for form, piece in [(classes, b""), (classes, b"\1" * 7), (classes, b"\2" + b"\0" * 7), (classes, b"\xff" * 8)]:
        assert not form.is_sound(piece)
    assert not flags.is_sound(b"\2")
    with pytest.raises(ValueError, match="without probabilities"):
        RowForm(OUTPUTS["class"][0]).dump(answers_of("label"))


# -- asking ----------------------------------------------------------------------------------------------------------


class Counted:
    """Whoever counts."""

    def __init__(self):
        self.rows = [0, 0, 0]
        self.now = (0, 0)

    def looked_up(self, *, hits, shared_hits, misses):
        self.rows = [a + b for a, b in zip(self.rows, (hits, shared_hits, misses), strict=True)]

    def kept(self, *, size_bytes, entries, evictions):
        self.now = (size_bytes, entries)


class Halves:
    """A model of the numbers, which notes what it was asked."""

    def __init__(self):
        self.asked = []

    async def __call__(self, table: Table) -> Answers:
        numbers = table["number"].data
        self.asked.append(numbers.tolist())
        if 13 in numbers:
            msg = "thirteen"
            raise RuntimeError(msg)
        return Answers(SCHEMA.output, table.rows, values=numbers.reshape(-1, 1) / 2)


def known(tally=None):
    return Known(KEYS, RowForm(SCHEMA.output), cache=Cache(size_bytes=10**6), tally=tally)


def numbers(*values):
    return check_rows(SCHEMA, [{"number": one} for one in values])


def test_only_what_is_not_known_is_asked_and_each_row_once():
    model, tally = Halves(), Counted()
    cache = known(tally)

    async def ask(*values):
        return (await cache.ask(numbers(*values), model)).values[:, 0].tolist()

    assert asyncio.run(ask(1, 2, 3)) == [0.5, 1.0, 1.5]
    assert asyncio.run(ask(2, 1)) == [1.0, 0.5]
    assert asyncio.run(ask(4, 1, 5, 4, 2)) == [2.0, 0.5, 2.5, 2.0, 1.0]
    assert asyncio.run(ask(6, 6)) == [3.0, 3.0]
    assert model.asked == [[1, 2, 3], [4, 5], [6]]
    assert tally.rows == [4, 0, 8]
    assert tally.now[1] == 6


def test_what_the_model_failed_on_is_not_kept():
    model = Halves()
    cache = known()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            asyncio.run(cache.ask(numbers(13), model))
    assert model.asked == [[13], [13]]


def test_a_file_does_not_drive_out_everything_else():
    model = Halves()
    cache = known()
    table = numbers(*range(100, MAX_ROWS + 101))
    for _ in range(2):
        assert asyncio.run(cache.ask(table, model)).rows == MAX_ROWS + 1
    assert len(model.asked) == 2
