"""What scripts import, what requirements ask for, what model files need: read, and nothing of it run."""

import codecs
import json
import pickle

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aweigh.errors import ConfigError, UnreadableModel, UsageError
from aweigh.locking.ask import lacking, read_ask
from aweigh.locking.distributions import distribution_of, is_standard, misnamed
from aweigh.locking.imports import read_imports
from aweigh.locking.interpreter import wanted_python
from aweigh.locking.loose import OWN_HEAD, read_loose
from aweigh.locking.model import needs_of_model
from aweigh.models.scan import scan
from aweigh.models.scan.versions import made_with


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def told(sources):
    return {one.module: (one.where, one.optional) for one in sources.imports}


# -- imports -----------------------------------------------------------------------------------------------------------

APP = """\
from __future__ import annotations
import os, streamlit as st
from sklearn.linear_model import Ridge
from typing import TYPE_CHECKING
from helpers.clean import clean
from . import near
import importlib
if TYPE_CHECKING:
    import mypy_boto3
try:
    import cupy as np
except (ImportError, OSError):
    import numpy as np
try:
    import needed
except ValueError:
    pass
def later():
    import lazily
    importlib.import_module("by.name")
    importlib.import_module(os.environ["NAME"])
if os.name == "nt":
    import winreg
from google.cloud import storage
"""


def test_every_import_is_found_with_its_line(tmp_path):
    files = {"app.py": APP, "helpers/clean.py": "import yaml\nfrom helpers import other\n", "helpers/other.py": ""}
    found = told(read_imports(write(tmp_path, files)))
    assert found == {
        "__future__": ("app.py:1", False),
        "os": ("app.py:2", False),
        "streamlit": ("app.py:2", False),
        "sklearn.linear_model": ("app.py:3", False),
        "typing": ("app.py:4", False),
        "importlib": ("app.py:7", False),
        "cupy": ("app.py:11", True),
        "numpy": ("app.py:13", True),
        "needed": ("app.py:15", False),
        "lazily": ("app.py:19", False),
        "by.name": ("app.py:20", False),
        "winreg": ("app.py:23", True),
        "google.cloud.storage": ("app.py:24", False),
        "yaml": ("helpers/clean.py:1", False),
    }


def test_a_script_is_read_with_its_pages_and_its_own_modules_alone(tmp_path):
    files = {
        "app.py": "import mine\nst.Page('views/home.py')\nst.Page('../out.py')\nst.Page(home)\n",
        "views/home.py": "import plotly\n",
        "mine.py": "import pandas\n",
        "pages/1_a.py": "import seaborn\nimport mine\n",
        "train.py": "import tensorflow\n",
    }
    sources = read_imports(write(tmp_path, files) / "app.py")
    assert sorted(told(sources)) == ["pandas", "plotly", "seaborn"]
    assert sources.files == ("app.py", "mine.py", "pages/1_a.py", "views/home.py")
    assert sorted(told(read_imports(tmp_path))) == ["pandas", "plotly", "seaborn", "tensorflow"]


def test_environments_tests_and_hidden_folders_are_left_out(tmp_path):
    files = dict.fromkeys(("tests/a.py", "test_a.py", ".git/a.py", "own-env/b/a.py", "venv/a.py"), "import left_out\n")
    write(tmp_path, files | {"app.py": "import kept\n", "own-env/pyvenv.cfg": ""})
    (tmp_path / "loop").symlink_to(tmp_path)
    assert sorted(told(read_imports(tmp_path))) == ["kept"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"import x\nprint 'old'\n", "line 2"),
        (b"\xff\xfe\x00", ""),
        (b"a = 1\0", ""),
        (b"(" * 100_000, ""),
        (b"x = " + b"-" * 200_000 + b"1", ""),
    ],
)
def test_what_is_no_python_is_told(tmp_path, content, why):
    write(tmp_path, {"app.py": "import kept\n"})
    (tmp_path / "bad.py").write_bytes(content)
    sources = read_imports(tmp_path)
    assert sorted(told(sources)) == ["kept"]
    assert sources.unread[0].startswith(f"bad.py: {why}")
    with pytest.raises(UsageError, match="cannot be read as Python"):
        read_imports(tmp_path / "bad.py")


def test_a_folder_without_python_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no Python file"):
        read_ask(tmp_path)
    with pytest.raises(UsageError, match="is not there"):
        read_ask(tmp_path / "nothing.py")
    with pytest.raises(UsageError, match="imports nothing that is to be installed"):
        read_ask(write(tmp_path, {"app.py": "import os\n"}))


@pytest.mark.parametrize(
    ("module", "name", "how"),
    [
        ("sklearn.linear_model", "scikit-learn", "table"),
        ("PIL", "pillow", "table"),
        ("cv2", "opencv-python-headless", "table"),
        ("xgboost", "xgboost-cpu", "table"),
        ("google.protobuf.message", "protobuf", "table"),
        ("google.cloud.storage", "google-cloud-storage", "guess"),
        ("azure.identity", "azure-identity", "guess"),
        ("click", "click", "installed"),
        ("_pytest", "pytest", "installed"),
        ("no_such_Thing", "no-such-thing", "guess"),
    ],
)
def test_a_module_comes_from_its_distribution(module, name, how):
    found = distribution_of(module)
    assert (found.name, found.found) == (name, how)


def test_what_was_once_standard_is_sought_on_no_index():
    assert all(is_standard(name) for name in ("os", "distutils", "imp", "cgi", "tomllib", "zoneinfo"))
    assert not is_standard("pandas")
    assert (misnamed("SKlearn"), misnamed("scikit_learn"), misnamed("streamlit")) == ("scikit-learn", None, None)


def test_what_was_taken_from_which_line(tmp_path):
    ask = read_ask(
        write(
            tmp_path, {"app.py": "import streamlit\nimport zzz_guess\ntry:\n  import zzz_other\nexcept ImportError: 0"}
        )
    )
    assert [(one.requirement, one.origin, one.note) for one in ask.needs] == [
        ("streamlit", "app.py:1", ""),
        ("zzz-guess", "app.py:2", "guessed from its name"),
    ]
    assert ask.notes == ("app.py:4 imports zzz_other only where it is there: left out",)
    assert ask.modules == ("streamlit", "zzz_guess")


def test_aweigh_itself_is_on_no_index(tmp_path):
    ask = read_ask(write(tmp_path, {"app.py": "import aweigh, pandas\n"}))
    names = {one.name for one in ask.needs}
    assert {"streamlit", "onnxruntime", "pandas"} <= names
    assert "aweigh" not in names | set(ask.modules)
    assert "no index" in ask.notes[0]


def test_imports_that_requirements_lack_are_told(tmp_path):
    files = {
        "app.py": "import os, streamlit, cv2, seaborn, numpy\n",
        "requirements.txt": "streamlit\nopencv-python\n",
    }
    ask = read_ask(write(tmp_path, files) / "app.py")
    assert (ask.kind, ask.source) == ("requirements", "requirements.txt")
    assert lacking(ask, ["streamlit", "opencv-python", "numpy"]) == (
        "app.py:1 imports seaborn, which requirements.txt lacks: add seaborn to it",
    )


def test_a_lock_of_ours_is_made_again_from_what_was_kept(tmp_path):
    write(tmp_path, {"app.py": "import pandas\n", "requirements.txt": f"{OWN_HEAD}\nx==1\n"})
    assert read_ask(tmp_path).source == "the imports of app.py"
    write(tmp_path, {"requirements.in": "streamlit\n"})
    for path in (tmp_path, tmp_path / "app.py", tmp_path / "requirements.txt", tmp_path / "requirements.in"):
        assert [one.requirement for one in read_ask(path).needs] == ["streamlit"]


# -- loose requirements ------------------------------------------------------------------------------------------------

OTHER_INDEX = "--extra-index-url https://someone:secret@example.org/cpu"
LINES = f"""\
# what the app needs
streamlit == 1.12.0   # pinned

pandas[excel]>=1.4,<2 ; python_version >= "3.8"
numpy==1.23.1 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
-r more/other.txt
-c fixed.txt
sklearn
os
{OTHER_INDEX}
-f https://example.org/wheels
--trusted-host example.org
"""


def test_lines_are_read_as_pip_reads_them(tmp_path):
    files = {"requirements.txt": LINES, "more/other.txt": "joblib\n-r deep.txt\n", "more/deep.txt": "plotly\n"}
    loose = read_loose(write(tmp_path, files | {"fixed.txt": "altair<5\n"}) / "requirements.txt")
    assert [(one.requirement, one.origin, one.pinned) for one in loose.needs] == [
        ("streamlit==1.12.0", "requirements.txt:2", "1.12.0"),
        ('pandas[excel]<2,>=1.4; python_version >= "3.8"', "requirements.txt:4", None),
        ("numpy==1.23.1", "requirements.txt:7", "1.23.1"),
        ("joblib", "other.txt:1", None),
        ("plotly", "deep.txt:1", None),
        ("scikit-learn", "requirements.txt:10", None),
    ]
    assert loose.constraints == ("altair<5",)
    assert dict(loose.variables) == {
        "UV_INDEX": "https://someone:secret@example.org/cpu", "UV_FIND_LINKS": "https://example.org/wheels",
    }  # fmt: skip
    assert "requirements.txt:11: os is a part of Python, and was left out" in loose.notes
    assert "secret" not in repr(loose) + "".join(loose.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_powershell_writes_is_read(tmp_path, encoding):
    (tmp_path / "requirements.txt").write_bytes("streamlit\r\npandas==2.0\r\n".encode(encoding))
    assert [one.requirement for one in read_loose(tmp_path / "requirements.txt").needs] == ["streamlit", "pandas==2.0"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("streamlit\n-e .\n", "requirements.txt:2 is an editable checkout"),
        ("git+https://example.org/x.git\n", "requirements.txt:1 is an address"),
        ("x @ https://example.org/x.whl\n", "is an address"),
        ("./x-1.0-py3-none-any.whl\n", "is a path"),
        ("import streamlit as st\n", "requirements.txt:1 is no requirement"),
        ("streamlit=1.12\n", "is no requirement"),
        ("--frobnicate\n", "an option that is not known"),
        ("-r ../outside.txt\n", "outside of its folder"),
        ("-r requirements.txt\n", "leads to itself"),
    ],
)
def test_what_no_lock_can_hold_is_refused_with_its_line(tmp_path, content, why):
    with pytest.raises(ConfigError, match=why):
        read_loose(write(tmp_path, {"requirements.txt": content}) / "requirements.txt")


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"a\0b", b"\x80\x04", codecs.BOM_UTF16_LE + b"\x00"])
def test_what_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "requirements.txt").write_bytes(content)
    with pytest.raises(UsageError, match="no text"):
        read_loose(tmp_path / "requirements.txt")


def test_empty_and_endless_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="asks for nothing"):
        read_ask(write(tmp_path, {"requirements.txt": "# nothing\n"}) / "requirements.txt")
    (tmp_path / "requirements.txt").write_bytes(b"#" * (5 * 2**20))
    with pytest.raises(UsageError, match="no list of packages"):
        read_ask(tmp_path / "requirements.txt")


# -- models ------------------------------------------------------------------------------------------------------------


def fitted():
    return make_pipeline(StandardScaler(), LinearRegression()).fit(np.eye(3), [1.0, 2.0, 3.0])


def test_a_model_says_what_it_was_made_with(tmp_path):
    import sklearn

    joblib.dump(fitted(), tmp_path / "m.joblib", compress=3)
    skops.io.dump(LinearRegression().fit(np.eye(3), [1.0, 2.0, 3.0]), tmp_path / "m.skops")
    for name in ("m.joblib", "m.skops"):
        needs = {one.name: one.requirement for one in needs_of_model(tmp_path / name).needs}
        assert needs["scikit-learn"] == f"scikit-learn=={sklearn.__version__}"
    needs = {one.name: one.requirement for one in needs_of_model(tmp_path / "m.joblib").needs}
    assert (needs["joblib"], needs["numpy"]) == ("joblib", "numpy>=2")


def test_a_model_of_an_old_version_pins_it(tmp_path):
    (tmp_path / "m.pkl").write_bytes(with_state("1.1.2"))
    (tmp_path / "app.py").write_text("import streamlit, sklearn\n")
    assert made_with(tmp_path / "m.pkl", scan(tmp_path / "m.pkl")) == {"sklearn": ("1.1.2",)}
    ask = read_ask(tmp_path / "app.py")
    assert {one.requirement for one in ask.needs} == {"streamlit", "scikit-learn==1.1.2", "numpy>=2"}
    assert ask.from_model
    (tmp_path / "requirements.txt").write_text("streamlit\nscikit-learn==1.5.0\n")
    told = "m.pkl was made with scikit-learn 1.1.2, and requirements.txt:2 takes 1.5.0"
    assert told in read_ask(tmp_path).notes


@pytest.mark.parametrize("version", ["1;x;1", "../..", "$(id)", "0x1.2", "1.1.²"])
def test_a_version_that_is_none_is_not_believed(tmp_path, version):
    (tmp_path / "m.pkl").write_bytes(with_state(version))
    needs = needs_of_model(tmp_path / "m.pkl").needs
    assert [one.requirement for one in needs] == ["numpy>=2", "scikit-learn"]


def with_state(version):
    """Return the pickle of a model that says that it was made with that version of scikit-learn."""
    model = LinearRegression().fit(np.eye(3), [1.0, 2.0, 3.0])
    state = model.__getstate__() | {"_sklearn_version": version}
    return b"\x80\x04csklearn.linear_model._base\nLinearRegression\n)\x81" + pickle.dumps(state, 4)[2:-1] + b"b."


def test_xgboost_and_catboost_say_their_version(tmp_path):
    catboost, xgboost = pytest.importorskip("catboost"), pytest.importorskip("xgboost")
    x, y = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2
    tree = xgboost.XGBClassifier(n_estimators=2).fit(x, y)
    tree.save_model(tmp_path / "m.ubj")
    tree.save_model(tmp_path / "m.json")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(tree))
    cat = catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False).fit(x, y)
    cat.save_model(str(tmp_path / "m.cbm"))
    for name in ("m.ubj", "m.json", "m.pkl"):
        told = {one.requirement for one in needs_of_model(tmp_path / name).needs}
        assert f"xgboost-cpu=={xgboost.__version__}" in told
    assert [one.requirement for one in needs_of_model(tmp_path / "m.cbm").needs] == [
        f"catboost=={catboost.__version__}"
    ]
    old = json.loads((tmp_path / "m.json").read_text()) | {"version": [1, 7, 6]}
    (tmp_path / "m.json").write_text(json.dumps(old))
    assert [one.requirement for one in needs_of_model(tmp_path / "m.json").needs] == ["xgboost==1.7.6"]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04K\x01.", b"PK\x03\x04", b"[1, 2]", b"\x80" * 100])
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.joblib").write_bytes(content)
    with pytest.raises(UnreadableModel, match="cannot be read as a model"):
        read_ask(tmp_path / "m.joblib")
    (tmp_path / "app.py").write_text("import streamlit\n")
    assert [one.requirement for one in read_ask(tmp_path / "app.py").needs] == ["streamlit"]


# -- the Python --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "python"), [("3.10", "3.10"), ("python-3.10.13\n", "3.10"), ("# why\n\n3.9.1 # x\n", "3.9")]
)
def test_the_python_beside_it_counts(tmp_path, text, python):
    (tmp_path / ".python-version").write_text(text)
    assert wanted_python(None, tmp_path) == (python, ".python-version")
    assert wanted_python("3.13", tmp_path) == ("3.13", "--python")


@pytest.mark.parametrize("text", ["", "2.7", "3", "3.7", "pypy3.10", "3.x", "myenv", "3.1²", "3.10 3.11"])
def test_what_is_no_python_to_lock_for_is_refused(tmp_path, text):
    (tmp_path / ".python-version").write_text(text)
    with pytest.raises(ConfigError, match="no Python to lock for"):
        wanted_python(None, tmp_path)
