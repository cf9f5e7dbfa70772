"""What packing needs beyond aweigh itself: asked for at once and in one sentence, before anything is read or proven."""

from collections.abc import Callable, Collection
from pathlib import Path

from aweigh.bundle.resolver import has_uv
from aweigh.errors import MissingExtra
from aweigh.registry import lacking

Require = Callable[[Collection[str]], None]
"""Told the families that a model is of, as soon as they are known."""

_LIBRARIES: dict[str, tuple[str, ...]] = {
    "sklearn": ("sklearn", "skops", "pandas"),
    "xgboost": ("xgboost", "pandas"),
    "lightgbm": ("lightgbm", "pandas"),
    "catboost": ("catboost", "pandas"),
}
"""What the extra of each family brings that packing imports."""


def require_packing(families: Collection[str], *, sample: object = None) -> None:
    """Passes where all is installed that packing a model of these families takes; ``sample`` may be a path.

    Raises:
        MissingExtra: something is not; it names every extra that is needed.
    """
    graphs = [one for one in families if one != "python"]
    converted = [one for one in graphs if one != "onnx"]
    needs: dict[str, tuple[str, ...]] = {
        "pack": ("packaging", *(["onnx"] if graphs else []), *(["skl2onnx"] if converted else []))
    }
    needs |= {one: _LIBRARIES[one] for one in converted}
    if isinstance(sample, Path) and sample.suffix.lower() == ".parquet":
        needs["files"] = ("pyarrow",)
    missing = lacking(needs)
    if not has_uv():
        missing = tuple(dict.fromkeys(("pack", *missing)))
    if missing:
        raise MissingExtra("Packing", extra=",".join(missing))
