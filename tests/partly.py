"""A slice of cases that are much alike is what continuous integration runs; `make slow` runs the rest of them."""

import pytest


def partly_slow(*kept: object, slow: list[object]) -> list[object]:
    """Parameters of one name: those that always run, and those that are left to the slow tests."""
    return [*kept, *(pytest.param(one, marks=pytest.mark.slow) for one in slow)]
