"""Releases: of a bundle guarded, of a folder what its owner wrote, and nothing in a command line that was not meant."""

import hashlib
import json
import zipfile
from functools import partial

import pytest

from aweigh.bundle.verify import verify
from aweigh.cli import cli
from aweigh.errors import ConfigError, DamagedBundle, DataError, HoldsSecret, UntrustedBundle, UsageError
from aweigh.targets import releasing
from aweigh.targets.releasing import Wishes

OPEN = Wishes(auth="none")


@pytest.fixture
def release_of(hashes, small_wheel):
    """Return what makes a release with an aweigh that needs what a folder offers."""
    return partial(releasing.release_of, wheel=small_wheel)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "folder"
    root.mkdir()
    (root / "app.py").write_text("import json\nimport streamlit as st\nfrom pages import one\n")
    return root


def write(root, **files):
    for name, text in files.items():
        (root / name).write_text(text)


# -- bundles -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path, root):
    """Return a bundle whose lock is one that the folder of packages offers."""
    from aweigh.bundle.archive import list_archive, write_bundle
    from aweigh.bundle.manifest import to_json

    files = {name: one.read() for name, one in list_archive(root / "tests/bundles/format-1-onnx.aweigh").items()}
    lock = b"alpha==1.0\nbeta==1.5\n"
    manifest = json.loads(files["manifest.json"])
    for name in ("requirements-ui.txt", "sbom.cdx.json"):
        files.pop(name, None)
        manifest["files"].pop(name, None)
    files["requirements.txt"] = lock
    manifest["files"]["requirements.txt"] = {"sha256": hashlib.sha256(lock).hexdigest(), "size_bytes": len(lock)}
    files["manifest.json"] = to_json(manifest)
    write_bundle(files, tmp_path / "bare.aweigh")
    verify(tmp_path / "bare.aweigh")
    return tmp_path / "bare.aweigh"


def test_a_bundle_is_guarded_and_its_people_have_a_database(release_of, bare):
    release = release_of(bare, name="my-model")
    served = f"{verify(bare).manifest.name}.aweigh"
    assert release.processes == {
        "web": f"aweigh serve {served} --host 0.0.0.0 --auth password --workers auto",
        "release": "aweigh migrate",
    }
    assert release.stores == ("postgresql",)
    assert release.config == {"AWEIGH_PROXIES": "1", "AWEIGH_DRAIN_S": "20"}
    assert release.secrets == ()
    assert set(release.files) == {served, "wheels/aweigh-0.1.0-py3-none-any.whl"}
    assert (release.files[served], release.bundle, release.own) == (bare, served, frozenset())
    assert release.python == verify(bare).manifest.python
    # alpha and beta as the bundle pins them, what the door needs, the app, and aweigh.
    lines = [line.split()[0] for line in release.requirements.splitlines() if not line.startswith(" ")]
    assert lines == [
        *("alpha==1.0", "beta==1.5", "doors==1.0", "hinges==3.0", "streamlit==1.70.0"),
        "./wheels/aweigh-0.1.0-py3-none-any.whl",
    ]
    assert release.requirements.count("--hash=sha256:") == 6


def test_nobody_is_asked_only_when_that_is_said_out_loud(release_of, bare):
    release = release_of(bare, name="my-model", wishes=OPEN)
    assert list(release.processes) == ["web"]
    assert "--auth none" in release.processes["web"]
    assert release.stores == ()
    assert "doors" not in release.requirements


def test_workers_redis_and_an_api_alone(release_of, bare):
    release = release_of(bare, name="m", wishes=Wishes(ui=False, worker=True, redis=True))
    served = release.bundle
    assert release.processes == {
        "web": f"aweigh serve {served} --host 0.0.0.0 --auth password --workers auto --no-ui",
        "worker": f"aweigh worker {served}",
        "release": "aweigh migrate",
    }
    assert release.config["AWEIGH_JOBS"] == "worker"
    assert release.stores == ("postgresql", "redis")
    assert release.secrets == ("AWEIGH_CACHE_SECRET",)
    assert not release.has_ui
    assert "streamlit" not in release.requirements
    assert Wishes(auth="none", worker=True).stores == ("postgresql",)
    assert Wishes(auth="none", worker=True, redis=True).stores == ("redis",)


def test_every_command_line_is_one_that_the_command_takes(release_of, bare):
    """The flags are those of aweigh's own commands: none is misspelt, and the port is left to $PORT."""
    import click

    for wishes in (Wishes(), Wishes(auth="oidc", ui=False, worker=True)):
        for command in release_of(bare, name="m", wishes=wishes).processes.values():
            program, name, *arguments = command.split()
            assert program == "aweigh"
            found = cli.get_command(click.Context(cli), name)
            with found.make_context(name, arguments, resilient_parsing=False) as context:
                assert name != "serve" or (context.params["host"], context.params["port"]) == ("0.0.0.0", 8000)
    serve = cli.get_command(click.Context(cli), "serve")
    assert next(one for one in serve.params if one.name == "port").envvar == "PORT"


def test_a_bundle_in_a_folder_is_the_same_release(release_of, bare, tmp_path):
    with zipfile.ZipFile(bare) as archive:
        archive.extractall(tmp_path / "as-folder")
    one, other = release_of(bare, name="m"), release_of(tmp_path / "as-folder", name="m")
    assert other.files[other.bundle] == bare.read_bytes()
    assert (one.processes, one.requirements) == (other.processes, other.requirements)


def test_a_damaged_bundle_is_not_deployed(release_of, bare):
    content = bytearray(bare.read_bytes())
    content[len(content) // 2] ^= 1
    bare.write_bytes(content)
    with pytest.raises(DamagedBundle):
        release_of(bare, name="m")


def test_a_policy_travels_with_the_bundle(release_of, bare, tmp_path, monkeypatch):
    from click.testing import CliRunner

    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "config"))
    run = CliRunner()
    (tmp_path / "keys").mkdir()
    monkeypatch.chdir(tmp_path / "keys")
    for arguments in (["keygen", "ana"], ["keygen", "other"], ["sign", str(bare), "--key", "ana.key"]):
        done = run.invoke(cli, arguments)
        assert done.exit_code == 0, done.output
    public = tmp_path / "keys" / "ana.pub"
    release = release_of(bare, name="m", wishes=Wishes(auth="none", trust=public))
    assert release.config["AWEIGH_TRUST"] == "trust"
    assert release.files[f"trust/{public.name}"] == public.read_bytes()
    policy = tmp_path / "keys" / "policy.toml"
    policy.write_text(f'[[keys]]\nsigner = "ana"\nfile = "{public.name}"\n')
    release = release_of(bare, name="m", wishes=Wishes(auth="none", trust=policy))
    assert set(release.files) >= {"trust/trust.toml", f"trust/{public.name}"}
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "policy.toml").write_text(f'[[keys]]\nsigner = "ana"\nfile = "../keys/{public.name}"\n')
    with pytest.raises(ConfigError, match="cannot travel with it"):
        release_of(bare, name="m", wishes=Wishes(auth="none", trust=tmp_path / "sub" / "policy.toml"))
    # Another's key: it is not deployed, as it would not start.
    with pytest.raises(UntrustedBundle):
        release_of(bare, name="m", wishes=Wishes(auth="none", trust=public.with_name("other.pub")))


@pytest.mark.parametrize(
    "name",
    ["", "A", "a b", "a;b", "$(x)", "a\nb", "-a", "a-", "ä", "a'b", 'a"b', "a`b`", "../a", "x" * 64, "1a", "a_b"],
)
def test_a_name_that_a_shell_or_a_platform_would_read_as_more_is_refused(release_of, bare, name):
    with pytest.raises(UsageError, match="Nothing can be called"):
        release_of(bare, name=name)


@pytest.mark.parametrize("content", [b"", b"null", b"PK\x03\x04", b"\x00" * 100, b"{}"])
def test_what_is_no_bundle_is_said(release_of, tmp_path, content):
    path = tmp_path / "odd.aweigh"
    path.write_bytes(content)
    with pytest.raises(DamagedBundle):
        release_of(path, name="m")


def test_nothing_there_is_said(release_of, tmp_path):
    with pytest.raises(UsageError, match="There is no 'no'"):
        release_of(tmp_path / "no", name="m")


# -- folders -----------------------------------------------------------------------------------------------------------


def test_a_folder_with_a_script_alone_gets_what_is_missing(release_of, folder):
    (folder / "pages").mkdir()
    (folder / "pages" / "one.py").write_text("import streamlit\nimport click\n")
    release = release_of(folder, name="mine")
    assert release.processes == {
        "web": "aweigh serve app.py --host 0.0.0.0 --auth password",
        "release": "aweigh migrate",
    }
    assert release.own == frozenset()
    assert set(release.files) == {"app.py", "pages/one.py", "wheels/aweigh-0.1.0-py3-none-any.whl"}
    names = {line.split("==")[0] for line in release.requirements.splitlines() if "==" in line}
    assert names == {"alpha", "beta", "doors", "hinges", "streamlit", "click"}
    assert release.bundle is None


def test_a_folder_of_its_owner_s_is_kept_as_it_is(release_of, folder):
    write(
        folder,
        Procfile="web: sh setup.sh && streamlit run app.py\nworker-2: python x.py\n",
        **{"setup.sh": "echo $PORT\n", "requirements.txt": "streamlit==1.12.0\n", "runtime.txt": "python-3.10.13\n"},
    )
    release = release_of(folder, name="mine")
    assert release.processes == {"web": "sh setup.sh && streamlit run app.py", "worker-2": "python x.py"}
    assert release.own == {"Procfile", "setup.sh", "requirements.txt", "runtime.txt"}
    assert release.requirements == "streamlit==1.12.0\n"
    assert release.python == "3.10.13"
    assert (release.config, release.secrets, release.stores) == ({}, (), ())
    assert set(release.files) == {"Procfile", "app.py", "setup.sh", "requirements.txt", "runtime.txt"}


def test_our_own_line_brings_aweigh_into_the_owner_s_requirements(release_of, folder):
    write(folder, **{"requirements.txt": "streamlit\nframes\n", ".python-version": "3.13.1\n"})
    release = release_of(folder, name="mine", wishes=OPEN)
    assert release.requirements == "streamlit\nframes\n./wheels/aweigh-0.1.0-py3-none-any.whl[ui]\n"
    assert release.own == {".python-version"}
    assert release.python == "3.13.1"
    assert release.processes == {"web": "aweigh serve app.py --host 0.0.0.0 --auth none"}


def test_a_python_too_old_for_our_line_is_said(release_of, folder):
    write(folder, **{"requirements.txt": "streamlit\n", "runtime.txt": "python-3.10.4"})
    with pytest.raises(ConfigError, match=r"does not run on Python 3\.10\.4"):
        release_of(folder, name="mine")


def test_a_procfile_without_requirements_is_locked_without_aweigh(release_of, folder):
    write(folder, Procfile="web: streamlit run app.py --server.port $PORT\n")
    (folder / "pages").mkdir()
    (folder / "pages" / "one.py").write_text("import click\n")
    release = release_of(folder, name="mine")
    names = [line.split("==")[0] for line in release.requirements.splitlines() if "==" in line]
    assert names == ["click", "streamlit"]
    assert "aweigh" not in release.requirements
    assert not any("wheel" in name for name in release.files)


def test_the_dependencies_of_a_pyproject_are_what_is_locked(release_of, folder):
    write(folder, **{"pyproject.toml": '[project]\nname = "x"\ndependencies = ["frames>=1", "streamlit"]\n'})
    release = release_of(folder, name="mine", wishes=OPEN)
    assert "frames==1.0" in release.requirements
    write(folder, **{"pyproject.toml": "[project\n"})
    with pytest.raises(DataError, match=r"pyproject\.toml cannot be read"):
        release_of(folder, name="mine")


def test_another_lock_is_kept_and_none_is_added(release_of, folder):
    write(folder, Procfile="web: streamlit run app.py\n", **{"poetry.lock": "", "pyproject.toml": ""})
    release = release_of(folder, name="mine")
    assert release.requirements is None
    assert release.own == {"Procfile", "poetry.lock"}
    (folder / "Procfile").unlink()
    with pytest.raises(UsageError, match=r"locked by poetry\.lock, which has no aweigh"):
        release_of(folder, name="mine")


def test_a_rendered_folder_is_its_own_release(release_of, bare, tmp_path):
    from aweigh.targets.heroku.render import render, source_of

    release = release_of(bare, name="my-model")
    out = tmp_path / "out"
    for name, content in source_of(release, render(release)).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    again = release_of(out, name="my-model")
    assert again.own == {"Procfile", "requirements.txt", ".python-version", "app.json"}
    assert (again.processes, again.bundle) == (release.processes, release.bundle)
    assert (again.config, again.stores) == (release.config, release.stores)
    assert render(again) == {}


def test_what_is_imported_and_not_installed_is_no_guess(release_of, folder):
    (folder / "app.py").write_text("import streamlit\nimport requestz_typo\n")
    with pytest.raises(ConfigError, match="not installed here: requestz_typo"):
        release_of(folder, name="mine")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no Streamlit script"),
        ({"app.py": "import flask\n"}, "no Streamlit script"),
        ({"one.py": "import streamlit\n", "two.py": "import streamlit\n"}, "2 Streamlit scripts"),
        ({"a b.py": "import streamlit\n"}, "a command line would read"),
        ({"a;rm.py": "import streamlit\n"}, "a command line would read"),
        ({"$(id).py": "from streamlit import x\n"}, "a command line would read"),
        ({"-x.py": "import streamlit\n"}, "a command line would read"),
        ({"app.py": "import streamlit\n", "Pipfile": ""}, r"no Pipfile\.lock"),
    ],
)
def test_folders_that_cannot_be_started(release_of, tmp_path, files, why):
    write(tmp_path, **files)
    with pytest.raises(UsageError, match=why):
        release_of(tmp_path, name="mine")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("app.py", b"import streamlit\n(\n"),
        ("app.py", b"import streamlit\n\x00"),
        ("app.py", b"import streamlit\n" + b"(" * 9999),
    ],
)
def test_a_script_that_is_no_python_is_said(release_of, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"'app\.py' is no Python"):
        release_of(tmp_path, name="mine")


def test_requirements_that_are_no_text_are_said(release_of, folder):
    (folder / "requirements.txt").write_bytes("streamlit\n".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"requirements\.txt is not UTF-8"):
        release_of(folder, name="mine")


def test_a_script_alone_takes_what_lies_beside_it_and_nothing_else(release_of, folder):
    write(folder, **{"requirements.txt": "streamlit\n", "secret.csv": "1\n"})
    release = release_of(folder / "app.py", name="mine", wishes=OPEN)
    assert set(release.files) == {"app.py", "requirements.txt", "wheels/aweigh-0.1.0-py3-none-any.whl"}
    (folder / "other.py").write_text("print()\n")
    with pytest.raises(UsageError, match="imports no Streamlit"):
        release_of(folder / "other.py", name="mine")


def test_a_folder_has_no_jobs_of_ours(release_of, folder):
    with pytest.raises(UsageError, match="--worker goes with a bundle"):
        release_of(folder, name="mine", wishes=Wishes(worker=True))


def test_a_pickled_model_s_library_is_locked_too(release_of, folder):
    """The script loads the model and imports none of its library: only the pickle tells."""
    (folder / "app.py").write_text("import pickle\nimport streamlit\n")
    (folder / "model.pkl").write_bytes(b"cclick\nCommand\n.")
    (folder / "broken.joblib").write_bytes(b"\x80")
    release = release_of(folder, name="mine", wishes=OPEN)
    assert "click==1.0" in release.requirements
    (folder / "model.pkl").write_bytes(b"cno_such_library\nModel\n.")
    with pytest.raises(ConfigError, match="not installed here: no_such_library"):
        release_of(folder, name="mine", wishes=OPEN)


@pytest.mark.parametrize("rule", ["wheels/", "*.whl", "/Procfile", "requirements*"])
def test_a_slugignore_that_takes_away_what_is_added_is_said(release_of, folder, rule):
    write(folder, **{"requirements.txt": "streamlit\n", ".slugignore": f"*.md\n{rule}\n"})
    with pytest.raises(UsageError, match=r"\.slugignore takes away"):
        release_of(folder, name="mine")
    write(folder, **{".slugignore": "*.md\n"})
    assert release_of(folder, name="mine", wishes=OPEN).processes


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("app.py", "import streamlit\nkey = 'sk_live_4eC39HqLyjWDarjtT1zdp7dc'\n", "line 2: a Stripe key"),
        ("settings.toml", 'url = "postgres://ana:Vq7rT2mZpL@db.internal/x"\n', "line 1: an address with a password"),
        ("notes.md", "the token is HRKU-0123456789abcdef0123456789abcdef\n", "line 1: a Heroku key"),
        ("own.txt", "what we use is zq8Yw3Kp0vXb\n", "line 1: the value of this environment's MY_API_KEY"),
    ],
)
def test_a_folder_that_holds_a_secret_is_not_built(release_of, name, text, kind, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "zq8Yw3Kp0vXb")
    (tmp_path / "app.py").write_text("import streamlit\n")
    (tmp_path / "requirements.txt").write_text("streamlit==1.60.0\n")
    (tmp_path / "Procfile").write_text("web: streamlit run app.py --server.port $PORT\n")
    release_of(tmp_path, name="fine")
    (tmp_path / name).write_text(text)
    with pytest.raises(HoldsSecret, match=kind) as refused:
        release_of(tmp_path, name="fine")
    assert not any(word in str(refused.value) for word in ("4eC39", "Vq7rT2", "0123456789abcdef", "zq8Yw3"))
    (tmp_path / name).write_text(f"{text.rstrip()}  # aweigh: no secret (an example)\n")
    if "MY_API_KEY" not in kind:
        release_of(tmp_path, name="fine")
