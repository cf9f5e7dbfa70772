"""`aweigh inspect` and `aweigh verify`: for people, for programs, and of bundles that nobody should trust."""

import json
import os
import resource
import subprocess
import sys

import msgspec
import pytest

from aweigh.__main__ import main
from aweigh.bundle.archive import write_bundle
from aweigh.bundle.files import write_folder
from aweigh.bundle.manifest import Manifest, digest_of
from aweigh.bundle.trust import OWN_SIGNER
from aweigh.schema.column import Schema

AWEIGH = [sys.executable, "-m", "aweigh"]


@pytest.fixture
def path(files, tmp_path):
    write_bundle(files, tmp_path / "p.aweigh")
    return tmp_path / "p.aweigh"


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns its exit code and what it printed."""

    def call(*arguments):
        code = main([str(one) for one in arguments])
        return code, *capsys.readouterr()

    return call


def test_inspect_tells_a_person_everything(run, path, files):
    code, out, _ = run("inspect", path)
    assert code == 0
    digest = digest_of(files["manifest.json"])
    for told in [
        f"penguins {digest[:12]}",
        "RandomForestClassifier in a Pipeline (sklearn)",
        "species: Adelie, Gentoo, with probabilities",
        "onnx: ONNX gave the original's answers",
        "agrees with the original on 344 rows of the sample and 900 made from them",
        "largest difference 3e-08, where 1e-06 + 1e-05 of the number is allowed",
        "3.12; 2 packages for API, hashed",
        "scikit-learn 1.9.1",
        "none: serving it runs nothing of its maker's",
        digest,
    ]:
        assert told in out, told
    lines = out.splitlines()
    assert "  tried          agrees  difference  labels  why not" in lines
    assert "  ONNX, float32  no             0.1       3  3 differ" in lines
    assert "  ONNX, double   yes          3e-08       0" in lines
    assert "  bill_length_mm  number    32.1 to 59.6              mm    allowed" in lines
    assert "  island          category  Biscoe, Dream, Torgersen        refused" in lines
    assert any(line.split() == ["model/model.onnx", "1", "kB"] for line in lines)
    assert lines[-1] == f"  next      aweigh verify {path}"


def test_inspect_prints_one_document(run, path, files):
    code, out, err = run("inspect", path, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert msgspec.convert(document["manifest"], Manifest) == msgspec.json.decode(files["manifest.json"], type=Manifest)
    assert msgspec.convert(document["schema"], Schema).names == ("bill_length_mm", "island")
    assert document["locks"] == {"requirements.txt": {"packages": 2, "hashed": True}}
    assert document["size_bytes"] == sum(map(len, files.values()))
    assert document["digest"].startswith(document["version"])
    assert (document["name"], document["code"]) == ("penguins", False)


def test_inspect_shows_a_bundle_whose_model_is_damaged(run, files, tmp_path):
    """To look at what is wrong is what it is for."""
    write_folder(files | {"model/model.onnx": b"\x08"}, tmp_path / "p")
    assert run("inspect", tmp_path / "p")[0] == 0
    assert run("verify", tmp_path / "p")[0] == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"drop": ["schema.json"]}, "lacks schema.json"),
        ({"add": {"schema.json": b"{}"}}, "schema.json cannot be read"),
        ({"add": {"requirements.txt": b"-r x"}}, "The lock holds a line"),
        ({"name": "a b"}, "is none that a bundle may have"),
    ],
)
def test_inspect_refuses_what_it_cannot_show(run, changed, tmp_path, change, why):
    write_bundle(changed(**change), tmp_path / "x.aweigh")
    code, out, err = run("inspect", tmp_path / "x.aweigh")
    assert (code, out) == (3, "")
    assert why in err


def test_what_a_bundle_says_cannot_drive_the_terminal(run, changed, tmp_path):
    evil = "\x1b[2J\x1b]0;x\x07\rok\n"
    schema = {
        "columns": [
            {"name": "bill_length_mm", "type": "category", "dtype": "object", "categories": [evil] * 9, "unit": evil},
            {
                "name": "island",
                "type": "number",
                "dtype": "float64",
                "lower_limit": 0.0,
                "minimum": 1.0,
                "maximum": 2e9,
            },
        ],
        "output": {"task": "number", "name": evil, "unit": evil},
    }
    made = changed(
        model=evil, runtime_reason=evil, made_with={evil: evil}, add={"schema.json": json.dumps(schema).encode()}
    )
    write_bundle(made, tmp_path / "x.aweigh")
    code, out, _ = run("inspect", tmp_path / "x.aweigh")
    assert code == 0
    assert not {"\x1b", "\x07", "\r"} & set(out)
    assert "\\x1b[2J" in out
    assert " and 4 more" in out
    assert "1 to 2000000000; allowed 0 to any" in out


def test_verify_says_what_was_checked(run, path, files):
    code, out, _ = run("verify", path)
    assert code == 0
    assert "7 files, 4 kB: every byte is as the manifest says" in out
    assert digest_of(files["manifest.json"]) in out
    assert out.splitlines()[-1] == f"  next      aweigh serve {path}"


def test_verify_prints_one_document(run, path, files):
    code, out, err = run("verify", path, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["whole"] is True
    assert document["digest"] == digest_of(files["manifest.json"])
    assert document["size_bytes"] == sum(map(len, files.values()))


def test_verify_refuses_a_damaged_bundle(run, path):
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    code, out, err = run("verify", path)
    assert (code, out) == (3, "")
    assert err.startswith("error: ")
    code, out, _ = run("verify", path, "--json")
    assert code == 3
    assert json.loads(out)["error"]["code"] == "damaged_bundle"


def test_verify_refuses_code_unless_it_is_signed(run, changed, tmp_path, monkeypatch):
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "own"))
    path = tmp_path / "with code.aweigh"
    write_bundle(changed(add={"app.py": b"x = 1\n"}, code=True), path)
    code, _, err = run("verify", path)
    assert code == 3
    assert "aweigh sign" in err
    code, out, _ = run("sign", path)
    assert code == 0
    assert "made      a key of your own, as there was none: " in out
    assert "/own.key\n" in out
    assert "keep a copy of it" in out
    assert "made" not in run("sign", path)[1]
    code, out, _ = run("verify", path)
    assert code == 0
    assert f"signed    by {OWN_SIGNER} (key " in out
    assert out.splitlines()[-1] == f"  next      aweigh serve '{path}'"
    assert "its maker's own Python, which runs only when signed by who may: app.py" in run("inspect", path)[1]


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_bundle_that_is_not_there_is_said_so(run, tmp_path, command):
    code, _, err = run(command, tmp_path / "nowhere.aweigh")
    assert code == 3
    assert "'nowhere.aweigh' cannot be read: No such file or directory" in err


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_looking_costs_little(path, command):
    """0.17 s of CPU where it was measured: neither numpy nor a model's library is imported to look at a bundle."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # tracing has its price
    least = float("inf")
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*AWEIGH, command, str(path)], env=env, capture_output=True, check=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        least = min(least, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert least < 0.5
    code = "import sys; from aweigh.__main__ import main; main(sys.argv[1:]); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, command, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
