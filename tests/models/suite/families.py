"""All cases, in groups, in the order of the page."""

from collections.abc import Mapping

from suite import boosters, functions, holders, odd, predictors, transforming
from suite.case import Case

GROUPS: Mapping[str, tuple[Case, ...]] = {
    "Linear models": tuple(predictors.linear),
    "Support vectors and Gaussian processes": tuple(predictors.vectors),
    "Trees and forests": tuple(predictors.trees),
    "Other classifiers and regressors": tuple(predictors.others),
    "What holds other estimators": tuple(holders.holders),
    "Imputers": tuple(transforming.imputers),
    "Encoders": tuple(transforming.encoders),
    "Scalers, bins, projections": tuple(transforming.scalers),
    "Text": tuple(transforming.texts),
    "Clusters and outliers": tuple(transforming.unsupervised),
    "XGBoost, LightGBM and CatBoost": tuple(boosters.boosters),
    "ONNX graphs": tuple(boosters.graphs),
    "Your own functions": tuple(functions.functions),
    "Where answers are most likely to differ": tuple(odd.odd),
}
"""Every case under the heading that it stands under."""


def cases(*groups: str) -> tuple[Case, ...]:
    """The cases of some groups, or of all."""
    return tuple(case for name in groups or GROUPS for case in GROUPS[name])
