"""Where a model comes from: a file of some family, a function in a module, or an object in memory."""

import hashlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aweigh import registry
from aweigh.bundle.manifest import Family
from aweigh.errors import UnsupportedModel, UsageError
from aweigh.packing.needs import Require, require_packing

Tell = Callable[[str, str], None]

_BY_FORMAT: dict[str, Family] = {
    "skops": "sklearn",
    "xgboost-json": "xgboost",
    "xgboost-ubj": "xgboost",
    "lightgbm-text": "lightgbm",
    "catboost-cbm": "catboost",
    "onnx": "onnx",
}
_BY_MODULE: dict[str, Family] = {
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "onnx": "onnx",
}


TABLES = frozenset({".csv", ".tsv", ".parquet", ".arrow", ".feather", ".xlsx", ".xls"})
"""What is no model by its name: the first letters of a CSV may well be those of an old pickle."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A model that was read.

    ``told`` says how, for people; ``entry`` is the ``module:function`` of a callable; ``sha256`` is that of its file.
    """

    model: object
    family: Family
    default_name: str
    path: Path | None = None
    told: str = ""
    entry: str | None = None
    sha256: str | None = None


def open_model(model: object, *, tell: Tell, require: Require = require_packing) -> Source:
    """Reads a model; nothing is unpickled before it was scanned and found on the lists.

    What packing it needs is required as soon as its families are known, before it is read.

    Raises:
        MissingExtra: that is not installed.
        UsageError: there is no such file.
        UntrustedModel, UnreadableModel: refused; nothing of the file was run.
        UnsupportedModel: no family here can serve it.
    """
    if isinstance(model, str) and _is_entry(model):
        require(("python",))
        return _open_function(model)
    if isinstance(model, str | Path):
        return _open_file(Path(model), tell, require)
    if callable(model) and not hasattr(model, "get_params") and not hasattr(model, "predict"):
        raise UsageError(
            "A function is packed by its name, so that its source can travel.", hint='pass "module:function" instead'
        )
    family = family_of(model)
    require((family,))
    if family == "onnx":
        model = registry.family(family).opened(model)
    return Source(model, family, type(model).__name__.lower())


def _is_entry(text: str) -> bool:
    module, colon, function = text.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _open_function(entry: str) -> Source:
    model = registry.family("python").read(entry)
    return Source(model, "python", entry.rpartition(":")[2].replace("_", "-"), path=Path.cwd() / "x", entry=entry)


def _open_file(path: Path, tell: Tell, require: Require) -> Source:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no file"
        raise UsageError(f"{path} is {kind}.", hint="give the model's file: aweigh pack model.joblib --data sample.csv")
    if path.suffix.lower() in TABLES:
        raise UsageError(
            f"{path} is a table, and no model.", hint=f"name the model first: aweigh pack MODEL --data {path}"
        )
    from aweigh.models.scan import check

    scan = check(path)
    if scan.names:
        tell("scan", f"{scan.format}: {len(scan.names)} names, all on the list; nothing was run to find out")
    known = _BY_FORMAT.get(scan.format)
    require(scan.families or (known or "sklearn",))
    model = registry.family(known or "sklearn").read(path)
    family = known if known is not None and known != "sklearn" else family_of(model)
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Source(model, family, path.stem, path=path, told=_library(family), sha256=sha256)


def family_of(model: object) -> Family:
    """The family of a model in memory, by the module of its class.

    Raises:
        UnsupportedModel: none here.
    """
    top = type(model).__module__.partition(".")[0]
    if top in _BY_MODULE:
        return _BY_MODULE[top]
    if hasattr(model, "get_params") and (hasattr(model, "predict") or hasattr(model, "transform")):
        return "sklearn"
    raise UnsupportedModel(
        f"A {type(model).__name__} is of no family that is known here.",
        hint="scikit-learn, XGBoost, LightGBM, CatBoost and ONNX models are, and module:function for anything else",
    )


_DISTRIBUTIONS = {"sklearn": ("scikit-learn",), "xgboost": ("xgboost", "xgboost-cpu")}


def _library(family: str) -> str:
    """The family's library and version, as the end of a line."""
    for distribution in _DISTRIBUTIONS.get(family, (family,)):
        try:
            return f", {distribution.removesuffix('-cpu')} {importlib.metadata.version(distribution)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""
