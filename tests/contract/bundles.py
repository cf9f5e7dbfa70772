"""What the contract deploys: a bundle, a folder with another one and its own web line, and a bundle that lies."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.build import assemble
from aweigh.bundle.manifest import short
from aweigh.bundle.verify import open_bundle
from aweigh.targets.releasing import Wishes, release_of

STORED = Path(__file__).parents[1] / "bundles"
TOKEN = "0123456789abcdefghijklmnopqr"
"""Of an invitation that the folder's web line writes into the log."""
WEB = "aweigh serve penguins.aweigh --host 0.0.0.0 --auth none --no-ui --workers 1"


@dataclass(frozen=True)
class Bundle:
    """A path that is deployed, and what its bundle is known by: its short digest, golden rows and their answers."""

    path: Path
    version: str
    rows: list[dict[str, object]]
    predictions: list[dict[str, object]]

    def holds(self, version: str, predictions: list[dict[str, object]]) -> bool:
        """Whether these are its answers: numbers within what a float of 32 bits keeps."""
        return version == self.version and [*map(_near, self.predictions)] == predictions


def _near(value):
    if isinstance(value, dict):
        return {key: _near(one) for key, one in value.items()}
    return pytest.approx(value, rel=1e-5, abs=1e-6) if isinstance(value, float) else value


@dataclass(frozen=True)
class Bundles:
    """All three."""

    first: Bundle
    second: Bundle
    liar: Bundle

    def by_version(self, version: str) -> Bundle:
        """The one of a digest."""
        return {self.first.version: self.first, self.second.version: self.second}[version]


def make_bundles(folder: Path, *, offline: bool, folders: bool = True) -> Bundles:
    """Write all three below a folder.

    ``offline``: each in a folder of somebody's own, with requirements that no index is asked to lock. Else the first
    one and the liar are bundles alone, and the folder is locked as a bundle would be. Without ``folders`` all three
    are bundles alone.
    """
    onnx = open_bundle(STORED / "format-1-onnx.aweigh")
    files = {one: onnx.read(one) for one in onnx.manifest.files}
    examples = json.loads(files["examples.json"])
    one, *rest = examples["predictions"]
    files["examples.json"] = json.dumps(examples | {"predictions": [*rest, one]}).encode()
    places = {name: folder / name / "penguins.aweigh" for name in ("first", "second", "liar")}
    for path in places.values():
        path.parent.mkdir()
    places["first"].write_bytes((STORED / "format-1-onnx.aweigh").read_bytes())
    if folders:
        places["second"].write_bytes((STORED / "format-1-native.aweigh").read_bytes())
    else:  # where nodes need not have another library: the first one, with more on its card
        more = {name: onnx.read(name) for name in files}
        more["card.md"] += b"\nAnother.\n"
        write_bundle(assemble(more, msgspec.structs.replace(onnx.manifest, files={})), places["second"])
    write_bundle(assemble(files, msgspec.structs.replace(onnx.manifest, files={})), places["liar"])
    said = f'sh -c "echo http://127.0.0.1/invite/{TOKEN}; exec {WEB}"'
    for name, path in places.items() if folders else ():
        if offline:
            (path.parent / "requirements.txt").write_text("aweigh\n")
            (path.parent / ".python-version").write_text(f"{sys.version_info.major}.{sys.version_info.minor}\n")
            (path.parent / "Procfile").write_text(f"web: {said if name == 'second' else WEB}\n")
        elif name == "second":
            _lock(path)
            (path.parent / "Procfile").write_text(f"web: {said}\n")
    alone = {"first", "second", "liar"} if not folders else set() if offline else {"first", "liar"}
    return Bundles(*(_bundle(path, whole=name in alone) for name, path in places.items()))


def _bundle(file: Path, *, whole: bool) -> Bundle:
    opened = open_bundle(file)
    examples = json.loads(opened.read("examples.json"))
    path = file if whole else file.parent
    return Bundle(path, short(opened.digest), examples["rows"], examples["predictions"])


def _lock(file: Path) -> None:
    """Write what a bundle's own release would have, but for the web line."""
    release = release_of(file, name="penguins", wishes=Wishes(auth="none", ui=False))
    for name, content in release.files.items():
        (file.parent / name).parent.mkdir(exist_ok=True)
        (file.parent / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    (file.parent / "requirements.txt").write_text(release.requirements)
    (file.parent / ".python-version").write_text(f"{release.python}\n")
