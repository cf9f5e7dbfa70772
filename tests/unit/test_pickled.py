"""A model without a portable form as a pickle: only when asked for, signed, and of names that two lists hold."""

import os
import pickle
import subprocess
import sys
import timeit
import zipfile

import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import Birch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import aweigh
from aweigh.__main__ import main
from aweigh.bundle.archive import write_bundle
from aweigh.bundle.keys import make_key, own_key, write_private
from aweigh.bundle.manifest import Pickled, digest_of, to_json
from aweigh.bundle.signature import sign
from aweigh.bundle.trust import read_trust
from aweigh.bundle.verify import open_bundle, verify
from aweigh.errors import DamagedBundle, ProofFailed, UnreadableModel, UntrustedBundle, UntrustedModel, UsageError
from aweigh.models.pickled import check_pickled, dump, listed
from aweigh.models.scan import Listed, load_listed, load_trusted, scan_bytes
from aweigh.runtime.load import load

FRAME = pd.DataFrame(
    {
        "a": np.random.default_rng(3).normal(size=90) + np.repeat([0.0, 9.0, 18.0], 30),
        "b": np.random.default_rng(4).normal(size=90),
    }
)


@pytest.fixture(scope="module")
def model():
    """A model that neither ONNX nor skops can hold."""
    return Birch(n_clusters=3).fit(FRAME)


@pytest.fixture(scope="module")
def packed(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    joblib.dump(model, folder / "model.joblib", compress=3)
    return aweigh.pack(folder / "model.joblib", FRAME, output=folder / "x.aweigh", allow_pickle=True)


@pytest.fixture
def ana(tmp_path):
    key = make_key()
    write_private(key, tmp_path / "ana.key")
    (tmp_path / "ana.pub").write_bytes(key.public.pem())
    return key, tmp_path / "ana.pub"


def files_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(packed, path, *, model=None, key=None, **said):
    """The bundle with another model or another manifest, and signed anew by this user or by a key."""
    files = files_of(packed.path)
    files.pop("signature.json")
    files.pop("sbom.cdx.json")
    body = msgspec.json.decode(files["manifest.json"])
    body["files"].pop("sbom.cdx.json")
    if model is not None:
        files["model/model.pkl"] = model
    content = files["model/model.pkl"]
    body["files"]["model/model.pkl"] = {"sha256": digest_of(content), "size_bytes": len(content)}
    body |= said
    files["manifest.json"] = to_json({name: value for name, value in body.items() if value is not ...})
    files["signature.json"] = sign(body["name"], digest_of(files["manifest.json"]), key or own_key(os.environ))
    write_bundle(files, path)
    return path


# -- made ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_key_is_made_where_no_pickle_is_needed(tmp_path, monkeypatch):
    """A home that cannot be written to is nothing to a model that has a portable form."""
    (tmp_path / "file").write_bytes(b"")
    frame = FRAME.assign(y=(FRAME["a"] > 9).astype(int))
    for place in (tmp_path / "home", tmp_path / "file" / "home"):
        monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(place))
        linear = LogisticRegression().fit(frame[["a", "b"]], frame["y"])
        made = aweigh.pack(linear, frame, target="y", output=tmp_path / "x.aweigh", allow_pickle=True)
        assert (made.manifest.pickle, made.own) == (None, False)
        assert not place.exists()


def test_a_pickle_without_a_key_is_refused(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "file" / "home"))
    with pytest.raises(UsageError, match=r"cannot be (made|read)"):
        aweigh.pack(model, FRAME, output=tmp_path / "x.aweigh", allow_pickle=True)
    assert not (tmp_path / "x.aweigh").exists()


def test_without_being_asked_nothing_is_pickled(model, tmp_path):
    with pytest.raises(ProofFailed) as caught:
        aweigh.pack(model, FRAME, output=tmp_path / "x.aweigh")
    assert "--allow-pickle" in caught.value.hint


def test_it_is_the_last_way_and_answers_as_the_original(packed, model):
    manifest = packed.manifest
    assert manifest.model_file == "model/model.pkl"
    assert (manifest.runtime, manifest.code) == ("sklearn", False)
    assert [one.agreed for one in manifest.proof.attempts] == [False, False, True]
    predictor = load(verify(packed.path))
    assert predictor.replay().problems == ()
    told = aweigh.load(packed.path).predict(FRAME.to_dict("records"))
    assert [one["cluster"] for one in told] == model.predict(FRAME).tolist()


def test_a_model_with_a_portable_form_stays_without_a_pickle(tmp_path):
    done = aweigh.pack(
        LogisticRegression().fit(FRAME, FRAME["a"] > 5), FRAME, output=tmp_path / "x.aweigh", allow_pickle=True
    )
    assert (done.manifest.runtime, done.manifest.pickle) == ("onnx", None)
    assert "signature.json" not in files_of(done.path)


def test_it_is_one_plain_pickle_whose_names_are_in_the_manifest(packed):
    content = files_of(packed.path)["model/model.pkl"]
    found = scan_bytes(content)
    assert (found.format, found.protocol, found.compression, found.unreadable) == ("pickle", 5, None, None)
    assert packed.manifest.pickle == Pickled(names=found.names, calls=found.calls)
    assert "sklearn.cluster._birch.Birch" in found.names
    assert "joblib.numpy_pickle.NumpyArrayWrapper" not in found.names


def test_the_same_model_gives_the_same_bytes(packed, model, tmp_path):
    """From memory and from a pickle of any protocol; joblib forgets which arrays were one, and is another file."""
    once = dump(model)
    for protocol in range(2, 6):
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(model, protocol))
        assert dump(load_trusted(tmp_path / "m.pkl")) == once
    again = aweigh.pack(packed.path.with_name("model.joblib"), FRAME, output=tmp_path / "x.aweigh", allow_pickle=True)
    assert again.path.read_bytes() == packed.path.read_bytes()


SETS = """
import hashlib, sys
from sklearn.feature_extraction.text import TfidfVectorizer
from aweigh.models.pickled import dump
words = ["the", "and", "of", "with", "without", "between"]
model = TfidfVectorizer(stop_words=words).fit(["the hull of a boat", "a mast and sails"])
vars(model).pop("_stop_words_id", None)
print(hashlib.sha256(dump([model, set(words), {3, 1, 2}, set(), frozenset([("a", 1), ("b", 2)])])).hexdigest())
"""


@pytest.mark.slow
def test_sets_are_written_in_one_order_whatever_the_hashes():
    made = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SETS], env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "77")
    }  # fmt: skip
    assert len(made) == 1


def test_what_was_written_is_what_it_was():
    value = [{"a", "b"}, frozenset({1, 2}), set(), np.arange(6.0).reshape(2, 3).T, np.array(["x", None], dtype=object)]
    data = dump(value)
    made = load_listed(data, "x", Listed(frozenset(listed(data).names), frozenset(listed(data).calls)))
    assert made[:3] == value[:3]
    assert (made[3] == value[3]).all()
    assert made[4].tolist() == ["x", None]


def test_a_long_chain_is_written_and_read():
    chain = []
    for _ in range(3000):
        chain = [chain]
    data = dump(chain)
    made = load_listed(data, "x", Listed(frozenset(), frozenset()))
    depth = 0
    while made:
        made, depth = made[0], depth + 1
    assert depth == 3000


def test_what_is_on_no_list_is_not_pickled():
    for value in (os.system, TfidfVectorizer(tokenizer=os.system), eval):
        with pytest.raises(UntrustedModel):
            dump(value)


# -- loaded ----------------------------------------------------------------------------------------------------------


def test_who_packed_it_may_load_it_and_nobody_else(packed, tmp_path, monkeypatch):
    assert verify(packed.path).signers[0].name == "the owner of this server"
    monkeypatch.setenv("AWEIGH_CONFIG_DIR", str(tmp_path / "another"))
    with pytest.raises(UntrustedBundle, match="is a pickle, and you have not signed it"):
        verify(packed.path)
    with pytest.raises(UntrustedBundle):
        aweigh.load(packed.path)


def test_any_trusted_key_may_sign_one(packed, tmp_path, ana):
    key, public = ana
    path = rewritten(packed, tmp_path / "x.aweigh", key=key)
    with pytest.raises(UntrustedBundle):
        verify(path)
    bundle = verify(path, trust=read_trust(public))
    assert [one.name for one in bundle.signers] == ["ana"]
    assert load(bundle).replay().problems == ()


def test_an_unsigned_one_is_refused_before_its_model_is_looked_at(packed, tmp_path):
    files = files_of(packed.path)
    files.pop("signature.json")
    files["model/model.pkl"] = b"\x80\x05" + files["model/model.pkl"][2:][::-1]  # not what the manifest says, either
    write_bundle(files, tmp_path / "x.aweigh")
    with pytest.raises(UntrustedBundle):
        verify(tmp_path / "x.aweigh")


def test_who_signed_and_what_came_then_is_refused(packed, tmp_path):
    files = files_of(packed.path)
    files["model/model.pkl"] = files["model/model.pkl"][:-1] + b"x"
    write_bundle(files, tmp_path / "x.aweigh")
    with pytest.raises(DamagedBundle, match="not what the manifest says"):
        verify(tmp_path / "x.aweigh")


class Call:
    def __init__(self, function, *args):
        self.reduced = (function, args)

    def __reduce__(self):
        return self.reduced


HOSTILE = {
    "os.system": Call(os.system, "exit 1"),
    "eval": Call(eval, "1"),
    "getattr": Call(getattr, Call(__import__, "os"), "system"),
    "subprocess": Call(subprocess.Popen, ["true"]),
    "timeit": Call(timeit.timeit, "1", "pass", timeit.default_timer, 1),
    "joblib": Call(joblib.load, "x"),
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_no_signature_and_no_manifest_lets_it_import_what_is_on_no_list(packed, tmp_path, payload, capsys):
    data = pickle.dumps(payload, 5)
    found = scan_bytes(data)
    said = msgspec.to_builtins(Pickled(names=found.names, calls=found.calls))
    path = rewritten(packed, tmp_path / "x.aweigh", model=data, pickle=said)
    bundle = verify(path)  # whole, and signed by this very user
    with pytest.raises(UntrustedModel, match="which no signature can; nothing was run"):
        load(bundle)
    for command in ("verify", "serve", "predict", "sign"):
        arguments = [command, str(path), *(["x.csv", "-o", "y.csv"] if command == "predict" else [])]
        if command == "predict":
            FRAME.to_csv(tmp_path / "x.csv", index=False)
            arguments[2:] = [str(tmp_path / "x.csv"), "-o", str(tmp_path / "y.csv")]
        assert main(arguments) == 3
        assert "Traceback" not in capsys.readouterr().err


def test_what_the_manifest_does_not_say_is_not_imported(packed, tmp_path):
    content = files_of(packed.path)["model/model.pkl"]
    said = packed.manifest.pickle
    for less in (
        Pickled(names=said.names[:-1], calls=tuple(one for one in said.calls if one != said.names[-1])),
        Pickled(names=said.names, calls=said.calls[1:]),
    ):
        with pytest.raises(UntrustedModel, match="which its manifest does not say"):
            check_pickled(content, less)
        path = rewritten(
            packed, tmp_path / f"{len(less.calls)}{len(less.names)}.aweigh", pickle=msgspec.to_builtins(less)
        )
        with pytest.raises(UntrustedModel, match="which its manifest does not say"):
            load(verify(path))


def joblib_bytes(value, **how):
    import io

    out = io.BytesIO()
    joblib.dump(value, out, **how)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (pickle.dumps([1], 4), DamagedBundle),
        (pickle.dumps([1], 0), DamagedBundle),
        (joblib_bytes([np.arange(3)], compress=3), DamagedBundle),
        (joblib_bytes([np.arange(3)], protocol=5), (UntrustedModel, UnreadableModel)),
        (pickle.dumps([1], 5) + pickle.dumps([2], 5), UnreadableModel),
        (pickle.dumps([1], 5) + b"\n", UnreadableModel),
        (pickle.dumps([1], 5)[:-1], UnreadableModel),
        (b"\x80\x05\x82\x01.", UnreadableModel),  # EXT1
        (b"\x80\x05K\x01Q.", UnreadableModel),  # BINPERSID
        (b"\x80\x05\x97.", UnreadableModel),  # NEXT_BUFFER
        (b"\x80\x05\x8c\x02os\x8c\x06system\x93.", UntrustedModel),  # STACK_GLOBAL
        (b"\x80\x05\x8c\x07sklearn\x8c\x0acluster.os\x93.", UntrustedModel),  # a name that walks through attributes
    ],
    ids="four zero compressed joblib stacked trailing cut extension persistent buffer os dotted".split(),
)
def test_only_one_plain_whole_pickle_is_read(packed, tmp_path, data, error):
    path = rewritten(packed, tmp_path / "x.aweigh", model=data)
    with pytest.raises(error):
        load(verify(path))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"pickle": ...}, "must say so"),
        ({"pickle": {"names": ["os"], "calls": []}}, "an import that can be none"),
        ({"pickle": {"names": ["a.b; import os"], "calls": []}}, "an import that can be none"),
        ({"pickle": {"names": ["a.b"], "calls": ["a.c"]}}, "a call of what is not imported"),
        ({"runtime": "onnx"}, "cannot read"),
    ],
    ids=range(5),
)
def test_a_manifest_that_cannot_be_is_refused(packed, tmp_path, said, why):
    with pytest.raises(DamagedBundle, match=why):
        verify(rewritten(packed, tmp_path / "x.aweigh", **said))


@pytest.mark.parametrize("name", ["model/other.pkl", "model/model.PKL", "model/model.skops", "model/code/model.pkl"])
def test_a_pickle_of_another_name_is_refused_whoever_signed_it(packed, tmp_path, name):
    files = files_of(packed.path)
    content = files.pop("model/model.pkl")
    files.pop("sbom.cdx.json")
    body = msgspec.json.decode(files["manifest.json"])
    body["files"].pop("sbom.cdx.json")
    body["files"][name] = body["files"].pop("model/model.pkl")
    body["model_file"] = name
    if name.endswith("skops"):
        body.pop("pickle")
    files = {**files, name: content, "manifest.json": to_json(body)}
    files["signature.json"] = sign(body["name"], digest_of(files["manifest.json"]), own_key(os.environ))
    write_bundle(files, tmp_path / "x.aweigh")
    with pytest.raises(DamagedBundle):
        verify(tmp_path / "x.aweigh")


# -- told ------------------------------------------------------------------------------------------------------------


def test_it_is_told(packed, capsys):
    assert main(["verify", str(packed.path)]) == 0
    assert "none; a pickle of" in capsys.readouterr().out
    assert main(["inspect", str(packed.path)]) == 0
    assert "a pickle, which is loaded only when signed by who may" in capsys.readouterr().out


@pytest.mark.slow
def test_the_commands_say_how_to_go_on(model, tmp_path, ana, capsys, monkeypatch):
    joblib.dump(model, tmp_path / "model.joblib")
    FRAME.to_csv(tmp_path / "s.csv", index=False)
    where = ["--data", str(tmp_path / "s.csv"), "-o", str(tmp_path / "x.aweigh")]
    pack = ["pack", str(tmp_path / "model.joblib"), *where, "--allow-pickle", "--key", str(tmp_path / "ana.key")]
    assert main(pack) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"aweigh serve {tmp_path / 'x.aweigh'}")
    assert len(msgspec.json.decode(files_of(tmp_path / "x.aweigh")["signature.json"])["signatures"]) == 2
    assert main(["verify", str(tmp_path / "x.aweigh"), "--trust", str(ana[1])]) == 0
    assert main(["sign", str(tmp_path / "x.aweigh"), "--remove"]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"aweigh sign {tmp_path / 'x.aweigh'}")
    assert main(["verify", str(tmp_path / "x.aweigh")]) == 3
    assert open_bundle(tmp_path / "x.aweigh").manifest.pickle is not None


def test_boosting_is_served_from_a_pickle_by_its_own_library(tmp_path):
    """The way itself, as every model of these libraries has a portable form."""
    import xgboost

    from aweigh import registry
    from aweigh.bundle.names import PICKLE
    from aweigh.models.pickled import load_pickled, pickled_way
    from aweigh.packing.sample import align, open_sample
    from aweigh.schema.column import Schema

    model = xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(FRAME, FRAME["a"])
    family = registry.family("xgboost")
    described = family.describe(model)
    columns, table = open_sample(FRAME, described=described)
    sample = align(columns, table, described=described, target=None, config=aweigh.config.Config())
    schema = Schema(columns=sample.columns, output=described.output)
    form = pickled_way("xgboost", model, schema).make()
    assert (form.runtime, form.file_name) == ("xgboost", PICKLE)
    again = load_pickled(form.data, form.pickle, family, schema)
    expected = family.predict(model, sample.table, schema).values
    assert (again(sample.table).values == expected).all()
