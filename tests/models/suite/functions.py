"""A user's own functions, packed by their names."""

from suite.case import Case
from suite.data import mixed


def _named(name):
    def fit(model, frame, y):
        from aweigh.models.python import read

        return read(f"own_functions:{name}")

    return fit


functions = [
    Case("a function that gives a number", mixed, None, lambda: None, "python", fit=_named("price")),
    Case("a function that gives a class", mixed, None, lambda: None, "python", fit=_named("size")),
    Case("a function that gives probabilities", mixed, None, lambda: None, "python", fit=_named("likely")),
    Case("a function that gives several numbers", mixed, None, lambda: None, "python", fit=_named("several")),
]
