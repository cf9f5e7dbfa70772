"""What answers tell of the training data: areas against scikit-learn's, and models that remember and do not."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import aweigh
from aweigh.__main__ import main
from aweigh.cli.demo import CHOICES, NUMBERS, pipeline
from aweigh.data import penguins_path
from aweigh.errors import AweighError, DataError, UsageError
from aweigh.packing.membership import _area


@pytest.fixture(scope="module")
def halves():
    """Rows with labels that only guessing gets right in two of ten: what is remembered shows."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(600, 3)), columns=["a", "b", "c"])
    clean = (frame["a"] > 0).astype(int)
    frame["y"] = np.where(random.random(600) < 0.2, 1 - clean, clean)
    frame["z"] = frame["a"] * 2 + random.normal(size=600)
    return frame[:300], frame[300:]


@pytest.mark.parametrize("ties", [1, 100])
def test_the_area_is_the_fields_own(ties):
    random = np.random.default_rng(ties)
    members, others = (np.rint(random.normal(shift, 1, size) * ties) / ties for shift, size in ((0.3, 200), (0.0, 150)))
    area, error = _area(members, others)
    truth = np.concatenate([np.ones(200), np.zeros(150)])
    assert area == pytest.approx(roc_auc_score(truth, np.concatenate([members, others])), abs=1e-12)
    assert 0.02 < error < 0.04


@pytest.mark.parametrize(
    ("model", "target", "least", "most"),
    [
        (DecisionTreeClassifier(random_state=0), "y", 0.6, 0.8),
        pytest.param(LogisticRegression(), "y", 0.45, 0.55, marks=pytest.mark.slow),
        pytest.param(DecisionTreeRegressor(random_state=0), "z", 0.99, 1.0, marks=pytest.mark.slow),
        pytest.param(LinearRegression(), "z", 0.45, 0.56, marks=pytest.mark.slow),
    ],
)
def test_a_model_that_remembers_tells_who_it_has_seen(halves, tmp_path, model, target, least, most):
    trained, held_out = halves
    names = ["a", "b", "c"]
    model.fit(trained[names], trained[target])
    packed = aweigh.pack(
        model, trained[[*names, target]], target=target, holdout=held_out[[*names, target]], output=tmp_path, name="m"
    )
    found = packed.manifest.membership
    assert (found.rows, found.held_out_rows) == (300, 300)
    assert least <= found.area <= most
    if target == "y":
        assert found.held_out == pytest.approx(model.score(held_out[names], held_out[target]), abs=1e-3)
        gap = model.score(trained[names], trained[target]) - found.held_out
        if isinstance(model, DecisionTreeClassifier):  # right or wrong is all its loss says: Yeom's own bound is met
            assert found.advantage == pytest.approx(gap, abs=1e-3)
    else:
        errors = model.predict(held_out[names]) - held_out[target]
        assert found.held_out == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-3)
    card = aweigh.load(packed.path).predictor.card
    assert f"area under the curve of {found.area:.2f}" in card
    assert "Yeom et al., 2018" in card


@pytest.mark.slow
def test_of_one_sample_it_cannot_be_told(halves, tmp_path):
    trained, _ = halves
    model = LogisticRegression().fit(trained[["a", "b", "c"]], trained["y"])
    packed = aweigh.pack(model, trained[["a", "b", "c", "y"]], target="y", output=tmp_path, name="m")
    assert packed.manifest.membership is None
    assert "It cannot be told from one sample" in aweigh.load(packed.path).predictor.card


@pytest.mark.slow
def test_what_is_missing_is_said(halves, tmp_path):
    trained, held_out = halves
    names = ["a", "b", "c"]
    model = LogisticRegression().fit(trained[names], trained["y"])
    for target, other, sentence, error in [
        (None, held_out, "--target", UsageError),
        ("y", held_out[names], "no column 'y'", UsageError),
        ("y", held_out[["a", "y"]], "no column 'b'", UsageError),
        ("y", held_out[[*names, "y"]][:5], "hold 5 rows", DataError),
    ]:
        given = trained[[*names, "y"]] if target else trained[names]
        with pytest.raises(error, match=sentence):
            aweigh.pack(model, given, target=target, holdout=other, output=tmp_path, name="m")


def test_what_is_missing_is_said_before_the_work(halves, tmp_path):
    trained, held_out = halves
    names = ["a", "b", "c"]
    model = LogisticRegression().fit(trained[names], trained["y"])
    (tmp_path / "empty.csv").write_bytes(b"")
    both = LinearRegression().fit(trained[names], trained[["y", "z"]])
    for made, target, other, options in [
        (model, None, held_out, {}),
        (model, "y", held_out[names], {}),
        (model, "y", held_out[["a", "c", "y"]], {}),
        (model, "y", tmp_path / "empty.csv", {}),
        (both, "y", held_out[[*names, "y"]], {}),
        (both, "y", None, {"robustness": True}),
    ]:
        told = []
        given = trained[[*names, "y"]] if target else trained[names]
        with pytest.raises(AweighError):
            aweigh.pack(
                made, given, target=target, holdout=other, output=tmp_path, name="m", **options,
                tell=lambda step, _, told=told: told.append(step),
            )  # fmt: skip
        assert told == ["read"]


@pytest.mark.slow
def test_the_command_attacks_and_writes_it_into_the_card(tmp_path, capsys):
    import joblib

    frame = pd.read_csv(penguins_path()).sample(frac=1, random_state=0)
    frame[:230].to_csv(tmp_path / "trained.csv", index=False)
    frame[230:].to_csv(tmp_path / "held.csv", index=False)
    joblib.dump(pipeline().fit(frame[:230][[*CHOICES, *NUMBERS]], frame[:230]["species"]), tmp_path / "m.joblib")
    options = ["--target", "species", "--robustness", "--holdout", str(tmp_path / "held.csv"), "-o", str(tmp_path)]
    assert main(["pack", str(tmp_path / "m.joblib"), "--data", str(tmp_path / "trained.csv"), *options]) == 0
    told = capsys.readouterr().out
    assert re.search(r"robust +[\d,]+ rows asked for 100: half flip within [\d.]+ IQR", told)
    assert re.search(r"members +an attack on the loss tells members from 114 others with an area of 0\.\d\d", told)
    path = next(tmp_path.glob("m-*.aweigh"))
    card = aweigh.load(path).predictor.card
    assert re.search(r"\| 0\.25 IQR \| \d+ % of the answers \|", card)
    assert "`bill_length_mm` (" in card
    assert "Another choice in one column alone flips: `island`" in card
    assert main(["inspect", str(path), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    assert manifest["robustness"]["rows"] == 100
    assert manifest["membership"]["held_out_rows"] == 114
