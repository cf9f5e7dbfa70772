"""The versions of libraries that a model file says it was made with, read without loading it.

scikit-learn writes its version into the state of everything it pickles; skops keeps that and adds its own; XGBoost
writes its version at the end of a model, and CatBoost where it was built from. LightGBM and ONNX say nothing of the
kind. A file can say anything: what is no version of the usual form is left out.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from aweigh.models.scan.limits import DEFAULT, Limits, Refused
from aweigh.models.scan.machine import Findings, Machine
from aweigh.models.scan.scan import MOST_PICKLES, Scan, read_once
from aweigh.models.scan.skops import ZIP_DAMAGE
from aweigh.models.scan.tape import Tape
from aweigh.models.scan.unpack import compression_of, decompress
from aweigh.models.scan.worlds import Inert

_VERSION = re.compile(r"\d{1,4}(?:\.\d{1,4}){1,3}(?:(?:a|b|rc)\d{1,3})?(?:\.post\d{1,3})?", re.ASCII)
_SKLEARN = "_sklearn_version"
# {"version":[3,2,0]} as JSON, and the same as UBJSON: an array of three one-byte numbers.
_XGBOOST = (
    re.compile(rb'"version"\s*:\s*\[\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\]'),
    re.compile(rb"version\[#L\x00{7}\x03i([\x00-\x7f])i([\x00-\x7f])i([\x00-\x7f])"),
)
_CATBOOST = re.compile(rb"\n    Branch: tags/v(\d[\d.]{1,20})\n")


class _Noting(Inert):
    """A world where nothing exists, that notes what scikit-learn says of its version."""

    def __init__(self) -> None:
        super().__init__()
        self.sklearn: set[str] = set()

    def build(self, instance: Any, state: Any) -> None:
        """Set a state, after a look into it."""
        if isinstance(state, dict) and isinstance(state.get(_SKLEARN), str):
            self.sklearn.add(state[_SKLEARN])
        super().build(instance, state)


def made_with(path: Path, found: Scan, *, limits: Limits = DEFAULT) -> dict[str, tuple[str, ...]]:
    """The versions that a scanned file names, by top-level module: usually one each, sorted; none where it says none.

    Raises:
        UsageError: there is no such file.
    """
    data = read_once(path, limits=limits)
    versions: dict[str, set[str]] = {}
    try:
        if found.format in {"pickle", "joblib"}:
            if found.compression:
                data = decompress(data, compression_of(data) or "", limits=limits)
            versions["sklearn"] = _sklearn(data, limits)
        elif found.format == "skops":
            versions = _skops(data)
    except (Refused, *ZIP_DAMAGE):
        return {}
    if found.format.startswith("xgboost-") or any(name.startswith("xgboost.") for name in found.names):
        versions["xgboost"] = _xgboost(data)
    if found.format.startswith("catboost-") or any(name.startswith("catboost.") for name in found.names):
        versions["catboost"] = {one.decode() for one in _CATBOOST.findall(data)}
    kept = {module: tuple(sorted(filter(_VERSION.fullmatch, said))) for module, said in versions.items()}
    return {module: said for module, said in kept.items() if said}


def _sklearn(data: bytes, limits: Limits) -> set[str]:
    """What is said up to where the pickles end, or are no longer read."""
    world, tape, findings = _Noting(), Tape(data), Findings()
    try:
        for _ in range(MOST_PICKLES):
            if not tape.remaining:
                break
            Machine(tape, world, findings, limits=limits).run()
    except Refused:
        pass
    return world.sklearn


def _skops(data: bytes) -> dict[str, set[str]]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
    said = schema.get("_skops_version") if isinstance(schema, dict) else None
    nodes = [node for node in _under(schema, _SKLEARN) if isinstance(node, dict)]
    texts = [str(node.get("content")).strip('"') for node in nodes]
    return {"skops": {said} if isinstance(said, str) else set(), "sklearn": set(texts)}


def _under(value: object, key: str) -> Iterator[object]:
    """Everything that stands under a key, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if key in one:
                yield one[key]
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _xgboost(data: bytes) -> set[str]:
    text, binary = _XGBOOST
    return {b".".join(one.groups()).decode() for one in text.finditer(data)} | {
        ".".join(str(part[0]) for part in one.groups()) for one in binary.finditer(data)
    }
