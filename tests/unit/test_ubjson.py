"""XGBoost's files are looked through before XGBoost goes down into them by recursion."""

import os
import subprocess
import sys

import numpy as np
import pytest
import xgboost

from aweigh.errors import UnreadableModel
from aweigh.models.ubjson import MAX_DEPTH, check_nesting

X = np.random.default_rng(0).normal(size=(300, 4))
LEARNER = b"{L" + (7).to_bytes(8, "big") + b"learner"


def booster(**parameters):
    return xgboost.train({"nthread": 1} | parameters, xgboost.DMatrix(X, (X[:, 0] > 0).astype(int)), 10)


@pytest.mark.parametrize("form", ["ubj", "json"])
@pytest.mark.parametrize("kind", ["gbtree", "dart", "gblinear"])
def test_what_xgboost_writes_is_taken_and_no_cut_of_it(form, kind):
    data = bytes(booster(booster=kind).save_raw(form))
    check_nesting(data, "x")
    for length in range(2, len(data), max(1, len(data) // 97)):
        with pytest.raises(UnreadableModel, match="does not fit together"):
            check_nesting(data[:length], "x")


def test_names_with_quotes_and_brackets_are_no_nesting():
    made = booster()
    made.set_attr(odd='[[[["\\' * 400)
    for form in ("ubj", "json"):
        check_nesting(bytes(made.save_raw(form)), "x")


HOSTILE = {
    "json, deep and cut": b'{"learner":' + b"[" * 100_000,
    "json, deep and whole": b'{"learner":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "json, a little too deep": b'{"learner":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "ubj, deep": LEARNER + b"[" * 100_000,
    "ubj, deep by keys": b"{i\x01a" * 100_000,
    "ubj, deep and counted": LEARNER + b"[#i\x01" * 100_000,
    "ubj, a length of exabytes": LEARNER + b"[$d#L\x7f" + b"\xff" * 7,
    "ubj, a negative length": LEARNER + b"[$d#L\xff" + b"\xff" * 7,
    "ubj, a key of exabytes": b"{L\x7f" + b"\xff" * 7,
    "ubj, endless values of no size": LEARNER + b"[$T#L\x7f" + b"\xff" * 7 + b"}",
    "ubj, a type without a count": LEARNER + b"[$d",
    "ubj, no marker": LEARNER + b"x",
    "ubj, more behind it": b"{}x",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_model_is_like_is_refused(name):
    with pytest.raises(UnreadableModel, match="nested deeper than any model"):
        check_nesting(HOSTILE[name], "x")


def test_xgboost_itself_would_end_the_process():
    """Otherwise there would be no need to look."""
    program = "import xgboost; xgboost.Booster().load_model(bytearray(b'{\"learner\":' + b'[' * 100_000))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, env=dict(os.environ))
    assert done.returncode < 0
