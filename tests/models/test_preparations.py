"""Preparations, and where answers are most likely to differ: what is served answers fresh rows as the model does."""

import pytest
from suite import cases
from suite.checks import check_case, parameters

GROUPS = (
    "Imputers",
    "Encoders",
    "Scalers, bins, projections",
    "Where answers are most likely to differ",
)


@pytest.mark.parametrize("case", parameters(cases(*GROUPS)))
def test_what_is_served_answers_as_the_model_does(case, page):
    check_case(case, page)
