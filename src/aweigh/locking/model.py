"""What a model file needs to be loaded, told by the scan that loads nothing, with the versions that it names."""

import re
from dataclasses import dataclass
from pathlib import Path

from aweigh.bundle.lock import SAME_IMPORT
from aweigh.errors import UnreadableModel
from aweigh.locking.distributions import distribution_of, is_standard
from aweigh.locking.need import Need
from aweigh.models.scan import Scan, scan
from aweigh.models.scan.formats import KERAS, PYTORCH
from aweigh.models.scan.versions import made_with

SUFFIXES = frozenset(
    {".joblib", ".pkl", ".pickle", ".sav", ".skops", ".onnx", ".cbm", ".ubj", ".pt", ".pth", ".keras", ".xgb", ".model"}
)
"""Names by which a file of a folder is looked at as a model."""

# Formats that hold no names: the modules that read them.
_READERS = {
    "skops": ("skops", "sklearn"),
    "xgboost-json": ("xgboost",),
    "xgboost-ubj": ("xgboost",),
    "lightgbm-text": ("lightgbm",),
    "catboost-cbm": ("catboost",),
    "onnx": ("onnxruntime",),
}
_FOREIGN = {PYTORCH: ("torch",), KERAS: ("keras", "tensorflow")}
_FIRST_CPU_XGBOOST = 3
"""xgboost-cpu, the same code without NVIDIA's libraries, is offered from about here on."""


@dataclass(frozen=True, slots=True)
class ModelNeeds:
    """Requirements, the modules to import in a proof, the app's own modules that it names, and notes."""

    needs: tuple[Need, ...]
    modules: tuple[str, ...]
    notes: tuple[str, ...] = ()


def needs_of_model(path: Path, *, own: frozenset[str] = frozenset()) -> ModelNeeds:
    """What loading a model file needs; ``own`` are top-level modules that lie beside it.

    Raises:
        UsageError: there is no such file.
        UnreadableModel: it is no model that is known here.
    """
    found = scan(path)
    modules = _modules(found)
    if not modules:
        raise UnreadableModel(
            f"{path.name} cannot be read as a model: {found.unreadable or 'it names nothing that it needs'}.",
            hint="name a script, a requirements.txt, or a model that joblib, pickle, skops or its library saved",
        )
    versions = made_with(path, found)
    notes = [f"{path.name}: {found.unreadable}"] if found.unreadable else []
    needs = []
    for module in sorted(modules - own):
        said = versions.get(module, ())
        if len(said) > 1:
            notes.append(f"{path.name} was made with several versions of {module}: {', '.join(said)}")
        needs.append(_need(module, said[-1] if said else None, path.name, found))
    strangers = sorted(modules & own)
    if strangers:
        notes.append(f"{path.name} needs the module {', '.join(strangers)} beside it")
    if "__main__" in _roots(found):
        notes.append(f"{path.name} names what was defined in a notebook or script (__main__): it loads nowhere else")
    return ModelNeeds(tuple(needs), tuple(sorted(modules - own)), tuple(notes))


def _roots(found: Scan) -> set[str]:
    roots = {re.split(r"[.:]", name, maxsplit=1)[0] for name in found.names}
    # scikit-learn 1.5 gave its losses a module name without the package.
    return {"sklearn" if root == "_loss" else root for root in roots}


def _modules(found: Scan) -> set[str]:
    modules = {root for root in _roots(found) if root.isidentifier() and not is_standard(root)}
    modules |= set(_READERS.get(found.format, ()))
    if found.format == "joblib":
        modules.add("joblib")
    if any(name.partition(".")[2].startswith("sklearn.") for name in found.names):
        modules.add("sklearn")  # XGBClassifier and its like are scikit-learn's estimators
    for reason, readers in _FOREIGN.items():
        if found.unreadable and reason.removeprefix("it is ") in found.unreadable:
            modules |= set(readers)
    return modules


def _need(module: str, version: str | None, file: str, found: Scan) -> Need:
    name = distribution_of(module).name
    if module in SAME_IMPORT and version is not None and int(version.partition(".")[0]) < _FIRST_CPU_XGBOOST:
        name = module
    if version is not None:
        return Need(f"{name}=={version}", file, "it says so")
    if module == "numpy" and any(one.startswith("numpy._core.") for one in found.names):
        return Need("numpy>=2", file, "made with numpy 2 or newer")
    return Need(name, file)
