"""A package index on loopback: wheels for certain Pythons, with the days on which they came, or without any."""

import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field

import pytest

WIDE = "py3-none-any"


@dataclass
class Offer:
    """One file of a package: a wheel by its tag, or a source (tag "sdist")."""

    name: str
    version: str
    requires: tuple = ()
    tag: str = WIDE
    python: str | None = None
    day: str = "2020-01-01"
    modules: dict = field(default_factory=dict)

    @property
    def file(self):
        base = f"{self.name.replace('-', '_')}-{self.version}"
        return f"{base}.tar.gz" if self.tag == "sdist" else f"{base}-{self.tag}.whl"

    @property
    def content(self):
        metadata = [f"Metadata-Version: 2.2\nName: {self.name}\nVersion: {self.version}"]
        metadata += [f"Requires-Dist: {one}" for one in self.requires]
        metadata += [f"Requires-Python: {self.python}"] if self.python else []
        out = io.BytesIO()
        if self.tag == "sdist":
            with tarfile.open(fileobj=out, mode="w:gz") as made:
                base = f"{self.name.replace('-', '_')}-{self.version}"
                for name, text in (
                    ("PKG-INFO", "\n".join(metadata) + "\n"),
                    ("pyproject.toml", f'[project]\nname = "{self.name}"\nversion = "{self.version}"\n'),
                ):
                    info = tarfile.TarInfo(f"{base}/{name}")
                    info.size = len(text)
                    made.addfile(info, io.BytesIO(text.encode()))
            return out.getvalue()
        info = f"{self.name.replace('-', '_')}-{self.version}.dist-info"
        files = {
            **(self.modules or {f"{self.name.replace('-', '_')}.py": f"VERSION = {self.version!r}\n"}),
            f"{info}/METADATA": "\n".join(metadata) + "\n",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {self.tag}\n",
        }
        record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        with zipfile.ZipFile(out, "w") as made:
            for name, text in (files | {f"{info}/RECORD": record}).items():
                made.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
        return out.getvalue()


def tag(minor):
    return f"cp3{minor}-cp3{minor}-manylinux_2_17_x86_64.manylinux2014_x86_64"


OFFERS = [
    # An app of another time: what it needs has gone on since, to where it no longer imports.
    Offer("oldapp", "1.0", ("chart",), day="2022-08-11", modules={"oldapp/__init__.py": "import chart.four\n"}),
    Offer("oldapp", "2.0", ("chart",), day="2026-11-01"),
    Offer("chart", "4.2", day="2022-05-01", modules={"chart/__init__.py": "", "chart/four.py": ""}),
    Offer("chart", "6.0", day="2026-01-01", modules={"chart/__init__.py": ""}),
    # Wheels for some Pythons only, as numpy has them.
    *(Offer("arrays", "1.23.1", tag=tag(minor), day="2022-07-09") for minor in (8, 9, 10)),
    Offer("arrays", "1.23.1", tag="sdist", day="2022-07-09"),
    *(Offer("arrays", "1.23.2", tag=tag(minor), day="2022-08-20") for minor in (8, 9, 10, 11)),
    *(Offer("arrays", "2.0", tag=tag(minor), day="2026-06-01") for minor in (12, 13)),
    Offer("modern", "3.0", python=">=3.12", day="2026-06-01"),
    Offer("modern", "2.0", python=">=3.9", day="2024-06-01"),
    Offer("onlysource", "1.0", tag="sdist", day="2021-01-01"),
    Offer("needs-source", "1.0", ("onlysource",), day="2021-01-01"),
    Offer("left", "1.0", ("shared<2",), day="2021-01-01"),
    Offer("right", "1.0", ("shared>=2",), day="2021-01-01"),
    Offer("shared", "1.0", day="2021-01-01"),
    Offer("shared", "2.0", day="2021-01-01"),
    Offer("crashing", "1.0", modules={"crashing.py": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"}),
    Offer("loud", "1.0", modules={"loud.py": 'print("{}")\nraise SystemExit("line one\\nthe last line")\n'}),
    Offer("pyyaml", "6.0", modules={"yaml/__init__.py": ""}),
    Offer("scikit-learn", "1.1.2", day="2022-08-05", modules={"sklearn/__init__.py": ""}),
    Offer("scikit-learn", "1.9.1", day="2026-10-01", modules={"sklearn/__init__.py": ""}),
    Offer("joblib", "1.1.0", day="2021-10-01"),
    Offer("joblib", "1.5.0", day="2026-10-01"),
    Offer("numpy", "1.23.1", day="2022-07-09"),
    Offer("numpy", "2.3.0", day="2026-10-01"),
]


def serve(offers, *, dated, status=200):
    """Return a server of an index in PEP 691's form, with PEP 700's days or without."""
    files = {f"/files/{one.file}": one.content for one in offers}
    pages = {}
    for one in offers:
        entry = {
            "filename": one.file,
            "url": f"/files/{one.file}",
            "hashes": {"sha256": hashlib.sha256(files[f"/files/{one.file}"]).hexdigest()},
            "requires-python": one.python,
        }
        if dated:
            entry["upload-time"] = f"{one.day}T17:31:27.985000Z"
        pages.setdefault(one.name, []).append(entry)

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.strip("/").removeprefix("index/")
            page = pages.get(name)
            body = files.get(self.path)
            if page is not None:
                answer = {"meta": {"api-version": "1.1"}, "name": name, "files": page, "versions": []}
                body = json.dumps(answer).encode()
            self.send_response(status if status != 200 else 200 if body else 404)
            kind = "application/octet-stream" if page is None else "application/vnd.pypi.simple.v1+json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)


@pytest.fixture(scope="session")
def open_index():
    """Return what serves an index until the end of the session; its address holds a name and a password."""
    servers = []

    def start(offers, *, dated=True, status=200):
        server = serve(offers, dated=dated, status=status)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://someone:secret@127.0.0.1:{server.server_port}/index"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def address(open_index):
    return open_index(OFFERS)


@pytest.fixture(scope="session")
def undated_address(open_index):
    return open_index(OFFERS, dated=False)


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture(autouse=True)
def online(monkeypatch, address, uv_cache):
    """Ask the index of the tests, with no settings of the one who runs them."""
    for name in ("UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL", "UV_FIND_LINKS", "UV_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", address)
    monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
