"""A scikit-learn model made ready for conversion, on a copy: unwrapped, and told how missing text is spelled."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from aweigh.errors import UnsupportedModel
from aweigh.schema.cells import RESERVED_TEXT
from aweigh.schema.column import Column, Schema
from aweigh.table.columns import NONE_DTYPE

_NEIGHBOURS = frozenset(
    (
        "KNeighborsClassifier",
        "KNeighborsRegressor",
        "RadiusNeighborsClassifier",
        "RadiusNeighborsRegressor",
        "KNeighborsTransformer",
        "KNNImputer",
        "LocalOutlierFactor",
    )
)
"""Which neighbours are the nearest hangs on the last bit of a distance, and a graph rounds otherwise."""

NEVER_TEXT = "\ufdd1"
"""A Unicode noncharacter that no cell is: an imputer that looks for it leaves everything as it is."""


def unwrap(model: object) -> object:
    """A copy in which every search stands as the estimator it found, and every frozen estimator as itself."""
    return rebuilt(copy.deepcopy(model), _unwrapped)


def _unwrapped(part: Any) -> object:
    while True:
        if hasattr(part, "best_estimator_"):
            part = part.best_estimator_
        elif type(part).__name__ == "FrozenEstimator":
            part = part.estimator
        else:
            return part


def prepared(model: object, schema: Schema) -> object:
    """The copy that is converted: unwrapped, with plain steps for what skl2onnx does not know.

    What the original is asked with where text is missing (None or NaN, as in the sample) decides which imputers look
    for it; inside the graph it is ``RESERVED_TEXT``.

    Raises:
        UnsupportedModel: it looks for nearest neighbours.
    """
    asked_with_none = any(column.is_text and column.dtype == NONE_DTYPE for column in schema.columns)
    names = plain_names(schema.columns)
    ready = rebuilt(unwrap(model), lambda part: _plain(part, asked_with_none=asked_with_none))
    for part in parts_of(ready):
        if type(part).__name__ in _NEIGHBOURS:
            raise UnsupportedModel("of neighbours equally near, a graph may take others than scikit-learn does")
        if type(part).__name__ == "ColumnTransformer":
            _select_by(part, names)
    return _finished(ready)


def plain_names(columns: Iterable[Column]) -> dict[str, str]:
    """What each column is called inside a graph: skl2onnx cleans names and then does not find them again."""
    return {column.name: f"column_{place}" for place, column in enumerate(columns)}


def _select_by(transformer: Any, names: Mapping[str, str]) -> None:
    """Makes a column transformer that selects by name select by these."""
    if getattr(transformer, "transformers_", None) is None:
        return
    chosen = []
    for name, held, wanted in transformer.transformers_:
        listed = [wanted] if isinstance(wanted, str) else wanted
        is_named = not isinstance(listed, slice) and len(listed) > 0 and all(isinstance(one, str) for one in listed)
        chosen.append((name, held, [names.get(one, one) for one in listed] if is_named else wanted))
    transformer.transformers_ = chosen


def _plain(part: Any, *, asked_with_none: bool) -> object:
    kind = type(part).__name__
    if kind == "SimpleImputer" and _fills_text(part):
        meant = part.missing_values is None if asked_with_none else part.missing_values is not None
        part.missing_values = RESERVED_TEXT if meant else NEVER_TEXT
    elif kind == "VotingClassifier":
        part.flatten_transform = False
    elif kind == "SelfTrainingClassifier":
        return part.estimator_
    elif kind.startswith("HistGradientBoosting") and getattr(part, "_preprocessor", None) is not None:
        return _coded(part)
    elif kind == "Pipeline":
        steps = [step for step in part.steps if step[1] is not None and not isinstance(step[1], str)]
        part.steps = steps or part.steps
    return part


def _coded(boosting: Any) -> object:
    """Histogram boosting that knows categories, as the encoder that it holds and the boosting on codes behind it."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    held = boosting._preprocessor  # noqa: SLF001  it keeps the encoder that it has fitted to itself
    encoder = held.named_transformers_["encoder"]
    known = np.asarray(boosting.is_categorical_, dtype=bool)
    names = getattr(held, "feature_names_in_", None)
    places = [np.flatnonzero(known), np.flatnonzero(~known)]
    chosen = [one.tolist() if names is None else [str(names[place]) for place in one] for one in places]
    codes = ColumnTransformer([])
    codes.transformers_ = [("encoder", encoder, chosen[0])]
    codes.transformers_ += [("numbers", "passthrough", chosen[1])] if chosen[1] else []
    codes.sparse_output_, codes.n_features_in_ = False, len(known)
    # The features of its trees stand as the encoder leaves them: the categories first.
    boosting._preprocessor, boosting.is_categorical_ = None, np.arange(len(known)) < known.sum()  # noqa: SLF001
    return Pipeline([("codes", codes), ("boosting", boosting)])


def _fills_text(imputer: Any) -> bool:
    statistics = getattr(imputer, "statistics_", np.zeros(0))
    return statistics.dtype.kind in "OUT" and any(isinstance(one, str) for one in statistics.tolist())


def _finished(model: Any) -> object:
    """What stands at the end and skl2onnx knows only in part or not at all, as a pipeline of what it knows."""
    from sklearn.pipeline import Pipeline

    kind = type(model).__name__
    if kind == "Pipeline":
        name, last = model.steps[-1]
        model.steps[-1] = (name, _finished(last))
    elif kind in {"RFE", "RFECV"} and hasattr(model, "predict"):
        return Pipeline([("selection", model), ("estimator", _finished(model.estimator_))])
    elif kind == "TransformedTargetRegressor":
        return Pipeline([("regressor", _finished(model.regressor_)), ("back", _inverse(model.transformer_))])
    return model


def _inverse(transformer: Any) -> object:
    """What undoes a transformed target, as a step that is drawn."""
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    kind = type(transformer).__name__
    if kind == "FunctionTransformer" and not transformer.inv_kw_args:
        return FunctionTransformer(transformer.inverse_func)
    if kind not in {"StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"}:
        msg = f"a target transformed by {kind} has no ONNX form here"
        raise NotImplementedError(msg)
    width = transformer.n_features_in_
    base, step = transformer.inverse_transform(np.vstack([np.zeros(width), np.ones(width)]))
    back = StandardScaler()
    back.mean_, back.scale_ = -base / (step - base), 1.0 / (step - base)
    back.var_, back.n_features_in_, back.n_samples_seen_ = back.scale_**2, width, 1
    return back


# -- an estimator and all that it holds ------------------------------------------------------------------------------


def rebuilt(part: Any, change: Callable[[Any], object]) -> Any:
    """Applies ``change`` to an estimator and to every estimator that it holds, wherever it holds them."""
    part = change(part)
    if hasattr(part, "get_params") and hasattr(part, "__dict__"):
        for name, value in list(vars(part).items()):
            new = _rebuilt_held(value, change)
            if new is not value:
                setattr(part, name, new)
    return part


def _rebuilt_held(value: Any, change: Callable[[Any], object]) -> Any:
    if hasattr(value, "get_params") and not isinstance(value, type):
        return rebuilt(value, change)
    if isinstance(value, list | tuple) and any(_holds_estimator(one) for one in value):
        return type(value)(_rebuilt_held(one, change) for one in value) if type(value) in {list, tuple} else value
    if isinstance(value, dict) and any(_holds_estimator(one) for one in value.values()):
        if type(value) is dict:
            return {key: _rebuilt_held(one, change) for key, one in value.items()}
        for key in list(value):  # a Bunch: changed in place
            value[key] = _rebuilt_held(value[key], change)
    return value


def _holds_estimator(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_estimator(one) for one in value)
    return hasattr(value, "get_params") and not isinstance(value, type)


def parts_of(model: object) -> list[object]:
    """Every estimator that a model holds, itself included."""
    found: list[object] = []

    def note(part: Any) -> object:
        found.append(part)
        return part

    rebuilt(copy.copy(model), note)
    return found
