"""CatBoost: every form agrees with the original, on numbers, categories, text and gaps, one row and many."""

from pathlib import Path

import catboost
import numpy as np
import pytest
from tests.unit.families.conftest import three, two

from aweigh.errors import ModelError, UnreadableModel, UnsupportedModel
from aweigh.models import catboost as family

FEW = {"iterations": 12, "thread_count": 1, "verbose": False, "allow_writing_files": False, "random_seed": 1}


@pytest.mark.parametrize("loss", ["RMSE", "MAE", "Poisson", "Tweedie:variance_power=1.5", "LogLinQuantile", "Cox"])
def test_a_number_by_every_link(tried, numbers, score, loss):
    model = catboost.CatBoostRegressor(loss_function=loss, **FEW).fit(numbers, score)
    trial = tried("catboost", model, numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("catboost")
    assert trial.asked.answers.values.ravel() == pytest.approx(model.predict(numbers))


@pytest.mark.parametrize("policy", ["Depthwise", "Lossguide"])
@pytest.mark.parametrize("several", [False, True])
def test_trees_of_every_shape(tried, numbers, score, policy, several):
    model = catboost.CatBoostClassifier(grow_policy=policy, **FEW)
    trial = tried("catboost", model.fit(numbers, three(score) if several else two(score)), numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("catboost")


@pytest.mark.parametrize("nan_mode", ["Min", "Max"])
def test_missing_values_go_where_the_model_sends_them(tried, numbers, score, nan_mode):
    model = catboost.CatBoostRegressor(nan_mode=nan_mode, **FEW).fit(numbers.to_numpy(dtype=float), score * 1e5)
    trial = tried("catboost", model, numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("catboost")


@pytest.mark.parametrize("kind", ["text", "whole", "odd", "boolean"])
def test_labels_keep_their_type(tried, numbers, score, kind):
    labels = {"text": np.array(["lo", "mid", "hi"]), "whole": np.array([3, 5, 7]), "odd": np.array([0.5, 1.5, 2.5])}
    aim = two(score) if kind == "boolean" else labels[kind][three(score)]
    trial = tried("catboost", catboost.CatBoostClassifier(**FEW).fit(numbers, aim), numbers)
    types = {"text": str, "whole": int, "odd": float, "boolean": bool}
    assert {type(one) for one in trial.asked.answers.labels()} == {types[kind]}
    assert trial.agrees("onnx")
    assert trial.agrees("catboost")


def test_classes_one_against_all(tried, numbers, score):
    model = catboost.CatBoostClassifier(loss_function="MultiClassOneVsAll", **FEW).fit(numbers, three(score))
    trial = tried("catboost", model, numbers)
    assert trial.agrees("onnx")
    assert trial.agrees("catboost")


def test_categories_and_text_are_served_by_catboost(tried, mixed, mixed_score):
    words = np.random.default_rng(1).choice(["good", "bad", "ugly", "fine"], (len(mixed), 4))
    frame = mixed.assign(
        colour=mixed["colour"].astype(object).fillna("none").astype(str), shop=mixed["shop"].astype(int)
    )
    frame["review"] = [" ".join(row) for row in words]
    model = catboost.CatBoostClassifier(cat_features=["colour", "shop"], text_features=["review"], **FEW)
    trial = tried("catboost", model.fit(frame, three(mixed_score)), frame)
    assert "no ONNX form" in trial.reasons["onnx"]
    assert trial.agrees("catboost")
    assert not trial.schema.column("colour").closed  # CatBoost answers categories that it has not seen


def test_categories_of_a_dataframe_dtype(tried, mixed, mixed_score):
    frame = mixed.assign(colour=mixed["colour"].cat.add_categories("none").fillna("none"))
    model = catboost.CatBoostRegressor(cat_features=["colour", "shop"], **FEW).fit(frame, mixed_score)
    assert tried("catboost", model, frame).agrees("catboost")


def test_a_missing_category_is_refused_as_catboost_refuses_it(tried, mixed, mixed_score):
    full = mixed.dropna(subset=["colour"])
    kept = mixed["colour"].notna().to_numpy()
    model = catboost.CatBoostRegressor(cat_features=["colour", "shop"], **FEW)
    model.fit(full.astype({"colour": str}), mixed_score[kept])
    with pytest.raises(ModelError, match="cannot answer"):
        tried("catboost", model, mixed.astype({"colour": object}))


def test_several_numbers(tried, numbers, score):
    model = catboost.CatBoostRegressor(loss_function="MultiRMSE", **FEW).fit(numbers, np.c_[score, -score])
    trial = tried("catboost", model, numbers)
    assert trial.schema.output.names == ("value_0", "value_1")
    assert trial.agrees("onnx")
    unsure = catboost.CatBoostRegressor(loss_function="RMSEWithUncertainty", **FEW).fit(numbers, score)
    trial = tried("catboost", unsure, numbers)
    assert "onnx" in trial.reasons
    assert trial.agrees("catboost")


def test_a_moved_threshold(tried, numbers, score):
    model = catboost.CatBoostClassifier(**FEW).fit(numbers, two(score))
    model.set_probability_threshold(0.2)
    trial = tried("catboost", model, numbers)
    assert "moved" in trial.reasons["onnx"]
    assert trial.agrees("catboost")
    got = trial.asked.answers
    assert (got.index == (got.probabilities[:, 1] > 0.2)).all()


def test_early_stopping_uses_the_best_round(tried, numbers, score):
    noise = np.random.default_rng(1).integers(0, 2, len(score))
    model = catboost.CatBoostClassifier(**{**FEW, "iterations": 60})
    model.fit(numbers, two(score).astype(int), eval_set=(numbers, noise), early_stopping_rounds=2)
    assert 0 < model.tree_count_ < 60
    assert tried("catboost", model, numbers).agrees("onnx")


@pytest.mark.parametrize("loss", ["Logloss", "Poisson", "QueryRMSE"])
def test_its_own_file(tried, numbers, score, loss, tmp_path: Path):
    aim = two(score).astype(int) if loss == "Logloss" else score
    groups = np.arange(len(score)) // 10 if loss == "QueryRMSE" else None
    model = catboost.CatBoost({"loss_function": loss, **FEW}).fit(catboost.Pool(numbers, aim, group_id=groups))
    path = tmp_path / "model.cbm"
    model.save_model(str(path))
    trial = tried("catboost", family.read(path), numbers)
    kind = {"Logloss": "Probability", "Poisson": "Exponent", "QueryRMSE": "RawFormulaVal"}[loss]
    wanted = model.predict(numbers, prediction_type=kind)
    got = trial.asked.answers
    assert (got.probabilities if loss == "Logloss" else got.values.ravel()) == pytest.approx(wanted)
    assert trial.agrees("onnx")
    assert trial.agrees("catboost")


def test_what_it_refuses(numbers, score, tmp_path: Path):
    with pytest.raises(UnsupportedModel, match="CatBoostClassifier is not fitted"):
        family.describe(catboost.CatBoostClassifier())
    several = catboost.CatBoostClassifier(loss_function="MultiLogloss", **FEW)
    several.fit(numbers, np.c_[two(score), ~two(score)].astype(int))
    with pytest.raises(UnsupportedModel, match="several labels at once"):
        family.describe(several)
    exported = tmp_path / "model.json"
    catboost.CatBoostRegressor(**FEW).fit(numbers, score).save_model(str(exported), format="json")
    with pytest.raises(UnreadableModel, match="JSON export"):
        family.read(exported)
    cut = tmp_path / "model.cbm"
    cut.write_bytes(b"CBM1" + b"\0" * 40)
    with pytest.raises(UnreadableModel, match=r"cannot read model\.cbm"):
        family.read(cut)
    with pytest.raises(UnsupportedModel, match="no model of CatBoost's"):
        family.load(b"", None, threads=1, model_class="os.system")


def test_threads_change_nothing(tried, numbers, score):
    trial = tried("catboost", catboost.CatBoostClassifier(**FEW).fit(numbers, three(score)), numbers)
    rows = trial.asked.trial.table
    alone = trial.served(threads=1)(rows)
    assert (trial.served(threads=2)(rows).probabilities == alone.probabilities).all()
    assert trial.served()(rows.take(np.arange(0))).rows == 0


def test_it_is_served_without_scikit_learn(tried, numbers, score, bare):
    trial = tried("catboost", catboost.CatBoostClassifier(**FEW).fit(numbers, three(score)), numbers)
    bare("catboost", trial, without=("sklearn", "onnxruntime"))
