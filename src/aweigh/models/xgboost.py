"""XGBoost: its own files (.json, .ubj), its scikit-learn wrappers and bare Boosters.

Served from ONNX where that is proven, else from XGBoost's own UBJSON by a Booster that is fed from the table directly:
neither scikit-learn nor pandas is needed for that. XGBoost's old binary format is refused.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import UnreadableModel, UnsupportedModel
from aweigh.models import boosting
from aweigh.models.family import Described, Form, Other, Predict, Sums, Way
from aweigh.models.ubjson import check_nesting
from aweigh.models.xgboost_trees import CLASSES_BY_OBJECTIVE, booster_of, iterations_of, missing_of
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output, Schema
from aweigh.table import Table

_WRAPPERS = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}
_OWN = "aweigh"
"""The attribute of a served Booster that holds what its file does not say: rounds, what is missing, categories."""
_CATEGORICAL = "c"
ASCII = 0x7F


def read(path: Path) -> object:
    """The wrapper or Booster in a .json, .ubj or pickle file.

    Raises:
        UntrustedModel: a pickle would import a name that is on no list; nothing of it was run.
        UnreadableModel: XGBoost does not understand the bytes; its old binary format is one such.
    """
    import xgboost

    data = path.read_bytes()
    if data.startswith(b"binf"):
        raise UnreadableModel(
            f"{path.name} is in XGBoost's old binary format, which XGBoost itself no longer reads.",
            hint="load it with the XGBoost that wrote it, and save_model('model.ubj')",
        )
    if not data.startswith(b"{"):
        from aweigh.models.scan import load_trusted

        return load_trusted(path)
    check_nesting(data, path.name)
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(data))
        said = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        raise UnreadableModel(
            f"XGBoost cannot read {path.name}.", hint="save it again with model.save_model('model.ubj')"
        ) from error
    if said not in _WRAPPERS:
        return booster
    from aweigh.registry import require

    require("sklearn", what="reading a model of XGBoost's scikit-learn wrappers", extra="sklearn")
    wrapper = getattr(xgboost, _WRAPPERS[said])()
    wrapper.load_model(bytearray(data))
    return wrapper


def describe(model: Any) -> Described:
    """What a fitted wrapper or a Booster says of itself.

    Raises:
        UnsupportedModel: not fitted, or it answers several classes at once.
    """
    wrapper = hasattr(model, "get_booster")
    if wrapper and not model.__sklearn_is_fitted__():
        raise UnsupportedModel(
            f"The {type(model).__name__} is not fitted.", hint="call fit() before you save it, then save it again"
        )
    booster = booster_of(model)
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    words = f"{type(model).__name__} ({objective})" if wrapper else f"XGBoost Booster ({objective})"
    names = booster.feature_names
    return Described(
        words,
        _output(model, objective, learner["learner_model_param"]),
        None if names is None else tuple(names),
        int(booster.num_features()),
        categories=_codes(booster),
    )


def _output(model: Any, objective: str, parameters: dict[str, str]) -> Output:
    wrapped = type(model).__name__.endswith("Classifier")
    if not wrapped and (hasattr(model, "get_booster") or objective not in CLASSES_BY_OBJECTIVE):
        return Output(task="number", name="value")
    if int(parameters.get("num_target", "1")) > 1:
        raise UnsupportedModel(
            f"The {type(model).__name__} answers several classes at once, which is not supported.",
            hint="fit one classifier for each target, and pack each",
        )
    count = max(int(parameters["num_class"]), 2)
    chances = wrapped or objective in {"binary:logistic", "multi:softprob"}
    return Output(task="class", name="class", classes=tuple(range(count)), probabilities=chances)


def _codes(booster: Any, schema: Schema | None = None) -> dict[str, tuple[boosting.Kind, ...]]:
    """The kinds of each category column as the model keeps them (XGBoost 3.1 and newer), in the order of its codes.

    Where it does not keep them readably they are the sample's own, if a schema is given that has them.
    """
    if _CATEGORICAL not in (booster.feature_types or ()):
        return {}
    content = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    model = content.get("gbtree", content)["model"]
    kept = model.get("cats", {}).get("enc", [])
    kinds = {name: _kinds(one) for name, one in zip(booster.feature_names or (), kept, strict=False)}
    types = zip(booster.feature_names or (), booster.feature_types or (), strict=False)
    for name in [name for name, kind in types if kind == _CATEGORICAL and not kinds.get(name)]:
        kinds[name] = _kinds_of_sample(name, schema)
    return {name: one for name, one in kinds.items() if one}


def _kinds_of_sample(name: str, schema: Schema | None) -> tuple[boosting.Kind, ...]:
    found = [column for column in schema.columns if column.name == name] if schema is not None else []
    if not found or not found[0].dtype.startswith("category"):
        return ()
    kinds = found[0].categories or ()
    return tuple(int(kind) for kind in kinds) if found[0].type == "integer" else kinds


def _kinds(kept: dict[str, list[int]]) -> tuple[boosting.Kind, ...]:
    """Text is kept as bytes and where each word begins, whole numbers as they are.

    Beyond ASCII the words are lost: XGBoost 3.2 counts their characters, cuts the bytes there, and keeps too few.
    """
    values = kept["values"]
    if "offsets" not in kept:
        return tuple(values) if all(isinstance(one, int) for one in values) else ()
    if any(one % 256 > ASCII for one in values):
        return ()
    ends, text = kept["offsets"], bytes(one % 256 for one in values)
    return tuple(text[start:end].decode() for start, end in itertools.pairwise(ends))


def predict(model: Any, table: Table, schema: Schema) -> Answers:
    """The model's own answers, asked with the sample's types."""
    import xgboost

    booster = booster_of(model)
    asked = boosting.frame_or_matrix(table, schema, named=booster.feature_names is not None)
    output = schema.output
    if hasattr(model, "get_booster"):
        raw = model.predict_proba(asked) if output.task == "class" else model.predict(asked)
        answers = _answers(output, np.asarray(raw))
        if output.task != "class":
            return answers
        index = np.asarray(model.predict(asked)).reshape(table.rows).astype(np.int64)
        return Answers(output, table.rows, index=index, probabilities=answers.probabilities)
    rows = xgboost.DMatrix(asked, enable_categorical=True)
    return _answers(output, booster.predict(rows))


def _answers(output: Output, raw: NDArray[np.float32]) -> Answers:
    if output.task != "class":
        return boosting.number_answers(output, raw)
    if not output.probabilities and raw.ndim == 1:  # the class itself: softmax and hinge
        return Answers(output, len(raw), index=raw.astype(np.int64))
    return boosting.class_answers(output, raw)


def widen(model: object, output: Output, answers: Answers) -> Output:
    """The output once an answer was seen: several targets are several numbers."""
    del model
    return boosting.widen(output, answers)


def ways(model: Any, schema: Schema) -> Iterator[Way]:
    """ONNX, then XGBoost's own UBJSON."""
    yield Way("ONNX in single precision, as XGBoost compares", lambda: _onnx_form(model, schema))
    yield Way("XGBoost's own model, as UBJSON", lambda: _own_form(model, schema))


def _onnx_form(model: Any, schema: Schema) -> Form:
    from aweigh.models.forest_graph import forest_form
    from aweigh.models.xgboost_trees import boosted

    return forest_form(boosted(model), schema, _codes(booster_of(model), schema))


def _own_form(model: Any, schema: Schema) -> Form:
    data = _own_bytes(model, schema)
    predict_own = load(data, schema, threads=1, model_class=type(model).__name__)
    return Form("xgboost", "model/model.ubj", data, predict_own, model_class=type(model).__name__)


def _own_bytes(model: Any, schema: Schema) -> bytes:
    booster = booster_of(model).copy()
    own = {
        "classifier": type(model).__name__.endswith("Classifier"),
        "codes": _codes(booster, schema),
        "iterations": iterations_of(model),
        "missing": missing_of(model),
    }
    booster.set_attr(**{_OWN: json.dumps(own, sort_keys=True)})
    return bytes(booster.save_raw("ubj"))


def other(model: Any, schema: Schema) -> Other:
    """The model as XGBoost keeps it, for ``load_sums``."""
    return Other("XGBoost's own trees", "xgboost", "model/alternative.ubj", _own_bytes(model, schema))


def load_sums(data: bytes, schema: Schema, *, threads: int, model_class: str | None) -> Sums:
    """What the trees add up to, in single precision as XGBoost adds, from UBJSON, on ``threads`` threads a call."""
    del model_class
    served = _Served(data, schema, threads=threads)
    return lambda table: served.ask(table, margin=True)


def load(data: bytes, schema: Schema, *, threads: int, model_class: str | None) -> Predict:
    """Serve a Booster from UBJSON, on ``threads`` threads a call."""
    del model_class
    served = _Served(data, schema, threads=threads)

    def predict_rows(table: Table) -> Answers:
        if table.rows == 0:
            return Answers.empty(schema.output)
        raw = served.ask(table, margin=served.softmax)
        return _answers(schema.output, _softmax(raw) if served.softmax else raw)

    return predict_rows


class _Served:
    """A Booster from its UBJSON, with what its file does not say. ``softmax``: its sums are to become probabilities."""

    def __init__(self, data: bytes, schema: Schema, *, threads: int) -> None:
        import xgboost

        check_nesting(data, "the bundle's model")
        booster = xgboost.Booster({"nthread": threads})
        booster.load_model(bytearray(data))
        booster.set_param({"nthread": threads})
        learner = json.loads(booster.save_config())["learner"]
        own = json.loads(booster.attr(_OWN) or "{}")
        self.softmax = learner["objective"]["name"] == "multi:softmax" and own.get("classifier", False)
        self._booster, self._schema, self._threads = booster, schema, threads
        self._linear = learner["gradient_booster"]["name"] == "gblinear"
        self._codes = {name: tuple(kinds) for name, kinds in own.get("codes", {}).items()}
        self._missing = np.nan if own.get("missing") is None else float(own["missing"])
        self._rounds = (0, int(own.get("iterations", 0)))

    def ask(self, table: Table, *, margin: bool) -> NDArray[np.float32]:
        """The Booster's own answers, or the sums that they come of."""
        import xgboost

        rows = boosting.matrix(table, self._schema.columns, self._codes, dtype=np.float32)
        if self._linear:
            entries = xgboost.DMatrix(rows, missing=self._missing, nthread=self._threads)
            return np.asarray(self._booster.predict(entries, output_margin=margin, validate_features=False))
        kind = "margin" if margin else "value"
        found = self._booster.inplace_predict(
            rows, predict_type=kind, iteration_range=self._rounds, missing=self._missing
        )
        return np.asarray(found)


def _softmax(margins: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
