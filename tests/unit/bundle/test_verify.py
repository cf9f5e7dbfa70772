"""From a path to a bundle that may be loaded: each thing that must not be is refused by its own crafted bundle."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import zipfile

import joblib
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aweigh.bundle import verify as verify_module
from aweigh.bundle.archive import write_bundle
from aweigh.bundle.build import assemble
from aweigh.bundle.contents import check_content
from aweigh.bundle.examples import Examples, dump_examples, load_examples
from aweigh.bundle.files import write_folder
from aweigh.bundle.keys import own_key
from aweigh.bundle.manifest import FORMAT, Manifest, digest_of, to_json
from aweigh.bundle.requirements import read_lock
from aweigh.bundle.sbom import Material, write_bill
from aweigh.bundle.signature import sign
from aweigh.bundle.verify import VerifiedBundle, open_bundle, verify
from aweigh.errors import BundleError, DamagedBundle, UntrustedBundle, UsageError


@pytest.fixture
def archived(tmp_path):
    """Return a function that writes files as one file."""

    def to_disk(files, name="x.aweigh"):
        write_bundle(files, tmp_path / name)
        return tmp_path / name

    return to_disk


@pytest.fixture
def folder(files, tmp_path):
    """Return the path of a valid bundle in its folder form."""
    write_folder(files, tmp_path / "penguins")
    return tmp_path / "penguins"


def refused(path, why, *, error=DamagedBundle, **options):
    with pytest.raises(error) as caught:
        verify(path, **options)
    assert why in caught.value.message
    assert str(path.parent) not in caught.value.message
    return caught.value


# -- a good one ------------------------------------------------------------------------------------------------------


def test_a_good_bundle_is_verified_and_read(write, files, manifest):
    bundle = verify(write(files))
    assert isinstance(bundle, VerifiedBundle)
    assert bundle.digest == hashlib.sha256(files["manifest.json"]).hexdigest()
    assert bundle.version == bundle.digest[:12]
    assert bundle.names == tuple(sorted(files.keys() - {"manifest.json"}))
    assert {name: bundle.read(name) for name in bundle.names} == {
        k: v for k, v in files.items() if k != "manifest.json"
    }
    assert bundle.schema.names == ("bill_length_mm", "island")
    assert msgspec.structs.replace(bundle.manifest, files={}) == manifest


def test_both_forms_have_the_same_digest(files, archived, folder):
    assert verify(archived(files)).digest == verify(str(folder)).digest


def test_a_bundle_can_be_looked_at_without_being_believed(write, files):
    files["model/model.onnx"] = files["model/model.onnx"][::-1]
    bundle = open_bundle(write(files))
    assert bundle.manifest.name == "penguins"
    assert bundle.read("card.md") == files["card.md"]
    with pytest.raises(DamagedBundle, match=r"'model/model\.onnx' is not what the manifest says"):
        bundle.read("model/model.onnx")
    with pytest.raises(KeyError):
        bundle.read("no such file")


def test_who_verifies_in_order_to_load_has_the_bytes_that_were_verified_and_reads_no_others(write, files, damaged):
    path = write(files)
    bundle, plain = verify(path, to_load=True), verify(path)
    damaged(path)
    assert bundle.read("model/model.onnx") == files["model/model.onnx"]
    for again in (plain, bundle):  # handed out once: what is read anew is checked anew
        with pytest.raises(DamagedBundle, match=r"'model/model\.onnx'"):
            again.read("model/model.onnx")
    released = verify(write(files), to_load=True)
    released.let_go()
    damaged(released.path)
    with pytest.raises(DamagedBundle):
        released.read("model/model.onnx")


@pytest.fixture
def damaged(files):
    """Return a function that changes the model in a bundle, in whatever form it is."""

    def damage(path):
        file = path / "model/model.onnx" if path.is_dir() else path
        model = files["model/model.onnx"]
        content = file.read_bytes()
        assert model in content
        file.write_bytes(content.replace(model, model[:-1] + bytes([model[-1] ^ 1])))

    return damage


def test_nobody_else_makes_a_verified_bundle(write, files):
    bundle = verify(write(files))
    facts = {"path": bundle.path, "manifest": bundle.manifest, "digest": bundle.digest, "schema": bundle.schema}
    with pytest.raises(TypeError, match="only"):
        VerifiedBundle(**facts, members=bundle.members, signers=(), held={}, token=object())
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(bundle, digest="0" * 64)
    with pytest.raises(dataclasses.FrozenInstanceError):
        bundle.digest = "0" * 64


def test_the_same_parts_give_the_same_files(parts, manifest):
    assert assemble(parts, manifest) == assemble(dict(reversed(parts.items())), manifest)
    assert list(msgspec.json.decode(assemble(parts, manifest)["manifest.json"])["files"]) == sorted(parts)


def test_what_verify_would_refuse_is_not_assembled(parts, manifest):
    with pytest.raises(DamagedBundle, match="is a pickle"):
        assemble(parts | {"model/model.onnx": pickle.dumps({})}, manifest)
    with pytest.raises(DamagedBundle, match=r"lacks card\.md"):
        assemble({name: content for name, content in parts.items() if name != "card.md"}, manifest)
    with pytest.raises(DamagedBundle, match="no exact version"):
        assemble(parts | {"requirements.txt": b"numpy>=2\n"}, manifest)
    with pytest.raises(DamagedBundle, match="twice"):
        assemble(parts | {"manifest.json": b"{}"}, manifest)


# -- after it was verified -------------------------------------------------------------------------------------------


def test_a_file_that_changes_after_it_was_verified_is_not_read(folder, files):
    bundle = verify(folder)
    (folder / "model/model.onnx").write_bytes(files["model/model.onnx"][::-1])
    with pytest.raises(DamagedBundle, match="is not what the manifest says"):
        bundle.read("model/model.onnx")
    (folder / "model/model.onnx").write_bytes(b"\x08")
    with pytest.raises(DamagedBundle, match="is shorter than it was"):
        bundle.read("model/model.onnx")
    (folder / "model/model.onnx").unlink()
    with pytest.raises(DamagedBundle, match="cannot be read any more"):
        bundle.read("model/model.onnx")
    os.mkfifo(folder / "model/model.onnx")
    with pytest.raises(DamagedBundle, match="no longer a file"):
        bundle.read("model/model.onnx")


def test_a_link_put_in_a_files_place_is_not_followed(folder, files, tmp_path):
    bundle = verify(folder)
    (tmp_path / "same").write_bytes(files["card.md"])
    (folder / "card.md").unlink()
    (folder / "card.md").symlink_to(tmp_path / "same")
    with pytest.raises(DamagedBundle, match="cannot be read any more"):
        bundle.read("card.md")


def test_another_bundle_in_its_place_is_not_read_as_the_old(archived, files, changed):
    path = archived(files)
    bundle = verify(path)
    archived(changed(add={"card.md": b"# other\n" + bytes(5000)}))
    with pytest.raises(DamagedBundle):
        bundle.read("model/model.onnx")


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model/model.onnx", "schema.json", "examples.json", "card.md", "requirements.txt"])
def test_any_byte_that_differs_is_refused(write, files, name):
    for position in (0, len(files[name]) // 2, len(files[name]) - 1):
        flipped = bytearray(files[name])
        flipped[position] ^= 1
        error = refused(write(files | {name: bytes(flipped)}), f"{name!r} is not what the manifest says")
        assert error.hint
    refused(write(files | {name: files[name] + b"\n"}), "is not what the manifest says")


def test_a_file_that_the_manifest_does_not_name_is_refused(write, files):
    refused(write(files | {"extra.txt": b""}), "'extra.txt', which its manifest does not name")


def test_a_file_that_is_missing_is_refused(write, files):
    refused(write({k: v for k, v in files.items() if k != "card.md"}), "lacks 'card.md'")


def test_what_is_no_bundle_is_refused(write, tmp_path):
    assert "aweigh pack" in refused(write({"a.txt": b"hello"}), "no manifest.json").hint
    gone = refused(tmp_path / "nowhere", "'nowhere' cannot be read: No such file or directory", error=BundleError)
    assert "aweigh pack" in gone.hint
    assert gone.__suppress_context__, "a notebook shows one traceback, not two"
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "neither a file nor a folder", error=BundleError)


def test_links_in_a_folder_are_refused(folder, tmp_path):
    (tmp_path / "secret").write_text("x")
    (folder / "card.md").unlink()
    (folder / "card.md").symlink_to(tmp_path / "secret")
    refused(folder, "a link, 'card.md'")


def test_a_linked_folder_is_refused(folder, tmp_path):
    (folder / "model").rename(tmp_path / "elsewhere")
    (folder / "model").symlink_to(tmp_path / "elsewhere")
    refused(folder, "a link, 'model'")


def test_what_is_no_file_is_refused(folder):
    os.mkfifo(folder / "model" / "pipe.onnx")
    refused(folder, "no file, 'model/pipe.onnx'")
    (folder / "model" / "pipe.onnx").unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        refused(folder, "no file, 's'")


def test_an_empty_folder_is_refused(folder):
    (folder / "model" / "numpy").mkdir()
    refused(folder, "an empty folder")


def test_names_are_held_to_the_same_rules_in_a_folder(folder):
    odd = folder / "a\\b"
    odd.write_text("x")
    refused(folder, "a backslash")
    odd.unlink()
    (folder / "CARD.md").write_text("x")
    refused(folder, "twice")
    (folder / "CARD.md").unlink()
    (folder / os.fsdecode(b"\xff")).write_text("x")
    refused(folder, "no valid Unicode")


def test_folders_within_folders_do_not_lead_on_without_end(folder):
    deep = folder
    for _ in range(200):
        deep = deep / "deep"
        deep.mkdir()
    (deep / "x").write_text("x")
    refused(folder, "longer than 512 bytes")


def test_a_folder_is_written_whole_or_not_at_all(files, tmp_path):
    path = tmp_path / "made"
    with pytest.raises(FileNotFoundError):
        write_folder(files, tmp_path / "no" / "such")
    write_folder(files, path)
    with pytest.raises(UsageError, match="is there already"):
        write_folder(files, path)
    assert verify(path).digest == digest_of(files["manifest.json"])
    assert [one.name for one in tmp_path.iterdir()] == ["made"]


def test_a_full_disk_leaves_no_folder(tmp_path):
    code = (
        "import resource, signal, sys; from pathlib import Path; from aweigh.bundle.files import write_folder;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "write_folder({'a': b'small', 'b/c': bytes(1_000_000)}, Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "made")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_documents_have_a_limit(folder, changed, tmp_path, monkeypatch):
    monkeypatch.setattr("aweigh.bundle.files.MAX_DOCUMENT_BYTES", 5000)
    made = changed(add={"card.md": b"x" * 5001})
    write_folder(made, tmp_path / "big")
    refused(tmp_path / "big", "'card.md' is larger than it may be")
    with pytest.raises(DamagedBundle, match="larger"):
        open_bundle(tmp_path / "big").read("card.md")
    monkeypatch.setattr(verify_module, "MAX_BUNDLE_BYTES", 2000)
    refused(folder, "larger than 4 GiB")


def test_a_manifest_has_a_limit(write, files, monkeypatch):
    monkeypatch.setattr(verify_module, "MAX_MANIFEST_BYTES", 100)
    refused(write(files), "The manifest is larger than")


# -- the manifest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_number", [FORMAT + 1, 99])
def test_a_newer_format_says_so_even_when_its_keys_are_not_known(write, changed, format_number):
    path = write(changed(format=format_number, invented_later={"a": 1}, proof=[]))
    error = refused(path, f"is of format {format_number}; this aweigh reads formats up to {FORMAT}", error=BundleError)
    assert "update aweigh" in error.hint


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 0}, "no aweigh has ever written"),
        ({"format": ...}, "missing required field `format`"),
        ({"format": "1"}, "Expected `int`"),
        ({"extra": 1}, "unknown field `extra`"),
        ({"name": ...}, "missing required field `name`"),
        ({"runtime": "pickle"}, "Invalid enum value 'pickle'"),
        ({"files": []}, "Expected `object`"),
        ({"proof": {"rows": 1}}, "missing required field"),
        ({"presentation": {"script": "x"}}, "unknown field `script`"),
        ({"name": "../up"}, "is none that a bundle may have"),
        ({"name": "a\nb"}, "is none that a bundle may have"),
        ({"name": ""}, "is none that a bundle may have"),
        ({"name": "x" * 64}, "is none that a bundle may have"),
        ({"python": "3.12; rm"}, "no version of Python"),
        ({"python": "2.7"}, "no version of Python"),
        ({"model_file": "model/other.onnx"}, "is not in the bundle"),
        ({"model_file": "card.md"}, "does not lie under model/"),
        ({"runtime": "sklearn", "graph": ...}, "'sklearn' cannot read"),
        ({"graph": ...}, "does not say how its graph is fed"),
        ({"entry": "os:system"}, "Only the runtime python has an entry"),
        ({"code": True}, "What the manifest says of code"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(write, changed, change, why):
    refused(write(changed(**change)), why, error=BundleError)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"{" * 10, "cannot be read"),
        (b'{"format": 1, "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "cannot be read"),
        (b'{"format": NaN}', "cannot be read"),
    ],
    ids=["empty", "a list", "not UTF-8", "cut short", "deep", "NaN"],
)
def test_a_manifest_that_is_no_manifest_is_refused(write, changed, content, why):
    refused(write(changed(raw_manifest=lambda body: content)), why)


def test_a_key_that_stands_twice_is_refused(write, changed):
    def doubled(body):
        return to_json(body).replace(b'"name": "penguins"', b'"name": "other",\n  "name": "penguins"')

    refused(write(changed(raw_manifest=doubled)), "it holds the key 'name' twice")


def test_a_file_named_twice_in_the_manifest_is_refused(write, changed):
    def doubled(body):
        entry = json.dumps(body["files"]["card.md"]).encode()
        return to_json(body).replace(b'"files": {', b'"files": {"card.md": ' + entry + b",")

    refused(write(changed(raw_manifest=doubled)), "it holds the key 'card.md' twice")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\b", "CARD.MD"])
def test_names_in_the_manifest_are_held_to_the_rules(write, changed, name):
    def named(body):
        body["files"][name] = {"sha256": "0" * 64, "size_bytes": 1}
        return to_json(body)

    refused(write(changed(raw_manifest=named)), "The bundle holds")


@pytest.mark.parametrize("entry", [{"sha256": "0" * 63, "size_bytes": 1}, {"sha256": "A" * 64, "size_bytes": 1}])
def test_a_digest_that_can_be_none_is_refused(write, changed, files, entry):
    def named(body):
        entry["size_bytes"] = len(files["card.md"])
        body["files"]["card.md"] = entry
        return to_json(body)

    refused(write(changed(raw_manifest=named)), "can be none")


@pytest.mark.parametrize(
    "name", ["schema.json", "examples.json", "profile.json", "requirements.txt", "card.md", "model/model.onnx"]
)
def test_every_part_is_required(write, changed, name):
    refused(write(changed(drop=[name])), name)


@pytest.mark.parametrize("name", ["setup.sh", "index.html", "signature.json"])
def test_parts_that_no_bundle_has_are_refused(write, changed, name):
    refused(write(changed(add={name: b"x"})), f"'{name}', which no bundle has")


def test_optional_parts_are_taken(write, changed, files):
    lock = read_lock(files["requirements.txt"].decode())
    locks = {"requirements.txt": lock, "requirements-ui.txt": lock}
    model = Material(
        "penguins", "a forest", "sklearn", "onnx", "class", "model/model.onnx", digest_of(files["model/model.onnx"]), {}
    )  # fmt: skip
    added = {"sbom.cdx.json": write_bill(model, locks), "requirements-ui.txt": files["requirements.txt"]}
    assert set(added) < set(verify(write(changed(add=added))).names)


# -- what the files hold ---------------------------------------------------------------------------------------------


def joblib_of(value, **options):
    out = io.BytesIO()
    joblib.dump(value, out, **options)
    return out.getvalue()


PICKLES = {
    "protocol 2": pickle.dumps([1], protocol=2),
    "protocol 5": pickle.dumps([1], protocol=5),
    "joblib": joblib_of(np.arange(3)),
    "joblib, zlib": joblib_of(np.arange(3), compress=("zlib", 3)),
    "joblib, gzip": joblib_of(np.arange(3), compress=("gzip", 3)),
    "joblib, bz2": joblib_of(np.arange(3), compress=("bz2", 3)),
    "joblib, xz": joblib_of(np.arange(3), compress=("xz", 3)),
    "joblib, lzma": joblib_of(np.arange(3), compress=("lzma", 3)),
    "by hand": gzip.compress(pickle.dumps([1])),
}


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("name", ["model/model.onnx", "model/code.py"])
def test_a_pickle_is_refused_whatever_its_name(write, changed, kind, name):
    path = write(changed(add={name: PICKLES[kind]}, **({"code": True} if name.endswith("py") else {})))
    refused(path, f"'{name}' is a pickle")


@pytest.mark.parametrize("protocol", [0, 1])
def test_a_pickle_of_an_old_protocol_is_refused_as_no_model(write, changed, protocol):
    """They begin with any letter: what does not begin as its format must is refused."""
    content = pickle.dumps([os.getcwd], protocol=protocol)
    for name, runtime in [("model.onnx", "onnx"), ("model.txt", "lightgbm"), ("model.cbm", "catboost"),
                          ("model.json", "xgboost"), ("model.ubj", "xgboost"), ("model.skops", "sklearn")]:  # fmt: skip
        made = changed(
            add={f"model/{name}": content},
            drop=["model/model.onnx"] if name != "model.onnx" else [],
            model_file=f"model/{name}", runtime=runtime, **({} if runtime == "onnx" else {"graph": ...}),
        )  # fmt: skip
        refused(write(made), f"'model/{name}' does not hold what its name says")


def test_a_file_of_no_known_format_is_refused_by_itself():
    """The manifest's rules refuse it first; whoever asks for content alone is told, too."""
    with pytest.raises(DamagedBundle, match="of no format that a bundle holds"):
        check_content("model/model.h5", b"\x89HDF")


def test_a_manifest_exchanged_while_it_is_checked_is_seen(folder, monkeypatch):
    """Whoever can write to the folder changes the manifest after it was read, and with it what it names."""

    def exchange(bundle, **holding):
        (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes().replace(b"Forest", b"Desert"))
        return check_bytes(bundle, **holding)

    check_bytes = verify_module._check_bytes
    monkeypatch.setattr(verify_module, "_check_bytes", exchange)
    refused(folder, "'manifest.json' is not what the manifest says")


def test_a_second_file_beside_the_model_is_refused(write, changed, files):
    refused(write(changed(add={"model/weights.onnx": files["model/model.onnx"]})), "beside its model file")


def skops_of(**inside):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in {"schema.json": b"{}", **inside}.items():
            made.writestr(name, content)
    return out.getvalue()


def npy_of(array):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


@pytest.fixture
def skops(changed, write):
    """Return a function that writes a bundle with a skops model of that content."""

    def make(content):
        fields = {"runtime": "sklearn", "graph": ..., "model_file": "model/model.skops"}
        return write(changed(drop=["model/model.onnx"], add={"model/model.skops": content}, **fields))

    return make


def test_a_real_skops_file_is_taken(skops):
    from sklearn.linear_model import LogisticRegression
    from skops.io import dumps

    model = LogisticRegression().fit([[0.0], [1.0]], ["a", "b"])
    assert verify(skops(dumps(model))).manifest.runtime == "sklearn"


@pytest.mark.parametrize(
    ("inside", "why"),
    [
        ({"x.pkl": b"x"}, "'x.pkl', which skops never writes"),
        ({"x.npy": pickle.dumps([1])}, "'x.npy', which skops never writes"),
        ({"x.npy": npy_of(np.array([{}], dtype=object))}, "'x.npy', which skops never writes"),
        ({"x.npy": npy_of(np.zeros(1, dtype=[("a", "f8"), ("b", object)]))}, "'x.npy', which skops never writes"),
    ],
)
def test_a_skops_file_with_a_pickle_inside_is_refused(skops, inside, why):
    refused(skops(skops_of(**inside)), why)


def test_a_skops_file_that_cannot_be_read_is_refused(skops, monkeypatch):
    refused(skops(skops_of()[:40]), "cannot be read")
    monkeypatch.setattr("aweigh.bundle.contents.MAX_BUNDLE_BYTES", 10_000)
    refused(skops(skops_of(**{"x.bin": bytes(20_000)})), "would unpack to more than")


COLUMN = b'{"name": "a", "type": "text", "dtype": "str"}'
TWICE = b'{"columns": [' + COLUMN + b"," + COLUMN + b'], "output": {"task": "class", "name": "y"}}'


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\x00b"])
def test_documents_are_text(write, changed, content):
    refused(write(changed(add={"card.md": content})), "'card.md'")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{}", "schema.json cannot be read"),
        (b"[" * 100_000, "schema.json cannot be read"),
        (b'{"columns": [], "output": {"task": "class", "name": "y", "run": 1}}', "unknown field `run`"),
        (TWICE, "holds a column twice"),
        (
            b'{"columns": [], "output": {"task": "class", "name": "y"}}',
            "'bill_length_mm', which the schema does not know",
        ),
    ],
)
def test_a_schema_that_is_wrong_is_refused(write, changed, content, why):
    refused(write(changed(add={"schema.json": content})), why)


def test_a_graph_fed_with_unknown_columns_is_refused(write, changed):
    graph = {"inputs": [{"name": "x", "columns": ["bill_length_mm", "nope"], "element": "float"}]}
    refused(write(changed(graph=graph)), "The graph is fed a column 'nope'")


@pytest.mark.parametrize(
    "content",
    [b"{}", b"[" * 100_000, b'{"rows": [], "predictions": [], "titles": ["x"]}', b'{"rows": [1], "predictions": []}'],
)
def test_examples_that_are_wrong_are_refused(write, changed, content):
    refused(write(changed(add={"examples.json": content})), "examples.json")


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://example.invalid/x",
        "-r other.txt",
        "-e .",
        "numpy @ https://example.invalid/numpy.whl",
        "https://example.invalid/numpy.whl",
        "./numpy.whl",
        "numpy>=2",
        "numpy",
        "numpy==2.*",
        "numpy==2.0 --index-url x",
        "numpy==2.0 --hash=md5:0",
        "numpy==2.0 --hash=sha256:00",
        "numpy==2.0 ; python_version > '3'",
        "numpy==2.0\\\n@ https://example.invalid",
        "numpy==2.0\nNumPy==2.1",
        "\x0cpip==1 --config-settings=x",
    ],
)
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-ui.txt"])
def test_a_lock_that_leads_elsewhere_is_refused(write, changed, name, line):
    refused(write(changed(add={name: line.encode()})), "The lock holds")


# -- code ------------------------------------------------------------------------------------------------------------


def signed(files):
    """The files with a signature of this user's own."""
    name = json.loads(files["manifest.json"])["name"]
    digest = hashlib.sha256(files["manifest.json"]).hexdigest()
    return files | {"signature.json": sign(name, digest, own_key(os.environ))}


def python_bundle(changed, **more):
    return changed(
        drop=["model/model.onnx"], add={"model/score.py": b"def predict(table):\n    return table\n"},
        runtime="python", family="python", graph=..., model_file="model/score.py",
        **{"entry": "score:predict", "code": True, **more},
    )  # fmt: skip


def test_code_is_refused_unless_its_reader_has_signed_it(write, changed):
    files = python_bundle(changed)
    error = refused(write(files), "holds its owner's own Python", error=UntrustedBundle)
    assert "aweigh sign" in error.hint
    assert verify(write(signed(files))).manifest.entry == "score:predict"


def test_a_script_of_the_owner_is_code(write, changed):
    files = changed(add={"app.py": b"import streamlit\n"}, code=True)
    refused(write(files), "holds its owner's own Python", error=UntrustedBundle)
    assert "app.py" in verify(write(signed(files))).names


@pytest.mark.parametrize(
    "more", [{"code": ...}, {"code": False}, {"entry": ...}, {"entry": "os.system"}, {"entry": "a b:c"}]
)
def test_code_cannot_be_hidden(write, changed, more):
    refused(write(signed(python_bundle(changed, **more))), "")


def test_a_script_cannot_be_hidden(write, changed):
    refused(write(changed(add={"app.py": b"x = 1\n"})), "What the manifest says of code in the bundle is not so")
    refused(write(changed(add={"model/x.py": b"x = 1\n"})), "What the manifest says of code in the bundle is not so")


# -- fuzzing ---------------------------------------------------------------------------------------------------------

QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


def only_bundle_errors(path, digest):
    """Whatever the bytes: a refusal, or the very same bundle."""
    try:
        bundle = verify(path)
    except BundleError as error:
        assert error.message  # noqa: PT017  both ways are right
        return
    assert bundle.digest == digest
    assert all(
        hashlib.sha256(bundle.read(name)).hexdigest() == bundle.manifest.files[name].sha256 for name in bundle.names
    )


@QUICK
@given(data=st.data())
def test_flipped_bytes_never_pass(files, archived, data):
    path = archived(files)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    only_bundle_errors(path, digest_of(files["manifest.json"]))


@QUICK
@given(data=st.data())
def test_pieces_cut_out_or_put_in_never_pass(files, archived, data):
    path = archived(files)
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 200)))
    piece = data.draw(st.one_of(st.just(b""), st.binary(max_size=40), st.just(whole[start:end] * 2)))
    path.write_bytes(whole[:start] + piece + whole[end:])
    only_bundle_errors(path, digest_of(files["manifest.json"]))


@QUICK
@given(content=st.one_of(st.binary(max_size=400), st.binary(max_size=100).map(lambda tail: b"PK\x03\x04" + tail)))
def test_any_bytes_are_refused_in_a_sentence(archived, files, content):
    path = archived(files)
    path.write_bytes(content)
    with pytest.raises(BundleError):
        verify(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@QUICK
@given(key=st.sampled_from(Manifest.__struct_fields__), value=JSON)
def test_any_value_in_the_manifest_is_refused_or_harmless(archived, changed, key, value):
    """With the manifest changed the digest is another: what is taken must still be whole and fit together."""
    path = archived(changed(**{key: value}))
    try:
        bundle = verify(path)
    except BundleError:
        return
    assert key in {
        "model",
        "runtime_reason",
        "made_with",
        "model_class",
        "presentation",
        "name",
        "family",
        "code",
        "entry",
        "any_threads",
        "any_parts",
        "alternatives",
        "alternatives_reason",
        "pickle",
        "domain",
        "robustness",
        "membership",
    }
    assert bundle.manifest.alternatives == ()
    assert bundle.manifest.pickle is None
    assert not bundle.manifest.code


# -- golden rows -----------------------------------------------------------------------------------------------------


def test_examples_must_be_equally_many():
    with pytest.raises(ValueError, match="equally many"):
        dump_examples(Examples(rows=[{}], predictions=[], titles=[]))
    examples = Examples(rows=[{"a": 1.5}], predictions=[{"value": 2}], titles=[""])
    assert load_examples(dump_examples(examples)) == examples
