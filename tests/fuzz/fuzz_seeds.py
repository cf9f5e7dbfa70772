"""Writes the good inputs that fuzzing starts from, ``corpus/TARGET/NAME``, out of the project's own fixtures.

    python tests/fuzz/fuzz_seeds.py

Inputs that were found (``found-...``) are kept: they are what once went wrong. Some of what is written holds keys or
versions, so that another day gives other bytes; it is written anew only when a format has changed.
"""

import base64
import gzip
import importlib.util
import io
import json
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
TESTS = HERE.parent
sys.path[:0] = [str(HERE), str(TESTS / "unit")]

import fuzz_files  # noqa: E402
import fuzz_models  # noqa: E402, F401
import fuzz_oidc  # noqa: E402
from fuzz import CORPUS  # noqa: E402

Seeds = Mapping[str, bytes]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fixtures_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tables() -> dict[str, Seeds]:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet
    from fuzz_arrow_blocks import written

    row = {"n": 1.5, "f": 2, "i": 3, "b": True, "c": "NA", "t": "a:b", "d": "2026-01-31", "m": "2026-01-31T12:00:00Z"}
    gone = dict.fromkeys(row)
    wide = {"rows": [row, gone, {}, row | {"t": 'q"\\u00e9\n', "n": -0.0}]}
    json_seeds = {
        "wide": b"\x00" + json.dumps(wide).encode(),
        "odd": b"\x01" + json.dumps({"rows": [{"a:b": "x:y", " é": 1e30, "rows": 2**62}]}, ensure_ascii=False).encode(),
        "numbers": b"\x02" + json.dumps({"rows": [dict.fromkeys("xyz", 0.1)] * 3}).encode(),
        "refused": b'\x00\xef\xbb\xbf{"rows":[{"n":"1","i":1e2,"z":[{}]},{"n":NaN}]}',
    }
    csv_text = (
        'n,f,i,b,c,t,d,m\n1.5,2,3,true,NA,\'x,2026-01-31,2026-01-31T12:00:00\n,,,,,,,\n\n1,2,3,FALSE,x,"a\n""b",,\n'
    )
    csv_seeds = {
        "utf-8": b"\x00\xef\xbb\xbf" + csv_text.encode(),
        "semicolons": b"\x02" + csv_text.replace(",", ";").replace("\n", "\r\n").encode("windows-1252"),
        "utf-16": b"\x03" + csv_text.encode("utf-16"),
        "numbers": b"\x00x\ty\tz\n1\t2\t3\n-1e5\t.5\t+7.\r4\t5\t6\n",
    }
    parquet = {}
    for name, table in {
        "penguins": pa.Table.from_pandas(pd.DataFrame({"a": [1.0, None], "b": ["x", "y"]}, index=[3, 4])),
        "nested": pa.table(
            {"l": [[1], None], "m": pa.array([1, 2], pa.timestamp("ms")), "e": pa.nulls(2, pa.string())}
        ),
    }.items():
        out = io.BytesIO()
        pa.parquet.write_table(table, out)
        parquet[name] = out.getvalue()

    def tensor(name: str, kind: str, data: list, **more: object) -> dict:
        return {"name": name, "shape": [len(data)], "datatype": kind, "data": data} | more

    plain = {
        "id": "1",
        "inputs": [tensor("x", "FP64", [1, 2]), tensor("y", "FP32", [None, 2]), tensor("z", "INT8", [1, 2])],
    }
    matrix = {"inputs": [{"name": "all", "shape": [2, 3], "datatype": "FP64", "data": [[1, 2, 3], [4, 5, 6]]}]}
    binary = {
        "inputs": [
            {"name": "t", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 11}},
            {"name": "n", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}},
        ],
        "outputs": [{"name": "value"}],
    }
    head = json.dumps(binary).encode()
    oip = {
        "plain": b"\0\0" + json.dumps(plain).encode(),
        "matrix": b"\0\0" + json.dumps(matrix).encode(),
        "binary": len(head).to_bytes(2, "little") + head + b"\1\0\0\0a\2\0\0\0\xc3\xa9" + bytes(16),
    }
    arrow = {"stream": written(pa.ipc.new_stream), "file": written(pa.ipc.new_file)}
    rows = [{"a": 1, "b": "x", "c": None, "d": True}, {"a": 1.5, "b": "y", "c": 2**60}]
    row_files = {
        "json": b"\2" + json.dumps({"rows": rows}).encode(),
        "list": b"\0" + json.dumps(rows).encode(),
        "lines": b"\3\xef\xbb\xbf" + b"\n\n".join(json.dumps(row).encode() for row in rows),
        "csv": b"\1" + csv_text.encode(),
        "packed": b"\5" + gzip.compress(b"a;b\n1;2\n" * 20, mtime=0),
    }
    return {"files": row_files, "json": json_seeds, "csv": csv_seeds, "parquet": parquet, "oip": oip, "arrow": arrow}


def door() -> dict[str, Seeds]:
    session = b"A" * 43
    return {
        "form": {
            "sign-in": b"next=%2Fmodel&done=saved\napplication/x-www-form-urlencoded\nhost: localhost:8000\n"
            b"name=ana%40example.org&password=correct+horse&code=&scopes=read&scopes=predict",
            "odd": b"\n\nsec-fetch-site: cross-site\nname=%3Cb%3E%22%26%27&name=%C3%A9+%0A",
            "refused": b"a=%ff\nmultipart/form-data; boundary=x\ncontent-encoding: gzip\n--x\r\n",
        },
        "identity": {
            "cookie": b"v1/predict\nhost: localhost:8000\ncookie: a=b; aweigh_8000=" + session + b"; aweigh_80=x",
            "key": b"v1/predict\nauthorization: Bearer aw_0123456789ab_" + session + b"abcdef",
            "session": b"\nauthorization: Aweigh-Session " + session,
            "metrics": b"metrics\nauthorization: Basic YTpi\nauthorization: Bearer x",
        },
        "next_path": {
            "page": b"/account?tab=keys&x=%2F#top",
            "odd": "/é/%2561%2f..;x=[1]".encode(),
            "elsewhere": b"//example.org/%5cexample.org",
            "sign-in": b"/login?next=/login",
        },
        "place": {
            "usual": b"models.example.org,10.0.0.7\nhost: models.example.org\norigin: https://models.example.org\n"
            b"x-forwarded-for: 10.1.1.1, [2001:db8::1]:443\nx-forwarded-for: 192.0.2.7\nx-forwarded-proto: https",
            "site": b"https://site.example.org,http://[::1]:8000\nhost: [::1]:8000\norigin: https://site.example.org",
            "fetched": b"*\nhost: localhost.\nsec-fetch-site: same-origin\naccept: text/html",
        },
        "jobs": {
            "csv": b'output=jsonl&keep=a&keep=b%20c&delimiter=tab&ignore_extra\ncontent-type: text/csv; charset="utf-8"\n'
            b'idempotency-key: abc\nrange: bytes=0-99\nif-range: "a"\naccept: text/csv;q=0.5, */*;q=0.1',
            "parquet": b"answers_only=true\ncontent-type: application/vnd.apache.parquet\ncontent-encoding: gzip\nrange: bytes=-5",
        },
        "oauth": {
            "back": b"code=abc&state=xyz&iss=https%3A%2F%2Fid.example.org\nhost: localhost:8000\n"
            b"cookie: aweigh_8000-oauth=" + base64.urlsafe_b64encode(bytes(60)),
            "refused": b"error=access_denied&error_description=no&state=a\nhost: localhost",
        },
    }


def lane() -> dict[str, Seeds]:
    def ask(body: bytes, head: bytes = b"", line: bytes = b"POST /v1/predict HTTP/1.1") -> bytes:
        return b"%b\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b" % (line, head, len(body), body)

    chunked = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    return {
        "lane": {
            "one": b"\0\0" + ask(b'{"rows":[1]}'),
            "three": b"\1\0" + ask(b"a", b"X-Who: me\r\n") + ask(b"no") + ask(b"ccc", b"X-Who: me\r\n"),
            "known": b"\2\0" + ask(b"aa") * 3 + ask(b"b", b"Origin: http://localhost\r\n"),
            "chunked": b"\3\0" + chunked + ask(b"after"),
            "expects": b"\4\0" + ask(b"body", b"Expect: 100-continue\r\n") + ask(b"x", b"Connection: close\r\n"),
            "ordinary": b"\5\0" + ask(b"", line=b"GET /v1/predict?x=1 HTTP/1.0") + ask(b"y", line=b"PUT / HTTP/1.1"),
            "upgrade": b"\6\0" + ask(b"", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"GET / HTTP/1.1"),
            "large": b"\7\0" + ask(b"x" * 2100) + ask(b"z"),
        }
    }


def files() -> dict[str, Seeds]:
    from aweigh.bundle.build import assemble
    from aweigh.bundle.sbom import Material, write_bill
    from aweigh.bundle.signature import sign

    made = _module(TESTS / "unit" / "bundle" / "conftest.py")
    parts = made.parts._get_wrapped_function()()
    bundle = assemble(parts, made.MANIFEST)
    archive = _archived(bundle)
    signature = sign(fuzz_files.NAME, fuzz_files.DIGEST, fuzz_files.KEY)
    other = sign(fuzz_files.NAME, "00" * 32, fuzz_files.KEY)
    material = Material(
        name="penguins", words="a forest", family="sklearn", runtime="onnx", task="class", model_file="model/model.onnx",
        sha256=fuzz_files.DIGEST, others={}, licence="MIT",
    )  # fmt: skip
    bill = write_bill(material, {"requirements.txt": fuzz_files.PACKAGES})
    pem = fuzz_files.KEY.public.pem()
    contents = {
        "manifest.json": bundle["manifest.json"], "schema.json": bundle["schema.json"],
        "examples.json": bundle["examples.json"], "requirements.txt": bundle["requirements.txt"], "card.md": b"# A\n",
        "profile.json": b"{}", "sbom.cdx.json": bill, "key.pub": pem, "model/model.skops": _zipped({"schema.json": b"{}"}),
    }  # fmt: skip
    policy = (
        '[[keys]]\nsigner = "ana"\nfile = "ana.pub"\nbundles = ["pen*"]\nfrom = 2026-01-01\nuntil = 2027-01-01T00:00:00+02:00\n'
        f'code = true\n[[keys]]\nsigner = "bob"\npublic = """{pem.decode()}"""\nrevoked = "lost"\n'
    )
    advisory = {
        "id": "GHSA-aaaa-bbbb-cccc", "modified": "2026-01-01T00:00:00Z", "aliases": ["CVE-2014-0012"], "summary": "bad",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}], "database_specific": {"severity": "HIGH"},
        "affected": [
            {
                "package": {"name": "Jinja2", "ecosystem": "PyPI"}, "versions": ["2.4.1"],
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.5rc1"}, {"limit": "3"}]}],
            }
        ],
    }  # fmt: skip
    root = TESTS.parent
    return {
        "dsse": {"signed": signature, "of-another": other},
        "policy": {"whole": policy.encode(), "short": b'signatures = 1\n[[keys]]\nsigner = "a"\nfile = "ana.pub"\n'},
        "archive": {"whole": archive, "signed": _archived(bundle | {"signature.json": signature})},
        "documents": {
            name.replace("/", "-"): bytes([fuzz_files.DOCUMENTS.index(name)]) + content
            for name, content in contents.items()
        },
        "sbom": {"whole": bill, "least": b'{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}'},
        "config": {
            "example": (root / "aweigh.example.toml").read_bytes()[:6000],
            "short": b'[columns."a b"]\nminimum = 1.5\ndefault = true\n[domain]\ncolumns = "reject"\n',
        },
        "osv": {
            "one": b"\0" + json.dumps(advisory).encode(),
            "many": b"\1" + json.dumps([advisory, advisory | {"id": "PYSEC-1", "withdrawn": "2026-01-01"}]).encode(),
            "answer": b"\0" + json.dumps({"vulns": [advisory]}).encode(),
            "zip": b"\0" + _zipped({"a.json": json.dumps(advisory).encode()}),
        },
        "graphs": {
            "onnx": _onnx(),
            "ubj": b"{L\0\0\0\0\0\0\0\7learner{i\1a[$d#l\0\0\0\2" + bytes(8) + b"i\1bSi\1xi\1c[#i\2TFi\1dZ}}",
            "json": b'{"learner":{"a":[1.5,"x\\"[",{}]}}',
        },
    }


def _archived(bundle: Mapping[str, bytes]) -> bytes:
    from aweigh.bundle.archive import write_bundle

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.aweigh"
        write_bundle(bundle, path)
        return path.read_bytes()


def _zipped(members: Mapping[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def _onnx() -> bytes:
    import onnx

    value = onnx.helper.make_tensor_value_info
    tensor = onnx.helper.make_tensor("w", 1, [1, 2], [1.0, 2.0])
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"], axes=[1, 2], scale=1.5)
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [None, 2])], [value("y", 1, [None, 2])], [tensor])
    return onnx.helper.make_model(graph, producer_name="aweigh").SerializeToString()


def models() -> dict[str, Seeds]:
    import zlib
    from collections import OrderedDict, defaultdict

    import joblib
    import numpy as np
    import skops.io
    from sklearn.linear_model import LinearRegression
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    X, y = np.arange(12.0).reshape(6, 2), np.arange(6) % 2
    tree, line = DecisionTreeClassifier(max_depth=1).fit(X, y), LinearRegression().fit(X, y)
    words = OneHotEncoder().fit([["a"], ["b"]])
    plain = {
        "a": [1, 2.5, None, True, "é", b"x", (1,), {2}, frozenset({3})],
        1: OrderedDict(b=2),
        "d": defaultdict(list),
    }

    def dumped(model: object, **more: object) -> bytes:
        out = io.BytesIO()
        joblib.dump(model, out, **more)
        return out.getvalue()

    pickled = {
        "tree-5": pickle.dumps(tree, 5),
        "line-joblib": dumped(line),
        "words-joblib": dumped(words),
        "array-2": pickle.dumps([np.arange(3), np.dtype([("a", "f8"), ("b", "O")]), np.float32(1)], 2),
        "plain-0": pickle.dumps(plain, 0),
        "plain-4": pickle.dumps(plain, 4),
        "packed": zlib.compress(pickle.dumps(plain, 4)),
        "scaler-xz": dumped(StandardScaler().fit(X), compress=("xz", 3)),
        "system": b"cposix\nsystem\n(S'true'\ntR.",
    }
    whole = skops.io.dumps(line, compression=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        schema = archive.read("schema.json")
        arrays = [archive.read(name) for name in archive.namelist() if name.endswith(".npy")]
    compact = json.dumps(json.loads(schema)).encode()
    return {
        "pickle": pickled,
        "unpickler": {name: content for name, content in pickled.items() if name != "scaler-xz"},
        "skops": {
            "whole": b"\0" + whole,
            "schema": b"\1" + compact,
            "array": b"\2" + arrays[0],
            "arrays": b"\3" + _zipped({"a.npy": arrays[0]}, zipfile.ZIP_STORED),
            "packed": b"\4" + compact[:3000],
        },
    }


def oidc() -> dict[str, Seeds]:
    claims = {
        "iss": fuzz_oidc.ISSUER, "sub": "1", "aud": ["aweigh"], "azp": "aweigh", "exp": fuzz_oidc.NOW + 300, "nonce": "nonce",
        "iat": fuzz_oidc.NOW, "nbf": fuzz_oidc.NOW, "name": "Ana Lund", "email": "ana@example.org", "email_verified": True,
        "groups": ["data", 1, True], "roles": {"app": "ops"},
    }  # fmt: skip
    header = b'{"alg":"EdDSA","kid":null,"typ":"JWT"}'
    payload = json.dumps(claims).encode()
    rsa = {"kty": "RSA", "n": "u" * 400, "e": "AQAB", "use": "sig", "key_ops": ["verify"], "kid": "1", "alg": "RS256"}
    curve = {"kty": "EC", "crv": "P-256", "x": fuzz_oidc.b64(bytes(32)), "y": fuzz_oidc.b64(bytes(32))}
    return {
        "oidc": {
            "described": b"\0" + fuzz_oidc.DESCRIBED[:-1] + b',"id_token_signing_alg_values_supported":["RS256"]}',
            "keys": b"\1"
            + fuzz_oidc.KEYS[:-2]
            + b","
            + json.dumps(rsa).encode()
            + b","
            + json.dumps(curve).encode()
            + b"]}",
            "token": b"\2" + fuzz_oidc.signed(header, payload)[:-4].encode() + b"AAAA",
            "claims": b"\3" + header + b"\n" + payload,
            "cookie": b"\4" + base64.urlsafe_b64encode(bytes(60)),
            "roles": b"\5groups: data=predictor, ops=operator; email: boss@example.org=admin; *=viewer",
            "roles-json": b'\5{"groups": {"cn=data,ou=teams": "predictor"}, "*": "none"}',
        }
    }


def main() -> None:
    """Write them all."""
    for part in (tables, door, lane, files, models, oidc):
        for target, seeds in part().items():
            folder = CORPUS / target
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.iterdir():
                if not path.name.startswith("found-"):
                    path.unlink()
            for name, content in seeds.items():
                (folder / name).write_bytes(content)
            size = sum(path.stat().st_size for path in folder.iterdir())
            print(f"{target:10} {len(list(folder.iterdir())):3} inputs, {size:7,} bytes")


if __name__ == "__main__":
    main()
