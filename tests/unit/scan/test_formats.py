"""What a file is, told by its bytes; compression and zip files that would take memory; and what is no model at all."""

import bz2
import gzip
import importlib.util
import io
import json
import lzma
import os
import pickle
import time
import tracemalloc
import zipfile
import zlib

import joblib
import numpy as np
import onnx
import pytest

from aweigh.errors import UnreadableModel, UntrustedModel
from aweigh.models.scan import Limits, Scan, check, load_trusted, load_trusted_bytes, scan, scan_bytes

X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20) % 2
SMALL = Limits(size_bytes=1 << 20, ratio=100, ratio_from=1 << 16)


def onnx_bytes():
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [None, 2])], [value("y", 1, [None, 2])])
    return onnx.helper.make_model(graph, producer_name="aweigh").SerializeToString()


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """A file of each library's own formats."""
    import catboost
    import lightgbm
    import xgboost

    folder = tmp_path_factory.mktemp("native")
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(X, Y), 2)
    wrapper = xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(X, Y)
    booster.save_model(folder / "xgboost.json")
    wrapper.save_model(folder / "wrapper.json")
    booster.save_model(folder / "xgboost.ubj")
    lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, Y), 2).save_model(folder / "lightgbm.txt")
    cat = catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False, thread_count=1).fit(X, Y)
    cat.save_model(str(folder / "catboost.cbm"))
    cat.save_model(str(folder / "catboost.json"), format="json")
    (folder / "model.onnx").write_bytes(onnx_bytes())
    return folder


@pytest.mark.parametrize(
    ("file", "kind", "families"),
    [
        ("xgboost.json", "xgboost-json", ("xgboost",)),
        ("wrapper.json", "xgboost-json", ("xgboost",)),
        ("xgboost.ubj", "xgboost-ubj", ("xgboost",)),
        ("lightgbm.txt", "lightgbm-text", ("lightgbm",)),
        ("catboost.cbm", "catboost-cbm", ("catboost",)),
        ("model.onnx", "onnx", ()),
    ],
)
def test_the_libraries_own_formats_are_told_by_their_content(native, tmp_path, file, kind, families):
    path = tmp_path / "model.bin"
    path.write_bytes((native / file).read_bytes())
    found = check(path)
    assert found == Scan(kind, path.stat().st_size)
    assert found.families == families
    with pytest.raises(UnreadableModel, match=f"format {kind}"):
        load_trusted(path)


def test_a_format_in_another_ones_compression_is_not_guessed(native):
    found = scan_bytes(gzip.compress((native / "model.onnx").read_bytes()))
    assert found.unreadable == "it is a compressed onnx file: decompress it first"


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # of no time: a test's name must not change by the second
    return file.getvalue()


def saved(save, *args):
    file = io.BytesIO()
    save(file, *args)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    {
        "nothing": (b"", "it is empty"),
        "a text": (b"Readme\n", "no kind of model file"),
        "a table": (b"a,b\n1,2\n", "no kind of model file"),
        "a picture": (b"\x89PNG\r\n\x1a\n", "no kind of model file"),
        "an array": (saved(np.save, np.eye(2)), "it is a numpy array"),
        "an array of objects": (saved(np.save, np.array([None])), "it is a numpy array"),
        "arrays": (saved(np.savez, np.eye(2)), "it holds numpy arrays"),
        "a Keras file": (zipped(**{"config.json": "{}", "model.weights.h5": "x"}), "Keras"),
        "an HDF5 file": (b"\x89HDF\r\n\x1a\n" + b"x" * 99, "HDF5"),
        "a PyTorch file": (zipped(**{"model/data.pkl": pickle.dumps(1), "model/version": "3"}), "PyTorch"),
        "a bundle": (zipped(**{"manifest.json": "{}", "schema.json": "{}"}), "packed bundle"),
        "another zip file": (zipped(**{"a.txt": "x"}), "no model known here"),
        "a cut zip file": (zipped(**{"schema.json": "x"})[:40], "begins like a zip file"),
        "XGBoost's old format": (b"binf" + b"x" * 99, "old binary format"),
        "joblib's old format": (b"ZF0x1", "joblib before 0.10"),
        "a table in Parquet": (b"PAR1" + b"x" * 99, "Parquet"),
        "LightGBM's dump": (b'{"name":"tree","version":"v4","tree_info":[]}', "LightGBM's JSON dump"),
        "other JSON": (b'{"a": 1}', "it is JSON, but no model"),
        "zstandard": (b"\x28\xb5\x2f\xfd" + b"x" * 99, "zstd, which joblib does not write"),
        "cut protobuf": (onnx_bytes()[:-3], "no kind of model file"),
    }.values(),
)
def test_what_is_no_model_is_told_what_it_is(tmp_path, data, reason):
    path = tmp_path / "model.joblib"
    path.write_bytes(data)
    found = scan(path)
    assert found.format == "unknown"
    assert reason in found.unreadable
    with pytest.raises(UnreadableModel, match=r"model\.joblib cannot be read as a model"):
        check(path)


def test_catboosts_json_is_told_apart(native):
    assert "CatBoost's JSON export" in scan_bytes((native / "catboost.json").read_bytes()).unreadable


COMPRESS = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
}


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_bomb_is_refused_before_it_fills_memory(compression):
    """32 MB of nothing in a few kB; never more of it is held than the limit and a little."""
    data = COMPRESS[compression](bytes(32 << 20))
    began = time.process_time()
    tracemalloc.start()
    try:
        found = scan_bytes(data, limits=Limits(size_bytes=2 << 20))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.unreadable == "it unpacks to more than 2,097,152 bytes"
    assert peak < 16 << 20
    assert time.process_time() - began < 2


@pytest.mark.parametrize("compression", COMPRESS)
def test_growth_is_judged_by_its_ratio_as_well(compression):
    assert "more than 100 times its size" in scan_bytes(COMPRESS[compression](bytes(300_000)), limits=SMALL).unreadable
    fine = COMPRESS[compression](pickle.dumps(os.urandom(300_000)))
    assert scan_bytes(fine, limits=SMALL).unreadable is None


@pytest.mark.parametrize("compression", COMPRESS)
def test_damaged_compression_is_refused(compression):
    whole = COMPRESS[compression](pickle.dumps(os.urandom(5000)))
    assert scan_bytes(whole).unreadable is None
    assert scan_bytes(whole[: len(whole) // 2]).unreadable == "its compressed data is cut short"
    assert (
        "damaged" in scan_bytes(whole[:16] + os.urandom(200) + whole[216:]).unreadable or scan_bytes(whole).names == ()
    )
    assert scan_bytes(whole + b"more").unreadable == "its compressed data is followed by something else"


def test_lz4_without_its_package_says_so():
    data = b"\x04\x22\x4d\x18" + b"x" * 99
    found = scan_bytes(data)
    if importlib.util.find_spec("lz4"):
        assert "lz4 compression is damaged" in found.unreadable
    else:
        assert found.unreadable == "it is compressed with lz4, and the Python package 'lz4' is not installed here"
    assert found.compression == "lz4"


@pytest.mark.skipif(not importlib.util.find_spec("lz4"), reason="joblib writes lz4 only where its package is")
def test_lz4_is_read(tmp_path):
    joblib.dump({"a": np.arange(100_000)}, tmp_path / "model.lz4", compress=("lz4", 3))
    assert scan(tmp_path / "model.lz4").compression == "lz4"
    assert load_trusted(tmp_path / "model.lz4")["a"].sum() == np.arange(100_000).sum()
    bomb = (tmp_path / "model.lz4").read_bytes()
    assert "unpacks to more" in scan_bytes(bomb, limits=Limits(size_bytes=10_000_000 // 16)).unreadable


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(bytes(2 << 20)))
    assert scan(path, limits=SMALL).unreadable == "it is larger than 1,048,576 bytes"


# skops files


def skops_file(schema=None, **members):
    node = {"protocol": 2, **(schema or {})}
    return zipped(**{**members, "schema.json": json.dumps(node)})


def node(loader, name, **more):
    module, _, cls = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": cls, **more}


def as_list(*nodes):
    return node("ListNode", "builtins.list", content=list(nodes))


def value(content):
    return node("JsonNode", "builtins.str", content=json.dumps(content), is_json=True)


def dictionary(content, *key_types):
    types = as_list(*(key_types or [node("TypeNode", "builtins.str")] * len(content)))
    return node("DictNode", "builtins.dict", content=content, key_types=types)


def estimator(name, **attributes):
    return node("ObjectNode", name, content=dictionary(attributes))


PAYLOADS = {
    "a function": (node("FunctionNode", "os.system"), "os.system"),
    "a function of protocol 0": (
        node("FunctionNode", "builtins.function", content={"module_path": "os", "function": "system"}, protocol=0),
        "os.system",
    ),
    "a type": (node("TypeNode", "subprocess.Popen"), "subprocess.Popen"),
    "an object": (estimator("os._wrap_close"), "os._wrap_close"),
    "a constructor": (
        node("ConstructorFromReduceNode", "subprocess.Popen", content=node("TupleNode", "builtins.tuple", content=[])),
        "subprocess.Popen",
    ),
    "a partial": (
        node("PartialNode", "functools.partial", content={"func": node("FunctionNode", "os.system"), "args": {}}),
        "os.system",
    ),
    "an operator": (node("OperatorFuncNode", "operator.methodcaller", attrs=as_list()), "operator.methodcaller"),
    "a method": (
        node(
            "MethodNode",
            "sklearn.pipeline.Pipeline",
            content={"func": "fit", "obj": estimator("sklearn.pipeline.Pipeline")},
        ),
        "sklearn.pipeline.Pipeline:fit",
    ),
    "a list that is a call": (
        node("ListNode", "subprocess.Popen", content=[value("touch"), value("x")]),
        "subprocess.Popen",
    ),
    "a tuple that is a call": (node("TupleNode", "os.stat_result", content=[]), "os.stat_result"),
    "an array that is a call": (node("NdArrayNode", "builtins.eval", type="numpy", file="a.npy"), "builtins.eval"),
    "a key type": (dictionary({"touch x": value(1)}, node("FunctionNode", "os.system")), "os.system"),
    "a loss": (
        node("LossNode", "subprocess.Popen", __reduce__={"args": as_list()}, content=as_list()),
        "subprocess.Popen",
    ),
    "a random generator": (
        node(
            "RandomGeneratorNode",
            "numpy.random._generator.Generator",
            content={"bit_generator": dictionary({"bit_generator": value("seed")}), "seed_seq": dictionary({})},
        ),
        "numpy.random.seed",
    ),
    "deep inside": (as_list(as_list(dictionary({"a": as_list(node("FunctionNode", "os.system"))}))), "os.system"),
}


@pytest.mark.parametrize("case", PAYLOADS)
def test_a_skops_file_that_reaches_further_is_refused(case, tmp_path):
    schema, offender = PAYLOADS[case]
    path = tmp_path / "model.skops"
    path.write_bytes(skops_file(schema, **{"a.npy": saved(np.save, np.eye(2))}))
    assert offender in scan(path).names
    for refuse in (check, load_trusted):
        with pytest.raises(UntrustedModel, match=offender.replace(".", r"\.")):
            refuse(path)


VECTORIZER = "sklearn.feature_extraction.text.CountVectorizer"
SHARED = dictionary({"input": value("content")})
TRICKS = {
    "a listed name that is called": (as_list(node("ListNode", "sklearn.pipeline.Pipeline", content=[])), "would call"),
    "a listed name as a key type": (dictionary({"a": value(1)}, node("FunctionNode", "numpy.log1p")), "would call"),
    "a listed function of arguments": (
        node("ConstructorFromReduceNode", "_codecs.encode", content=node("TupleNode", "builtins.tuple", content=[])),
        "it calls _codecs.encode",
    ),
    "a partial of a listed function": (
        node("PartialNode", "functools.partial", content={"func": node("FunctionNode", "numpy.log1p"), "args": {}}),
        "it calls functools.partial",
    ),
    "two objects under one id": (
        as_list({**value(1), "__id__": 5}, {**estimator("sklearn.pipeline.Pipeline"), "__id__": 5}),
        "share one id",
    ),
    "two values under one id": (
        as_list({**value("filename"), "__id__": 5}, {**value("content"), "__id__": 5}),
        "one id",
    ),
    "key types under one id": (
        as_list(
            {**as_list(node("FunctionNode", "numpy.log1p")), "__id__": 7},
            {**dictionary({"a": value(1)}), "key_types": {**as_list(node("TypeNode", "builtins.str")), "__id__": 7}},
        ),
        "share one id",
    ),
    "a vectorizer of files": (estimator(VECTORIZER, input=value("filename")), "reads files"),
    "a vectorizer of files by numpy's text": (
        estimator(VECTORIZER, input=node("NdArrayNode", "numpy.str_", type="numpy", file="a.npy")),
        "reads files",
    ),
    "a vectorizer's attributes under one id": (
        as_list({**SHARED, "__id__": 9}, node("ObjectNode", VECTORIZER, content={**SHARED, "__id__": 9})),
        "share one id",
    ),
    "a node to come": (node("NewNode", "builtins.str"), "NewNode, which is not known"),
    "a cached node": (node("CachedNode", "builtins.str", __id__=1), "CachedNode, which is not known"),
    "a node without a class": ({"__loader__": "ListNode", "content": []}, "names no class"),
    "a losing module": (node("LossNode", "_loss.CyHuberLoss", __reduce__={}, content=as_list()), "scikit-learn 1.5"),
    "protocol 3": ({**as_list(), "protocol": 3}, "version of skops"),
    "a protocol that is true": ({**as_list(), "protocol": True}, "version of skops"),
    "a schema of another shape": (estimator(VECTORIZER, input={"a": 1}), "not as skops writes it"),
    "a vectorizer without attributes": (node("ObjectNode", VECTORIZER, content=value(1)), "reads files"),
    "a random generator of a number": (
        node(
            "RandomGeneratorNode",
            "numpy.random._generator.Generator",
            content={"bit_generator": dictionary({"bit_generator": value(1)})},
        ),
        "described in an unusual way",
    ),
    "no random generator": (
        node("RandomGeneratorNode", "numpy.random._generator.Generator", content={}),
        "described in an unusual way",
    ),
}


@pytest.mark.parametrize("case", TRICKS)
def test_a_trick_in_a_skops_file_is_refused(case, tmp_path):
    schema, reason = TRICKS[case]
    path = tmp_path / "model.skops"
    path.write_bytes(skops_file(schema, **{"a.npy": saved(np.save, np.eye(2))}))
    for refuse in (check, load_trusted):
        with pytest.raises((UntrustedModel, UnreadableModel), match=reason):
            refuse(path)


def with_flag(data, bit):
    """Set a flag of the first member, in its own head and in the directory."""
    data = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= bit
    return bytes(data)


def duplicate():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("schema.json", json.dumps({"protocol": 2, **value(1)}))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("schema.json", json.dumps({"protocol": 2, **node("FunctionNode", "os.system")}))
    return file.getvalue()


def bomb():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps({"protocol": 2, **value(1)}))
        archive.writestr("a.bin", bytes(2 << 20))
    return file.getvalue()


ARCHIVES = {
    "two members of one name": (duplicate, "two members of one name"),
    "a path upward": (lambda: skops_file(value(1), **{"../a.npy": b"x"}), "leads out of it"),
    "an absolute path": (lambda: skops_file(value(1), **{"/etc/a.npy": b"x"}), "leads out of it"),
    "a path of Windows": (lambda: skops_file(value(1), **{"..\\a.npy": b"x"}), "leads out of it"),
    "encryption": (lambda: with_flag(skops_file(value(1)), 1), "encrypted"),
    "a bomb": (bomb, "unpacks to more than"),
    "objects in an array": (
        lambda: skops_file(value(1), **{"a.npy": saved(np.save, np.array([None]))}),
        "pickled objects",
    ),
    "objects in an array of arrays": (
        lambda: skops_file(value(1), **{"a.npz": saved(lambda f: np.savez(f, a=np.array([{}])))}),
        "pickled objects",
    ),
    "no array": (lambda: skops_file(value(1), **{"a.npy": b"x" * 99}), "not in numpy's format"),
    "no schema": (lambda: zipped(**{"schema.json": "{"}), "schema.json cannot be read"),
    "a schema that is a list": (lambda: zipped(**{"schema.json": "[]"}), "version of skops"),
    "a deep schema": (lambda: zipped(**{"schema.json": "[" * 100_000}), "schema.json cannot be read"),
    "a damaged schema": (lambda: skops_file(value(1)).replace(b'"protocol"', b'"protokol"', 1), "zip file is damaged"),
    "cut short": (lambda: skops_file(value(1))[:-30], "begins like a zip file"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_trick_of_the_zip_file_is_refused(case):
    make, reason = ARCHIVES[case]
    found = scan_bytes(make(), limits=SMALL)
    assert reason in found.unreadable


def test_an_arrays_header_is_read_as_data():
    for head in (b"\x93NUMPY\x01\x00\x05\x00{}{}\n", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{", b"\x93NUMPY"):
        assert "not in numpy's format" in scan_bytes(skops_file(value(1), **{"a.npy": head + bytes(20)})).unreadable


def test_a_pickle_is_not_taken_for_a_skops_file():
    """What comes out of a bundle is skops or nothing: a pickle in its place is not even looked at."""
    with pytest.raises(UnreadableModel, match="only skops is loaded"):
        load_trusted_bytes(pickle.dumps({"a": 1}), "model.skops", formats=("skops",))
