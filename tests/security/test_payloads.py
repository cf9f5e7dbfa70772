"""Crafted files run nothing: at pack, verify, inspect, predict, serve and sign, as a file and inside a bundle.

Every payload is live: loaded the usual way, in a process that is given up, it makes a file appear. Then it is given to
every command, in every place where a bundle or a command could take it. The file never appears, nothing of the kind
that payloads do is asked of the interpreter, Python's unpickler is not used at all, and the command ends with a
sentence.
"""

import hashlib
import os
import pickle
import signal
import zipfile
import zlib
from pathlib import Path

import msgspec
import numpy as np
import payloads
import pytest
from tests.partly import slow_but_for

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.keys import own_key
from aweigh.bundle.manifest import digest_of, to_json
from aweigh.bundle.signature import sign
from aweigh.models.scan import scan_bytes

CODE = payloads.code()
FEWEST = 40
EVERY = 32
"""Of the payloads every 32nd is tried with all other tests; all of them are with `make security`."""

SOME = [
    pytest.param(one, id=one.name, marks=[pytest.mark.slow] if place % EVERY else []) for place, one in enumerate(CODE)
]
SUFFIXES = {"sklearn": ".skops", "xgboost": ".ubj", "lightgbm": ".txt", "catboost": ".cbm", "onnx": ".onnx"}
MANIFEST, PICKLE, ONNX = "manifest.json", "model/model.pkl", "model/model.onnx"
REFUSED = {1, 2, 3}
UNREADY_SECONDS = 20


# -- there are enough, and they are live -----------------------------------------------------------------------------


def test_there_are_enough_and_no_two_are_the_same(tmp_path):
    made = {}
    for number, payload in enumerate(CODE):
        mark = tmp_path / str(number) / "mark"
        mark.parent.mkdir()
        content = payload.make(mark)
        assert content, payload.name
        made[payload.name] = hashlib.sha256(content.replace(str(mark).encode(), b"")).hexdigest() + payload.suffix
    assert len(made) == len(CODE) >= FEWEST
    assert len(set(made.values())) >= FEWEST


@pytest.mark.parametrize("payload", SOME)
def test_it_is_live(payload, driver, tmp_path):
    """Otherwise that it does not run would prove nothing."""
    mark = tmp_path / "mark"
    path = tmp_path / f"model{payload.suffix}"
    path.write_bytes(payload.make(mark))
    assert driver.ask(live=payload.live, path=str(path), mark=str(mark), cwd=str(tmp_path))["fired"]


def test_the_driver_would_see_it(driver, good, tmp_path):
    """A command that does run something is told from one that does not."""
    (tmp_path / "own.py").write_text(
        "import os\n\ndef predict(frame):\n    os.system('touch mark')\n    return frame['a']\n"
    )
    outcome = driver.ask(argv=["pack", "own:predict", "--data", str(good / "sample.csv")], cwd=str(tmp_path))
    assert "os.system" in outcome["events"]
    assert (tmp_path / "mark").exists()
    assert driver.ask(argv=["verify", str(good / "good.aweigh")], cwd=str(tmp_path))["events"] == []


@pytest.mark.parametrize("name", ["good", "pickled"])
def test_a_good_bundle_is_taken_by_all_of_them(driver, good, tmp_path, name):
    """Otherwise all payloads might be refused for some other reason. A good pickle is not read by Python's, either."""
    path, sample = str(good / f"{name}.aweigh"), str(good / "sample.csv")
    for argv in (["verify", path], ["inspect", path], ["predict", path, sample, "-o", "out.csv"]):
        outcome = driver.ask(argv=argv, cwd=str(tmp_path))
        assert (outcome["exit"], outcome["events"]) == (0, []), (argv, outcome)


# -- every place that a payload can be in ----------------------------------------------------------------------------


def bundle_with(good: Path, path: Path, content: bytes, *, name: str, signed: bool = False, **said: object) -> Path:
    """A bundle whose model is this content: whole, so that nothing but its model is wrong."""
    with zipfile.ZipFile(good) as archive:
        files = {one: archive.read(one) for one in archive.namelist()}
    body = msgspec.json.decode(files.pop(MANIFEST))
    for gone in ("signature.json", "sbom.cdx.json", body["model_file"]):
        files.pop(gone, None)
        body["files"].pop(gone, None)
    files[name] = content
    body["files"][name] = {"sha256": digest_of(content), "size_bytes": len(content)}
    body |= {"model_file": name, **said}
    files[MANIFEST] = to_json({key: value for key, value in body.items() if value is not ...})
    if signed:
        files["signature.json"] = sign(body["name"], digest_of(files[MANIFEST]), own_key(os.environ))
    write_bundle(files, path)
    return path


def names_in(content: bytes) -> dict[str, list[str]]:
    """What a forger would write into the manifest: all that the payload wants, and what it might come to want."""
    found = scan_bytes(content)
    usual = ["builtins.eval", "builtins.getattr", "os.system", "posix.system", "subprocess.Popen"]
    names = sorted({*usual, *(one for one in found.names if ":" not in one and one.replace(".", "a").isidentifier())})
    return {"names": names, "calls": names}


def trusted_names(good: Path) -> dict[str, list[str]]:
    """What a good pickle of this model says."""
    with zipfile.ZipFile(good) as archive:
        return msgspec.json.decode(archive.read(MANIFEST))["pickle"]


def jobs(content, file, good, folder, runtime, suffix):
    """Each place and command: what it is called, its arguments, and the exit codes that are right."""
    sample, out = str(good / "sample.csv"), str(folder / "out")
    path = str(file)
    yield "pack", ["pack", path, "--data", sample, "-o", out], REFUSED
    yield "pack --allow-pickle", ["pack", path, "--data", sample, "-o", out, "--allow-pickle"], REFUSED
    yield "pack, as its sample", ["pack", path, "--data", path, "-o", out], REFUSED
    yield "predict, as data", ["predict", str(good / "good.aweigh"), path, "-o", out], REFUSED
    for command in ("verify", "inspect", "serve", "sign"):
        yield f"{command} the file", [command, path], REFUSED
    yield "predict by the file", ["predict", path, sample, "-o", out], REFUSED
    onnx, pickled = good / "good.aweigh", good / "pickled.aweigh"
    placed = {
        "as model.onnx": bundle_with(onnx, folder / "onnx.aweigh", content, name=ONNX),
        "as model.onnx, signed": bundle_with(onnx, folder / "onnx2.aweigh", content, name=ONNX, signed=True),
        "as model.pkl, unsigned": bundle_with(
            pickled, folder / "pkl.aweigh", content, name=PICKLE, pickle=names_in(content)
        ),
        "as model.pkl, signed, with all its names": bundle_with(
            pickled, folder / "pkl2.aweigh", content, name=PICKLE, pickle=names_in(content), signed=True
        ),
        "as model.pkl, signed, with good names": bundle_with(
            pickled, folder / "pkl3.aweigh", content, name=PICKLE, pickle=trusted_names(pickled), signed=True
        ),
    }
    if runtime and runtime != "onnx":
        name = f"model/model{suffix if suffix in {'.json', '.ubj', '.txt', '.cbm', '.skops'} else SUFFIXES[runtime]}"
        placed[f"as {name}, signed"] = bundle_with(
            onnx, folder / "own.aweigh", content, name=name, runtime=runtime, graph=..., signed=True,
            any_threads=..., any_parts=...,
        )  # fmt: skip
    for place, bundle in placed.items():
        yield f"inspect, {place}", ["inspect", str(bundle)], {0, *REFUSED}
        # What a library's own format holds is only seen by that library: verify tells that the bytes are the signer's.
        yield f"verify, {place}", ["verify", str(bundle)], REFUSED if "pkl" in place else {0, *REFUSED}
        yield f"serve, {place}", ["serve", str(bundle), "--port", "0"], REFUSED
        yield f"predict, {place}", ["predict", str(bundle), sample, "-o", out], REFUSED
        if "pkl" in place:
            yield f"sign, {place}", ["sign", str(bundle)], REFUSED


def run_all(driver, listed, folder, *, waits=False, ends=False):
    """What went wrong, in a sentence each; nothing, if all is well.

    With ``waits`` a server may stay up that says of itself that it is not ready; with ``ends`` a signal is no fault.
    """
    wrong = []
    for what, argv, codes in listed:
        limit = {"seconds": UNREADY_SECONDS} if waits and argv[0] == "serve" else {}
        outcome = driver.ask(argv=argv, cwd=str(folder), **limit)
        unready = bool(limit) and outcome["exit"] == -signal.SIGALRM and "not ready" in outcome["err"]
        if (unready or (ends and outcome["exit"] in {-signal.SIGABRT, -signal.SIGSEGV})) and not outcome["events"]:
            continue
        if outcome["exit"] not in codes:
            wrong.append(f"{what}: exit {outcome['exit']}: {outcome['err'][-300:]}")
        if outcome["events"]:
            wrong.append(f"{what}: asked the interpreter for {outcome['events']}")
        if "Traceback" in outcome["err"] or "unforeseen" in outcome["err"]:
            wrong.append(f"{what}: no clear error: {outcome['err'][-300:]}")
        if outcome["exit"] != 0 and "error: " not in outcome["err"]:
            wrong.append(f"{what}: no error told: {outcome['err'][-300:]}")
    return wrong


@pytest.mark.parametrize("payload", SOME)
def test_it_runs_nothing(payload, driver, good, tmp_path):
    mark = tmp_path / "mark"
    file = tmp_path / f"model{payload.suffix}"
    file.write_bytes(payload.make(mark))
    contents = {"": file.read_bytes()}
    if payload.made is not None:
        contents[" (protocol 5)"] = pickle.dumps(payload.made(mark), 5)  # the one that a bundle's pickle must be of
    wrong = []
    for form, content in contents.items():
        folder = tmp_path / f"form{len(form)}"
        folder.mkdir()
        listed = jobs(content, file, good, folder, payload.runtime, payload.suffix)
        # The file itself and its other places have been tried with the first form.
        listed = [one for one in listed if not form or "model.pkl" in one[0]]
        wrong += [one + form for one in run_all(driver, listed, folder)]
    assert wrong == []
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    slow_but_for(
        payloads.DATA,
        "ONNX, numbers in a file of the system",
        "ONNX, a tensor of terabytes",
        "XGBoost, a length of exabytes",
        "LightGBM, leaves that are not there",
        "CatBoost, cut short",
        "joblib, an array of exabytes",
        "skops, a path that leads out",
    ),
)
def test_what_wants_memory_time_or_other_files_is_refused(name, driver, good, tmp_path):
    """In six gigabytes and a minute a command; a file that lies where the payload looks for it is not read.

    A graph that loads, and does not answer as the original did, keeps its server from being ready.
    """
    suffix, runtime, make = payloads.DATA[name]
    content = make()
    for place in (tmp_path / "secret.bin", tmp_path / "a/secret.bin", tmp_path.parent / "secret.bin"):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(np.full((2, 2), 7, dtype=np.float32).tobytes())
    file = tmp_path / f"model{suffix}"
    file.write_bytes(content)
    folder = tmp_path / "a" / "b"
    folder.mkdir()
    listed = jobs(content, file, good, folder, runtime, suffix)
    assert run_all(driver, listed, folder, waits=runtime != "sklearn", ends=name in payloads.ENDS) == []


def test_the_other_files_would_be_read_and_the_bomb_does_grow(tmp_path, monkeypatch):
    import onnxruntime

    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.full((2, 2), 7, dtype=np.float32).tobytes())
    (tmp_path / "model.onnx").write_bytes(payloads.outside("secret.bin"))
    answer = onnxruntime.InferenceSession("model.onnx").run(None, {"x": np.ones((1, 2), np.float32)})
    assert answer[0].tolist() == [[14.0, 14.0]]
    bomb = payloads.zeros(64 << 20)
    assert len(zlib.decompress(bomb)) > 500 * len(bomb)
