"""CatBoost: its own .cbm files and its model classes.

Models of numbers alone are served from ONNX where that is proven; those with categories or text, and all others, from
CatBoost's own cbm, fed from the table directly: scikit-learn is not needed for that (CatBoost itself brings pandas).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.errors import UnreadableModel, UnsupportedModel
from aweigh.models import boosting
from aweigh.models.catboost_trees import answer_type, boosted, loss_of, saved
from aweigh.models.family import Described, Form, Other, Predict, Sums, Way
from aweigh.schema.answers import Answers
from aweigh.schema.column import Column, Output, Schema
from aweigh.table import Table

_CLASSES = ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")
_SEVERAL_LABELS = frozenset(("MultiLogloss", "MultiCrossEntropy"))
_RANKING = frozenset(
    (
        "LambdaMart",
        "PairLogit",
        "PairLogitPairwise",
        "QueryCrossEntropy",
        "QueryRMSE",
        "QuerySoftMax",
        "StochasticFilter",
        "StochasticRank",
        "YetiRank",
        "YetiRankPairwise",
    )
)


def read(path: Path) -> object:
    """The model in a .cbm or pickle file.

    Raises:
        UntrustedModel: a pickle would import a name that is on no list; nothing of it was run.
        UnreadableModel: CatBoost does not understand the bytes.
    """
    import catboost

    data = path.read_bytes()
    if data[:1] == b"{":
        raise UnreadableModel(
            f"{path.name} is CatBoost's JSON export, which does not hold the whole model.",
            hint="save the model itself: model.save_model('model.cbm')",
        )
    if not data.startswith(b"CBM"):
        from aweigh.models.scan import load_trusted

        return load_trusted(path)
    try:
        model = catboost.CatBoost().load_model(blob=data)
        if len(np.asarray(model.classes_)):
            return catboost.CatBoostClassifier().load_model(blob=data)
        if loss_of(model) in _RANKING:
            return model
        return catboost.CatBoostRegressor().load_model(blob=data)
    except catboost.CatBoostError as error:
        raise UnreadableModel(
            f"CatBoost cannot read {path.name}.", hint="save it again with model.save_model('model.cbm')"
        ) from error


def describe(model: Any) -> Described:
    """What a fitted model says of itself.

    Raises:
        UnsupportedModel: not fitted, several labels at once, or columns that are vectors.
    """
    name = type(model).__name__
    if not model.is_fitted():
        raise UnsupportedModel(f"The {name} is not fitted.", hint="call fit() before you save it, then save it again")
    if name not in _CLASSES:
        raise UnsupportedModel(f"A {name} is no model of CatBoost's that is known here.", hint="save it as .cbm first")
    loss = loss_of(model)
    if loss in _SEVERAL_LABELS:
        raise UnsupportedModel(
            f"The {name} answers several labels at once ({loss}), which is not supported.",
            hint="fit one classifier for each target, and pack each",
        )
    if len(model.get_embedding_feature_indices()):
        raise UnsupportedModel(
            f"The {name} takes columns of vectors (embeddings), which no table here holds.",
            hint="give each number of the vector a column of its own",
        )
    names = tuple(str(one) for one in model.feature_names_)
    unnamed = names == tuple(str(i) for i in range(len(names)))
    return Described(f"{name} ({loss})" if loss else name, _output(model), None if unnamed else names, len(names))


def _output(model: Any) -> Output:
    from aweigh.models.sklearn import plain_classes

    classes = np.asarray(model.classes_)
    if len(classes):
        return Output(task="class", name="class", classes=plain_classes(classes), probabilities=True)
    return Output(task="number", name="value")


def predict(model: Any, table: Table, schema: Schema) -> Answers:
    """The model's own answers, asked with the sample's types.

    A pandas category goes in as what its kinds are, text or whole numbers: CatBoost takes both alike, and a kind that
    the sample has not is then unseen, which CatBoost answers, and not missing, which it refuses.
    """
    from aweigh.models.frame import table_to_frame

    named = describe(model).features is not None
    if not named and not _special(model):
        return _answers(model, boosting.matrix(table, schema.columns, {}, dtype=np.float64), schema.output, {})
    frame = table_to_frame(table, tuple(_plain(column) for column in schema.columns))
    return _answers(model, frame if named else frame.to_numpy(dtype=object), schema.output, {})


def _plain(column: Column) -> Column:
    if not column.dtype.startswith("category"):
        return column
    return msgspec.structs.replace(column, dtype="object" if column.is_text else "int64")


def _special(model: Any) -> list[int]:
    """The places of the columns that are no numbers to the model."""
    return [*model.get_cat_feature_indices(), *model.get_text_feature_indices()]


def _answers(model: Any, asked: Any, output: Output, options: dict[str, Any]) -> Answers:
    rows = len(asked)
    if output.task != "class":
        kind = answer_type(model)
        return boosting.number_answers(output, np.asarray(model.predict(asked, prediction_type=kind, **options)))
    places = {one: i for i, one in enumerate(output.classes)}
    labels = np.asarray(model.predict(asked, prediction_type="Class", **options)).reshape(rows).tolist()
    chances = np.asarray(model.predict(asked, prediction_type="Probability", **options), dtype=np.float64)
    index = np.array([places[one] for one in labels], dtype=np.int64)
    return Answers(output, rows, index=index, probabilities=chances)


def widen(model: object, output: Output, answers: Answers) -> Output:
    """The output once an answer was seen: several targets are several numbers."""
    del model
    return boosting.widen(output, answers)


def ways(model: Any, schema: Schema) -> Iterator[Way]:
    """ONNX for models of numbers alone, then CatBoost's own cbm."""
    yield Way("ONNX in single precision, as CatBoost compares", lambda: _onnx_form(model, schema))
    yield Way("CatBoost's own model, as cbm", lambda: _own_form(model, schema))


def _onnx_form(model: Any, schema: Schema) -> Form:
    from aweigh.models.forest_graph import forest_form

    return forest_form(boosted(model), schema, {})


def _own_form(model: Any, schema: Schema) -> Form:
    data, name = saved(model, "cbm"), type(model).__name__
    return Form("catboost", "model/model.cbm", data, load(data, schema, threads=1, model_class=name), model_class=name)


def load(data: bytes, schema: Schema, *, threads: int, model_class: str | None) -> Predict:
    """Serve a model from cbm, on ``threads`` threads a call.

    Raises:
        UnsupportedModel: ``model_class`` is none of CatBoost's.
    """
    model = _loaded(data, model_class)
    special = _special(model)

    def predict_rows(table: Table) -> Answers:
        if table.rows == 0:
            return Answers.empty(schema.output)
        asked = _objects(table, schema) if special else boosting.matrix(table, schema.columns, {}, dtype=np.float32)
        return _answers(model, asked, schema.output, {"thread_count": threads})

    return predict_rows


def _loaded(data: bytes, model_class: str | None) -> Any:
    import catboost

    if model_class not in _CLASSES:
        raise UnsupportedModel(f"{model_class!r} is no model of CatBoost's that is known here.")
    return getattr(catboost, model_class)().load_model(blob=data)


def other(model: Any, schema: Schema) -> Other:
    """The model as CatBoost keeps it, for ``load_sums``."""
    del schema
    return Other("CatBoost's own trees", "catboost", "model/alternative.cbm", saved(model, "cbm"))


def load_sums(data: bytes, schema: Schema, *, threads: int, model_class: str | None) -> Sums:
    """What the trees of a model of numbers add up to, in double precision, from cbm, on ``threads`` threads a call.

    Raises:
        UnsupportedModel: ``model_class`` is none of CatBoost's.
    """
    model = _loaded(data, model_class)

    def sums(table: Table) -> NDArray[np.float64]:
        rows = boosting.matrix(table, schema.columns, {}, dtype=np.float32)
        return np.asarray(model.predict(rows, prediction_type="RawFormulaVal", thread_count=threads))

    return sums


def _objects(table: Table, schema: Schema) -> NDArray[np.object_]:
    """The table as CatBoost takes it where it holds categories or text: Python's own values, NaN for missing."""
    block = np.empty((table.rows, len(schema.columns)), dtype=object)
    for i, column in enumerate(schema.columns):
        values = table[column.name]
        block[:, i] = values.data.astype(object)
        if values.missing is not None:
            block[values.missing, i] = np.nan
    return block
