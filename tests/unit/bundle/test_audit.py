"""Known vulnerabilities of a lock: real advisories in OSV's schema, a server that speaks its API, and exports of it.

The trap that this must not fall into: a source that says nothing is no source that says "nothing".
"""

import datetime as dt
import json
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from aweigh.__main__ import main
from aweigh.advisories import remote
from aweigh.advisories.export import read_export
from aweigh.advisories.osv import Advisory, affects, fixes
from aweigh.advisories.remote import Source
from aweigh.advisories.report import findings, read_ignored
from aweigh.bundle.archive import write_bundle
from aweigh.bundle.build import assemble
from aweigh.bundle.requirements import Pinned, write_lock
from aweigh.errors import SourceSilent, UsageError

# As OSV's database has them, shortened: two records of one fault, one with two ranges, one that ends with the last bad
# version, one whose versions are listed one by one, one that was withdrawn, and the one that every database has.
YAML_PYSEC = {
    "schema_version": "1.7.0",
    "id": "PYSEC-2020-96",
    "modified": "2023-11-08T04:02:30.196112Z",
    "published": "2020-03-24T15:15:00Z",
    "aliases": ["CVE-2020-1747", "GHSA-6757-jp84-gxfx"],
    "details": "A vulnerability was discovered in the PyYAML library in versions before 5.3.1, where it is susceptible "
    "to arbitrary code execution.",
    "affected": [
        {
            "package": {"name": "pyyaml", "ecosystem": "PyPI", "purl": "pkg:pypi/pyyaml"},
            "ranges": [
                {
                    "type": "GIT",
                    "repo": "https://github.com/yaml/pyyaml",
                    "events": [{"introduced": "0"}, {"fixed": "5080ba513377b6355a0502104846ee804656f1e0"}],
                },
                {"type": "ECOSYSTEM", "events": [{"introduced": "5.1b7"}, {"fixed": "5.3.1"}]},
            ],
            "versions": ["5.1", "5.1.1", "5.1.2", "5.1b7", "5.2", "5.2b1", "5.3", "5.3b1"],
            "database_specific": {"source": "https://github.com/pypa/advisory-database/blob/main/vulns/pyyaml"},
        }
    ],
    "references": [{"type": "REPORT", "url": "https://bugzilla.redhat.com/show_bug.cgi?id=CVE-2020-1747"}],
}
YAML_GHSA = YAML_PYSEC | {
    "id": "GHSA-6757-jp84-gxfx",
    "aliases": ["CVE-2020-1747", "PYSEC-2020-96"],
    "summary": "Improper Input Validation in PyYAML",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "database_specific": {"severity": "CRITICAL", "cwe_ids": ["CWE-20"], "github_reviewed": True},
}
URLLIB3 = {
    "id": "GHSA-v845-jxx5-vc9f",
    "modified": "2024-02-16T08:12:35.361230Z",
    "aliases": ["CVE-2023-43804", "PYSEC-2023-192"],
    "summary": "`Cookie` HTTP header isn't stripped on cross-origin redirects",
    "affected": [
        {
            "package": {"name": "urllib3", "ecosystem": "PyPI"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "2.0.0"}, {"fixed": "2.0.6"}]},
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.26.17"}]},
            ],
        }
    ],
}
SKYVERN = {
    "id": "PYSEC-2026-1929",
    "modified": "2026-06-30T00:00:00Z",
    "affected": [
        {
            "package": {"name": "skyvern", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "0.2.0"}]}],
        }
    ],
}
LISTED = {
    "id": "MAL-2024-1",
    "modified": "2024-06-30T00:00:00Z",
    "affected": [{"package": {"name": "Some_Package", "ecosystem": "PyPI"}, "versions": ["1.0", "1.2.0"]}],
}
WITHDRAWN = URLLIB3 | {"id": "GHSA-wwww-wwww-wwww", "aliases": [], "withdrawn": "2024-01-01T00:00:00Z"}
JINJA = {
    "id": "PYSEC-2014-8",
    "modified": "2021-07-05T00:01:22.043149Z",
    "aliases": ["CVE-2014-1402"],
    "details": "The default configuration of bccache.FileSystemBytecodeCache in Jinja2 before 2.7.2.",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.7.2"}]}],
        }
    ],
}
OTHER = {
    "id": "GHSA-oooo-oooo-oooo",
    "modified": "2024-06-30T00:00:00Z",
    "affected": [{"package": {"name": "pyyaml", "ecosystem": "npm"}, "versions": ["5.3"]}],
}
ALL = [YAML_PYSEC, YAML_GHSA, URLLIB3, SKYVERN, LISTED, WITHDRAWN, JINJA, OTHER]


def read(document):
    return msgspec.json.decode(json.dumps(document), type=Advisory)


# -- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "package", "version", "expected"),
    [
        (YAML_PYSEC, "pyyaml", "5.3", True),
        (YAML_PYSEC, "pyyaml", "5.3.0", True),
        (YAML_PYSEC, "pyyaml", "5.3.1", False),
        (YAML_PYSEC, "pyyaml", "5.1b7", True),
        (YAML_PYSEC, "pyyaml", "5.1b5", False),
        (YAML_PYSEC, "pyyaml", "5.10", False),  # not between 5.1 and 5.3.1, as text would have it
        (YAML_PYSEC, "ruamel-yaml", "5.3", False),
        (OTHER, "pyyaml", "5.3", False),  # another ecosystem's
        (URLLIB3, "urllib3", "1.26.16", True),
        (URLLIB3, "urllib3", "1.26.17", False),
        (URLLIB3, "urllib3", "2.0.0a1", False),
        (URLLIB3, "urllib3", "2.0.5", True),
        (URLLIB3, "urllib3", "2.0.6", False),
        (URLLIB3, "urllib3", "2.0.5+local.1", True),
        (SKYVERN, "skyvern", "0.2.0", True),
        (SKYVERN, "skyvern", "0.2.0.post1", False),
        (LISTED, "some-package", "1.2", True),
        (LISTED, "some-package", "1.1", False),
        (WITHDRAWN, "urllib3", "2.0.5", False),
        (URLLIB3, "urllib3", "no version", True),  # what cannot be told counts
    ],
)
def test_versions_are_compared_as_pep_440_orders_them(document, package, version, expected):
    assert affects(read(document), package, version) is expected


def ranged(*events, kind="ECOSYSTEM"):
    return {"id": "X", "affected": [{"package": {"name": "a", "ecosystem": "PyPI"},
                                     "ranges": [{"type": kind, "events": list(events)}]}]}  # fmt: skip


@pytest.mark.parametrize(
    ("document", "version", "expected"),
    [
        (ranged({"fixed": "2"}, {"introduced": "1"}, {"introduced": "3"}), "1.5", True),  # in any order
        (ranged({"fixed": "2"}, {"introduced": "1"}, {"introduced": "3"}), "2.5", False),
        (ranged({"fixed": "2"}, {"introduced": "1"}, {"introduced": "3"}), "9", True),
        (ranged({"introduced": "1"}, {"limit": "2"}), "1.5", True),
        (ranged({"introduced": "1"}, {"limit": "2"}), "2", False),
        (ranged({"introduced": "1"}, {"limit": "*"}), "2", True),
        (ranged({"introduced": "0"}), "0.dev0", True),
        (ranged({"introduced": "half past three"}), "1", True),
        (ranged({"introduced": "0"}, {"fixed": "1"}, kind="GIT"), "2", True),  # nothing to tell it by
        (ranged(), "1", False),
    ],
    ids=range(10),
)
def test_the_events_of_a_range_are_read_as_the_specification_says(document, version, expected):
    assert affects(read(document), "a", version) is expected


def test_the_versions_that_mend_it_are_those_above():
    assert fixes(read(URLLIB3), "urllib3", "1.26.0") == ("1.26.17", "2.0.6")
    assert fixes(read(URLLIB3), "urllib3", "2.0.1") == ("2.0.6",)
    assert fixes(read(SKYVERN), "skyvern", "0.1") == ()


# -- a server of OSV's API -------------------------------------------------------------------------------------------

KNOWN = {
    ("pyyaml", "5.3"): ["GHSA-6757-jp84-gxfx", "PYSEC-2020-96"],
    ("urllib3", "2.0.5"): ["GHSA-v845-jxx5-vc9f", "GHSA-wwww-wwww-wwww"],
    ("jinja2", "2.4.1"): ["PYSEC-2014-8"],
    ("xgboost", "1.0"): ["SAME-1"],
}
RECORDS = {one["id"]: one for one in ALL} | {
    "SAME-1": {
        "id": "SAME-1",
        "summary": "in the code of both",
        "affected": [{"package": {"name": "xgboost", "ecosystem": "PyPI"}, "versions": ["1.0"],
                      "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}]}],
    }
}  # fmt: skip


class Osv(ThreadingHTTPServer):
    """A server that answers as OSV does, two advisories a page; ``behave`` may answer otherwise."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.behave = None
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        if self.server.behave and self.server.behave(self):
            return
        results = []
        for query in body["queries"]:
            ids = KNOWN.get((query["package"]["name"], query["version"]), [])
            start = int(query.get("page_token", 0))
            result = {"vulns": [{"id": one, "modified": "2024-01-01T00:00:00Z"} for one in ids[start : start + 1]]}
            if len(ids) > start + 1:
                result["next_page_token"] = str(start + 1)
            results.append(result if ids else {})
        self.reply({"results": results})

    def do_GET(self):
        self.server.asked.append((self.path, None))
        if self.server.behave and self.server.behave(self):
            return
        name = self.path.rpartition("/")[2]
        if name not in RECORDS:
            self.send_error(404)
            return
        self.reply(RECORDS[name])

    def reply(self, value, *, raw=None, length=None):
        content = json.dumps(value).encode() if raw is None else raw
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def osv(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Osv()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def bundled(parts, manifest, tmp_path):
    """Return a function that writes a bundle whose locks pin these packages."""

    def make(*api, ui=()):
        parts["requirements.txt"] = write_lock(tuple(Pinned(*one.split("=="), ()) for one in api)).encode()
        if ui:
            parts["requirements-ui.txt"] = write_lock(tuple(Pinned(*one.split("=="), ()) for one in ui)).encode()
        path = tmp_path / "x.aweigh"
        write_bundle(assemble(parts, manifest), path)
        return str(path)

    return make


def test_what_is_known_is_told_and_exits_with_1(osv, bundled, capsys):
    path = bundled("pyyaml==5.3", "click==8.5.1", ui=("pyyaml==5.3", "click==8.5.1", "urllib3==2.0.5"))
    assert main(["audit", path, "--source", osv.address]) == 1
    shown = capsys.readouterr().out
    assert "found     2 known, in 2 of them" in shown
    assert "127.0.0.1, about the 3 packages of the locks" in shown
    table = [line.split() for line in shown.splitlines() if line.startswith(("  pyyaml", "  urllib3"))]
    assert table == [
        ["pyyaml", "5.3", "5.3.1", "GHSA-6757-jp84-gxfx", "critical"],
        ["urllib3", "2.0.5", "2.0.6", "GHSA-v845-jxx5-vc9f", "not", "rated"],
    ]
    assert "(also PYSEC-2020-96, CVE-2020-1747): Improper Input Validation in PyYAML." in shown
    assert "wwww" not in shown


def test_the_same_as_a_document(osv, bundled, capsys):
    path = bundled("click==8.5.1", ui=("click==8.5.1", "urllib3==2.0.5"))
    assert main(["audit", path, "--source", osv.address, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["found"], document["packages"], document["source"]) == (1, 2, "127.0.0.1")
    (finding,) = document["findings"]
    assert finding == {
        "package": "urllib3",
        "version": "2.0.5",
        "ids": ["GHSA-v845-jxx5-vc9f", "PYSEC-2023-192", "CVE-2023-43804"],
        "summary": "`Cookie` HTTP header isn't stripped on cross-origin redirects",
        "severity": None,
        "fixed": ["2.0.6"],
        "locks": ["requirements-ui.txt"],
        "ignored": None,
    }


def test_nothing_known_exits_with_0_and_names_who_was_asked(osv, bundled, capsys):
    assert main(["audit", bundled("pyyaml==5.3.1"), "--source", osv.address]) == 0
    shown = capsys.readouterr().out
    assert "asked     127.0.0.1, about the 1 packages of the locks\n  found     none is known there" in shown


def test_the_server_learns_names_and_versions_and_nothing_else(osv, bundled):
    main(["audit", bundled("torch==2.13.0+cpu"), "--source", osv.address])
    (path, body), *rest = osv.asked
    assert path == "/v1/querybatch"
    assert body["queries"] == [
        {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "2.4.1"},
        {"package": {"name": "torch", "ecosystem": "PyPI"}, "version": "2.13.0"},
    ]
    assert rest == []


def test_the_same_code_under_another_name_is_asked_for_by_both(osv, bundled, capsys):
    assert main(["audit", bundled("xgboost-cpu==1.0"), "--source", osv.address]) == 1
    assert ["xgboost-cpu", "1.0", "1.1", "SAME-1", "not", "rated"] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]


def test_many_packages_are_asked_in_batches(osv, monkeypatch):
    monkeypatch.setattr(remote, "MAX_BATCH", 10)
    told = Source(osv.address).ask([Pinned(f"p{i}", "1", ()) for i in range(25)] + [Pinned("pyyaml", "5.3", ())])
    batches = [len(body["queries"]) for path, body in osv.asked if body]
    assert max(batches) == 10
    assert sum(batches) == 27 + 1  # and one page more
    assert [one.id for one in told.advisories["pyyaml", "5.3"]] == ["GHSA-6757-jp84-gxfx", "PYSEC-2020-96"]


def empty(handler):
    handler.reply({"results": [{}] * len(handler.server.asked[-1][1]["queries"])})
    return True


def redirect(handler):
    handler.send_response(307)
    handler.send_header("Location", "http://127.0.0.1:9/v1/querybatch")
    handler.send_header("Content-Length", "0")
    handler.end_headers()
    return True


def status(code):
    def behave(handler):
        handler.send_error(code)
        return True

    return behave


def raw(content, *, length=None):
    def behave(handler):
        handler.reply(None, raw=content, length=length)
        return True

    return behave


def only_details_fail(handler):
    if handler.command == "GET":
        handler.send_error(500)
        return True
    return False


def another_advisory(handler):
    if handler.command == "GET":
        handler.reply(SKYVERN)
        return True
    return False


def endless(handler):
    if handler.command == "POST":
        queries = handler.server.asked[-1][1]["queries"]
        handler.reply({"results": [{"vulns": [{"id": "PYSEC-2014-8"}], "next_page_token": "x"} for _ in queries]})
        return True
    return False


def too_many(handler):
    if handler.command == "POST":
        queries = handler.server.asked[-1][1]["queries"]
        handler.reply({"results": [{"vulns": [{"id": f"X-{i}"} for i in range(3000)]} for _ in queries]})
        return True
    return False


SILENT = {
    "it knows nothing": (empty, "answers and knows nothing"),
    "it sends elsewhere": (redirect, "status 307 and sends elsewhere, which is not followed"),
    "it is broken": (status(500), "status 500"),
    "it wants a key": (status(401), "status 401"),
    "it has no such address": (status(404), "status 404"),
    "it answers in HTML": (raw(b"<html>sign in</html>"), "does not answer as OSV does"),
    "it answers with something else": (raw(b'{"ok": true}'), "does not answer as OSV does"),
    "it answers with nothing": (raw(b""), "does not answer as OSV does"),
    "it answers for fewer": (raw(b'{"results": []}'), "was asked about 2 packages and answered for 0"),
    "it breaks off": (raw(b'{"results": [', length=5000), "cannot be asked|broke off"),
    "it answers without end": (raw(b" " * (17 * 2**20)), "more than 16 MiB"),
    "it never comes to the last page": (endless, "goes on and on"),
    "it names more than there can be": (too_many, "names 3,000 advisories"),
    "it does not tell what it names": (only_details_fail, "status 500"),
    "it tells of another": (another_advisory, "sent another advisory"),
}


@pytest.mark.parametrize(("behave", "why"), SILENT.values(), ids=SILENT)
def test_a_source_that_does_not_answer_is_never_told_as_nothing_found(osv, bundled, capsys, behave, why):
    osv.behave = behave
    version = "5.3.1" if behave not in {only_details_fail, another_advisory} else "5.3"
    assert main(["audit", bundled(f"pyyaml=={version}"), "--source", osv.address]) == 4
    told = capsys.readouterr()
    assert re.search(why, told.err)
    assert "none" not in told.out
    assert "Traceback" not in told.err


def test_a_source_that_is_not_there_is_an_error(osv, bundled, capsys):
    address = osv.address
    osv.shutdown()
    osv.server_close()
    assert main(["audit", bundled("pyyaml==5.3"), "--source", address, "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["code"] == "source_silent"
    assert "cannot be asked: Connection refused" in document["error"]["message"]


def test_a_source_that_says_nothing_at_all_is_not_waited_for(osv, bundled, capsys, monkeypatch):
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.2)
    gone = threading.Event()
    osv.behave = lambda handler: gone.wait(5) or True
    assert main(["audit", bundled("pyyaml==5.3"), "--source", osv.address]) == 4
    assert "timed out" in capsys.readouterr().err
    gone.set()


def test_a_source_that_drips_is_left_at_the_deadline(osv, bundled, capsys, monkeypatch):
    monkeypatch.setattr(remote, "DEADLINE_S", 0.3)
    gone = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            if gone.wait(0.05):
                break
            handler.wfile.write(b" ")
            handler.wfile.flush()
        return True

    osv.behave = drip
    assert main(["audit", bundled("pyyaml==5.3"), "--source", osv.address]) == 4
    gone.set()
    assert "takes longer than" in capsys.readouterr().err


def test_the_proxy_of_the_environment_is_used(osv, bundled, monkeypatch):
    monkeypatch.setenv("http_proxy", osv.address)
    assert main(["audit", bundled("pyyaml==5.3"), "--source", "http://localhost:9"]) == 1
    assert osv.asked[0][0] == "http://localhost:9/v1/querybatch"


@pytest.mark.parametrize(
    "address", ["http://osv.example", "ftp://osv.example", "osv.example", "https://", "https://a:b@osv.example", ""]
)
def test_an_address_that_cannot_be_trusted_is_a_usage_error(bundled, address, capsys):
    assert main(["audit", bundled("pyyaml==5.3"), "--source", address]) == 2


# -- an export -------------------------------------------------------------------------------------------------------


def as_folder(path):
    path.mkdir()
    for one in ALL:
        (path / f"{one['id']}.json").write_text(json.dumps(one))
    return path


def as_zip(path):
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in ALL:
            archive.writestr(f"{one['id']}.json", json.dumps(one))
    return path


def as_list(path):
    path = path.with_suffix(".json")
    path.write_text(json.dumps(ALL))
    return path


def as_answer(path):
    path = path.with_suffix(".json")
    path.write_text(json.dumps({"vulns": ALL}))
    return path


@pytest.mark.parametrize("form", [as_folder, as_zip, as_list, as_answer])
def test_an_export_is_read_and_nobody_is_asked(form, tmp_path, bundled, capsys):
    export = form(tmp_path / "export")
    assert main(["audit", bundled("pyyaml==5.3", "skyvern==0.2.1"), "--advisories", str(export)]) == 1
    shown = capsys.readouterr().out
    assert "found     1 known, in 1 of them" in shown
    assert "7 advisories, the newest of 2026-06-30: what came later is not in it" in shown


def test_one_advisory_is_an_export_too(tmp_path, bundled):
    (tmp_path / "one.json").write_text(json.dumps(YAML_PYSEC))
    assert main(["audit", bundled("pyyaml==5.3"), "--advisories", str(tmp_path / "one.json")]) == 1
    assert main(["audit", bundled("pyyaml==6.0"), "--advisories", str(tmp_path / "one.json")]) == 0


@pytest.mark.parametrize("content", [json.dumps([OTHER]), "[]", '{"vulns": []}'], ids=["npm's", "none", "no answer"])
def test_an_export_without_a_word_of_pypi_says_nothing(tmp_path, bundled, capsys, content):
    (tmp_path / "x.json").write_text(content)
    assert main(["audit", bundled("pyyaml==5.3"), "--advisories", str(tmp_path / "x.json")]) == 4
    assert "nothing to say of a lock" in capsys.readouterr().err


def test_an_empty_folder_says_nothing(tmp_path, bundled):
    (tmp_path / "x").mkdir()
    assert main(["audit", bundled("pyyaml==5.3"), "--advisories", str(tmp_path / "x")]) == 4


@pytest.mark.parametrize(
    "content",
    [b"{", b"7", b'{"id": 7}', b'{"affected": []}', b"[" * 100_000, b"\xff\xfe", b"", b'[{"id": "X"}, 7]'],
    ids=range(8),
)
def test_an_export_with_something_else_in_it_is_not_read_half(tmp_path, bundled, capsys, content):
    folder = as_folder(tmp_path / "export")
    (folder / "zz.json").write_bytes(content)
    assert main(["audit", bundled("pyyaml==6.0"), "--advisories", str(folder)]) == 4
    assert "zz.json" in capsys.readouterr().err


def test_a_damaged_zip_is_an_error(tmp_path, bundled, capsys):
    path = as_zip(tmp_path / "export")
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    assert main(["audit", bundled("pyyaml==5.3"), "--advisories", str(path)]) == 4
    path.write_bytes(b"no zip")
    assert main(["audit", bundled("pyyaml==5.3"), "--advisories", str(path)]) == 4


def test_what_is_no_export_is_a_usage_error(tmp_path, bundled):
    (tmp_path / "x.txt").write_text("x")
    assert main(["audit", bundled("pyyaml==5.3"), "--advisories", str(tmp_path / "x.txt")]) == 2
    assert main(["audit", bundled("pyyaml==5.3"), "--advisories", str(tmp_path / "none.json")]) == 2
    (tmp_path / "y.json").write_text(json.dumps(ALL))
    both = ["--advisories", str(tmp_path / "y.json"), "--source", "https://osv.example"]
    assert main(["audit", bundled("pyyaml==5.3"), *both]) == 2


def test_an_export_and_the_server_agree(osv, tmp_path):
    packages = [Pinned("pyyaml", "5.3", ()), Pinned("urllib3", "2.0.5", ()), Pinned("click", "8", ())]
    asked = Source(osv.address).ask(packages)
    export = read_export(as_zip(tmp_path / "export"), packages)
    today = dt.date(2026, 11, 29)
    assert findings(asked, packages, [], today) == findings(export, packages, [], today)


def test_each_version_of_a_package_is_looked_up(tmp_path):
    export = as_zip(tmp_path / "export")
    bad, good = Pinned("pyyaml", "5.3", ()), Pinned("pyyaml", "6.0", ())
    for packages in ([bad, good], [good, bad], [bad, bad, good]):
        told = read_export(export, packages).advisories
        assert sorted(one.id for one in told["pyyaml", "5.3"]) == ["GHSA-6757-jp84-gxfx", "PYSEC-2020-96"]
        assert told["pyyaml", "6.0"] == ()


# -- set aside -------------------------------------------------------------------------------------------------------


def test_an_advisory_may_be_set_aside_by_any_of_its_ids(osv, bundled, capsys):
    path = bundled("pyyaml==5.3")
    aside = ["--ignore", "CVE-2020-1747=we never load YAML from others until 2099-01-31"]
    assert main(["audit", path, "--source", osv.address, *aside]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "found none that counts; 1 set aside" in shown
    assert "Set aside: we never load YAML from others." in shown


def test_it_counts_again_when_its_time_is_over(osv, bundled, capsys):
    path = bundled("pyyaml==5.3")
    aside = ["--ignore", "PYSEC-2020-96=not now until 2020-12-31"]
    assert main(["audit", path, "--source", osv.address, *aside]) == 1
    assert "PYSEC-2020-96 is set aside until 2020-12-31 only, and counts again" in capsys.readouterr().out


def test_one_that_nobody_found_is_told(osv, bundled, capsys):
    assert main(["audit", bundled("pyyaml==5.3.1"), "--source", osv.address, "--ignore", "PYSEC-2020-96=x"]) == 0
    assert "PYSEC-2020-96 was to be set aside, and was not found" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["PYSEC-2020-96", "PYSEC-2020-96=", "PYSEC-2020-96= until 2099-01-01", "=why", "X Y=z"]
)
def test_none_is_set_aside_without_a_reason(text):
    with pytest.raises(UsageError, match="no advisory, or no reason"):
        read_ignored(text)


def test_a_day_that_there_is_not_is_told():
    with pytest.raises(UsageError, match="a day that there is not"):
        read_ignored("PYSEC-2020-96=why until 2026-02-31")
    assert read_ignored("PYSEC-2020-96=why, until 2026-02-28").until == dt.date(2026, 2, 28)


def test_silence_has_an_exit_code_of_its_own():
    assert SourceSilent("x").exit_code == 4
