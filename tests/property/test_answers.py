"""One answer, however asked: a row alone, in company, in another order and in every form, and as the original says."""

from functools import cache

import numpy as np
import pytest
from asking import as_arrow, as_csv, as_frame, as_json, as_original, close, fits_csv, said_by, without_nulls
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import rows
from suite import cases
from tests.partly import slow_but_for

import aweigh
from aweigh.models.parity import RELATIVE_TOLERANCE
from aweigh.schema.check import check
from aweigh.schema.decode import compile_decoder
from aweigh.schema.decode_arrow import compile_arrow
from aweigh.table import read_csv
from aweigh.table.arrow import read_arrow

MODELS = {
    "RandomForestClassifier, columns": "onnx",
    "HistGradientBoostingClassifier, pandas' categories": "onnx",
    "booleans, codes and digits": "onnx",
    "whole numbers beyond 2^53": "onnx",
    "text that looks alike": "onnx",
    "XGBClassifier, categories": "onnx",
    "CatBoostClassifier, text": "catboost",
    "TfidfVectorizer": "sklearn",
    "TransformedTargetRegressor, scaler": "onnx",
}
SOME = slow_but_for(
    MODELS, "booleans, codes and digits", "whole numbers beyond 2^53", "XGBClassifier, categories", "TfidfVectorizer"
)
ANSWERS = 1e-12
"""How far answers of the served model to one row may be apart: products of matrices are summed in another order."""


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """Return a function: the case's original, its sample, and its bundle, packed once and loaded from its file."""
    folder = tmp_path_factory.mktemp("packed")

    @cache
    def pack(name):
        case = next(case for case in cases() if case.name == name)
        model, sample = case.fitted(), case.frame()
        bundle = aweigh.pack(model, sample, name=f"model-{len(list(folder.iterdir()))}", output=folder)
        return model, sample, aweigh.load(bundle.path)

    return pack


@pytest.mark.parametrize("name", SOME)
def test_a_model_is_served_as_expected(packed, name):
    assert packed(name)[2].predictor.manifest.runtime == MODELS[name]


@pytest.mark.parametrize("name", SOME)
@settings(max_examples=25)
@given(data=st.data())
def test_a_row_has_one_answer(packed, name, data):
    model, sample, served = packed(name)
    schema, predictor = served.schema, served.predictor
    asked = data.draw(rows(schema, most=6, near=True))
    together = served.predict(asked)

    tolerance = predictor.manifest.proof.absolute_tolerance
    wanted = said_by(model, as_original(sample, asked), schema)
    assert close(together, wanted, relative=RELATIVE_TOLERANCE, absolute=tolerance), (together, wanted)

    order = data.draw(st.permutations(range(len(asked))))
    turned = served.predict([asked[place] for place in order])
    assert close(turned, [together[place] for place in order], relative=ANSWERS, absolute=ANSWERS)
    for row, answer in zip(asked, together, strict=True):
        assert close(served.predict(row), [answer], relative=ANSWERS, absolute=ANSWERS)

    ways = {
        "without nulls": lambda: served.predict(without_nulls(asked)),
        "JSON": lambda: predictor.predict(compile_decoder(schema, max_rows=100)(as_json(asked))).documents(),
        "Arrow": lambda: predictor.predict(compile_arrow(schema, max_rows=100)(as_arrow(schema, asked))).documents(),
        "Arrow, patiently": lambda: predictor.predict(check(schema, read_arrow(as_arrow(schema, asked)))).documents(),
    }
    if fits_csv(schema, asked):
        ways["CSV"] = lambda: predictor.predict(check(schema, read_csv(as_csv(schema, asked)))).documents()
    for how, ask in ways.items():
        assert ask() == together, how

    frame = served.predict(as_frame(schema, asked))
    first = next(iter(together[0]))
    assert frame.iloc[:, 0].tolist() == [answer[first] for answer in together]


@pytest.mark.parametrize("name", SOME)
def test_the_golden_rows_are_answered(packed, name):
    replay = packed(name)[2].predictor.replay()
    assert replay.rows > 0
    assert replay.problems == ()


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("size", [1, 2, 33, 257])
def test_the_size_of_a_batch_changes_no_answer(packed, name, size):
    _, sample, served = packed(name)
    repeated = sample.iloc[np.arange(size) % len(sample)]
    once = served.predict(sample)
    many = served.predict(repeated).reset_index(drop=True)
    for i in range(size):
        for got, wanted in zip(many.iloc[i].tolist(), once.iloc[i % len(sample)].tolist(), strict=True):
            assert close(got, wanted, relative=ANSWERS, absolute=ANSWERS)
