"""A slice of cases that are much alike is what continuous integration runs; `make slow` runs the rest of them."""

from collections.abc import Iterable

import pytest


def partly_slow(*kept: object, slow: list[object]) -> list[object]:
    """Parameters of one name: those that always run, and those that are left to the slow tests."""
    return [*kept, *(pytest.param(one, marks=pytest.mark.slow) for one in slow)]


def slow_but_for(names: Iterable[str], *kept: str) -> list[object]:
    """Parameters of one name, in their order: those kept always run, all others are left to the slow tests."""
    listed = [*names]
    if not {*kept} <= {*listed}:
        message = f"none of these is called so: {', '.join({*kept} - {*listed})}"
        raise ValueError(message)
    return [one if one in kept else pytest.param(one, marks=pytest.mark.slow) for one in listed]
