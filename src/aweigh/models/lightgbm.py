"""LightGBM: its own text files, its scikit-learn wrappers and bare Boosters.

Served from ONNX in double precision where that is proven, else from LightGBM's own text by a Booster that is fed from
the table directly: neither scikit-learn nor pandas is needed for that. Category columns are coded as LightGBM codes
them, by the categories of the training table that its text ends with.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import UnreadableModel, UnsupportedModel
from aweigh.models import boosting
from aweigh.models.family import Described, Form, Predict, Way
from aweigh.models.lightgbm_trees import CLASSES_BY_OBJECTIVE, Header, booster_of, read_header
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output, Schema
from aweigh.table import Table

_UNNAMED = "Column_"
"""What LightGBM calls the columns of an array, before their number."""


def read(path: Path) -> object:
    """The Booster in a text file, or what a pickle holds.

    Raises:
        UntrustedModel: a pickle would import a name that is on no list; nothing of it was run.
        UnreadableModel: LightGBM does not understand the bytes.
    """
    import lightgbm

    data = path.read_bytes()
    if not data.startswith(b"tree"):
        from aweigh.models.scan import load_trusted

        return load_trusted(path)
    try:
        return lightgbm.Booster(model_str=data.decode())
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise UnreadableModel(
            f"LightGBM cannot read {path.name}.", hint="save it again with booster.save_model('model.txt')"
        ) from error


def describe(model: Any) -> Described:
    """What a fitted wrapper or a Booster says of itself.

    Raises:
        UnsupportedModel: not fitted, or a classifier whose objective is a function of the user's.
    """
    wrapper = hasattr(model, "get_params")
    if wrapper and not model.__sklearn_is_fitted__():
        raise UnsupportedModel(
            f"The {type(model).__name__} is not fitted.", hint="call fit() before you save it, then save it again"
        )
    booster = booster_of(model)
    header = read_header(booster.model_to_string(num_iteration=1))
    name = type(model).__name__ if wrapper else "LightGBM Booster"
    unnamed = header.names == tuple(f"{_UNNAMED}{i}" for i in range(len(header.names)))
    return Described(
        f"{name} ({header.objective})" if header.objective else name,
        _output(model, header),
        None if unnamed else header.names,
        int(booster.num_feature()),
        categories=_told_categories(booster, header),
        blanks_as_underscores=True,
    )


def _output(model: Any, header: Header) -> Output:
    if hasattr(model, "classes_"):
        from aweigh.models.sklearn import plain_classes

        if not header.objective:
            raise UnsupportedModel(
                f"The {type(model).__name__} was fitted with an objective of your own, and gives no probabilities.",
                hint="pack model.booster_ instead, which answers with its raw scores",
            )
        return Output(task="class", name="class", classes=plain_classes(model.classes_), probabilities=True)
    if hasattr(model, "get_params") or header.objective not in CLASSES_BY_OBJECTIVE:
        return Output(task="number", name="value")
    count = max(header.trees_per_round, 2)
    return Output(task="class", name="class", classes=tuple(range(count)), probabilities=True)


def _told_categories(booster: Any, header: Header) -> dict[str, tuple[boosting.Kind, ...]]:
    """The kinds of each category column, where the model leaves no doubt which columns they belong to.

    LightGBM keeps the kinds of all category columns without their names, and ordered ones count as numbers.
    """
    kept = booster.pandas_categorical or []
    if len(kept) != len(header.categorical):
        return {}
    kinds = {header.names[i]: tuple(one) for i, one in zip(header.categorical, kept, strict=True)}
    return {name: one for name, one in kinds.items() if all(type(kind) in {str, int} for kind in one)}


def _codes(booster: Any, schema: Schema) -> dict[str, tuple[boosting.Kind, ...]]:
    """The kinds of the schema's category columns, as LightGBM itself takes them: in their order.

    Raises:
        UnsupportedModel: the schema has not as many category columns as the model was trained with.
    """
    kept = booster.pandas_categorical or []
    columns = [column.name for column in schema.columns if column.dtype.startswith("category")]
    if len(kept) != len(columns):
        raise UnsupportedModel(
            f"The model was trained with {len(kept)} category columns, and the sample has {len(columns)}.",
            hint="give the sample as a DataFrame or as Parquet, with the dtypes of the training table",
        )
    return {name: tuple(kinds) for name, kinds in zip(columns, kept, strict=True)}


def predict(model: Any, table: Table, schema: Schema) -> Answers:
    """The model's own answers, asked with the sample's types."""
    named = not booster_of(model).feature_name()[0].startswith(_UNNAMED)
    named = named or any(column.dtype.startswith("category") for column in schema.columns)
    asked = boosting.frame_or_matrix(table, schema, named=named)
    output = schema.output
    if not hasattr(model, "classes_"):
        return _answers(output, np.asarray(model.predict(asked)))
    places = {one: i for i, one in enumerate(output.classes)}
    labels = np.asarray(model.predict(asked)).reshape(table.rows).tolist()
    index = np.array([places[one] for one in labels], dtype=np.int64)
    chances = np.asarray(model.predict_proba(asked), dtype=np.float64)
    return Answers(output, table.rows, index=index, probabilities=chances)


def _answers(output: Output, raw: NDArray[np.float64]) -> Answers:
    return boosting.class_answers(output, raw) if output.task == "class" else boosting.number_answers(output, raw)


def widen(model: object, output: Output, answers: Answers) -> Output:
    """The output once an answer was seen: raw scores of several classes are several numbers."""
    del model
    return boosting.widen(output, answers)


def ways(model: Any, schema: Schema) -> Iterator[Way]:
    """ONNX, then LightGBM's own text."""
    yield Way("ONNX in double precision, as LightGBM compares", lambda: _onnx_form(model, schema))
    yield Way("LightGBM's own model, as text", lambda: _own_form(model, schema))


def _onnx_form(model: Any, schema: Schema) -> Form:
    from aweigh.models.forest_graph import forest_form
    from aweigh.models.lightgbm_trees import boosted

    return forest_form(boosted(model), schema, _codes(booster_of(model), schema))


def _own_form(model: Any, schema: Schema) -> Form:
    data = booster_of(model).model_to_string().encode()
    predict_own = load(data, schema, threads=1, model_class=type(model).__name__)
    return Form("lightgbm", "model/model.txt", data, predict_own, model_class=type(model).__name__)


def load(data: bytes, schema: Schema, *, threads: int, model_class: str | None) -> Predict:
    """Serve a Booster from its text, on ``threads`` threads a call."""
    del model_class
    import lightgbm

    booster = lightgbm.Booster(model_str=data.decode())
    codes = _codes(booster, schema)

    def predict_rows(table: Table) -> Answers:
        if table.rows == 0:
            return Answers.empty(schema.output)
        rows = boosting.matrix(table, schema.columns, codes, dtype=np.float64)
        return _answers(schema.output, np.asarray(booster.predict(rows, num_threads=threads)))

    return predict_rows
