"""LightGBM: every form agrees with the original, on numbers, categories and gaps, one row and many."""

from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from tests.unit.families.conftest import three, two

from aweigh.errors import ModelError, UnreadableModel, UnsupportedModel
from aweigh.models import lightgbm as family
from aweigh.table import Table, Values

FEW = {"n_estimators": 12, "n_jobs": 1, "verbose": -1, "min_child_samples": 5}
TRAIN = {"num_threads": 1, "verbose": -1, "min_data_in_leaf": 5}


@pytest.mark.parametrize(
    ("objective", "aim"),
    [
        ("regression", lambda y: y * 1e4),
        ("regression_l1", lambda y: y),
        ("quantile", lambda y: y),
        ("poisson", np.round),
        ("tweedie", lambda y: y),
        ("cross_entropy", lambda y: y / y.max()),
        ("cross_entropy_lambda", lambda y: y / y.max()),
    ],
)
def test_a_number_by_every_link(tried, numbers, score, objective, aim):
    model = lightgbm.LGBMRegressor(objective=objective, **FEW).fit(numbers, aim(score))
    trial = tried("lightgbm", model, numbers)
    assert trial.schema.output.task == "number"
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")


@pytest.mark.parametrize(
    "parameters",
    [
        {"boosting_type": "dart"},
        {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"reg_sqrt": True},
        {"use_missing": False},
        {"max_depth": 1},
    ],
)
def test_boosters_of_every_growth(tried, numbers, score, parameters):
    trial = tried("lightgbm", lightgbm.LGBMRegressor(**FEW, **parameters).fit(numbers, score), numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")


@pytest.mark.parametrize("parameters", [{"zero_as_missing": True}, {"linear_tree": True}])
def test_what_no_forest_can_say_is_served_by_lightgbm(tried, numbers, score, parameters):
    trial = tried("lightgbm", lightgbm.LGBMRegressor(**FEW, **parameters).fit(numbers, score), numbers)
    assert "UnsupportedModel" in trial.reasons["onnx"]
    assert trial.agrees("lightgbm")


@pytest.mark.parametrize("kind", ["text", "whole", "odd", "boolean"])
def test_labels_keep_their_type(tried, numbers, score, kind):
    labels = {"text": np.array(["lo", "mid", "hi"]), "whole": np.array([3, 5, 7]), "odd": np.array([1.0, 2.0, 4.0])}
    aim = two(score) if kind == "boolean" else labels[kind][three(score)]
    trial = tried("lightgbm", lightgbm.LGBMClassifier(**FEW).fit(numbers, aim), numbers)
    types = {"text": str, "whole": int, "odd": float, "boolean": bool}
    assert {type(one) for one in trial.asked.answers.labels()} == {types[kind]}
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")


def test_classes_of_their_own(tried, numbers, score):
    model = lightgbm.LGBMClassifier(objective="multiclassova", **FEW).fit(numbers, three(score))
    trial = tried("lightgbm", model, numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")


def test_early_stopping_uses_the_best_round(tried, numbers, score):
    noise = np.random.default_rng(1).integers(0, 2, len(score))
    stop = lightgbm.early_stopping(2, verbose=False)
    model = lightgbm.LGBMClassifier(**{**FEW, "n_estimators": 60})
    model.fit(numbers, two(score), eval_X=numbers, eval_y=noise, callbacks=[stop])
    assert 0 < model.best_iteration_ < 60
    trial = tried("lightgbm", model, numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")


def test_categories_of_text_and_whole_numbers(tried, mixed, mixed_score):
    model = lightgbm.LGBMClassifier(**FEW, cat_smooth=1, min_data_per_group=5).fit(mixed, three(mixed_score))
    trial = tried("lightgbm", model, mixed)
    assert "num_cat=0" not in model.booster_.model_to_string().split("Tree=1")[1][:40]
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")


def test_an_unseen_category_is_missing_as_it_is_to_the_original(tried, mixed, mixed_score):
    model = lightgbm.LGBMRegressor(**FEW).fit(mixed, mixed_score)
    trial = tried("lightgbm", model, mixed)
    table = trial.asked.table.take(np.arange(4))
    unseen = Values(np.array(["mauve"] * 4, dtype=object))
    expected = model.predict(mixed.head(4).assign(colour=pd.Categorical(["mauve"] * 4)))
    for runtime in ("onnx", "lightgbm"):
        got = trial.forms[runtime].predict(Table({**table.columns, "colour": unseen}, 4)).values
        assert got.ravel() == pytest.approx(expected, rel=1e-6)


def test_a_csv_sample_is_asked_with_the_models_own_categories(tried, mixed, mixed_score, tmp_path: Path):
    model = lightgbm.LGBMRegressor(**FEW).fit(mixed, mixed_score)
    sample = tmp_path / "sample.csv"
    mixed.iloc[::-1].head(40).to_csv(sample, index=False)
    trial = tried("lightgbm", model, sample)
    assert trial.schema.column("shop").dtype == trial.schema.column("colour").dtype == "category"
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")


def test_ordered_categories_are_told_by_the_samples_dtypes(tried, mixed, mixed_score, tmp_path: Path):
    sizes = pd.Categorical(np.array(["S", "M", "L"])[three(mixed_score)], categories=["S", "M", "L"], ordered=True)
    frame = mixed.assign(size=sizes)
    model = lightgbm.LGBMRegressor(**FEW).fit(frame, mixed_score)
    trial = tried("lightgbm", model, frame)
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")
    # A CSV does not say which columns those are, and LightGBM's file keeps their kinds without their names.
    sample = tmp_path / "sample.csv"
    frame.to_csv(sample, index=False)
    with pytest.raises(ModelError, match="cannot answer the sample"):
        tried("lightgbm", model, sample)


def test_whole_numbers_told_to_be_categories(tried, numbers, score):
    data = lightgbm.Dataset(numbers[["rooms", "price"]], two(score), categorical_feature=["rooms"])
    model = lightgbm.train({"objective": "binary", **TRAIN}, data, 8)
    trial = tried("lightgbm", model, numbers[["rooms", "price"]])
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")


def test_names_with_blanks(tried, numbers, score):
    frame = numbers.rename(columns={"width": "bill width"})
    model = lightgbm.LGBMRegressor(**FEW).fit(frame, score)
    assert model.feature_name_[0] == "bill_width"
    trial = tried("lightgbm", model, frame[["price", "new", "rooms", "bill width"]])
    assert trial.schema.names == ("bill width", "rooms", "price", "new")
    assert trial.agrees("onnx")


@pytest.mark.parametrize("objective", ["binary", "multiclass"])
def test_bare_boosters_know_their_classes(tried, numbers, score, objective, tmp_path: Path):
    several = objective == "multiclass"
    parameters = {"objective": objective, **TRAIN} | ({"num_class": 3} if several else {"sigmoid": 2.0})
    aim = three(score) if several else two(score).astype(int)
    model = lightgbm.train(parameters, lightgbm.Dataset(numbers.to_numpy(dtype=float), aim), 8)
    path = tmp_path / "model.txt"
    model.save_model(path)
    trial = tried("lightgbm", family.read(path), numbers)
    assert trial.schema.output.classes == ((0, 1, 2) if several else (0, 1))
    assert trial.agrees("onnx")
    assert trial.agrees("lightgbm")
    second = model.predict(numbers.to_numpy(dtype=float))
    got = trial.asked.answers.probabilities
    assert (got if several else got[:, 1]) == pytest.approx(second)


def test_a_ranker_answers_numbers(tried, numbers, score):
    model = lightgbm.LGBMRanker(**FEW).fit(numbers, two(score).astype(int), group=[len(score) // 10] * 10)
    assert tried("lightgbm", model, numbers).agrees("onnx")


def test_what_it_refuses(numbers, score, tmp_path: Path):
    with pytest.raises(UnsupportedModel, match="LGBMClassifier is not fitted"):
        family.describe(lightgbm.LGBMClassifier())

    def own(y, raw):
        chance = 1 / (1 + np.exp(-raw))
        return chance - y, chance * (1 - chance)

    model = lightgbm.LGBMClassifier(objective=own, **FEW).fit(numbers, two(score).astype(int))
    with pytest.raises(UnsupportedModel, match="objective of your own") as refused:
        family.describe(model)
    assert "booster_" in str(refused.value.hint)
    bad = tmp_path / "model.txt"
    bad.write_text("tree\nversion=v4\nnum_class=")
    with pytest.raises(UnreadableModel, match=r"cannot read model\.txt"):
        family.read(bad)


def test_raw_scores_of_an_objective_of_ones_own(tried, numbers, score):
    def own(raw, data):
        return raw - data.get_label(), np.ones_like(raw)

    model = lightgbm.train({"objective": own, **TRAIN}, lightgbm.Dataset(numbers, score), 5)
    trial = tried("lightgbm", model, numbers)
    assert trial.schema.output.task == "number"
    assert trial.agrees("lightgbm")


def test_threads_change_nothing(tried, numbers, score):
    trial = tried("lightgbm", lightgbm.LGBMClassifier(**FEW).fit(numbers, three(score)), numbers)
    rows = trial.asked.trial.table
    alone = trial.served(threads=1)(rows)
    assert (trial.served(threads=2)(rows).probabilities == alone.probabilities).all()
    assert trial.served()(rows.take(np.arange(0))).rows == 0


def test_the_same_model_gives_the_same_bytes(tried, numbers, score):
    model = lightgbm.LGBMRegressor(**FEW).fit(numbers, score)
    one, other = tried("lightgbm", model, numbers), tried("lightgbm", model, numbers)
    assert one.forms["onnx"].data == other.forms["onnx"].data
    assert one.forms["lightgbm"].data == other.forms["lightgbm"].data


def test_it_is_served_without_scikit_learn_and_pandas(tried, mixed, mixed_score, bare):
    trial = tried("lightgbm", lightgbm.LGBMClassifier(**FEW).fit(mixed, three(mixed_score)), mixed)
    bare("lightgbm", trial, without=("sklearn", "pandas", "onnxruntime"))
