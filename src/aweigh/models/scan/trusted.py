"""The exact names that a model of each family may import, and which of them loading may call.

The lists are data: ``names/FAMILY.txt``, one name a line, ``()`` after those that may be called; made by
``tools/trusted_names.py``, which says how, and read by a person, line by line, before they are committed.
Never a prefix: under ``numpy.testing`` lies a function that runs code.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from aweigh.errors import UsageError

FAMILIES = ("sklearn", "xgboost", "lightgbm", "catboost")


@cache
def _listed(family: str) -> tuple[frozenset[str], frozenset[str]]:
    if family not in FAMILIES:
        raise UsageError(f"There is no list of names for '{family}'.", hint=f"the families are {', '.join(FAMILIES)}")
    text = (files("aweigh.models.scan") / "names" / f"{family}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    names = frozenset(line.removesuffix("()") for line in lines)
    calls = frozenset(line.removesuffix("()") for line in lines if line.endswith("()"))
    if family == "sklearn":
        return names, calls
    # The others' wrappers stand in scikit-learn's pipelines more often than not.
    base_names, base_calls = _listed("sklearn")
    return names | base_names, calls | base_calls


def trusted_names(family: str) -> frozenset[str]:
    """All that a model of this family may import.

    Raises:
        UsageError: There is no such family.
    """
    return _listed(family)[0]


def trusted_calls(family: str) -> frozenset[str]:
    """Those of the names that loading may call: functions and classes that are harmless with any arguments.

    The few that are harmless only with some have a rule of their own (``rules``).
    """
    return _listed(family)[1]


def families_of(names: Iterable[str]) -> tuple[str, ...]:
    """The families that these names belong to, scikit-learn first, the one that gives the model its kind last."""
    roots = {name.partition(".")[0] for name in names}
    return ("sklearn", *(family for family in FAMILIES[1:] if family in roots))
