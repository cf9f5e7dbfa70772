"""XGBoost: every form agrees with the original, on numbers, categories and gaps, one row and many."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost
from tests.unit.families.conftest import three

from aweigh.errors import UnreadableModel, UnsupportedModel, UsageError
from aweigh.models import xgboost as family
from aweigh.table import Table, Values

FEW = {"n_estimators": 12, "n_jobs": 1}


def two(score):
    return (score > np.median(score)).astype(int)


@pytest.mark.parametrize(
    ("objective", "aim"),
    [
        ("reg:squarederror", lambda y: y * 1e4),
        ("reg:absoluteerror", lambda y: y),
        ("reg:logistic", lambda y: y / y.max()),
        ("reg:gamma", lambda y: y),
        ("reg:tweedie", lambda y: y),
        ("reg:pseudohubererror", lambda y: y),
        ("count:poisson", np.round),
        ("survival:cox", lambda y: y),
    ],
)
def test_a_number_by_every_link(tried, numbers, score, objective, aim):
    model = xgboost.XGBRegressor(objective=objective, **FEW).fit(numbers, aim(score))
    trial = tried("xgboost", model, numbers)
    assert trial.schema.output.task == "number"
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")


@pytest.mark.parametrize(
    "parameters",
    [
        {"booster": "dart", "rate_drop": 0.5},
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"base_score": 3.0},
        {"max_depth": 0, "max_leaves": 5, "grow_policy": "lossguide", "tree_method": "hist"},
    ],
)
def test_boosters_of_every_growth(tried, numbers, score, parameters):
    trial = tried("xgboost", xgboost.XGBRegressor(**FEW, **parameters).fit(numbers, score), numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")


@pytest.mark.parametrize("objective", [None, "multi:softmax"])
def test_three_classes(tried, numbers, score, objective):
    model = xgboost.XGBClassifier(objective=objective, **FEW).fit(numbers, three(score))
    trial = tried("xgboost", model, numbers)
    assert trial.schema.output.classes == (0, 1, 2)
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")
    assert trial.asked.answers.probabilities.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("objective", ["binary:logistic", "binary:logitraw", "binary:hinge"])
def test_two_classes(tried, numbers, score, objective):
    model = xgboost.XGBClassifier(objective=objective, **FEW).fit(numbers, two(score))
    trial = tried("xgboost", model, numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")


def test_a_random_forest_of_booleans(tried, numbers, score):
    trial = tried("xgboost", xgboost.XGBRFClassifier(**FEW).fit(numbers, two(score).astype(bool)), numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")


def test_early_stopping_uses_the_best_round(tried, numbers, score):
    noise = np.random.default_rng(1).integers(0, 3, len(score))
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, n_jobs=1)
    model.fit(numbers, three(score), eval_set=[(numbers, noise)], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    trial = tried("xgboost", model, numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")
    # A bare Booster uses all its rounds, early stopped or not: so does what is served of it.
    bare = tried("xgboost", model.get_booster(), numbers)
    assert bare.agrees("onnx")
    assert bare.agrees("xgboost")
    assert not np.allclose(bare.asked.answers.probabilities, trial.asked.answers.probabilities)


@pytest.mark.parametrize("parameters", [{"max_cat_to_onehot": 1}, {"max_cat_to_onehot": 100}])
def test_categories_of_text_and_whole_numbers(tried, mixed, mixed_score, parameters):
    model = xgboost.XGBClassifier(enable_categorical=True, **FEW, **parameters).fit(mixed, three(mixed_score))
    trial = tried("xgboost", model, mixed)
    assert trial.schema.column("colour").categories == ("blue", "green", "grey", "pink", "red", "teal")
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")


def test_an_unseen_category_is_missing_as_it_is_to_the_original(tried, mixed, mixed_score):
    model = xgboost.XGBRegressor(enable_categorical=True, **FEW).fit(mixed, mixed_score)
    trial = tried("xgboost", model, mixed)
    table = trial.asked.table.take(np.arange(4))
    gone = Values(np.array(["", "", "", ""], dtype=object), np.ones(4, dtype=bool))
    unseen = Values(np.array(["mauve"] * 4, dtype=object))
    answers = [
        trial.forms[runtime].predict(Table({**table.columns, "colour": values}, 4)).values
        for runtime in ("onnx", "xgboost")
        for values in (gone, unseen)
    ]
    expected = model.predict(mixed.head(4).assign(colour=pd.Categorical([None] * 4, categories=["blue"])))
    for one in answers:
        assert one.ravel() == pytest.approx(expected, rel=1e-6)


def test_a_csv_sample_is_asked_with_the_models_own_categories(tried, mixed, mixed_score, tmp_path: Path):
    model = xgboost.XGBRegressor(enable_categorical=True, **FEW).fit(mixed, mixed_score)
    sample = tmp_path / "sample.csv"
    mixed.iloc[::-1].head(40).to_csv(sample, index=False)
    trial = tried("xgboost", model, sample)
    shop, colour = trial.schema.column("shop"), trial.schema.column("colour")
    assert (shop.type, shop.dtype, shop.categories) == ("integer", "category", ("10", "20", "30"))
    assert (colour.type, colour.dtype, len(colour.categories or ())) == ("category", "category", 6)
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")


def test_a_sample_with_numbers_for_categories_of_text_is_refused(tried, mixed, mixed_score):
    model = xgboost.XGBRegressor(enable_categorical=True, **FEW).fit(mixed, mixed_score)
    with pytest.raises(UsageError, match="takes 'colour' as a category of text, and the sample holds integer"):
        tried("xgboost", model, mixed.assign(colour=np.arange(len(mixed))))


def test_a_number_that_means_missing(tried, numbers, score):
    model = xgboost.XGBRegressor(missing=2, **FEW).fit(numbers.to_numpy(dtype=float), score)
    trial = tried("xgboost", model, numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")


def test_several_targets_are_several_numbers(tried, numbers, score):
    model = xgboost.XGBRegressor(**FEW).fit(numbers, np.c_[score, -score])
    trial = tried("xgboost", model, numbers)
    assert (trial.schema.output.task, trial.schema.output.names) == ("numbers", ("value_0", "value_1"))
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")


@pytest.mark.parametrize("parameters", [{"multi_strategy": "multi_output_tree"}, {"booster": "gblinear"}])
def test_what_no_forest_can_say_is_served_by_xgboost(tried, numbers, score, parameters):
    plain = numbers.fillna(0.0)
    model = xgboost.XGBRegressor(**FEW, **parameters).fit(plain, np.c_[score, -score])
    trial = tried("xgboost", model, plain)
    assert "onnx" not in trial.forms
    assert "UnsupportedModel" in trial.reasons["onnx"]
    assert trial.agrees("xgboost")


@pytest.mark.parametrize("objective", ["binary:logistic", "binary:hinge", "multi:softmax", "multi:softprob"])
def test_bare_boosters_know_their_classes(tried, numbers, score, objective):
    parameters = {"objective": objective, "nthread": 1}
    several = objective.startswith("multi")
    if several:
        parameters["num_class"] = 3
    aim = three(score) if several else two(score)
    trial = tried("xgboost", xgboost.train(parameters, xgboost.DMatrix(numbers, aim), 8), numbers)
    assert trial.schema.output.classes == ((0, 1, 2) if several else (0, 1))
    assert trial.schema.output.probabilities is (objective in {"binary:logistic", "multi:softprob"})
    assert trial.agrees("onnx")
    assert trial.agrees("xgboost")


def test_a_ranker_and_survival_answer_numbers(tried, numbers, score):
    ranker = xgboost.XGBRanker(**FEW).fit(numbers, two(score), qid=np.arange(len(score)) // 10)
    assert tried("xgboost", ranker, numbers).agrees("onnx")
    rows = xgboost.DMatrix(numbers)
    rows.set_float_info("label_lower_bound", score)
    rows.set_float_info("label_upper_bound", score + 1)
    survival = xgboost.train({"objective": "survival:aft", "nthread": 1}, rows, 8)
    assert tried("xgboost", survival, numbers).agrees("onnx")


@pytest.mark.parametrize("kind", ["json", "ubj"])
def test_its_own_files(tried, numbers, score, kind, tmp_path: Path):
    model = xgboost.XGBClassifier(**FEW).fit(numbers, three(score))
    path = tmp_path / f"model.{kind}"
    model.save_model(path)
    read = family.read(path)
    assert type(read) is xgboost.XGBClassifier
    trial = tried("xgboost", read, numbers)
    assert trial.agrees("onnx")
    assert trial.asked.answers.probabilities == pytest.approx(model.predict_proba(numbers))
    model.get_booster().save_model(path)
    assert type(family.read(path)) is xgboost.Booster


def test_files_that_are_no_models_are_refused(tmp_path: Path):
    old = tmp_path / "model.bin"
    old.write_bytes(b"binf" + b"\0" * 64)
    with pytest.raises(UnreadableModel, match="old binary format") as refused:
        family.read(old)
    assert "save_model('model.ubj')" in str(refused.value.hint)
    cut = tmp_path / "model.json"
    cut.write_text('{"learner": {"attributes": {}')
    with pytest.raises(UnreadableModel, match=r"cannot read model\.json"):
        family.read(cut)


def test_what_it_refuses(numbers, score):
    with pytest.raises(UnsupportedModel, match="XGBClassifier is not fitted") as refused:
        family.describe(xgboost.XGBClassifier())
    assert "fit()" in str(refused.value.hint)
    several = xgboost.XGBClassifier(**FEW).fit(numbers, np.c_[two(score), 1 - two(score)])
    with pytest.raises(UnsupportedModel, match="several classes at once"):
        family.describe(several)


def test_the_same_model_gives_the_same_bytes(tried, numbers, score):
    model = xgboost.XGBRegressor(**FEW).fit(numbers, score)
    one, two_ = tried("xgboost", model, numbers), tried("xgboost", model, numbers)
    for runtime in ("onnx", "xgboost"):
        assert one.forms[runtime].data == two_.forms[runtime].data


def test_threads_change_nothing(tried, numbers, score):
    trial = tried("xgboost", xgboost.XGBClassifier(**FEW).fit(numbers, three(score)), numbers)
    rows = trial.asked.trial.table
    alone = trial.served(threads=1)(rows)
    assert trial.served(threads=2)(rows).probabilities == pytest.approx(alone.probabilities, abs=1e-7)
    assert trial.served()(rows.take(np.arange(0))).rows == 0


def test_the_served_booster_says_what_its_file_does_not(tried, mixed, mixed_score):
    model = xgboost.XGBRegressor(enable_categorical=True, **FEW).fit(mixed, mixed_score)
    data = tried("xgboost", model, mixed).forms["xgboost"].data
    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    said = json.loads(booster.attr("aweigh") or "")
    assert said["codes"] == {"colour": ["blue", "green", "grey", "pink", "red", "teal"], "shop": [10, 20, 30]}
    assert (said["iterations"], said["missing"]) == (0, None)
    assert model.get_booster().attr("aweigh") is None


def test_it_is_served_without_scikit_learn_and_pandas(tried, mixed, mixed_score, tmp_path: Path, bare):
    model = xgboost.XGBClassifier(enable_categorical=True, **FEW).fit(mixed, three(mixed_score))
    trial = tried("xgboost", model, mixed)
    bare("xgboost", trial, without=("sklearn", "pandas", "onnxruntime"))


def test_importing_the_family_imports_no_library():
    code = "import sys, aweigh.models.xgboost; sys.exit('xgboost' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
