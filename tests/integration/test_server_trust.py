"""Servers, workers and files that take only what the trusted have signed, and tell who that was."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from tests.partly import partly_slow

from aweigh import load, pack
from aweigh.bundle.keys import make_key, write_private
from aweigh.bundle.verify import open_bundle
from aweigh.errors import UntrustedBundle

AWEIGH = [sys.executable, "-m", "aweigh"]


@pytest.fixture
def signed(penguins, tmp_path):
    """A signed bundle, and the folder of the key."""
    key = make_key()
    write_private(key, tmp_path / "ana.key")
    (tmp_path / "ana.pub").write_bytes(key.public.pem())
    path = tmp_path / "penguins.aweigh"
    shutil.copy(penguins.path, path)
    aweigh("sign", path, "--key", tmp_path / "ana.key")
    return path


def aweigh(*arguments, code=0):
    done = subprocess.run([*AWEIGH, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    return done


def test_a_server_tells_who_has_signed_its_model(start_server, signed, tmp_path):
    server = start_server(signed, "--trust", tmp_path / "ana.pub", "--no-ui", "--workers", 2)
    assert "signed by ana" in server.line("verify")
    with server.client() as client:
        model = client.get("/v1/model").json()
        assert [one["name"] for one in model["signers"]] == ["ana"]
        assert 'signer="ana"' in client.get("/metrics").text
        row = model["examples"]["rows"][0]
        assert client.post("/v1/predict", json={"rows": [row]}).status_code == 200
    # Another key in the policy's place: what is served stays, and nothing new is let in.
    (tmp_path / "ana.pub").write_bytes(make_key().public.pem())
    server.process.send_signal(signal.SIGHUP)
    with server.client() as client:
        end = time.monotonic() + 20
        while "Everything stays as it is" not in server.errors():
            assert time.monotonic() < end
            assert client.get("/health/ready").status_code == 200
    assert "nobody trusted here has signed it" in server.errors()


@pytest.mark.parametrize(
    "command", partly_slow("serve", "worker", "predict", slow=["plan", "verify", "eject", "inspect"])
)
def test_what_nobody_trusted_has_signed_is_loaded_by_no_command(command, penguins, signed, tmp_path):
    (tmp_path / "bob.pub").write_bytes(make_key().public.pem())
    (tmp_path / "in.csv").write_text("a\n1\n")
    more = {"predict": [tmp_path / "in.csv", "-o", tmp_path / "out.csv"], "inspect": ["--measure"]}.get(command, [])
    for bundle, why in ((penguins.path, "is not signed"), (signed, "nobody trusted here has signed it")):
        done = aweigh(command, bundle, *more, "--trust", tmp_path / "bob.pub", code=3)
        assert why in done.stderr
        assert "aweigh sign" in done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_function_is_served_by_who_packed_it_and_by_whom_they_are_trusted(start_server, tmp_path, monkeypatch):
    (tmp_path / "doubling.py").write_text("def predict(frame):\n    return frame['x'] * 2\n")
    monkeypatch.chdir(tmp_path)
    packed = pack("doubling:predict", pd.DataFrame({"x": [1.0, 2.5, 3.0]}), name="doubling", output=tmp_path)
    assert load(packed.path).predict([{"x": 4}]) == [{"value": 8.0}]
    with start_server(packed.path, "--no-ui").client() as client:
        assert client.post("/v1/predict", json={"rows": [{"x": 4}]}).json()["predictions"] == [{"value": 8.0}]
    own = os.path.join(os.environ["AWEIGH_CONFIG_DIR"], "own.pub")  # noqa: PTH118
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(UntrustedBundle, match="you have not signed it"):
        load(packed.path)
    shutil.copy(own, tmp_path / "maker.pub")
    with pytest.raises(UntrustedBundle, match="may not sign bundles that run"):
        load(packed.path, trust=tmp_path / "maker.pub")
    policy = tmp_path / "trust.toml"
    policy.write_text('[[keys]]\nsigner = "maker"\nfile = "maker.pub"\ncode = true\n')
    assert load(packed.path, trust=policy).predict([{"x": 4}]) == [{"value": 8.0}]


@pytest.mark.slow
def test_what_pack_says_comes_next_succeeds_for_code_signed_by_another_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWEIGH_KEY_PASSPHRASE", "salt and sea")
    (tmp_path / "doubling.py").write_text("def predict(frame):\n    return frame['x'] * 2\n")
    (tmp_path / "in.csv").write_text("x\n1\n2.5\n")
    aweigh("keygen", "ana", "--passphrase")
    made = []
    for config in ("config", "in.csv/config"):  # the second is no place for a key of one's own
        monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / config))
        done = aweigh("pack", "doubling:predict", "--data", "in.csv", "--key", "ana.key", "-o", f"{len(made)}.aweigh")
        made.append(shlex.split(done.stdout.splitlines()[-1].partition("aweigh ")[2]))
    assert made == [["serve", "0.aweigh"], ["serve", "1.aweigh", "--trust", "trust.toml"]]
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "trust.toml").write_text('[[keys]]\nsigner = "ana"\nfile = "ana.pub"\ncode = true\n')
    aweigh("verify", *made[0][1:])
    aweigh("verify", *made[1][1:])
    aweigh("verify", "0.aweigh", "--trust", "trust.toml")
    aweigh("verify", "1.aweigh", code=3)
    assert aweigh("verify", "0.aweigh", "--json").returncode == 0


@pytest.mark.slow
def test_a_bundle_that_is_signed_when_it_is_packed_locks_what_checks_signatures(tmp_path):
    from sklearn.linear_model import LinearRegression

    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 6.5]})
    model = LinearRegression().fit(frame[["x"]], frame["y"])
    for key, locked in ((None, False), (make_key(), True)):
        packed = pack(model, frame, target="y", key=key, output=tmp_path)
        bundle = open_bundle(packed.path)
        for name in ("requirements.txt", "requirements-ui.txt"):
            assert (b"cryptography==" in bundle.read(name)) == locked
        assert ("signature.json" in bundle.members) == locked
