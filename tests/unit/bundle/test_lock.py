"""Locks: from a package index on this machine, and without any."""

import hashlib
import http.server
import io
import socket
import sys
import threading
import zipfile
from collections import defaultdict

import pytest

from aweigh.bundle import lock as lock_module
from aweigh.bundle.lock import (
    Lock,
    compile_arguments,
    installed_versions,
    lock,
    lock_serving,
    serving_requirements,
)
from aweigh.bundle.requirements import Pinned, read_lock, write_lock
from aweigh.bundle.resolver import refuse_full_disk, uv_environment
from aweigh.errors import ConfigError, DamagedBundle, MissingExtra, StorageFull, UsageError

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

OFFERED = {
    ("alpha", "1.0"): ["beta>=1", "gamma; python_version < '3.12'", "delta; sys_platform == 'win32'"],
    ("alpha", "2.0"): ["beta>=1"],
    ("beta", "1.0"): [],
    ("beta", "1.1"): [],
    ("gamma", "0.5"): [],
    ("xgboost-cpu", "3.0"): [],
    ("xgboost-cpu", "3.1"): [],
}


def wheel(name, version, requires):
    out = io.BytesIO()
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {one}" for one in requires),
    ]
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        made.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"{info}/RECORD", "")
    return out.getvalue()


@pytest.fixture(scope="module")
def index():
    """Serve a package index on loopback; return its address and the sha256 of each file."""
    files = {}
    pages = defaultdict(list)
    for (name, version), requires in OFFERED.items():
        file_name = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        files[f"/files/{file_name}"] = content = wheel(name, version, requires)
        pages[name].append(f'<a href="/files/{file_name}#sha256={hashlib.sha256(content).hexdigest()}">{file_name}</a>')

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = pages.get(self.path.strip("/").removeprefix("index/"))
            body = b"<!DOCTYPE html>" + "".join(page).encode() if page else files.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html" if page else "application/octet-stream")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield (
            f"http://someone:secret@127.0.0.1:{server.server_port}/index",
            {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        )
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Let uv find nothing that it fetched before, and no settings of the one who runs the tests."""
    for name in (
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
        "UV_INDEX",
        "UV_EXTRA_INDEX_URL",
        "PIP_INDEX_URL",
        "UV_FIND_LINKS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


@pytest.fixture
def online(monkeypatch, index):
    monkeypatch.setenv("UV_DEFAULT_INDEX", index[0])
    return index[1]


@pytest.fixture
def offline(monkeypatch):
    """Point at a port where nobody listens."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://someone:secret@127.0.0.1:9/index")


def told_no_address(made: Lock):
    told = made.text + "".join(made.notes)
    assert not any(word in told for word in ("://", "127.0.0.1", "secret", "someone", "--index", "--find", "#"))


# -- with an index ---------------------------------------------------------------------------------------------------


def test_the_installed_versions_are_taken_and_hashed(online):
    made = lock(["alpha"], python="3.12", installed={"alpha": "1.0", "Beta": "1.0", "unrelated": "7"})
    hashes = [online[f"/files/{name}-1.0-py3-none-any.whl"] for name in ("alpha", "beta")]
    alpha, beta = (f"    --hash=sha256:{value}\n" for value in hashes)
    assert made.text == f"alpha==1.0 \\\n{alpha}beta==1.0 \\\n{beta}"
    assert (made.hashed, made.unhashed, made.notes) == (True, (), ())
    told_no_address(made)


def test_what_is_not_installed_is_taken_new_and_told(online):
    made = lock(["alpha"], python="3.12", installed={"alpha": "1.0"})
    assert [(one.name, one.version) for one in made.packages] == [("alpha", "1.0"), ("beta", "1.1")]
    assert made.notes == ("not installed here, so their newest versions were taken: beta",)


def test_the_lock_is_for_the_python_asked_for(online):
    fixed = {"alpha": "1.0", "beta": "1.0", "gamma": "0.5"}
    older = lock(["alpha"], python="3.11", installed=fixed)
    newer = lock(["alpha"], python="3.13", installed=fixed)
    assert [one.name for one in older.packages] == ["alpha", "beta", "gamma"]
    assert [one.name for one in newer.packages] == ["alpha", "beta"]


def test_xgboost_is_locked_without_its_graphics_card_libraries(online):
    made = lock(["XGBoost>=2"], python="3.12", installed={"xgboost": "3.0"})
    assert [(one.name, one.version) for one in made.packages] == [("xgboost-cpu", "3.0")]


def test_twice_the_same_text(online):
    once, again = (lock(["beta", "alpha"], python="3.12", installed={"alpha": "2.0", "beta": "1.0"}) for _ in range(2))
    assert once == again


def test_settings_of_the_user_change_nothing(online, monkeypatch, tmp_path):
    fixed = {"alpha": "2.0", "beta": "1.0"}
    plain = lock(["alpha"], python="3.12", installed=fixed)
    (tmp_path / "uv").mkdir()
    for folder in (tmp_path, tmp_path / "uv"):
        (folder / "uv.toml").write_text('exclude-newer = "2000-01-01T00:00:00Z"\n[pip]\nannotation-style = "line"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name, value in {
        "UV_EXCLUDE_NEWER": "2000-01-01T00:00:00Z", "UV_NO_BINARY": "1", "UV_RESOLUTION": "lowest",
        "UV_CONSTRAINT": "/nowhere", "UV_CUSTOM_COMPILE_COMMAND": "evil", "UV_CONFIG_FILE": str(tmp_path / "uv.toml"),
        "PIP_CONSTRAINT": "/nowhere", "VIRTUAL_ENV": "/nowhere",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert lock(["alpha"], python="3.12", installed=fixed) == plain


def test_pips_own_variable_says_where_packages_come_from(index, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", index[0])
    made = lock(["gamma"], python="3.12", installed={"gamma": "0.5"})
    assert made.hashed
    told_no_address(made)


def test_an_index_without_what_is_installed_leaves_it_without_hashes(online):
    made = lock(["alpha"], python="3.12", installed={"alpha": "9.9+local", "beta": "1.0"})
    assert made.text == "alpha==9.9+local\n"
    assert (made.hashed, made.unhashed) == (False, ("alpha",))
    assert "does not offer what is installed here" in made.notes[0]
    assert "alpha==9.9" in made.notes[0]
    told_no_address(made)


def test_an_index_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(lock_module, "TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{silent.getsockname()[1]}/index")
        made = lock(["click"], python=RUNNING)
    assert not made.hashed
    assert "no package index answered within" in made.notes[0]


# -- without -----------------------------------------------------------------------------------------------------------


def test_without_an_index_what_is_installed_is_pinned(offline):
    made = lock(["uvicorn>=0.30"], python=RUNNING)
    installed = installed_versions()
    assert {"uvicorn", "click", "h11"} <= {one.name for one in made.packages}
    assert all(one == Pinned(one.name, installed[one.name], ()) for one in made.packages)
    assert made.unhashed == tuple(one.name for one in made.packages)
    assert made.notes == ("no package index could be reached: versions are those installed here, without hashes",)
    told_no_address(made)


def test_without_an_index_the_same_packages_are_found_as_with_one(offline):
    """What the walk through the metadata finds is all that is needed: every requirement of every package is in it."""
    made = lock(serving_requirements("sklearn", ui=True), python=RUNNING)
    names = {one.name for one in made.packages}
    environment = lock_module._environment(RUNNING)
    for name in names:
        for needed in lock_module._requirements(lock_module._requires(name)):
            if lock_module._applies(needed, environment, ""):
                assert lock_module.canonical(needed.name) in names


def test_extras_are_followed(offline):
    plain = {one.name for one in lock(["uvicorn"], python=RUNNING).packages}
    more = {one.name for one in lock(["uvicorn[standard]"], python=RUNNING, installed=everything()).packages}
    assert "httptools" not in plain
    assert "httptools" in more


def everything():
    """What is installed, and some version of what uvicorn's extra needs beside it."""
    return {"watchfiles": "1", "websockets": "1", "python-dotenv": "1", "pyyaml": "1"} | installed_versions()


def test_without_an_index_what_is_not_installed_cannot_be_locked(offline):
    with pytest.raises(ConfigError, match="no-such-thing is not installed here") as caught:
        lock(["No_Such.Thing"], python=RUNNING)
    assert "try again with a network" in caught.value.hint


def test_without_uv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingExtra) as caught:
        lock(["click"], python=RUNNING)
    assert caught.value.extra == "pack"


@pytest.mark.parametrize("python", ["3.10", "2.7", "3", "3.12.1", "3.x", "", "3.1²", "3.12; x"])
def test_a_python_that_aweigh_does_not_run_on_is_refused(python):
    with pytest.raises(UsageError):
        lock(["click"], python=python)


# -- what serving needs ------------------------------------------------------------------------------------------------


def names_of(requirements):
    return {lock_module.canonical(one.name) for one in lock_module._requirements(requirements)}


def test_an_onnx_bundle_needs_neither_scikit_learn_nor_pandas():
    api = names_of(serving_requirements("onnx", ui=False))
    assert {"onnxruntime", "numpy", "starlette", "uvicorn", "click", "msgspec"} <= api
    assert not api & {"scikit-learn", "pandas", "skops", "streamlit", "onnx", "skl2onnx", "uv", "aweigh", "pyarrow"}
    assert names_of(serving_requirements("onnx", ui=True)) - api == {"streamlit", "httpx", "websockets"}


@pytest.mark.parametrize(
    ("runtime", "more"),
    [
        ("sklearn", {"scikit-learn", "skops", "pandas"}),
        ("xgboost", {"xgboost-cpu", "pandas"}),
        ("lightgbm", {"lightgbm", "pandas"}),
        ("catboost", {"catboost", "pandas"}),
        ("python", {"cryptography"}),
    ],
)
def test_other_runtimes_need_their_own_library(runtime, more):
    assert names_of(serving_requirements(runtime, ui=False)) - names_of(serving_requirements("onnx", ui=False)) == more


def test_the_app_is_locked_to_the_same_versions_as_the_api(offline):
    api, both = lock_serving("onnx", python=RUNNING)
    assert set(api.packages) < set(both.packages)
    assert "streamlit" in {one.name for one in both.packages}
    assert not {"streamlit", "pandas"} & {one.name for one in api.packages}


def test_what_the_app_holds_back_is_held_back_for_the_api_too(monkeypatch):
    """Both are resolved at once; the API's is resolved again where the app's has other versions of its packages."""

    def resolve(requirements, *, python, fixed):
        has_app = any(one.startswith("streamlit") for one in requirements)
        return (Pinned("anyio", fixed.get("anyio", "4.0" if has_app else "5.0"), ("0" * 64,)),)

    monkeypatch.setattr(lock_module, "resolve", resolve)
    monkeypatch.setattr(lock_module, "installed_versions", dict)
    api, both = lock_serving("onnx", python=RUNNING)
    assert [one.version for one in (*api.packages, *both.packages)] == ["4.0", "4.0"]
    assert api.notes == ("not installed here, so their newest versions were taken: anyio",)


def test_what_checks_signatures_is_locked_for_bundles_that_bear_one(offline):
    for runtime in ("onnx", "python"):
        plain, checked = (names_of(serving_requirements(runtime, ui=False, trust=one)) for one in (False, True))
        assert checked - plain == ({"cryptography"} if runtime == "onnx" else set())
    for locked in lock_serving("onnx", python=RUNNING, trust=True):
        assert "cryptography" in {one.name for one in locked.packages}
    for locked in lock_serving("onnx", python=RUNNING):
        assert "cryptography" not in {one.name for one in locked.packages}


def test_more_may_be_asked_for_by_the_model(offline):
    api, _ = lock_serving("python", python=RUNNING, more=["scikit-learn"])
    assert "scipy" in {one.name for one in api.packages}


# -- the command and its text ------------------------------------------------------------------------------------------


def test_the_command_reads_no_settings_and_fetches_no_python():
    command = compile_arguments(python="3.12")
    assert command[:3] == ["pip", "compile", "in.txt"]
    assert {"--no-config", "--no-python-downloads", "--generate-hashes", "--no-emit-index-url"} <= set(command)
    assert command[command.index("--python-version") + 1] == "3.12"


def test_only_variables_about_where_packages_come_from_are_passed_on():
    given = {
        "PATH": "/bin", "HTTPS_PROXY": "p", "SSL_CERT_FILE": "c", "UV_INDEX": "a", "UV_INDEX_MINE_PASSWORD": "x",
        "UV_EXCLUDE_NEWER": "2000", "UV_PYTHON": "3.8", "PIP_INDEX_URL": "b", "PIP_FIND_LINKS": "d", "VIRTUAL_ENV": "v",
    }  # fmt: skip
    assert uv_environment(given) == {
        "PATH": "/bin", "HTTPS_PROXY": "p", "SSL_CERT_FILE": "c", "UV_INDEX": "a", "UV_INDEX_MINE_PASSWORD": "x",
        "UV_HTTP_RETRIES": "2",
    }  # fmt: skip
    assert uv_environment({"PIP_INDEX_URL": "b", "PIP_EXTRA_INDEX_URL": "c"}) == {
        "UV_DEFAULT_INDEX": "b", "UV_INDEX": "c", "UV_HTTP_RETRIES": "2",
    }  # fmt: skip


def test_a_lock_is_read_as_it_was_written():
    packages = (Pinned("b", "1.0+cpu", ("f" * 64, "a" * 64)), Pinned("a", "2!1.0rc1", ()))
    text = write_lock(packages)
    assert text == f"a==2!1.0rc1\nb==1.0+cpu \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'f' * 64}\n"
    assert write_lock(read_lock(text)) == text


def test_comments_and_blank_lines_are_passed_over():
    assert read_lock("# made by uv\n\nA_b==1\n") == (Pinned("a-b", "1", ()),)
    with pytest.raises(DamagedBundle):
        read_lock("a==1 # why\n")


@pytest.mark.parametrize(
    "told",
    [
        "error: failed to write to file `/c/uv/.lock`: No space left on device (os error 28)",
        "OSError: [Errno 122] Disk quota exceeded: 'x.pyc'",
    ],
)
def test_a_full_disk_is_told_as_one(told):
    with pytest.raises(StorageFull, match="disk is full"):
        refuse_full_disk(told)
    refuse_full_disk("error: no such package as os-error-28 (os error 2)")
