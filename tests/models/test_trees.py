"""Trees, forests, boosting, users' own graphs and functions: what is served answers fresh rows as the model does."""

import pytest
from suite import cases
from suite.checks import check_case, parameters

GROUPS = (
    "Trees and forests",
    "XGBoost, LightGBM and CatBoost",
    "ONNX graphs",
    "Your own functions",
)


@pytest.mark.parametrize("case", parameters(cases(*GROUPS)))
def test_what_is_served_answers_as_the_model_does(case, page):
    check_case(case, page)
