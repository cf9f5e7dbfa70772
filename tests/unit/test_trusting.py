"""--trust, AWEIGH_TRUST and --key in the commands: nothing is loaded past them, and what they print works."""

import ast
import logging
import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from aweigh import load
from aweigh.__main__ import main
from aweigh.bundle.archive import write_bundle
from aweigh.bundle.atomic import whole_file
from aweigh.bundle.build import assemble
from aweigh.bundle.files import write_folder
from aweigh.bundle.keys import PASSPHRASE_VARIABLE, make_key, own_key, read_private, write_private
from aweigh.bundle.policy import TRUST_VARIABLE, policy_at, policy_of
from aweigh.bundle.verify import open_bundle, read_signature, verify
from aweigh.cli.sign import _files
from aweigh.cli.trusting import trusted
from aweigh.errors import ConfigError, DamagedBundle, UntrustedBundle, UsageError
from aweigh.packing.signing import own_beside, read_key, sign_all
from aweigh.secret import Secret
from aweigh.server.board import Board
from aweigh.server.child import Work
from aweigh.server.workers import Limits, Supervisor

SOURCE = Path(__file__).parents[2] / "src"
STORED = Path(__file__).parents[1] / "bundles" / "format-1-onnx.aweigh"
ANA, BOB = make_key(), make_key()


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A folder to work in, a key of one's own elsewhere, and no policy before the test or after it."""
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv(TRUST_VARIABLE, "")
    monkeypatch.delenv(TRUST_VARIABLE)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def here():
    """The working folder, with a bundle that ana has signed, her keys and bob's."""
    for name, key in (("ana", ANA), ("bob", BOB)):
        write_private(key, Path(f"{name}.key"))
        Path(f"{name}.pub").write_bytes(key.public.pem())
    shutil.copy(STORED, "model.aweigh")
    Path("model.aweigh").chmod(0o644)
    assert main(["sign", "model.aweigh", "--key", "ana.key"]) == 0
    return Path.cwd()


@pytest.fixture
def code(here):
    """A bundle with a page of its owner's own, which nobody has signed."""
    bundle = open_bundle(STORED)
    parts = {name: bundle.read(name) for name in bundle.manifest.files} | {"app.py": b"import streamlit\n"}
    write_bundle(assemble(parts, msgspec.structs.replace(bundle.manifest, files={}, code=True)), here / "code.aweigh")
    return here / "code.aweigh"


def next_of(told):
    """The command that a command has printed to go on with."""
    line = next(line for line in told.splitlines() if "aweigh " in line and line.split()[0] == "next")
    return shlex.split(line.partition("aweigh ")[2])


# -- who asks ----------------------------------------------------------------------------------------------------------


def test_whatever_verifies_a_bundle_says_whose_signature_counts():
    callers = set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "aweigh.bundle.verify"
            for alias in node.names
            if alias.name == "verify"
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                place = path.relative_to(SOURCE / "aweigh").as_posix()
                assert any(one.arg == "trust" for one in node.keywords), f"{place}:{node.lineno}"
                callers.add(place)
    commands = {
        f"cli/{name}.py"
        for name in (
            "eject",
            "inspect",
            "kubernetes",
            "plan",
            "predict",
            "predict_set",
            "ray",
            "serve",
            "verify",
            "worker",
        )
    }
    assert callers == commands | {
        "bundle/remote.py",
        "runtime/dataset/work.py",
        "runtime/notebook.py",
        "runtime/pace.py",
        "targets/heroku/doctor.py",
        "targets/ray/app.py",
        "targets/ray/dataset.py",
        "targets/releasing.py",
    }


COMMANDS = [
    ["verify", "model.aweigh"],
    ["eject", "model.aweigh"],
    ["inspect", "model.aweigh", "--measure"],
    ["serve", "app.py"],
    ["predict", "model.aweigh", "in.csv", "-o", "out.csv"],
    ["plan", "model.aweigh"],
    ["worker", "model.aweigh"],
    ["serve", "model.aweigh"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("said", ["", "  "])
def test_an_empty_policy_is_not_none(here, monkeypatch, capsys, command, said):
    Path("in.csv").write_text("a\n1\n")
    assert main([*command, "--trust", said]) == ConfigError.exit_code
    assert "names no policy" in capsys.readouterr().err
    monkeypatch.setenv(TRUST_VARIABLE, said)
    assert main(command) == ConfigError.exit_code
    assert "names no policy" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS[1:4], ids=" ".join)
def test_commands_that_only_look_at_a_model_load_none_but_the_trusted(here, monkeypatch, capsys, command):
    if command[1] == "app.py":
        assert main([*command, "--trust", "gone.toml"]) == ConfigError.exit_code
        return
    assert main([*command, "--trust", "bob.pub"]) == UntrustedBundle.exit_code
    monkeypatch.setenv(TRUST_VARIABLE, "bob.pub")
    assert main(command) == UntrustedBundle.exit_code
    assert not Path(f"{open_bundle(STORED).manifest.name}-app").exists()
    assert main([*command, "--trust", "ana.pub"]) == 0


def test_inspect_takes_no_policy_that_it_would_not_ask(here, monkeypatch, capsys):
    assert main(["inspect", "model.aweigh", "--trust", "bob.pub"]) == UsageError.exit_code
    assert "--measure" in capsys.readouterr().err
    monkeypatch.setenv(TRUST_VARIABLE, "bob.pub")
    assert main(["inspect", "model.aweigh"]) == 0, "a policy for all commands is in nobody's way"


def test_a_notebook_asks_the_environment_where_nothing_is_said(here, monkeypatch):
    monkeypatch.setenv(TRUST_VARIABLE, "bob.pub")
    with pytest.raises(UntrustedBundle):
        load("model.aweigh")
    assert load("model.aweigh", trust="ana.pub")
    monkeypatch.setenv(TRUST_VARIABLE, " ")
    for more in ({}, {"trust": ""}):
        with pytest.raises(ConfigError, match="names no policy"):
            load("model.aweigh", **more)


def test_a_model_is_timed_only_when_it_is_trusted(here):
    for policy, expected in (("bob.pub", "UntrustedBundle"), ("", "ConfigError")):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "aweigh.runtime.pace", "model.aweigh"],
            env=os.environ | {TRUST_VARIABLE: policy}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode
        assert expected in done.stderr


def test_the_policy_is_read_where_it_was_named_whatever_its_links_lead_to(here, monkeypatch):
    for name in ("ana", "bob"):
        Path(name).mkdir()
        shutil.copy(f"{name}.pub", f"{name}/it.pub")
    Path("now").symlink_to("ana")
    assert [one.key for one in trusted(Path("now")).keys] == [ANA.public]
    assert os.environ[TRUST_VARIABLE] == str(here / "now")
    Path("now").unlink()
    Path("now").symlink_to("bob")
    monkeypatch.chdir("/")
    for again in (trusted(None), policy_of(os.environ)):
        assert [one.key for one in again.keys] == [BOB.public]
    assert policy_of({}) is None
    assert policy_at("/a/../b") == Path("/b")


# -- signing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_signing_lets_nobody_read_who_could_not_before(here, mode):
    path = Path("model.aweigh")
    path.chmod(mode)
    assert main(["sign", str(path), "--key", "bob.key"]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == mode
    files = {name: open_bundle(path).read(name) for name in open_bundle(path).manifest.files}
    write_folder(files | {"manifest.json": open_bundle(path).members["manifest.json"].read()}, Path("folder"))
    Path("folder/manifest.json").chmod(mode)
    assert main(["sign", "folder", "--key", "ana.key"]) == 0
    assert stat.S_IMODE(Path("folder/signature.json").stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_root_signs_stays_its_owners(here):
    path = Path("model.aweigh")
    os.chown(path, 1234, 2345)
    path.chmod(0o640)
    assert main(["sign", str(path), "--key", "bob.key"]) == 0
    now = path.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (1234, 2345, 0o640)


def test_other_files_take_the_mode_that_new_files_have(tmp_path):
    (tmp_path / "x").write_text("")
    (tmp_path / "x").chmod(0o600)
    umask = os.umask(0o027)
    try:
        with whole_file(tmp_path / "x") as stream:
            stream.write(b"1")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_a_manifest_that_changes_while_it_is_signed_is_not_written(here):
    bundle = open_bundle(STORED)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    manifest = bundle.members["manifest.json"].read()
    write_folder(files | {"manifest.json": manifest}, Path("folder"))
    opened = open_bundle(Path("folder"))
    assert _files(opened) == files | {"manifest.json": manifest}
    Path("folder/manifest.json").write_bytes(manifest[:-2] + b" }")
    with pytest.raises(DamagedBundle, match="manifest has changed"):
        _files(opened)


def test_what_sign_says_comes_next_succeeds(here, code, capsys):
    capsys.readouterr()
    assert main(["sign", str(code), "--key", "ana.key"]) == 0
    told = capsys.readouterr().out
    assert "code = true" in told
    Path("trust.toml").write_text('[[keys]]\nsigner = "ana"\nfile = "ana.pub"\ncode = true\n')
    assert next_of(told) == ["verify", str(code), "--trust", "trust.toml"]
    Path("own.key").write_text("no key")
    Path("own.key").chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWEIGH_CONFIG_DIR", str(here))
        assert main(["sign", str(code), "--key", "ana.key"]) == 0
    Path("own.key").unlink()
    assert main(next_of(told)) == 0
    os.environ.pop(TRUST_VARIABLE)
    for command, path in (
        (["sign", str(code)], code),
        (["sign", str(code), "--key", "bob.key"], code),
        (["sign", "model.aweigh", "--key", "bob.key"], "model.aweigh"),
        (["sign", str(code), "--remove"], code),
    ):
        capsys.readouterr()
        assert main(command) == 0
        told = next_of(capsys.readouterr().out)
        assert told[1] == str(path)
        assert main(told) == 0
        os.environ.pop(TRUST_VARIABLE, None)


def test_an_encrypted_key_is_read_by_all_who_sign(here, monkeypatch):
    write_private(ANA, Path("safe.key"), passphrase=Secret("salt and sea"))
    with pytest.raises(UsageError, match="is encrypted"):
        read_key(Path("safe.key"))
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "salt and sea")
    assert read_key(Path("safe.key")).public == ANA.public
    assert read_key(Path("bob.key")).public == BOB.public, "a plain key minds no passphrase of another"
    sample = Path("in.csv")
    sample.write_text("a\n1\n")
    # The key is read before the model, which is not there.
    assert main(["pack", "gone.joblib", "--data", "in.csv", "--key", "safe.key"]) == UsageError.exit_code
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "another")
    assert main(["sign", "model.aweigh", "--key", "safe.key"]) == UsageError.exit_code


def test_pack_reads_an_encrypted_key(here, monkeypatch, capsys):
    write_private(ANA, Path("safe.key"), passphrase=Secret("salt and sea"))
    Path("in.csv").write_text("a\n1\n")
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "salt and sea")
    main(["pack", "gone.joblib", "--data", "in.csv", "--key", "safe.key"])
    assert "gone.joblib is no file" in capsys.readouterr().err


def test_pack_asks_for_a_passphrase(here):
    write_private(ANA, Path("safe.key"), passphrase=Secret("salt and sea"))
    Path("in.csv").write_text("a\n1\n")
    command = [sys.executable, "-m", "aweigh", "pack", "gone.joblib", "--data", "in.csv", "--key", "safe.key"]
    for typed, told in (("salt and sea", "gone.joblib is no file"), ("another", "its passphrase is another")):
        done = subprocess.run(
            command, input=f"{typed}\n", capture_output=True, text=True, check=False, start_new_session=True
        )
        assert told in done.stderr


def test_code_is_signed_with_the_own_key_and_the_one_that_is_named(code, monkeypatch, tmp_path):
    own = own_beside(BOB)
    assert own.public == own_key(os.environ).public
    bundle = open_bundle(code)
    files = _files(bundle) | {"signature.json": sign_all(bundle.manifest.name, bundle.digest, [own, ANA])}
    write_bundle(files, code)
    assert verify(code).signers
    assert read_signature(open_bundle(code)).count(b"keyid") == 2
    assert sign_all("x", "0" * 64, []) is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "file"))
    assert own_beside(ANA) is None, "where no own key can be had the named one signs alone"
    with pytest.raises(UsageError):
        own_beside(None)


def test_that_no_key_can_be_had_is_told_before_a_function_is_proven(tmp_path, monkeypatch, capsys):
    Path("unkeyed.py").write_text("def predict(frame):\n    raise SystemError('it was asked')\n")
    Path("in.csv").write_text("x\n1\n2\n")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "file"))
    assert main(["pack", "unkeyed:predict", "--data", "in.csv"]) == UsageError.exit_code
    told = capsys.readouterr().err
    assert "key" in told
    assert "it was asked" not in told


# -- keygen ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", ".hidden"])
def test_a_key_has_a_name(name, capsys):
    assert main(["keygen", name]) == UsageError.exit_code
    assert "is no name for a file" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_half_a_pair_of_keys_is_not_left_in_the_way():
    Path("ana.pub").symlink_to("nowhere/ana.pub")
    assert main(["keygen", "ana"]) != 0
    assert not Path("ana.key").exists()
    Path("ana.pub").unlink()
    assert main(["keygen", "ana"]) == 0
    assert read_private(Path("ana.key")).public.pem() == Path("ana.pub").read_bytes()


# -- SIGHUP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OverflowError("year 0"), RecursionError(), ConfigError("It is wrong.")])
def test_no_error_of_the_next_generation_ends_this_one(error, caplog):
    def renew():
        raise error

    board = Board(places=1)
    limits = Limits(grace_s=1, watchdog_s=1, memory_bytes=0)
    supervisor = Supervisor([Work("api 1", print)], board, limits, on_ready=print, renew=renew)
    supervisor._ready = True
    with caplog.at_level(logging.ERROR):
        supervisor._renew()
    assert "Everything stays as it is" in caplog.text
    assert supervisor._change is None
