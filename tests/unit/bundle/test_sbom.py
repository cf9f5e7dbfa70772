"""The bill of materials, read by CycloneDX's own library and held against its official schema; none of it is ours."""

import json
import re
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import ComponentType
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from sklearn.linear_model import LogisticRegression

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.build import assemble
from aweigh.bundle.manifest import to_json
from aweigh.bundle.requirements import Pinned, read_lock, write_lock
from aweigh.bundle.sbom import Material, purl_of, told_bill, write_bill
from aweigh.bundle.verify import open_bundle, verify
from aweigh.errors import DamagedBundle
from aweigh.packing import pack

MATERIAL = Material(
    name="penguins",
    words="RandomForestClassifier in a Pipeline",
    family="sklearn",
    runtime="onnx",
    task="class",
    model_file="model/model.onnx",
    sha256="c" * 64,
    others={"model/alternative.ubj": "e" * 64},
    original_sha256="d" * 64,
    licence="Apache-2.0",
)
LOCKS = {
    "requirements.txt": (Pinned("click", "8.5.1", ("a" * 64,)), Pinned("numpy", "2.4.6", ("b" * 64, "f" * 64))),
    "requirements-ui.txt": (
        Pinned("click", "8.5.1", ("a" * 64,)),
        Pinned("numpy", "2.4.6", ("b" * 64, "f" * 64)),
        Pinned("torch", "2.13.0+cpu", ()),
    ),
}


def official(content):
    """The document as CycloneDX's own library reads it, after its own validator has found nothing wrong."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None
    return Bom.from_json(json.loads(content))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle packed from a file, as a user would."""
    import joblib

    folder = tmp_path_factory.mktemp("packed")
    frame = pd.DataFrame({"a": np.linspace(0, 1, 40), "b": np.linspace(5, -5, 40)})
    joblib.dump(LogisticRegression().fit(frame, frame["a"] > 0.5), folder / "model.joblib")
    return folder / "model.joblib", pack(folder / "model.joblib", frame, output=folder / "x.aweigh").path, frame


def test_the_official_validator_would_refuse_what_is_wrong():
    """Otherwise its silence would prove nothing."""
    body = json.loads(write_bill(MATERIAL, LOCKS))
    for wrong in ({"serialNumber": "urn:uuid:1"}, {"components": [{"type": "brain", "name": "x"}]}, {"unknown": 1}):
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(body | wrong)) is not None


@pytest.mark.parametrize(
    "material",
    [
        MATERIAL,
        Material("f", "your own function a:b", "python", "python", "number", "model/code/a.py", "0" * 64, {}),
    ],
    ids=["a file", "a function"],
)
def test_it_is_valid_and_says_all_that_is_in_the_bundle(material):
    read = official(write_bill(material, LOCKS))
    by_name = {one.name: one for one in read.components}
    assert {one.name for one in read.components} == {
        material.model_file, *material.others, "click", "numpy", "torch"
    }  # fmt: skip
    model = by_name[material.model_file]
    assert model.type is ComponentType.MACHINE_LEARNING_MODEL
    assert [one.content for one in model.hashes] == [material.sha256]
    (original,) = model.pedigree.ancestors
    assert original.name == material.words
    assert [one.content for one in original.hashes] == ([material.original_sha256] if material.original_sha256 else [])
    assert {one.name: one.value for one in model.properties}["aweigh:family"] == material.family
    assert {one.content for one in by_name["numpy"].hashes} == {"b" * 64, "f" * 64}
    assert by_name["numpy"].purl.to_string() == "pkg:pypi/numpy@2.4.6"
    assert by_name["torch"].purl.version == "2.13.0+cpu"
    assert (by_name["click"].scope.value, by_name["torch"].scope.value) == ("required", "optional")
    assert read.metadata.component.name == material.name


def test_its_serial_number_is_made_of_its_content():
    first = write_bill(MATERIAL, LOCKS)
    assert first == write_bill(MATERIAL, dict(reversed(LOCKS.items())))
    other = write_bill(MATERIAL, LOCKS | {"requirements.txt": LOCKS["requirements.txt"][:1]})
    assert json.loads(first)["serialNumber"] != json.loads(other)["serialNumber"]
    assert "timestamp" not in first.decode()


def test_an_address_of_a_package_is_one_that_others_read():
    assert purl_of("Typing_Extensions", "1!4.0+cu12") == "pkg:pypi/typing-extensions@1%214.0%2Bcu12"
    assert unquote(purl_of("a", "1!4.0+cu12").partition("@")[2]) == "1!4.0+cu12"


def test_a_packed_bundle_has_one_that_is_true(bundle):
    import hashlib

    file, path, _ = bundle
    checked = verify(path)
    read = official(checked.read("sbom.cdx.json"))
    pinned = {
        (one.name, one.version): set(one.hashes)
        for name in ("requirements.txt", "requirements-ui.txt")
        for one in read_lock(checked.read(name).decode())
    }
    listed = {(one.name, one.version): {two.content for two in one.hashes} for one in read.components
              if one.type is ComponentType.LIBRARY}  # fmt: skip
    assert listed == pinned
    (model,) = [one for one in read.components if one.type is ComponentType.MACHINE_LEARNING_MODEL]
    assert [one.content for one in model.hashes] == [checked.manifest.files["model/model.onnx"].sha256]
    (original,) = model.pedigree.ancestors
    assert [one.content for one in original.hashes] == [hashlib.sha256(file.read_bytes()).hexdigest()]


def test_it_names_no_address_but_those_of_the_specification(bundle):
    text = verify(bundle[1]).read("sbom.cdx.json").decode()
    assert re.findall(r"https?://\S+", text) == []


def test_inspect_names_it(bundle):
    from click.testing import CliRunner

    from aweigh.cli import cli

    shown = CliRunner().invoke(cli, ["inspect", str(bundle[1])]).output
    told = told_bill(open_bundle(bundle[1]).read("sbom.cdx.json"))
    assert f"  materials sbom.cdx.json: {told}" in shown
    assert re.fullmatch(r"CycloneDX 1\.6, the model and \d+ packages", told)
    document = json.loads(CliRunner().invoke(cli, ["inspect", str(bundle[1]), "--json"]).output)
    assert document["materials"] == "sbom.cdx.json"


def test_a_bundle_without_one_says_so(files, tmp_path):
    from click.testing import CliRunner

    from aweigh.cli import cli

    write_bundle(files, tmp_path / "x.aweigh")
    assert "  materials no bill of materials" in CliRunner().invoke(cli, ["inspect", str(tmp_path / "x.aweigh")]).output


def honest(parts, manifest):
    import hashlib

    material = Material(
        manifest.name, manifest.model, "sklearn", "onnx", "class", "model/model.onnx",
        hashlib.sha256(parts["model/model.onnx"]).hexdigest(), {},
    )  # fmt: skip
    return write_bill(material, {"requirements.txt": read_lock(parts["requirements.txt"].decode())})


def test_one_that_fits_is_taken(parts, manifest):
    assemble(parts | {"sbom.cdx.json": honest(parts, manifest)}, manifest)


LIES = {
    "a package less": (lambda body: body["components"].pop(), "other packages"),
    "another version": (lambda body: body["components"][-1].update(version="2.4.7"), "other packages"),
    "another hash": (lambda body: body["components"][-1]["hashes"][0].update(content="0" * 64), "other packages"),
    "another model": (lambda body: body["components"][0]["hashes"][0].update(content="0" * 64), "another model"),
    "no model": (lambda body: body["components"].pop(0), "another model"),
    "another form": (lambda body: body.update(bomFormat="SPDX"), "no bill of materials"),
    "no serial number": (lambda body: body.update(serialNumber=1), "no bill of materials"),
    "a number for its components": (lambda body: body.update(components=7), "no bill of materials"),
    "no components": (lambda body: body.pop("components"), "no bill of materials"),
}


@pytest.mark.parametrize(("change", "why"), LIES.values(), ids=LIES)
def test_one_that_says_otherwise_than_the_bundle_is_refused(parts, manifest, change, why):
    body = json.loads(honest(parts, manifest))
    change(body)
    with pytest.raises(DamagedBundle, match=why):
        assemble(parts | {"sbom.cdx.json": to_json(body)}, manifest)


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b"1" * 5000, b"[" * 100_000], ids=["a list", "cut short", "a number", "brackets"]
)
def test_what_is_no_bill_at_all_is_refused(parts, manifest, content):
    with pytest.raises(DamagedBundle, match="no bill of materials"):
        assemble(parts | {"sbom.cdx.json": content}, manifest)


def test_a_lock_without_hashes_gives_packages_without_them(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    _, _, frame = bundle
    model = LogisticRegression().fit(frame, frame["a"] > 0.5)
    checked = verify(pack(model, frame, output=tmp_path / "x.aweigh").path)
    read = official(checked.read("sbom.cdx.json"))
    packages = [one for one in read.components if one.type is ComponentType.LIBRARY]
    assert packages
    assert not any(one.hashes for one in packages)
    assert write_lock(read_lock(checked.read("requirements.txt").decode())) == checked.read("requirements.txt").decode()
    (model_read,) = [one for one in read.components if one.type is ComponentType.MACHINE_LEARNING_MODEL]
    assert [one.description for one in model_read.pedigree.ancestors] == [
        "an object in memory, not a file, of the family sklearn"
    ]
