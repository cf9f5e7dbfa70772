"""The preparation in front of a model, as people write it."""

from typing import Any

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

NUMBERS = ["age", "income", "score", "ratio", "member"]


def scaled(estimator: Any) -> Any:
    """Behind a scaler."""
    return make_pipeline(StandardScaler(), estimator)


def filled(estimator: Any) -> Any:
    """Behind an imputer and a scaler."""
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), estimator)


def columns(estimator: Any, *, numbers: Any = None, text: Any = None) -> Any:
    """Behind imputers, a scaler for the numbers and one-hot columns for the text."""
    numbers = numbers or make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    text = text or make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return make_pipeline(
        make_column_transformer((numbers, NUMBERS), (text, ["plan", "city"]), sparse_threshold=0), estimator
    )


def coded(estimator: Any) -> Any:
    """Behind ordinal codes for the text, missing values as they come: for trees that know them."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    return make_pipeline(
        make_column_transformer(
            (encoder, make_column_selector(dtype_exclude=["number", "bool"])), remainder="passthrough"
        ),
        estimator,
    )
