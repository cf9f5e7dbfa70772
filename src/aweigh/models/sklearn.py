"""scikit-learn: estimators, pipelines and searches, from joblib, pickle or skops files.

Reads only what the scan allows, asks the original with a DataFrame of the sample's types, converts to ONNX where that
is proven (``convert.py``), and serves the rest from skops with exact trusted names.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aweigh.errors import UnsupportedModel
from aweigh.models.family import Described, Form, Predict, Way
from aweigh.models.frame import table_to_frame
from aweigh.schema.answers import POSITIVE_OUTLIER, Answers
from aweigh.schema.column import Output, Scalar, Schema, Task
from aweigh.table import Table

MAX_TRANSFORM_COLUMNS = 10_000
NO_FORM = (
    "take it as a pickle of listed names, which is served only where your signature is trusted (--allow-pickle); or "
    "serve it as your own code: write a function that takes and returns a table, and pack it as module:function"
)


def read(path: Path) -> object:
    """The estimator in a joblib, pickle or skops file.

    Raises:
        UntrustedModel: the file would import a name that is on no list; nothing of it was run.
        UnreadableModel: its bytes could not be understood.
    """
    from aweigh.models.scan import load_trusted

    return load_trusted(path)


def describe(model: object) -> Described:
    """What a fitted estimator says of itself.

    Raises:
        UnsupportedModel: not fitted, or it has no answer for a new row.
    """
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not hasattr(model, "get_params"):
        raise UnsupportedModel(
            f"The file holds a {type(model).__name__}, which is no scikit-learn estimator.",
            hint="save the estimator or the whole pipeline itself: joblib.dump(pipeline, 'model.joblib')",
        )
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise UnsupportedModel(
            f"The {words(model)} is not fitted.", hint="call fit() before you save it, then save it again"
        ) from error
    except TypeError:
        pass  # an estimator-like object that check_is_fitted does not know: asking it will tell
    names = getattr(model, "feature_names_in_", None)
    count = getattr(model, "n_features_in_", None)
    features = None if names is None else tuple(str(name) for name in names)
    return Described(words(model), _output(model), features, None if count is None else int(count))


def words(model: object) -> str:
    """The model in words: its last step, and what holds it."""
    inner, holder = model, ""
    for _ in range(5):
        if hasattr(inner, "best_estimator_"):
            inner, holder = inner.best_estimator_, holder or f" found by {type(inner).__name__}"
        elif hasattr(inner, "steps"):
            inner, holder = inner.steps[-1][1], holder or f" in a {type(inner).__name__}"
        else:
            break
    return type(inner).__name__ + holder


def _output(model: Any) -> Output:
    from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor

    if is_classifier(model):
        classes = model.classes_
        if isinstance(classes, list) or np.ndim(classes) != 1:
            raise UnsupportedModel(
                f"The {words(model)} answers several classes at once, which is not supported.",
                hint="fit one classifier for each target, and pack each",
            )
        return Output(
            task="class", name="class", classes=plain_classes(classes), probabilities=hasattr(model, "predict_proba")
        )
    if is_outlier_detector(model) and hasattr(model, "predict"):
        return Output(task="outlier", name="outlier", scores=hasattr(model, "decision_function"))
    if is_regressor(model):
        return Output(task="number", name="value")
    if hasattr(model, "predict") and (is_clusterer(model) or hasattr(model, "predict_proba")):
        return Output(task="cluster", name="cluster")
    if hasattr(model, "predict"):
        return Output(task="number", name="value")
    if hasattr(model, "transform"):
        return Output(task="transform", name="values")
    raise UnsupportedModel(
        f"The {words(model)} has neither predict nor transform: it cannot answer for a new row.",
        hint="use an estimator with predict, such as KMeans instead of DBSCAN",
    )


def plain_classes(classes: object) -> tuple[Scalar, ...]:
    """Class labels as plain Python values of their own type.

    Raises:
        UnsupportedModel: a label that is neither text, a number nor a boolean.
    """
    plain: list[Scalar] = []
    for one in np.asarray(classes, dtype=object).tolist():
        value = one.item() if isinstance(one, np.generic) else one
        if not isinstance(value, str | int | float | bool):
            raise UnsupportedModel(
                f"A class label is a {type(value).__name__}; labels must be text, numbers or booleans."
            )
        plain.append(value)
    return tuple(plain)


def predict(model: object, table: Table, schema: Schema) -> Answers:
    """The estimator's own answers, asked with the sample's types."""
    asked = as_asked(model, table, schema)
    return answer(model, asked, schema.output, table.rows)


def as_asked(model: object, table: Table, schema: Schema) -> object:
    """What the estimator is asked with: a DataFrame, or an array when it was fitted without column names."""
    frame = table_to_frame(table, schema.columns)
    if _wants_names(model):
        return frame
    if all(column.is_number or column.type == "boolean" for column in schema.columns):
        return frame.to_numpy(dtype=np.float64, na_value=np.nan)
    if len(schema.columns) == 1 and schema.columns[0].is_text:
        return frame.iloc[:, 0].to_numpy(dtype=object)  # text vectorizers take a list of documents
    return frame.to_numpy(dtype=object)


def _wants_names(model: object) -> bool:
    return getattr(model, "feature_names_in_", None) is not None


def answer(model: Any, asked: object, output: Output, rows: int) -> Answers:
    """One call of the estimator as answers. ``asked`` has ``rows`` rows."""
    if output.task == "class":
        positions = {one: i for i, one in enumerate(output.classes)}
        labels = np.asarray(model.predict(asked)).reshape(rows).tolist()
        index = np.array([positions[one] for one in labels], dtype=np.int64)
        proba = np.asarray(model.predict_proba(asked), dtype=np.float64) if output.probabilities else None
        return Answers(output, rows, index=index, probabilities=proba)
    if output.task == "cluster":
        return Answers(output, rows, cluster=np.asarray(model.predict(asked)).astype(np.int64).reshape(rows))
    if output.task == "outlier":
        outlier = np.asarray(model.predict(asked)).reshape(rows) == POSITIVE_OUTLIER
        scores = np.asarray(model.decision_function(asked), dtype=np.float64).reshape(rows) if output.scores else None
        return Answers(output, rows, outlier=outlier, scores=scores)
    raw = model.transform(asked) if output.task == "transform" else model.predict(asked)
    return Answers(output, rows, values=dense(raw, rows))


def dense(raw: Any, rows: int) -> NDArray[np.float64]:
    """Numbers of any container as (rows, columns) float64.

    Raises:
        UnsupportedModel: more columns than a row of answers can reasonably have, or no numbers.
    """
    plain = raw.toarray() if hasattr(raw, "toarray") else raw
    try:
        values = np.asarray(plain, dtype=np.float64).reshape(rows, -1) if rows else np.zeros((0, 1))
    except (TypeError, ValueError) as error:
        raise UnsupportedModel("The model answers something else than numbers.") from error
    if values.shape[1] > MAX_TRANSFORM_COLUMNS:
        raise UnsupportedModel(
            f"The model answers {values.shape[1]:,} numbers a row; {MAX_TRANSFORM_COLUMNS:,} is the most."
        )
    return values


def widen(model: object, output: Output, answers: Answers) -> Output:
    """The output once an answer was seen: one number becomes several when the model gives several, with their names."""
    if answers.values is None or (output.task == "number" and answers.values.shape[1] == 1):
        return output
    width = answers.values.shape[1]
    names = _names_out(model, width)
    task: Task = "transform" if output.task == "transform" else "numbers"
    return Output(task=task, name=output.name, names=names, unit=output.unit, description=output.description)


def _names_out(model: object, width: int) -> tuple[str, ...]:
    make = getattr(model, "get_feature_names_out", None)
    if make is not None:
        try:
            names = tuple(str(name) for name in make())
        except (ValueError, AttributeError, TypeError, NotImplementedError):
            names = ()  # an estimator that cannot name what it makes
        if len(names) == width == len(set(names)):
            return names
    return tuple(f"output_{i}" for i in range(width))


def ways(model: object, schema: Schema) -> Iterator[Way]:
    """ONNX in its variants, then skops."""
    from aweigh.models.convert import onnx_ways

    yield from onnx_ways(model, schema)
    yield Way(
        "scikit-learn's own estimator, as skops with exact trusted names",
        lambda: _skops_form(model, schema),
        hint=NO_FORM,
    )


def _skops_form(model: object, schema: Schema) -> Form:
    from aweigh.models.prepared import parts_of, unwrap
    from aweigh.models.skops_file import write_skops

    kept = unwrap(model)
    for part in parts_of(kept):
        vars(part).pop("_stop_words_id", None)  # an address that vectorizers note: another in every process
    data = write_skops(kept)
    return Form("sklearn", "model/model.skops", data, load(data, schema, threads=1, model_class=None))


def load(data: bytes, schema: Schema, *, threads: int, model_class: str | None) -> Predict:
    """Serve a skops file; ``threads`` caps OpenMP and BLAS through the environment, set before this process started."""
    del threads, model_class
    from aweigh.models.scan import load_trusted_bytes

    model = load_trusted_bytes(data, "model.skops", formats=("skops",))
    return lambda table: predict(model, table, schema) if table.rows else Answers.empty(schema.output)
