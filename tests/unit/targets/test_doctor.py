"""`aweigh doctor` on folders that fail on Heroku: each fault is named with its fix, and none on a good folder."""

import base64
import hashlib
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from aweigh.cli import cli
from aweigh.errors import AweighError, MissingExtra, UsageError
from aweigh.targets.doctor import cost, measured, wheels
from aweigh.targets.doctor.environment import Environment
from aweigh.targets.doctor.finding import Finding, has_failed, sort_findings
from aweigh.targets.doctor.folder import read_folder
from aweigh.targets.doctor.load import Asked, exception_in, fields_of
from aweigh.targets.doctor.requirements import read_lines
from aweigh.targets.doctor.run import Run
from aweigh.targets.doctor.slug import Slug, measure_slug
from aweigh.targets.heroku.doctor import Wishes, check_folder, diagnose, platform_of

FOLDERS = Path(__file__).parents[2] / "data" / "heroku"
OFFLINE = Wishes(ask_index=False, measure=False)
WEB = "web: streamlit run app.py --server.port $PORT --server.address 0.0.0.0\n"
MB = 2**20
BASIC = platform_of(Wishes())


def found_in(path: Path) -> dict[str, Finding]:
    """Return what is found in a folder and is not as it should be, by its code; the worst of each."""
    return {
        one.code: one
        for one in reversed(sort_findings(check_folder(read_folder(path), wishes=OFFLINE)))
        if one.level != "pass"
    }


@pytest.fixture
def folder(tmp_path):
    """Return what makes a copy of the good folder with these files changed; None takes one away."""

    def made(files: dict[str, str | bytes | None]) -> Path:
        path = tmp_path / "app"
        shutil.copytree(FOLDERS / "good", path)
        for name, content in files.items():
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                target.unlink()
            else:
                target.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return made


# -- the classic failures, each a folder ------------------------------------------------------------------------------

CLASSIC = {
    # folder: code, level, what the fix says
    "no_port": ("no_port", "fail", "--server.port $PORT"),
    "setup_sh": ("echo_newline", "fail", "printf"),
    "cors_off": ("cors_off", "fail", "take enableCORS = false out"),
    "runtime_txt": ("runtime_txt", "warn", "echo 3.13 > .python-version; git rm runtime.txt"),
    "lfs_pointer": ("lfs_pointer", "fail", "git lfs pull"),
    "cuda_torch": ("cuda_torch", "fail", "https://download.pytorch.org/whl/cpu"),
    "slug_too_large": ("full_tensorflow", "fail", "tensorflow-cpu"),
    "no_affinity": ("no_affinity", "fail", "features:enable http-session-affinity"),
    "two_locks": ("two_managers", "fail", "keep one of them; as poetry.lock is a lock: git rm requirements.txt"),
    "disk_state": ("disk_state", "warn", "DATABASE_URL"),
    "web_concurrency": ("web_concurrency", "warn", "WEB_CONCURRENCY=1"),
}
"""Those that files tell of."""
WITH_AN_INDEX = {"no_wheel"}
MEASURED = {"memory", "slow_boot", "slow_request", "quiet_socket", "slug_size"}
"""Those that a process or a build tells of: `tests/integration/test_doctor_measured.py`."""


def test_every_folder_is_held_against_what_it_is_there_for():
    assert {one.name for one in FOLDERS.iterdir()} == {"good", "guide_2022", *CLASSIC, *WITH_AN_INDEX, *MEASURED}


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_what_is_only_measured_shows_in_no_file(name):
    assert set(found_in(FOLDERS / name)) == {"not_locked"}


def test_a_good_folder_has_nothing_to_be_mended():
    findings = check_folder(read_folder(FOLDERS / "good"), wishes=OFFLINE)
    assert [one for one in findings if one.level != "pass"] == []
    assert {one.code for one in findings} >= {"procfile", "protection", "python_version", "requirements", "files"}


@pytest.mark.parametrize("name", CLASSIC)
def test_a_classic_failure_is_named_with_its_fix(name, tmp_path):
    code, level, fix = CLASSIC[name]
    path = shutil.copytree(FOLDERS / name, tmp_path / name)
    if name == "two_locks":  # no lock of Poetry's lies in this repository
        (path / "poetry.lock").write_text("package = []\n")
    found = found_in(path)
    assert found[code].level == level
    assert fix in found[code].fix
    extra = {"setup_sh": set(), "cors_off": {"xsrf_off"}}.get(name, set())
    assert set(found) == {code} | extra, "nothing else is wrong with it"


def test_the_guide_of_2022_followed_to_the_letter(tmp_path):
    path = tmp_path / "guide"
    shutil.copytree(FOLDERS / "guide_2022", path)
    model = LogisticRegression().fit(np.array([[39.0], [48.0], [38.0], [50.0]]), ["Adelie", "Gentoo"] * 2)
    joblib.dump(model, path / "model.joblib")
    found = found_in(path)
    assert {code: one.level for code, one in found.items()} == {
        "cors_off": "warn",
        "altair": "fail",
        "weak_login": "fail",
        "echo_newline": "warn",
        "no_python_version": "warn",
        "not_locked": "warn",
        "old_streamlit": "warn",
        "pickle": "warn",
    }
    assert "altair.vegalite.v4" in found["altair"].what
    assert "altair<5" in found["altair"].fix
    assert found["weak_login"].where == "app.py, line 13"
    assert "SHA-256" in found["weak_login"].what
    assert "--auth password" in found["weak_login"].fix
    assert "aweigh pack model.joblib" in found["pickle"].fix
    assert "3.10" in found["old_streamlit"].fix
    assert all(one.fix for one in found.values())
    assert "model.joblib is not in the folder" in found_in(FOLDERS / "guide_2022")["pickle"].what


@pytest.mark.parametrize("lock", ["poetry.lock", "uv.lock", "Pipfile.lock"])
def test_a_lock_of_any_kind_beside_requirements_is_one_too_many(folder, lock):
    found = found_in(folder({lock: ""}))
    assert set(found) == {"two_managers"}
    assert found["two_managers"].what.startswith(f"requirements.txt and {lock} name packages")
    assert found["two_managers"].fix.endswith(f"as {lock} is a lock: git rm requirements.txt")


def test_loose_requirements_are_told_to_leave_what_they_need_to_the_day_of_the_build(folder):
    loose = found_in(folder({"requirements.txt": "streamlit>=1.5\npandas\n"}))["loose"]
    assert "so may what they need in turn" in loose.what
    assert loose.fix == "aweigh lock requirements.txt"


# -- every other fault ------------------------------------------------------------------------------------------------

HASH = "sha256:" + "0" * 64
FAULTS = [
    ({"Procfile": None}, "no_procfile", "warn", "web: streamlit run app.py"),
    ({"Procfile": None, "app.py": None}, "no_procfile", "fail", "web: streamlit run app.py"),
    ({"Procfile": None, "procfile": WEB}, "procfile_name", "fail", "git mv procfile Procfile"),
    ({"Procfile": None, "Procfile.txt": WEB}, "procfile_name", "fail", "git mv Procfile.txt Procfile"),
    ({"Procfile": WEB.replace("\n", "\r\n")}, "procfile_crlf", "warn", "sed"),
    ({"Procfile": WEB + WEB}, "procfile_double", "warn", "keep one"),
    ({"Procfile": WEB + "???\n"}, "procfile_line", "warn", "TYPE: COMMAND"),
    ({"Procfile": WEB + "Work_er: python x.py\n"}, "procfile_type", "warn", "work-er"),
    ({"Procfile": WEB.replace("web", "app", 1)}, "no_web", "fail", "web: streamlit run"),
    ({"Procfile": ""}, "no_web", "fail", "web: streamlit run"),
    ({"Procfile": WEB.replace("0.0.0.0", "localhost")}, "loopback", "fail", "0.0.0.0"),
    ({"Procfile": WEB.replace("app.py", "other.py")}, "missing_script", "fail", "app.py"),
    ({"Procfile": "web: sh setup.sh && " + WEB[5:]}, "missing_script", "fail", "setup.sh"),
    ({"Procfile": "web: uvicorn app:app\n"}, "no_port", "fail", "uvicorn app:app --host 0.0.0.0 --port $PORT"),
    ({"Procfile": "web: gunicorn app:app\n"}, "web_concurrency", "warn", "WEB_CONCURRENCY=1"),
    ({"Procfile": "web: aweigh serve a.aweigh --host 0.0.0.0\n"}, "web_concurrency", "warn", "WEB_CONCURRENCY=1"),
    ({"setup.sh": "echo '[server]\\nport = 1\\n' > x\n"}, "echo_newline", "warn", "printf"),
    ({"setup.sh": "#!/bin/bash\necho '[server]\\nport = 1\\n' > x\n"}, "echo_newline", "fail", "printf"),
    ({"setup.sh": "mkdir a\r\n"}, "script_crlf", "fail", "LF"),
    ({".streamlit/config.toml": "[server]\nenableXsrfProtection=false\n"}, "xsrf_off", "fail", "take"),
    ({"Procfile": WEB.strip() + " --server.enableCORS=false\n"}, "cors_off", "warn", "take"),
    ({"Procfile": WEB.strip() + " --server.enableCORS false\n"}, "cors_off", "warn", "take"),
    ({".python-version": "python-3.13\n"}, "python_version_form", "fail", "echo 3.13"),
    ({".python-version": "\n"}, "python_version_form", "fail", "echo 3.14"),
    ({".python-version": "3.8\n"}, "python_unsupported", "fail", "echo 3.10"),
    ({".python-version": None}, "no_python_version", "warn", "echo 3.14"),
    ({"requirements.txt": None}, "no_requirements", "fail", "aweigh lock"),
    ({"requirements.txt": None, "pyproject.toml": "[project]\n"}, "no_requirements", "fail", "aweigh lock"),
    ({"requirements.txt": ""}, "no_requirements", "fail", "aweigh lock"),
    ({"requirements.txt": None, "Pipfile": "[packages]\n"}, "no_pipfile_lock", "fail", "pipenv lock"),
    ({"requirements.txt": None, "uv.lock": "", ".python-version": None}, "uv_no_python", "fail", "echo 3.13"),
    ({"requirements.txt": "streamlit>=1.5\n"}, "loose", "warn", "aweigh lock"),
    ({"requirements.txt": "streamlit==1.*\n"}, "loose", "warn", "aweigh lock"),
    ({"requirements.txt": "streamlit==1.51.0\n"}, "not_locked", "warn", "hashes"),
    ({"requirements.txt": f"numpy==2.3.0 --hash={HASH}\n"}, "no_streamlit", "fail", "add streamlit"),
    ({"requirements.txt": f"streamlit==1.51.0 --hash={HASH}\nxgboost==3.0.0 --hash={HASH}\n"}, "xgboost_nccl", "warn",
     "xgboost-cpu"),
    ({"requirements.txt": f"--index-url https://me:{'s3' + 'cr3t9'}@index.example/\nstreamlit==1.51.0 --hash={HASH}\n"},
     "index_password", "fail", "${NAME}"),
    ({"requirements.txt": f"streamlit==1.30.0 --hash={HASH}\n"}, "old_streamlit", "warn", "3.12"),
    ({"deploy.env": "AWS_KEY=" + "AKIA" + "IOSFODNN7ABCDEFG\n"}, "secret", "fail", "config:set"),
    ({".env": "A=1\n"}, "secret_file", "warn", ".gitignore"),
    ({".venv/pyvenv.cfg": "home = /usr\n"}, "committed_venv", "fail", "git rm -r --cached .venv"),
    ({"app.json": "[]"}, "app_json", "fail", "anew"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "code", "level", "fix"), FAULTS, ids=[f"{one[1]}-{i}" for i, one in enumerate(FAULTS)]
)
def test_a_fault_is_named_with_its_fix(folder, files, code, level, fix):
    found = found_in(folder(files))
    assert code in found, list(found)
    assert found[code].level == level
    assert fix in found[code].fix


@pytest.mark.parametrize(
    "files",
    [
        {"Procfile": "# the app\n\n" + WEB},
        {"Procfile": "web: gunicorn --workers 1 app:app\n"},
        {"Procfile": "web: gunicorn app:app\n", "app.json": '{"env": {"WEB_CONCURRENCY": "1"}}'},
        {"Procfile": "web: aweigh serve a.aweigh --host 0.0.0.0 --workers auto\n"},
        {"Procfile": "web: aweigh serve app.py --host 0.0.0.0 --auth password\n"},
        {"Procfile": "web: STREAMLIT_SERVER_PORT=$PORT streamlit run app.py\n"},
        {"Procfile": "web: sh start.sh\n", "start.sh": "exec streamlit run app.py --server.port ${PORT}\n"},
        {"Procfile": "web: python run.py\n", "run.py": "import os\nport = int(os.environ['PORT'])\n"},
        {"setup.sh": 'echo -e "[server]\\nport = 1\\n" > x\nprintf "a\\nb"\n'},
        {".streamlit/config.toml": "[server]\nenableCORS = true\n"},
        {".venv/pyvenv.cfg": "home = /usr\n", ".gitignore": ".venv/\n"},
        {".env": "A=1\n", ".gitignore": ".env\n"},
        {".python-version": "# chosen\n3.13.5\n"},
        {"app.json": '{"formation": {"web": {"quantity": 1}}}'},
        {"app.json": '{"formation": null, "env": []}'},
    ],
)
def test_what_works_is_no_fault(folder, files):
    assert found_in(folder(files)) == {}


def test_torch_for_cpus_is_no_fault(folder):
    pins = f"streamlit==1.51.0 --hash={HASH}\ntorch==2.9.0+cpu --hash={HASH}\n"
    text = f"--extra-index-url https://download.pytorch.org/whl/cpu\n{pins}"
    assert found_in(folder({"requirements.txt": text})) == {}


# -- scripts, read and not run ----------------------------------------------------------------------------------------

LOGINS = [
    (
        "import hashlib\ndef make_hash(password):\n    return hashlib.sha256(password.encode()).hexdigest()\n",
        "weak_login",
    ),
    ("from hashlib import md5\nok = md5(pwd.encode()).hexdigest() == known\n", "weak_login"),
    ("import hashlib\nok = hashlib.new('sha-1', st.session_state.password) == known\n", "weak_login"),
    ("if password == 'hunter2':\n    go()\n", "plain_login"),
    ("USERS = {'ana': 'hunter2'}\nif USERS[name] == password:\n    go()\n", "plain_login"),
    ("USERS = {'ana': 'hunter2'}\nif USERS.get(name) == st.session_state.password:\n    go()\n", "plain_login"),
]
NO_LOGINS = [
    "import hashlib\nkey = hashlib.sha256(content).hexdigest()\n",
    "import argon2, hashlib\nok = argon2.PasswordHasher().verify(h, password)\nx = hashlib.sha256(password.encode())\n",
    "if password == st.secrets['password']:\n    go()\n",
    "if password == '':\n    stop()\n",
    "password = \n",
]


@pytest.mark.parametrize(("script", "code"), LOGINS)
def test_a_login_of_ones_own_is_told_of(folder, script, code):
    assert found_in(folder({"login.py": script}))[code].level == "fail"


@pytest.mark.parametrize("script", NO_LOGINS)
def test_no_login_where_there_is_none(folder, script):
    assert not {"weak_login", "plain_login"} & set(found_in(folder({"login.py": script})))


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_pickle_that_would_run_code_is_a_failure_and_is_not_run(folder):
    import pickle

    path = folder({"app.py": "import pickle\nimport streamlit\nM = 'm.pkl'\nmodel = pickle.load(open(M, 'rb'))\n"})
    (path / "m.pkl").write_bytes(pickle.dumps(Evil()))
    found = found_in(path)["pickle_code"]
    assert found.level == "fail"
    assert "system" in found.what
    assert found.where == "app.py, line 4"


@pytest.mark.parametrize("call", ["joblib.load(f)", "pd.read_pickle('m.pkl')", "torch.load(Path('m.pkl'))"])
def test_what_unpickles_is_told_of(folder, call):
    path = folder({"app.py": f"import streamlit\nfrom x import f\nmodel = {call}\n", "m.pkl": b"no pickle"})
    assert "aweigh pack m.pkl" in found_in(path)["pickle"].fix


@pytest.mark.parametrize(
    ("line", "is_state"),
    [
        ("open('votes.csv', 'a').write(x)", True),
        ("frame.to_csv('votes.csv')", True),
        ("sqlite3.connect('app.db')", True),
        ("create_engine('sqlite:///app.db')", True),
        ("Path('x').write_text('y')", True),
        ("joblib.dump(model, 'm.joblib')", True),
        ("Path('votes.csv').open(mode='a')", True),
        ("open('votes.csv', mode='w+b')", True),
        ("open('votes.csv')", False),
        ("Image.open('a.png')", False),
        ("open(mode='w')", False),
        ("frame.to_csv()", False),
        ("frame.to_csv(buffer)", False),
        ("sqlite3.connect(':memory:')", False),
        ("open(tempfile.mktemp(), 'w')", False),
    ],
)
def test_state_on_the_disk_is_told_of(folder, line, is_state):
    assert ("disk_state" in found_in(folder({"state.py": line + "\n"}))) is is_state


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"(" * 100_000, b"\0", b"\xef\xbb\xbfweb: x", b"a" * 2_000_000])
@pytest.mark.parametrize("name", ["Procfile", "app.py", "requirements.txt", ".python-version", "app.json", "setup.sh"])
def test_strange_files_are_judged_and_nothing_breaks(folder, name, content):
    assert check_folder(read_folder(folder({name: content})), wishes=OFFLINE)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("requirements.txt", "a" * 900_000),
        ("requirements.txt", "pass" * 200_000 + "=1"),
        ("setup.sh", 'echo "' + "\\n" * 400_000),
        ("app.py", "import streamlit\nx" + ".a()" * 800 + "\n"),
        ("app.py", "import streamlit\nsqlite3.connect(x" + ".a()" * 800 + ")\n"),
    ],
    ids=["a line of a megabyte", "no sign of an address", "an echo without an end", "a deep call", "a deep argument"],
)
def test_what_is_made_to_take_long_does_not(folder, name, content):
    assert check_folder(read_folder(folder({name: content})), wishes=OFFLINE)


def test_what_is_no_file_is_not_read_and_stops_nothing(folder):
    path = folder({})
    os.mkfifo(path / "setup.sh")
    (path / "gone.py").symlink_to(path / "nothing")
    (path / "Procfile").unlink()
    (path / "Procfile").symlink_to(path / "nothing either")
    found = read_folder(path)
    assert {"setup.sh", "gone.py", "Procfile"}.isdisjoint(found.names)
    assert "no_procfile" in found_in(path)


def test_many_lines_that_are_none_are_not_told_one_by_one(folder):
    findings = check_folder(read_folder(folder({"Procfile": WEB + "???\n" * 100})), wishes=OFFLINE)
    assert sum(one.code == "procfile_line" for one in findings) == 5


def test_no_folder_is_said():
    with pytest.raises(UsageError, match="no folder"):
        read_folder(Path("/nowhere/at/all"))


def test_lines_of_requirements_are_read_as_pip_does():
    text = "-r x.txt\nA_b[c]==1.0 ; python_version<'4'  # d\nb==2 \\\n --hash=sha256:0\nc @ https://x/y\nd>=1,<2\n\ne\n"
    assert [(one.name, one.version, one.number, one.hashed) for one in read_lines(text)] == [
        ("a-b", "1.0", 2, False),
        ("b", "2", 3, True),
        ("d", None, 6, False),
        ("e", None, 8, False),
    ]


# -- wheels: a real index, of files -----------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Make an index of files that offers `tinymodel` 1.0 for CPython 3.10 alone and `pure` 1.0 for all."""
    root = tmp_path / "index"
    for name, tag in (("tinymodel", "cp310-cp310-manylinux_2_17_x86_64"), ("pure", "py3-none-any")):
        write_wheel(root / name, name, tag)
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_DEFAULT_INDEX", root.as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return root


def write_wheel(folder: Path, name: str, tag: str) -> None:
    folder.mkdir(parents=True)
    file = folder / f"{name}-1.0-{tag}.whl"
    info = f"{name}-1.0.dist-info"
    contents = {
        f"{name}.py": "def answer():\n    return 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(
        f"{one},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for one, text in contents.items()
    )
    with zipfile.ZipFile(file, "w") as archive:
        for one, text in {**contents, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(one, text)
    (folder / "index.html").write_text(f'<a href="{file.name}">{file.name}</a>')


def test_pins_without_a_wheel_are_named_with_the_nearest_python(index):
    found = diagnose(FOLDERS / "no_wheel", wishes=Wishes(measure=True), tell=lambda name, text: None).findings
    by_code = {one.code: one for one in found}
    assert by_code["no_wheel"].level == "fail"
    assert "tinymodel 1.0 has no wheel for Python 3.11 or newer" in by_code["no_wheel"].what
    assert "echo 3.10 > .python-version" in by_code["no_wheel"].fix
    assert "no_wheel" in by_code["not_measured"].what


@pytest.mark.parametrize(
    ("requirements", "code", "said"),
    [
        ("pure==1.0\n", "wheels", "1 exact versions"),
        ("pure==1.0\nabsent==3.0\n", "no_wheel", "the index has no package absent"),
        ("pure==2.0\n", "no_wheel", "the index has no pure 2.0"),
        ("pure @ https://a:s3cr3t@b/c.whl\n", "wheels_unknown", "an address"),
    ],
)
def test_what_the_index_has_not_is_named(index, folder, requirements, code, said):
    asked = wheels.ask_wheels(read_folder(folder({"requirements.txt": requirements})), python="3.13", offered=("3.13",))
    (finding,) = wheels.check(asked)
    assert finding.code == code
    assert said in finding.what
    assert "s3cr3t" not in finding.what


def test_without_a_network_it_says_that_nobody_was_asked(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    asked = wheels.ask_wheels(read_folder(FOLDERS / "no_wheel"), python="3.13", offered=("3.10",))
    (finding,) = wheels.check(asked)
    assert (finding.code, finding.level) == ("wheels_unknown", "warn")


# -- figures against limits -------------------------------------------------------------------------------------------


def run_of(**figures) -> Run:
    asked = Asked(
        requests=9,
        slowest_s=figures.pop("slowest_s", 0.1),
        slowest="GET /",
        streams=True,
        ping_s=figures.pop("ping_s", 20.0),
    )
    return Run(**({"boot_s": 2.0, "rest_bytes": 90 * MB, "peak_bytes": 120 * MB, "asked": asked} | figures))


@pytest.mark.parametrize(
    ("figures", "code", "level"),
    [
        ({}, None, "pass"),
        ({"peak_bytes": 600 * MB}, "memory", "fail"),
        ({"peak_bytes": 480 * MB}, "memory", "warn"),
        ({"end": "memory"}, "memory", "fail"),
        ({"boot_s": None, "end": "boot"}, "slow_boot", "fail"),
        ({"boot_s": 45.0}, "slow_boot", "warn"),
        ({"boot_s": None, "end": "status 1", "told": ("No module named 'altair.vegalite.v4'",)}, "boot_crash", "fail"),
        ({"slowest_s": 31.0}, "slow_request", "fail"),
        ({"slowest_s": 20.0}, "slow_request", "warn"),
        ({"ping_s": None}, "keep_alive", "fail"),
        ({"end": "status 137"}, "crash", "fail"),
        ({"exception": "KeyError: 'a'"}, "app_exception", "fail"),
    ],
)
def test_each_figure_is_held_against_its_limit(figures, code, level):
    found = list(measured.run_findings(run_of(**figures), platform=BASIC, workers=2))
    bad = [one for one in found if one.level != "pass"]
    assert [(one.code, one.level) for one in bad] == ([] if code is None else [(code, level)])
    assert all(one.fix for one in bad)


def test_more_workers_than_memory_are_told_of():
    (bad,) = [
        one
        for one in measured.run_findings(run_of(peak_bytes=600 * MB), platform=BASIC, workers=2)
        if one.level == "fail"
    ]
    assert "WEB_CONCURRENCY=1" in bad.fix


@pytest.mark.parametrize(("size", "level"), [(200, "pass"), (350, "warn"), (605, "fail")])
def test_the_slug_is_held_against_its_bound(size, level):
    slug = Slug(size * MB, size * 3 * MB, (("tensorflow", 400 * MB),))
    (found,) = measured.built_findings(slug, bound=BASIC.built)
    assert found.level == level
    assert level == "pass" or "tensorflow 400 MB" in found.fix


def test_the_slug_is_what_its_files_come_to_compressed(tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(3 * MB))
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(2 * MB))
    slug = measure_slug(read_folder(tmp_path), None)
    assert slug.unpacked_bytes == 5 * MB
    assert 2 * MB < slug.size_bytes < 2.1 * MB


def test_the_slug_has_packages_and_python_and_none_of_pythons_own_tests(tmp_path):
    sizes = {"app/app.py": 10, "site/big/core.so": 5000, "site/small.py": 7, "base/lib/python3.13/os.py": 100}
    left_out = {
        "base/lib/python3.13/test/x.py": 9000,
        "base/lib/python3.13/site-packages/y.py": 9000,
        "base/lib/libx.a": 9000,
    }
    for name, size in (sizes | left_out).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    environment = Environment(tmp_path / "bin", tmp_path / "site", tmp_path / "base")
    slug = measure_slug(read_folder(tmp_path / "app"), environment)
    assert slug.unpacked_bytes == sum(sizes.values())
    assert slug.largest == (("big", 5000), ("small", 7))


def test_the_cheapest_dyno_that_holds_it_is_named():
    choices = (
        cost.Choice("eco", False, 512 * MB, 5, sleeps=True),
        cost.Choice("basic", False, 512 * MB, 7),
        cost.Choice("standard-2x", True, 1024 * MB, 50),
    )
    found = cost.finding_of(choices, peak_bytes=700 * MB, wanted="basic")
    assert (found.level, found.fix) == ("warn", "--size standard-2x")
    assert "standard-2x $50" in found.what
    assert cost.finding_of(choices, peak_bytes=700 * MB, wanted="standard-2x").level == "pass"
    assert cost.finding_of((), peak_bytes=700 * MB, wanted="basic").level == "fail"


def test_fields_of_a_message_are_told_and_of_noise_nothing_breaks():
    assert list(fields_of(b"\x5a\x01a\x30\x01")) == [(11, b"a"), (6, b"")]
    shown = b"\x2a\x0f\x1a\x0d\x42\x0b\x0a\x08KeyError\x12\x03"
    assert exception_in(shown) == "KeyError: "
    assert exception_in(b"\x30\x00") == ""
    for noise in (b"", b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x07", bytes(range(256))):
        list(fields_of(noise))
        exception_in(noise)


# -- the command ------------------------------------------------------------------------------------------------------


def doctor(*arguments: object):
    return CliRunner().invoke(cli, ["doctor", *map(str, arguments), "--no-measure", "--offline"])


def test_the_exit_code_and_the_table_say_the_same():
    good = doctor(FOLDERS / "good")
    assert good.exit_code == 0, good.output
    assert "0 would fail, 0 to think about" in good.output
    bad = doctor(FOLDERS / "cuda_torch", "--target", "heroku", "--size", "standard-2x")
    assert bad.exit_code == 1
    assert "fail  requirements.txt, line 3: torch" in bad.output
    assert "fix: put --extra-index-url" in bad.output


def test_what_measures_is_asked_for_before_anything_is_built(monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets.client", None)
    told = CliRunner().invoke(cli, ["doctor", str(FOLDERS / "good"), "--offline"])
    assert isinstance(told.exception, MissingExtra)
    assert told.exception.extra == "deploy"
    assert told.output == ""
    assert doctor(FOLDERS / "good").exit_code == 0


def test_json_is_one_document():
    done = doctor(FOLDERS / "no_port", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert (document["target"], document["size"]) == ("heroku", "basic")
    first = document["findings"][0]
    assert (first["code"], first["level"], first["where"]) == ("no_port", "fail", "Procfile, line 1")


def test_a_secret_is_never_shown(folder):
    secret = "AKIA" + "IOSFODNN7ABCDEFG"
    done = doctor(
        folder({"x.env": f"K={secret}\n", "requirements.txt": f"--index-url https://a:{secret}@b/c\nstreamlit\n"})
    )
    assert done.exit_code == 1
    assert secret not in done.output


def test_a_stored_bundle_is_looked_at(root):
    done = doctor(root / "tests" / "bundles" / "format-1-onnx.aweigh")
    assert done.exit_code == 0, done.output
    assert "every byte is as its manifest says" in done.output


def test_a_damaged_bundle_is_refused(tmp_path):
    (tmp_path / "x.aweigh").write_bytes(b"no bundle")
    with pytest.raises(AweighError):
        diagnose(tmp_path / "x.aweigh", wishes=OFFLINE, tell=lambda name, text: None)


def test_what_failed_counts():
    assert not has_failed([Finding("a", "warn", "b")])
    assert has_failed([Finding("a", "warn", "b"), Finding("a", "fail", "b")])
