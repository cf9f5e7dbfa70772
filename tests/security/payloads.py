"""The table of payloads: files that run something, or reach for something, when they are loaded the usual way.

`code()` are those that run code of their author's: each makes a file appear (`mark`) when `live` loads it. `DATA` are
those that run none and want memory, time or other files. `test_payloads.py` gives every one to every command.
"""

import cProfile
import ctypes
import functools
import importlib
import io
import json
import marshal
import operator
import os
import pickle
import pydoc
import runpy
import subprocess
import sys
import tarfile
import timeit
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Payload:
    """A file: `make` gives its bytes, which touch `mark` once `live` has loaded them. `runtime` reads such files."""

    name: str
    make: Callable[[Path], bytes]
    live: str
    suffix: str = ".pkl"
    runtime: str | None = None
    """What a bundle says that its model is served by, where the file is of that library's own format."""
    made: Callable[[Path], object] | None = None
    """The object that was pickled, to be pickled again in the one form that a bundle takes."""


class Call:
    """Pickles as a call of ``function`` with ``args``."""

    def __init__(self, function: object, *args: object, state: object = None) -> None:
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced

    def __call__(self):
        """Never called: pickle only asks whether it could be."""


def touch(mark: Path) -> str:
    return f"open({str(mark)!r}, 'w').close()"


def shell(mark: Path) -> str:
    return f"touch {mark}"


def system(mark: Path) -> Call:
    return Call(os.system, shell(mark))


def module(name: str) -> Call:
    return Call(importlib.import_module, name)


# -- objects whose pickles run something -----------------------------------------------------------------------------


def beside(mark: Path, name: str, content: bytes) -> str:
    path = mark.with_name(name)
    path.write_bytes(content)
    return str(path)


def planted(mark: Path) -> str:
    """A module in the file's own folder."""
    name = f"planted_{mark.parent.parent.name}_{mark.parent.name}".replace("-", "_").replace(".", "_")
    beside(mark, f"{name}.py", touch(mark).encode())
    return name


def distribution(mark: Path) -> object:
    """scipy executes the text in this attribute when it unpickles a distribution."""
    from scipy.stats import rv_continuous

    made = rv_continuous()
    made._parse_arg_template = touch(mark)
    return made


def fitted(mark: Path) -> object:
    """A real model with something in it."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model.extra_ = system(mark)
    return model


def stepped(mark: Path) -> object:
    """A real pipeline whose second step is none."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = Pipeline([("scale", StandardScaler().fit([[0.0], [1.0]])), ("model", "passthrough")])
    pipeline.steps.append(("evil", system(mark)))
    return pipeline


def piped(mark: Path) -> Call:
    """pip's own way to start a process, which wants a keyword: a partial's state brings it."""
    start = importlib.import_module("pip._internal.utils.subprocess").call_subprocess
    return Call(Call(functools.partial, start, state=(start, (["touch", str(mark)],), {"command_desc": "x"}, {})))


OBJECTS: dict[str, Callable[[Path], object]] = {
    "os.system": system,
    "os.popen": lambda mark: Call(os.popen, shell(mark)),
    "os.posix_spawn": lambda mark: Call(os.posix_spawn, "/bin/sh", ["sh", "-c", shell(mark)], {}),
    "os._wrap_close": lambda mark: Call(os._wrap_close, None, system(mark)),
    "subprocess.Popen": lambda mark: Call(subprocess.Popen, ["touch", str(mark)]),
    "subprocess.getoutput": lambda mark: Call(subprocess.getoutput, shell(mark)),
    "builtins.eval": lambda mark: Call(eval, touch(mark)),
    "builtins.exec": lambda mark: Call(exec, touch(mark)),
    "builtins.open": lambda mark: Call(open, str(mark), "w"),
    "builtins.map": lambda mark: Call(list, Call(map, os.system, [shell(mark)])),
    "builtins.getattr": lambda mark: Call(Call(getattr, module("os"), "system"), shell(mark)),
    "builtins.__import__": lambda mark: Call(Call(getattr, Call(__import__, "os"), "system"), shell(mark)),
    "functools.partial": lambda mark: Call(Call(functools.partial, os.system, shell(mark))),
    "functools.reduce": lambda mark: Call(functools.reduce, operator.call, [os.system, shell(mark)]),
    "operator.attrgetter": lambda mark: Call(Call(Call(operator.attrgetter, "system"), module("os")), shell(mark)),
    "operator.methodcaller": lambda mark: Call(Call(operator.methodcaller, "system", shell(mark)), module("os")),
    "operator.itemgetter": lambda mark: Call(
        Call(Call(operator.itemgetter, "system"), Call(vars, module("os"))), shell(mark)
    ),
    "importlib.import_module": lambda mark: module(planted(mark)),
    "marshal.loads": lambda mark: Call(exec, Call(marshal.loads, marshal.dumps(compile(touch(mark), "x", "exec")))),
    "timeit.timeit": lambda mark: Call(timeit.timeit, touch(mark), "pass", timeit.default_timer, 1),
    "pydoc.locate": lambda mark: Call(Call(pydoc.locate, "os.system"), shell(mark)),
    "runpy._run_code": lambda mark: Call(runpy._run_code, Call(compile, touch(mark), "x", "exec"), {}),
    "cProfile.run": lambda mark: Call(cProfile.run, touch(mark)),
    "code.InteractiveInterpreter": lambda mark: Call(
        Call(getattr, Call(importlib.import_module("code").InteractiveInterpreter), "runsource"), touch(mark)
    ),
    "bdb.Bdb": lambda mark: Call(Call(getattr, Call(importlib.import_module("bdb").Bdb), "run"), touch(mark)),
    "ctypes.CDLL": lambda mark: Call(Call(getattr, Call(ctypes.CDLL, None), "system"), shell(mark).encode()),
    "asyncio.run": lambda mark: Call(
        importlib.import_module("asyncio").run,
        Call(importlib.import_module("asyncio").create_subprocess_shell, shell(mark)),
    ),
    "pickle.loads": lambda mark: Call(pickle.loads, pickle.dumps(system(mark))),
    "joblib.load": lambda mark: Call(joblib.load, beside(mark, "inner.pkl", pickle.dumps(system(mark)))),
    "numpy.load": lambda mark: Call(np.load, beside(mark, "inner.npy", pickle.dumps(system(mark))), None, True),
    "numpy.testing runstring": lambda mark: Call(
        importlib.import_module("numpy.testing._private.utils").runstring, touch(mark), {}
    ),
    "numpy.f2py myeval": lambda mark: Call(
        importlib.import_module("numpy.f2py.crackfortran").myeval, f"__import__('os').system({shell(mark)!r})"
    ),
    "pandas.read_pickle": lambda mark: Call(pd.read_pickle, beside(mark, "inner.pkl", pickle.dumps(system(mark)))),
    "pandas.eval": lambda mark: Call(pd.eval, f"x.system({shell(mark)!r})", "pandas", "python", {"x": module("os")}),
    "pip's subprocesses": piped,
    "scipy's distributions": distribution,
    "inside a fitted model": fitted,
    "a step of a pipeline": stepped,
    "an element of an array": lambda mark: np.array([None, system(mark)], dtype=object),
    "a key of a dictionary": lambda mark: {"a": [{"b": (system(mark),)}]},
}


# -- the same by hand, as no pickler writes it -----------------------------------------------------------------------


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def lines(module_name: str, name: str) -> bytes:
    return f"c{module_name}\n{name}\n".encode()


BY_HAND: dict[str, Callable[[Path], bytes]] = {
    "INST": lambda mark: b"(" + text(shell(mark)) + b"ios\nsystem\n.",
    "OBJ": lambda mark: b"(" + lines("os", "system") + text(shell(mark)) + b"o.",
    "STACK_GLOBAL from the memo": lambda mark: (
        b"\x80\x04" + text("system") + b"\x940" + text("os") + b"h\x00\x93" + text(shell(mark)) + b"\x85R."
    ),
    "a dotted name of a module that is trusted": lambda mark: (
        b"\x80\x04" + text("sklearn.datasets._base") + text("os.system") + b"\x93" + text(shell(mark)) + b"\x85R."
    ),
    "Python 2's moved name": lambda mark: lines("commands", "getoutput") + b"(" + text(shell(mark)) + b"tR.",
    "Python 2's builtin": lambda mark: lines("__builtin__", "eval") + b"(" + text(touch(mark)) + b"tR.",
    "a method of a debugger": lambda mark: (
        b"\x80\x02" + lines("builtins", "getattr") + lines("bdb", "Bdb") + b")R" + text("run") + b"\x86R"
        + text(touch(mark)) + b"\x85R."
    ),
    "behind an instance with a function in its state": lambda mark: (
        b"\x80\x02" + lines("types", "SimpleNamespace") + b")\x81}(" + text("a") + lines("os", "system") + b"ub0"
        + lines("os", "system") + text(shell(mark)) + b"\x85R."
    ),
    "a function of marshalled code": lambda mark: (
        b"\x80\x03" + lines("types", "FunctionType") + lines("marshal", "loads") + b"B"
        + len(made := marshal.dumps(compile(touch(mark), "x", "exec"))).to_bytes(4, "little") + made + b"\x85R}\x86R)R."
    ),
    "in a frame of its own": lambda mark: (
        b"\x80\x04\x95" + (len(inner := lines("os", "system") + text(shell(mark)) + b"\x85R0")).to_bytes(8, "little")
        + inner + b"\x95" + (2).to_bytes(8, "little") + b"N."
    ),
    "behind a harmless pickle": lambda mark: pickle.dumps({"a": 1}) + pickle.dumps(system(mark)),
    "behind a thousand numbers": lambda mark: pickle.dumps([*range(1000), system(mark)]),
}  # fmt: skip


def joblib_bytes(value: object, **how: Any) -> bytes:
    out = io.BytesIO()
    joblib.dump(value, out, **how)
    return out.getvalue()


def lz4(data: bytes) -> bytes:
    from lz4.frame import compress

    return compress(data)


def after_arrays(mark: Path) -> list[object]:
    return [np.arange(9, dtype="f4"), np.asfortranarray(np.ones((3, 2))), np.array(["a", "bc"]), system(mark)]


JOBLIB: dict[str, Callable[[Path], bytes]] = {
    "joblib": lambda mark: joblib_bytes(system(mark)),
    "joblib, after arrays": lambda mark: joblib_bytes(after_arrays(mark)),
    "joblib, after arrays, protocol 2": lambda mark: joblib_bytes(after_arrays(mark), protocol=2),
    "joblib, in an array of objects": lambda mark: joblib_bytes({"a": np.arange(3), "b": np.array([system(mark)])}),
    "joblib, zlib": lambda mark: joblib_bytes(after_arrays(mark), compress=("zlib", 3)),
    "joblib, gzip": lambda mark: joblib_bytes(after_arrays(mark), compress=("gzip", 3)),
    "joblib, bz2": lambda mark: joblib_bytes(after_arrays(mark), compress=("bz2", 3)),
    "joblib, xz": lambda mark: joblib_bytes(after_arrays(mark), compress=("xz", 3)),
    "joblib, lzma": lambda mark: joblib_bytes(after_arrays(mark), compress=("lzma", 3)),
    "joblib, lz4": lambda mark: lz4(joblib_bytes(after_arrays(mark))),
}


# -- zips, tars and arrays -------------------------------------------------------------------------------------------


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def tarred(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def saved(save: Callable[..., None], *args: object, **how: object) -> bytes:
    out = io.BytesIO()
    save(out, *args, **how)
    return out.getvalue()


def objects(mark: Path) -> np.ndarray:
    return np.array([system(mark)], dtype=object)


NUMPY: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "an array of objects": (".npy", lambda mark: saved(np.save, objects(mark))),
    "arrays of objects, zipped": (".npz", lambda mark: saved(np.savez, np.eye(2), b=objects(mark))),
    "arrays of objects, compressed": (".npz", lambda mark: saved(np.savez_compressed, objects(mark))),
}
ARCHIVES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "PyTorch's zip": (".pt", lambda mark: zipped(**{"m/data.pkl": pickle.dumps(system(mark), 2), "m/version": b"3"})),
    "a pickle in a tar in a zip": (
        ".zip",
        lambda mark: zipped(**{"schema.json": b"{}", "a.tar": tarred(**{"data.pkl": pickle.dumps(system(mark))})}),
    ),
    "a pickle in a zip in a zip": (
        ".zip",
        lambda mark: zipped(**{"schema.json": b"{}", "a.zip": zipped(**{"data.pkl": pickle.dumps(system(mark))})}),
    ),
    "a zip behind a pickle": (
        ".skops",
        lambda mark: pickle.dumps(system(mark)) + zipped(**{"schema.json": b'{"protocol": 2}'}),
    ),
}


# -- skops -----------------------------------------------------------------------------------------------------------


def node(loader: str, name: str, **more: object) -> dict[str, Any]:
    place, _, cls = name.rpartition(".")
    return {"__loader__": loader, "__module__": place, "__class__": cls, **more}


def value(content: object) -> dict[str, Any]:
    return node("JsonNode", "builtins.str", content=json.dumps(content), is_json=True)


def as_list(*nodes: object, name: str = "builtins.list") -> dict[str, Any]:
    return node("ListNode", name, content=list(nodes))


def as_tuple(*nodes: object, name: str = "builtins.tuple") -> dict[str, Any]:
    return node("TupleNode", name, content=list(nodes))


def skops_file(schema: dict[str, Any], **members: bytes) -> bytes:
    return zipped(
        **members, **{"schema.json": json.dumps({"protocol": 2, "_skops_version": "0.13", **schema}).encode()}
    )


def dictionary(content: dict[str, Any], *key_types: object) -> dict[str, Any]:
    types_of = as_list(*(key_types or [node("TypeNode", "builtins.str")] * len(content)))
    return node("DictNode", "builtins.dict", content=content, key_types=types_of)


SKOPS: dict[str, Callable[[Path], bytes]] = {
    "skops, a list that is a call": lambda mark: skops_file(
        as_list(value("touch"), value(str(mark)), name="subprocess.Popen")
    ),
    "skops, a key that is a call": lambda mark: skops_file(
        dictionary({shell(mark): value(1)}, node("FunctionNode", "os.system"))
    ),
    "skops, a constructor": lambda mark: skops_file(
        node(
            "ConstructorFromReduceNode",
            "subprocess.Popen",
            content=as_tuple(as_list(value("touch"), value(str(mark)))),
        )
    ),
    "skops, deep inside": lambda mark: skops_file(
        as_list(as_list(dictionary({"a": as_list(value("touch"), value(str(mark)), name="subprocess.Popen")})))
    ),
    "skops, a set that is a call": lambda mark: skops_file(
        node("SetNode", "subprocess.Popen", content=[value("touch"), value(str(mark))])
    ),
}


def code() -> list[Payload]:
    """Every payload that runs code."""
    found = [
        Payload(name, lambda mark, make=make: pickle.dumps(make(mark), 4), "pickle", made=make)
        for name, make in OBJECTS.items()
    ]
    found += [
        Payload(f"os.system, protocol {protocol}", lambda mark, p=protocol: pickle.dumps(system(mark), p), "pickle")
        for protocol in (0, 1, 2, 3, 5)
    ]
    found += [Payload(f"by hand: {name}", make, "pickles") for name, make in BY_HAND.items()]
    found += [Payload(name, make, "joblib", ".joblib") for name, make in JOBLIB.items()]
    found += [Payload(name, make, "numpy", suffix) for name, (suffix, make) in NUMPY.items()]
    found += [Payload(name, make, "archive", suffix, "sklearn") for name, (suffix, make) in ARCHIVES.items()]
    found += [Payload(name, make, "skops", ".skops", "sklearn") for name, make in SKOPS.items()]
    for suffix, runtime in ((".ubj", "xgboost"), (".txt", "lightgbm"), (".cbm", "catboost"), (".onnx", "onnx")):
        found.append(
            Payload(f"a pickle called {suffix}", lambda mark: pickle.dumps(system(mark), 0), "pickle", suffix, runtime)
        )
    return found


# -- what runs no code, and wants memory, time or other files --------------------------------------------------------


def outside(place: str) -> bytes:
    """A graph whose numbers lie in another file."""
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [given], [answer], [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def huge_graph() -> bytes:
    """A graph that makes a tensor of eight terabytes of a shape of a few bytes."""
    from onnx import TensorProto, helper, numpy_helper

    shape = numpy_helper.from_array(np.array([10**6, 10**6], dtype=np.int64), "shape")
    given = helper.make_tensor_value_info("X", TensorProto.DOUBLE, ["rows", 2])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["X"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [given], [answer], [shape])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def boosted() -> Any:
    import xgboost

    rows = np.arange(40.0).reshape(20, 2)
    return xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, np.arange(20) % 2), 2)


def xgboost_json(change: Callable[[dict[str, Any]], object]) -> bytes:
    body = json.loads(boosted().save_raw("json"))
    change(body)
    return json.dumps(body).encode()


def lightgbm_text() -> bytes:
    import lightgbm

    rows = np.arange(80.0).reshape(40, 2)
    booster = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(rows, np.arange(40) % 2), 2)
    return booster.model_to_string().encode()


def catboost_cbm() -> bytes:
    import catboost

    rows = np.arange(40.0).reshape(20, 2)
    model = catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False, thread_count=1)
    return bytes(model.fit(rows, np.arange(20) % 2)._serialize_model())


def zeros(size_bytes: int) -> bytes:
    """A pickle of so many zero bytes, compressed."""
    packer = zlib.compressobj(9)
    out = [packer.compress(b"\x80\x04\x8e" + size_bytes.to_bytes(8, "little"))]
    out += [packer.compress(bytes(1 << 20)) for _ in range(size_bytes >> 20)]
    return b"".join([*out, packer.compress(b"."), packer.flush()])


def nested(depth: int) -> bytes:
    return b"\x80\x04" + b"]" * depth + b"a" * (depth - 1) + b"."


def trees_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    return body["learner"]["gradient_booster"]["model"]["trees"]


DATA: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    # name: (suffix, the runtime that a bundle says, its bytes)
    "ONNX, numbers in a file of the system": (".onnx", "onnx", lambda: outside("/etc/passwd")),
    "ONNX, numbers in a file above": (".onnx", "onnx", lambda: outside("../../secret.bin")),
    "ONNX, numbers in a file beside": (".onnx", "onnx", lambda: outside("secret.bin")),
    "ONNX, a tensor of terabytes": (".onnx", "onnx", huge_graph),
    "ONNX, cut short": (".onnx", "onnx", lambda: huge_graph()[:-9]),
    "XGBoost, children that are not there": (
        ".json",
        "xgboost",
        lambda: xgboost_json(lambda body: trees_of(body)[0].update(left_children=[10**6] * 3)),
    ),
    "XGBoost, nested a hundred thousand deep": (".json", "xgboost", lambda: b'{"learner":' + b"[" * 100_000),
    "XGBoost, a length of exabytes": (
        ".ubj",
        "xgboost",
        lambda: b"{L" + (7).to_bytes(8, "big") + b"learner" + b"[$d#L" + b"\x7f" + b"\xff" * 7,
    ),
    "LightGBM, leaves that are not there": (
        ".txt",
        "lightgbm",
        lambda: lightgbm_text().replace(b"num_leaves=", b"num_leaves=99999999", 1),
    ),
    "CatBoost, cut short": (".cbm", "catboost", lambda: catboost_cbm()[:100]),
    "a compressed bomb": (".joblib", "sklearn", lambda: zeros(512 << 20)),
    "a length of exabytes": (".pkl", "sklearn", lambda: b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f."),
    "a list in a list, a million deep": (".pkl", "sklearn", lambda: nested(1_000_000)),
    "joblib, an array of exabytes": (
        ".joblib",
        "sklearn",
        lambda: joblib_bytes(np.arange(3)).replace(b"K\x03\x85", b"\x8a\x07" + b"\xff" * 6 + b"\x0f\x85", 1),
    ),
    "skops, an array longer than its file": (
        ".skops",
        "sklearn",
        lambda: skops_file(
            node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy"),
            **{"a.npy": saved(np.save, np.arange(3)).replace(b"(3,), }", b"(9,), }")},
        ),
    ),
    "skops, two files of one name": (
        ".skops",
        "sklearn",
        lambda: twice(b'{"protocol": 2, "__loader__": "ListNode"}'),
    ),
    "skops, a path that leads out": (
        ".skops",
        "sklearn",
        lambda: skops_file(as_list(), **{"../../outside.npy": saved(np.save, np.eye(2))}),
    ),
}


ENDS = frozenset({"LightGBM, leaves that are not there"})
"""Where the library itself ends the process (its check fails within a thread): nothing runs, and nothing is told."""


def twice(schema: bytes) -> bytes:
    """A zip with two members of one name, of which one reader takes the first and another the last."""
    out = io.BytesIO()
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(zipfile.ZipInfo("schema.json"), json.dumps({"protocol": 2, **as_list()}))
        archive.writestr(zipfile.ZipInfo("schema.json"), schema)
    return out.getvalue()


# -- loading as people do ------------------------------------------------------------------------------------------


def load(live: str, path: Path) -> None:
    """Load a payload the usual way: only ever called in a process that is given up."""
    sys.path.insert(0, str(path.parent))
    if live == "pickle":
        with path.open("rb") as stream:
            pickle.load(stream)
    elif live == "pickles":
        with path.open("rb") as stream:
            while stream.peek(1):
                pickle.load(stream)
    elif live == "joblib":
        joblib.load(path)
    elif live == "numpy":
        made = np.load(path, allow_pickle=True)
        for name in getattr(made, "files", ()):
            made[name]
    elif live == "skops":
        import skops.io

        skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    elif live == "archive":
        _unpacked(path.read_bytes())
    else:
        raise AssertionError(live)


def _unpacked(data: bytes) -> None:
    """Every pickle that is found, however deep it lies in archives."""
    if data.startswith(b"\x80"):
        pickle.loads(data)
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                _unpacked(archive.read(name))
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                _unpacked(archive.extractfile(member).read())
