"""A valid tiny bundle, made of bytes, and ways to break it."""

import hashlib

import msgspec
import pytest

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.build import assemble
from aweigh.bundle.examples import Examples, dump_examples
from aweigh.bundle.files import write_folder
from aweigh.bundle.manifest import Attempt, Graph, GraphInput, Manifest, Proof, to_json
from aweigh.schema.column import Column, Output, Schema

SCHEMA = Schema(
    columns=(
        Column(
            name="bill_length_mm", type="number", dtype="float64", nullable=True, minimum=32.1, maximum=59.6, unit="mm"
        ),
        Column(name="island", type="category", dtype="object", categories=("Biscoe", "Dream", "Torgersen")),
    ),
    output=Output(task="class", name="species", classes=("Adelie", "Gentoo"), probabilities=True),
)
MANIFEST = Manifest(
    format=1,
    name="penguins",
    family="sklearn",
    model="RandomForestClassifier in a Pipeline",
    runtime="onnx",
    runtime_reason="ONNX gave the original's answers",
    model_file="model/model.onnx",
    python="3.12",
    made_with={"scikit-learn": "1.9.1"},
    proof=Proof(
        rows=344, probe_rows=900, single_rows=64,
        absolute_tolerance=1e-6, relative_tolerance=1e-5, largest_difference=3e-8,
        attempts=(
            Attempt(form="ONNX, float32", agreed=False, largest_difference=0.1, labels_differing=3, reason="3 differ"),
            Attempt(form="ONNX, double", agreed=True, largest_difference=3e-8),
        ),
    ),
    files={},
    graph=Graph(
        inputs=(
            GraphInput(name="numbers", columns=("bill_length_mm",), element="double"),
            GraphInput(name="words", columns=("island",), element="string"),
        ),
        label="label",
        probabilities="probabilities",
    ),
)  # fmt: skip
LOCK = f"click==8.5.1 \\\n    --hash=sha256:{'a' * 64}\nnumpy==2.4.6 \\\n    --hash=sha256:{'b' * 64}\n"


@pytest.fixture
def parts():
    """Return the files of a valid bundle, without its manifest."""
    examples = Examples(
        rows=[{"bill_length_mm": 39.1, "island": "Dream"}, {"bill_length_mm": None, "island": "Biscoe"}],
        predictions=[{"label": "Adelie"}, {"label": "Gentoo"}],
        titles=["typical", "a missing bill"],
    )
    return {
        "schema.json": to_json(SCHEMA),
        "examples.json": dump_examples(examples),
        "profile.json": to_json({"rows": 344}),
        "requirements.txt": LOCK.encode(),
        "card.md": "# Pingüinos\n".encode(),
        "model/model.onnx": b"\x08\x08" + bytes(range(256)) * 4,
    }


@pytest.fixture
def manifest():
    """Return the manifest of a valid bundle, which names no file yet."""
    return MANIFEST


@pytest.fixture
def files(parts, manifest):
    """Return all files of a valid bundle."""
    return assemble(parts, manifest)


@pytest.fixture
def changed(parts, manifest):
    """Return a function that makes the files of a bundle with another manifest or other parts, right or wrong."""

    def make(*, drop=(), add=None, raw_manifest=None, **fields):
        good = assemble(parts, manifest)
        body = msgspec.json.decode(good["manifest.json"])
        made = {name: content for name, content in good.items() if name not in drop} | (add or {})
        for name in drop:
            body["files"].pop(name)
        for name, content in (add or {}).items():
            body["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        body |= fields
        body = {key: value for key, value in body.items() if value is not ...}
        made["manifest.json"] = to_json(body) if raw_manifest is None else raw_manifest(body)
        return made

    return make


@pytest.fixture(params=["archive", "folder"])
def write(request, tmp_path):
    """Return a function that writes files in one form of a bundle and returns its path."""

    def to_disk(files):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.aweigh"
        (write_bundle if request.param == "archive" else write_folder)(files, path)
        return path

    return to_disk
