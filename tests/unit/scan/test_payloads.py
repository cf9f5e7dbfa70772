"""Files that would run something when unpickled: each is refused with its offender named, and none runs.

That they would is shown, too: `test_the_payloads_are_live` unpickles them in a process of its own.
"""

import bz2
import functools
import gzip
import importlib
import io
import json
import lzma
import marshal
import operator
import os
import pickle
import runpy
import subprocess
import sys
import timeit
import zlib

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from aweigh.errors import AweighError, UnreadableModel, UntrustedModel
from aweigh.models.scan import check, load_trusted, scan, scan_bytes


class Call:
    """Pickles as a call of ``function`` with ``args``, and a state to set on what it returns."""

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced

    def __call__(self):
        """Never called: pickle only asks whether it could be."""


class Named:
    """Stands for an import that is not installed here: as the text GLOBAL of protocol 0."""

    def __init__(self, name, *args):
        self.name, self.args = name, args

    def dumps(self):
        module, _, qualname = self.name.rpartition(".")
        args = b"".join(b"V" + str(arg).encode() + b"\n" for arg in self.args)
        return b"c" + module.encode() + b"\n" + qualname.encode() + b"\n(" + args + b"tR."


def touch(path):
    return f"open({str(path)!r}, 'w').close()"


# Those that create the marker wherever they are unpickled: name of the offender, and the object.
LIVE = {
    "posix.system": lambda mark: Call(os.system, f"touch {mark}"),
    "subprocess.Popen": lambda mark: Call(subprocess.Popen, ["touch", str(mark)]),
    "subprocess.check_output": lambda mark: Call(subprocess.check_output, ["touch", str(mark)]),
    "subprocess.getoutput": lambda mark: Call(subprocess.getoutput, f"touch {mark}"),
    "builtins.eval": lambda mark: Call(eval, touch(mark)),
    "builtins.exec": lambda mark: Call(exec, touch(mark)),
    "builtins.getattr": lambda mark: Call(
        Call(getattr, Call(importlib.import_module, "os"), "system"), f"touch {mark}"
    ),
    "builtins.__import__": lambda mark: Call(Call(getattr, Call(__import__, "os"), "system"), f"touch {mark}"),
    "builtins.map": lambda mark: Call(list, Call(map, os.system, [f"touch {mark}"])),
    "timeit.timeit": lambda mark: Call(timeit.timeit, touch(mark), "pass", timeit.default_timer, 1),
    "pydoc.locate": lambda mark: Call(Call(importlib.import_module("pydoc").locate, "os.system"), f"touch {mark}"),
    "runpy._run_code": lambda mark: Call(runpy._run_code, Call(compile, touch(mark), "x", "exec"), {}),
    "numpy.testing._private.utils.runstring": lambda mark: Call(
        importlib.import_module("numpy.testing._private.utils").runstring, touch(mark), {}
    ),
    "functools.partial": lambda mark: Call(Call(functools.partial, os.system, f"touch {mark}")),
    "functools.reduce": lambda mark: Call(functools.reduce, operator.call, [os.system, f"touch {mark}"]),
    "operator.methodcaller": lambda mark: Call(
        Call(operator.methodcaller, "system", f"touch {mark}"), Call(importlib.import_module, "os")
    ),
    "operator.attrgetter": lambda mark: Call(
        Call(Call(operator.attrgetter, "system"), Call(importlib.import_module, "os")), f"touch {mark}"
    ),
    "importlib.import_module": lambda mark: Call(importlib.import_module, planted_beside(mark)),
    "marshal.loads": lambda mark: Call(exec, Call(marshal.loads, marshal.dumps(compile(touch(mark), "x", "exec")))),
    "pickle.loads": lambda mark: Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {mark}"))),
    "pickle._loads": lambda mark: Call(pickle._loads, pickle.dumps(Call(os.system, f"touch {mark}"))),
    "joblib.numpy_pickle.load": lambda mark: Call(joblib.load, inner_file(mark)),
    "cProfile.run": lambda mark: Call(importlib.import_module("cProfile").run, touch(mark)),
    "bdb.Bdb": lambda mark: Call(Call(getattr, Call(importlib.import_module("bdb").Bdb), "run"), touch(mark)),
    "code.InteractiveInterpreter": lambda mark: Call(
        Call(getattr, Call(importlib.import_module("code").InteractiveInterpreter), "runsource"), touch(mark)
    ),
    "pty.spawn": lambda mark: Call(importlib.import_module("pty").spawn, ["touch", str(mark)]),
    "ctypes.CDLL": lambda mark: Call(
        Call(getattr, Call(importlib.import_module("ctypes").CDLL, None), "system"), f"touch {mark}".encode()
    ),
    "asyncio.runners.run": lambda mark: Call(
        importlib.import_module("asyncio").run,
        Call(importlib.import_module("asyncio").create_subprocess_shell, f"touch {mark}"),
    ),
    "os._wrap_close": lambda mark: Call(os._wrap_close, None, Call(os.system, f"touch {mark}")),
    "posix.posix_spawn": lambda mark: Call(os.posix_spawn, "/bin/sh", ["sh", "-c", f"touch {mark}"], {}),
    "io.open": lambda mark: Call(open, str(mark), "w"),
    "scipy.stats._distn_infrastructure.rv_continuous": lambda mark: scipy_distribution(mark),
    "doctest.debug_script": lambda mark: Call(
        exec, touch(mark), {"x": importlib.import_module("doctest").debug_script}
    ),
}
# Those that need another package, a network or a screen: it is their names that must be refused.
NAMED = [
    Named("torch.serialization.load", "model.pt"),
    Named("torch.hub.load", "somebody/model", "evil"),
    Named("torch.jit._serialization.load", "model.pt"),
    Named("webbrowser.open", "file:///etc/hosts"),
    Named("cloudpickle.cloudpickle._make_function", "code"),
    Named("cloudpickle.cloudpickle.subimport", "os"),
    Named("dill._dill._create_code", "code"),
    Named("types.CodeType", "code"),
    Named("pip.main", "install evil"),
    Named("numpy.f2py.compile", "source"),
    Named("numpy.load", "other.npy"),
    Named("numpy.memmap", "/dev/zero"),
    Named("pandas.io.pickle.read_pickle", "other.pkl"),
    Named("pandas.core.computation.eval.eval", "1"),
    Named("sklearn.datasets._openml.fetch_openml", "name"),
    Named("sklearn.utils._joblib.parallel_backend", "x"),
    Named("joblib.memory.Memory", "x"),
    Named("joblib.parallel.Parallel", "2"),
    Named("socket.create_connection", "host"),
    Named("urllib.request.urlopen", "http://localhost"),
    Named("shutil.rmtree", "x"),
    Named("multiprocessing.util.spawnv_passfds", "x"),
    Named("sys.exit", "x"),
    Named("os.abort"),
    Named("signal.raise_signal", "9"),
    Named("antigravity.webbrowser", "x"),
    Named("__main__.Model"),
    # A function of the list's module that is not on the list, and a listed one below another module.
    Named("sklearn.utils._testing.assert_raises", "x"),
    Named("evil.sklearn.pipeline.Pipeline"),
    Named("sklearn.pipeline.Pipeline2"),
]


def planted_beside(mark):
    """The name of a module whose import creates the marker."""
    name = f"planted_{abs(hash(str(mark)))}"
    mark.with_name(f"{name}.py").write_text(touch(mark))
    sys.path.insert(0, str(mark.parent))
    return name


def inner_file(mark):
    path = mark.with_name("inner.pkl")
    path.write_bytes(pickle.dumps(Call(os.system, f"touch {mark}")))
    return str(path)


def scipy_distribution(mark):
    """scipy executes the text in this attribute when it unpickles a distribution."""
    from scipy.stats import rv_continuous

    made = rv_continuous()
    made._parse_arg_template = touch(mark)
    return made


@pytest.fixture
def mark(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "mark"
    yield path
    assert not path.exists(), "the payload ran"


def refused(path, offender=None):
    """The error of `check`, after seeing that loading is refused in the same words."""
    with pytest.raises((UntrustedModel, UnreadableModel)) as checked:
        check(path)
    with pytest.raises((UntrustedModel, UnreadableModel)) as loaded:
        load_trusted(path)
    assert str(checked.value) == str(loaded.value)
    assert checked.value.exit_code == 3
    assert checked.value.hint
    if offender:
        # Which of a module and its accelerator is named depends on protocol and Python: pickle or _pickle, io or _io.
        assert offender.lstrip("_") in {name.lstrip("_") for name in scan(path).names}
        assert isinstance(checked.value, UntrustedModel)
    return checked.value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("offender", LIVE)
def test_a_payload_is_refused_and_does_not_run(offender, protocol, mark, tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(LIVE[offender](mark), protocol))
    refused(path, offender)


@pytest.mark.parametrize("named", NAMED, ids=lambda named: named.name)
def test_a_name_is_refused_whatever_is_installed(named, mark, tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(named.dumps())
    before = set(sys.modules)
    error = refused(path, named.name)
    assert named.name in str(error)
    assert set(sys.modules) - before <= {"skops"}


def test_the_payloads_are_live(tmp_path):
    """Otherwise the tests above would prove nothing."""
    files = []
    for number, (offender, make) in enumerate(LIVE.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "model.pkl").write_bytes(pickle.dumps(make(folder / "mark"), 4))
        files.append((offender, str(folder)))
    # What was found goes to a file: payloads and the threads they leave behind write to the streams, mid-line, too.
    found = tmp_path / "found.json"
    program = (
        "import contextlib, json, os, pickle, sys, time\n"
        "found = {}\n"
        f"for offender, folder in {files!r}:\n"
        "    sys.path.insert(0, folder)\n"
        "    with contextlib.suppress(BaseException), open(folder + '/model.pkl', 'rb') as file:\n"
        "        pickle.load(file)\n"
        "    until = time.monotonic() + 20\n"
        "    while not os.path.exists(folder + '/mark') and time.monotonic() < until:\n"
        "        time.sleep(0.01)\n"
        "    found[offender] = os.path.exists(folder + '/mark')\n"
        f"with open({str(found)!r}, 'w') as file:\n"
        "    json.dump(found, file)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, timeout=110, check=True)
    assert json.loads(found.read_text()) == dict.fromkeys(LIVE, True)


SYSTEM = Call(os.system, "exit 1")


def joblib_dump(value, **options):
    file = io.BytesIO()
    joblib.dump(value, file, **options)
    return file.getvalue()


COMPRESS = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": functools.partial(lzma.compress, format=lzma.FORMAT_ALONE),
}


@pytest.mark.parametrize("compression", COMPRESS)
def test_compression_hides_nothing(compression, mark, tmp_path):
    """Scanners that read the raw bytes call these clean."""
    path = tmp_path / "model.joblib"
    path.write_bytes(COMPRESS[compression](joblib_dump([np.arange(9), Call(os.system, f"touch {mark}")])))
    refused(path, "posix.system")
    assert scan(path).compression == compression


def test_compressed_twice_is_not_read(mark, tmp_path):
    path = tmp_path / "model.joblib"
    path.write_bytes(zlib.compress(gzip.compress(pickle.dumps(Call(os.system, f"touch {mark}")))))
    assert "compressed twice" in str(refused(path))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("size", [0, 1, 7, 1000, 70_000])
def test_what_follows_an_array_is_seen(protocol, size, mark, tmp_path):
    path = tmp_path / "model.joblib"
    arrays = [np.arange(size, dtype="f4"), np.asfortranarray(np.ones((3, 2))), np.array(["a", "bc"]), np.array(1.5)]
    path.write_bytes(joblib_dump([*arrays, Call(os.system, f"touch {mark}")], protocol=protocol))
    refused(path, "posix.system")


@pytest.mark.parametrize("protocol", range(6))
def test_what_an_array_of_objects_holds_is_seen(protocol, mark, tmp_path):
    """joblib reads these arrays by a pickle inside the pickle."""
    path = tmp_path / "model.joblib"
    hidden = np.array([None, Call(os.system, f"touch {mark}")], dtype=object)
    path.write_bytes(joblib_dump({"a": np.arange(3), "b": hidden, "c": np.arange(3)}, protocol=protocol))
    refused(path, "posix.system")


def test_what_a_fitted_model_holds_is_seen(mark, tmp_path):
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model.extra = Call(os.system, f"touch {mark}")
    path = tmp_path / "model.joblib"
    path.write_bytes(joblib_dump(model))
    assert "would import posix.system" in str(refused(path, "posix.system"))


@pytest.mark.parametrize("suffix", [".onnx", ".json", ".ubj", ".txt", ".cbm", ".skops", ".csv", ".npy", ".h5", ""])
def test_the_name_of_the_file_says_nothing(suffix, mark, tmp_path):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Call(os.system, f"touch {mark}")))
    refused(path, "posix.system")
    assert scan(path).format == "pickle"


LAST = {"nothing": b"", "a newline": b"\n", "a pickle": pickle.dumps(1), "a payload": pickle.dumps(SYSTEM)}


@pytest.mark.parametrize("last", LAST.values(), ids=LAST)
def test_bytes_after_the_end_are_refused_and_looked_into(last, tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"a": 1}) + last)
    if not last:
        assert load_trusted(path) == {"a": 1}
        return
    error = refused(path)
    assert "posix.system" in str(error) if b"system" in last else "follow the end of its pickle" in str(error)


def test_every_cut_of_a_payload_is_refused(mark, tmp_path):
    whole = joblib_dump([np.arange(5), Call(os.system, f"touch {mark}"), "end"])
    for length in range(len(whole)):
        found = scan_bytes(whole[:length])
        assert found.unreadable or "posix.system" in found.names, length


def test_a_function_of_the_users_own_is_named(tmp_path):
    from sklearn.preprocessing import FunctionTransformer

    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(FunctionTransformer(joblib_dump)))
    error = refused(path)
    assert "joblib_dump" in str(error)
    assert "take functions and classes of your own out" in error.hint
    assert "module:function" in error.hint
    assert "hostile" not in error.hint


@pytest.mark.parametrize("function", [os.system, subprocess.run, eval, exec, importlib.import_module, runpy.run_path])
def test_what_runs_commands_or_code_is_called_hostile_and_no_code_of_ones_own(function, tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Call(function, "true")))
    error = refused(path)
    assert error.hint == "it may be hostile, as no model needs that: load it nowhere, and ask who made it"


def test_a_search_over_distributions_is_told_a_way_out(tmp_path):
    from scipy.stats import uniform
    from sklearn.model_selection import RandomizedSearchCV

    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(RandomizedSearchCV(LogisticRegression(), {"C": uniform(0, 1)})))
    assert "best_estimator_" in refused(path).hint


def test_many_offenders_are_counted(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([eval, exec, compile, os.system, subprocess.Popen]))
    assert "builtins.compile, builtins.eval, builtins.exec and 2 more; nothing of it was run." in str(refused(path))


def test_a_missing_file_is_a_usage_error(tmp_path):
    for path in (tmp_path / "none.pkl", tmp_path):
        with pytest.raises(AweighError) as caught:
            scan(path)
        assert caught.value.exit_code == 2
