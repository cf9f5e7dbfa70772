"""Names and what stands behind them, as ``module`` strings that are imported when chosen."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from aweigh.errors import MissingExtra, UsageError

FAMILIES: Mapping[str, str] = {
    "sklearn": "aweigh.models.sklearn",
    "xgboost": "aweigh.models.xgboost",
    "lightgbm": "aweigh.models.lightgbm",
    "catboost": "aweigh.models.catboost",
    "onnx": "aweigh.models.onnx",
    "python": "aweigh.models.python",
}
"""Model families, by the name in a manifest."""

KEEPERS: Mapping[str, str] = {
    "jobs": "aweigh.jobs.keeper",
    "answers": "aweigh.runtime.keeper",
}
"""Everything that keeps rows or what was said of them: modules with ``open_keepers(environ, state=)``, which give each
store as a ``runtime.subject.Keeper``. ``aweigh forget`` asks them all; what is not here keeps nothing of anybody."""

_DISTRIBUTION_MODULES = {"sklearn": "sklearn", "xgboost": "xgboost", "lightgbm": "lightgbm", "catboost": "catboost"}


def family(name: str) -> ModuleType:
    """The module of a model family (a ``models.family.Family``).

    Raises:
        UsageError: no such family.
        MissingExtra: the family's library is not installed; says what to install.
    """
    if name not in FAMILIES:
        raise UsageError(f"There is no model family {name!r}.", hint=f"known: {', '.join(sorted(FAMILIES))}")
    wanted = _DISTRIBUTION_MODULES.get(name)
    if wanted is not None:
        require(wanted, what=f"a {name} model", extra=name)
    return import_module(FAMILIES[name])


def keepers() -> list[ModuleType]:
    """The modules of ``KEEPERS``."""
    return [import_module(name) for name in KEEPERS.values()]


def require(module: str, *, what: str, extra: str) -> ModuleType:
    """An optional module.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] == module.split(".", maxsplit=1)[0]:
            raise MissingExtra(what[:1].upper() + what[1:], extra=extra) from error
        raise


def lacking(needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Those of the extras whose modules are not all installed; nothing is imported.

    >>> lacking({"files": ["json"], "ui": ["no_such_module"]})
    ('ui',)
    """
    return tuple(extra for extra, modules in needs.items() if any(find_spec(one) is None for one in modules))
