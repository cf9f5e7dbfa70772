"""Classes of fault that others who serve models have shipped, each tried on a real `aweigh serve` or the command.

Each test is named by its class; the docstring names where it happened. One class has its tests elsewhere: routes,
mounts and WebSockets outside the door (MLflow CVE-2026-0545) in `door/test_routes.py`, which asks every address that
the assembled app has.
"""

import ast
import base64
import contextlib
import gzip
import html.parser
import io
import json
import os
import pickle
import re
import shlex
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import numpy as np
import pandas as pd
import payloads
import pytest
from tests.integration.conftest import bundles, penguins, start_server
from tests.partly import partly_slow
from websockets.sync.client import connect

from aweigh import pack, read_config
from aweigh.bundle.archive import write_bundle
from aweigh.bundle.manifest import to_json
from aweigh.bundle.verify import verify
from aweigh.ui.eject import files_of

__all__ = ["bundles", "penguins", "start_server"]

CANARY = "canary-5d1f0c7e"
ROW = {"island": "Biscoe", "sex": "female", "year": 2008, "bill_length_mm": 46.1, "bill_depth_mm": 14.0,
       "flipper_length_mm": 212.0, "body_mass_g": 4700.0}  # fmt: skip
SCRIPT = f"""\
from pathlib import Path
import streamlit as st
import streamlit.components.v1 as components
here = Path(__file__).parent
components.declare_component("mine", path=str(here / "component"))
st.title("Mine")
st.download_button("Get", "downloaded {CANARY[:6]}", file_name="x.txt")
"""
JSON, CSV = "application/json", "text/csv"
REFUSED = {1, 2, 3}


# -- what is served --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a secret file, and below it what a server is given; nothing above may be read or written."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "secret.txt").write_text(CANARY)
    return folder


@pytest.fixture(scope="module")
def app(start_server, penguins, place):
    """Return a server with its app and jobs, to which everybody may come."""
    pytest.importorskip("streamlit")
    env = {"AWEIGH_STATE_DIR": str(place / "state"), "AWEIGH_DRAIN_DELAY_S": "0", "AWEIGH_JOBS_LEASE_S": "5"}
    return start_server(penguins.path, env=env)


@pytest.fixture(scope="module")
def own(start_server, place):
    """Return a server of somebody's own script, with static files and a component, both beside secrets."""
    pytest.importorskip("streamlit")
    for name in ("static", "component"):
        (place / "script" / name).mkdir(parents=True)
        (place / "script" / name / "fine.txt").write_text("fine")
    (place / "script" / "secret.txt").write_text(CANARY)
    script = place / "script" / "page.py"
    script.write_text(SCRIPT)
    (place / "script" / ".streamlit").mkdir()
    (place / "script" / ".streamlit" / "config.toml").write_text("[server]\nenableStaticServing = true\n")
    return start_server(script, env={"AWEIGH_DRAIN_DELAY_S": "0"})


@pytest.fixture(scope="module")
def closed(start_server, penguins, place):
    """Return a server behind a closed door into which nobody has been let yet."""
    env = {"AWEIGH_STATE_DIR": str(place / "guarded"), "AWEIGH_DRAIN_DELAY_S": "0"}
    return start_server(penguins.path, "--no-ui", "--auth", "password", env=env)


def asked(server, path, *, method="GET", headers=(), body=b""):
    """Return status, headers and body for a request line exactly as it stands here, which no client tidies up."""
    host = server.url.removeprefix("http://")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body or method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(body)}")
    answer = server.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d{3})", head)
    assert status is not None, (path, answer[:200])
    return int(status[1]), head.decode("latin-1").lower(), rest


class Session:
    """A session of Streamlit as a browser opens it."""

    def __init__(self, server):
        from streamlit.proto.BackMsg_pb2 import BackMsg

        self.url = server.url
        health = httpx.get(f"{self.url}/_stcore/health", trust_env=False)
        self.xsrf = health.cookies["_streamlit_xsrf"]
        self._open = contextlib.ExitStack()
        opening = connect(
            self.url.replace("http", "ws") + "/_stcore/stream",
            subprotocols=["streamlit", self.xsrf],
            origin=self.url,
            additional_headers={"Cookie": f"_streamlit_xsrf={self.xsrf}"},
        )
        self.socket = self._open.enter_context(opening)
        message = BackMsg()
        message.rerun_script.query_string = ""
        self.socket.send(message.SerializeToString())
        while (found := self.hear()).WhichOneof("type") != "script_finished":
            if found.WhichOneof("type") == "new_session":
                self.id = found.new_session.initialize.session_id

    def hear(self):
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        message = ForwardMsg()
        message.ParseFromString(self.socket.recv(timeout=20))
        return message

    def upload(self, body, content_type, *, file="file-1"):
        return httpx.put(
            f"{self.url}/_stcore/upload_file/{self.id}/{file}",
            content=body,
            headers={
                "Content-Type": content_type,
                "X-Xsrftoken": self.xsrf,
                "Cookie": f"_streamlit_xsrf={self.xsrf}",
                "Origin": self.url,
            },
            trust_env=False,
            timeout=30,
        )

    def close(self):
        self._open.close()


@pytest.fixture
def session(app):
    opened = Session(app)
    yield opened
    opened.close()


def jobs_end(server, ids, *, wait_s=60.0):
    """Wait until all jobs have come to their end; return their states."""
    end = time.monotonic() + wait_s
    with server.client() as client:
        while True:
            states = [client.get(f"/v1/jobs/{one}").json()["state"] for one in ids]
            if not {"queued", "running"} & set(states):
                return states
            assert time.monotonic() < end, states
            time.sleep(0.1)


# -- path traversal --------------------------------------------------------------------------------------------------

PREFIXES = ["/", "/static/", "/media/", "/component/page.mine/", "/app/static/", "/_aweigh/x/", "/_stcore/",
            "/_stcore/bidi-components/mine/", "/_stcore/upload_file/x/", "/v1/", "/v1/jobs/", "/v1/docs/",
            "/v2/models/", "/v2/models/penguins/versions/", "/health/", "/login/"]  # fmt: skip
UPS = ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "%252e%252e%252f", "....//", "..;/", ".%00./",
       "%c0%ae%c0%ae/", "\xc0\xae\xc0\xae/"]  # fmt: skip
WHOLE = ["//etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "%2f%2fetc/passwd", "C:/Windows/win.ini"]


def traversals(place):
    for up in UPS:
        for depth in (1, 2, 8):
            yield up * depth + "secret.txt"
            yield up * depth + "secret.txt%00.txt"
        yield up * 12 + "etc/passwd"
        yield up * 12 + str(place).lstrip("/") + "/secret.txt"
    yield from WHOLE
    yield quote(str(place / "secret.txt"), safe="")
    yield str(place / "secret.txt")


@pytest.mark.parametrize("which", partly_slow("app", "closed", slow=["own"]))
def test_path_traversal_through_addresses(which, request, place):
    """MLflow CVE-2023-1177, Gradio CVE-2024-1561, Streamlit CVE-2022-35918 (a component's files)."""
    server = request.getfixturevalue(which)
    if which == "own":
        session = Session(server)  # the component is there once the script has run
        for path in ("/app/static/fine.txt", "/component/page.mine/fine.txt"):
            assert b"fine" in asked(server, path)[2], "what is meant to be there is, so that this is a test"
        session.close()
    wrong = []
    for prefix in PREFIXES:
        for rest in traversals(place):
            status, _, body = asked(server, prefix + rest)
            if CANARY.encode() in body or b"root:" in body or status >= 500:
                wrong.append((prefix + rest, status))
    assert wrong == []


def test_path_traversal_through_ids_and_names(app, place, session):
    """A job's id, an upload's file name, a parameter, a key: none of them becomes a path. MLflow CVE-2023-1177."""
    before = {path for path in place.rglob("*") if "state" not in path.parts}
    names = [
        "../../secret.txt",
        "..%2f..%2fsecret.txt",
        str(place / "secret.txt"),
        "%2e%2e/%2e%2e/secret.txt",
        ".",
        "..",
    ]
    for name in names:
        for rest in ("", "/result", "/bad"):
            for method in ("GET", "DELETE"):
                status, _, body = asked(app, f"/v1/jobs/{name}{rest}", method=method)
                assert status in {400, 403, 404, 405}, (name, method)
                assert CANARY.encode() not in body
    with app.client() as client:
        ids = []
        for name in names:
            file = json.dumps({"rows": [ROW]}).encode()
            headers = {
                "Content-Type": JSON,
                "Idempotency-Key": name,
                "Content-Disposition": f'attachment; filename="{name}"',
            }
            answer = client.post("/v1/jobs", content=file, headers=headers)
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["id"])
            for parameter in ("output", "source", "path", "result", "file"):
                refused = client.post("/v1/jobs", params={parameter: name}, content=file, headers=headers)
                assert refused.status_code == 400, (parameter, name)
            boundary = (
                f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{CANARY}\r\n--b--\r\n'
            )
            assert session.upload(boundary.encode(), "multipart/form-data; boundary=b").status_code in {204, 400}
    assert set(jobs_end(app, ids)) == {"done"}
    assert {path for path in place.rglob("*") if "state" not in path.parts} == before
    assert (place / "secret.txt").read_text() == CANARY
    assert not list((place / "state").rglob("*secret*"))


@pytest.mark.slow
def test_path_traversal_through_a_bundles_name(tmp_path):
    """What a model is called becomes a file's name, and no more than that."""
    from sklearn.linear_model import LogisticRegression

    frame = pd.DataFrame({"a": np.linspace(0, 1, 40)})
    model = LogisticRegression().fit(frame, frame["a"] > 0.5)
    (tmp_path / "out").mkdir()
    for name in ("../../evil", "evil\n/var/evil"):
        packed = pack(model, frame, name=name, output=tmp_path / "out")
        assert packed.path.parent == tmp_path / "out"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


# -- unpickling ------------------------------------------------------------------------------------------------------

BODY_TYPES = [JSON, CSV, "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file",
              "application/vnd.apache.parquet", "application/x-ndjson", "application/octet-stream", "application/gzip",
              "application/vnd.bentoml+pickle", "application/vnd.bentoml.pickled", "application/x-pickle",
              "application/python-pickle", "application/x-python-serialize", "application/x-joblib",
              "application/x-npy", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b",
              "text/plain", ""]  # fmt: skip
PICKLE_HEADERS = ["Payload-Container", "Payload-Meta", "Args-Number", "Batch-Size", "Bento-Name",
                  "Yatai-Bento-Deployment", "X-Pickle", "X-Args", "Cookie", "Authorization", "Idempotency-Key",
                  "Inference-Header-Content-Length", "Accept", "Content-Type", "X-Aweigh-User", "Baggage"]  # fmt: skip
POSTED = ["/v1/predict", "/v1/jobs", "/v2/models/penguins/infer", "/v2/repository/models/x/load", "/", "/login",
          "/_stcore/upload_file/x/y", "/_stcore/stream", "/predict", "/invocations"]  # fmt: skip


def test_unpickling_a_body_or_a_header(app, session, tmp_path):
    """BentoML CVE-2025-27520 and CVE-2024-2912 (a body), CVE-2025-32375 (a header)."""
    mark, live = tmp_path / "mark", tmp_path / "live"
    pickle.loads(pickle.dumps(payloads.system(live)))
    assert live.exists(), "the payload does what it is for"
    bodies = [pickle.dumps(payloads.system(mark), protocol) for protocol in (0, 2, 5)]
    bodies += [payloads.joblib_bytes(payloads.system(mark)), gzip.compress(bodies[0])]
    numpy_file = io.BytesIO()
    np.save(numpy_file, np.array([payloads.system(mark)], dtype=object), allow_pickle=True)
    bodies.append(numpy_file.getvalue())
    ids, statuses = [], set()
    with app.client() as client:
        for path in POSTED:
            for kind in BODY_TYPES:
                for body in bodies:
                    answer = client.post(path, content=body, headers={"Content-Type": kind} if kind else {})
                    statuses.add(answer.status_code)
                    if answer.status_code == 202:
                        ids.append(answer.json()["id"])
                        assert len(ids) < 1000
        for body in bodies:
            for text in (base64.b64encode(body).decode(), quote(body), body.decode("latin-1")):
                if any(one in text for one in "\r\n\0"):
                    continue
                for name in PICKLE_HEADERS:
                    for path in ("/v1/predict", "/v1/schema"):
                        method = "POST" if path == "/v1/predict" else "GET"
                        sent = json.dumps({"rows": [ROW]}).encode() if method == "POST" else b""
                        lines = [f"{name}: {text}", *([f"Content-Type: {JSON}"] if name != "Content-Type" else [])]
                        statuses.add(asked(app, path, method=method, headers=lines, body=sent)[0])
            row = ROW | {"island": base64.b64encode(body).decode()}
            statuses.add(client.post("/v1/predict", json={"rows": [row]}).status_code)
            form = (
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="m.pkl"\r\n\r\n'
                + body
                + b"\r\n--b--\r\n"
            )
            assert session.upload(form, "multipart/form-data; boundary=b").status_code == 204
    if ids:
        jobs_end(app, ids)
    assert not mark.exists()
    assert max(statuses - {503}) < 500, statuses


# -- methods ---------------------------------------------------------------------------------------------------------

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "SEARCH", "get"]
GUARDED = ["/v1/predict", "/v1/jobs", "/v1/jobs/" + "0" * 32, "/v1/model", "/v2/models/penguins/infer", "/metrics",
           "/admin", "/account", "/"]  # fmt: skip


def test_only_some_methods_are_guarded_by_the_door(closed):
    """Each method of each address is refused without credentials, and no header makes one of another."""
    let_in = []
    for path in GUARDED:
        for method in METHODS:
            for more in ([], ["X-HTTP-Method-Override: GET"], ["X-HTTP-Method: DELETE"]):
                status = asked(closed, path, method=method, headers=more)[0]
                if status not in {400, 401, 403}:
                    let_in.append((method, path, more, status))
    assert let_in == []


def test_only_some_methods_are_guarded_against_another_sites_page(app):
    """Ray CVE-2026-27482: its dashboard refused a browser's POST and PUT, and took DELETE."""
    with app.client() as client:
        job = client.post("/v1/jobs", json={"rows": [ROW]}).json()["id"]
        jobs_end(app, [job])
        for origin in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            for method in sorted(set(METHODS) - {"GET", "HEAD", "OPTIONS", "get"}):
                for path in (f"/v1/jobs/{job}", "/v1/predict", "/v1/jobs", "/", "/_stcore/upload_file/x/y"):
                    answer = client.request(method, path, headers=origin)
                    assert answer.status_code in {400, 403}, (method, path, origin)
        rebound = client.request("DELETE", f"/v1/jobs/{job}", headers={"Host": "rebound.example"})
        assert rebound.status_code == 421
        assert client.get(f"/v1/jobs/{job}").json()["state"] == "done"


# -- who may come in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_no_authentication_on_a_public_address(host, penguins, tmp_path):
    """Ray CVE-2023-48022: what all may reach is not opened to all unless somebody says so."""
    command = [sys.executable, "-m", "aweigh", "serve", str(penguins.path), "--no-ui", "--host", host, "--port", "0"]
    env = {name: value for name, value in os.environ.items() if name != "AWEIGH_AUTH"}
    env["AWEIGH_STATE_DIR"] = str(tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert done.returncode == 2
    assert "nobody is asked to sign in" in done.stderr
    assert "--auth password" in done.stderr
    assert "http://" not in done.stdout


USUAL = ["", "admin", "password", "password1234", "Password123", "changeme", "aweigh", "mlflow", "123456", "root"]


def signs_in(server, name, password):
    """Return whether a name and a password let somebody in, by the form or by HTTP's own way."""
    basic = base64.b64encode(f"{name}:{password}".encode()).decode()
    with server.client() as client:
        form = client.post("/login", data={"name": name, "password": password, "next": "/v1/me"})
        assert form.status_code in {303, 403, 422, 429}
        inside = client.get("/v1/me").status_code == 200
        said = client.get("/v1/me", headers={"Authorization": f"Basic {basic}"}).status_code == 200
    return form.status_code == 303 or inside or said


def test_a_default_password(start_server, penguins, tmp_path):
    """MLflow's `admin` had a password that stands in its pages, and took empty ones (CVE-2025-11200).

    Here there is none: whoever starts the server is given a link, once.
    """
    env = {"AWEIGH_STATE_DIR": str(tmp_path / "state"), "AWEIGH_DRAIN_DELAY_S": "0"}
    server = start_server(penguins.path, "--no-ui", "--auth", "password", env=env)
    assert not any(signs_in(server, "admin", password) for password in USUAL[:4])
    (link,) = re.findall(r"/invite/\S+", "\n".join(server.told))
    good = "otter gravel ninety lamp"
    with server.client() as client:
        for weak in ("", "admin", "password1234", "short"):
            kept = client.post(link, data={"password": weak, "again": weak, "repeat": weak})
            assert kept.status_code == 422, weak
        fields = fields_of(client.get(link).text)
        chosen = {name: good for name, kind in fields.items() if kind == "password"}
        assert chosen
        first = client.post(link, data=chosen)
        assert first.status_code == 303, first.text
        assert client.get("/v1/me").json()["role"] == "admin"
    with server.client() as client:
        assert client.get(link).status_code == 404
        assert client.post(link, data=chosen).status_code == 404
        assert client.get("/v1/me").status_code == 401
    assert not any(signs_in(server, name, password) for name in ("admin", "root", "") for password in USUAL)
    assert server.stop() == 0
    again = start_server(penguins.path, "--no-ui", "--auth", "password", env=env)
    assert again.url
    assert not [line for line in again.told if "/invite/" in line]


def fields_of(text):
    """Return the fields of a page's form, and what kind each is."""
    found = {}

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            attributes = dict(attributes)
            if tag == "input" and "name" in attributes:
                found[attributes["name"]] = attributes.get("type", "text")

    Reader().feed(text)
    return found


# -- addresses in requests -------------------------------------------------------------------------------------------


class Listener:
    """A server on this machine that counts who comes."""

    def __init__(self):
        self.came = 0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self.came += 1
                connection.close()


@pytest.fixture
def listener():
    opened = Listener()
    yield opened
    opened.socket.close()


ADDRESS_HEADERS = ["Referer", "Origin", "Forwarded", "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Server",
                   "X-Original-URL", "X-Rewrite-URL", "X-Callback-Url", "Webhook-Url", "Callback", "Link", "Location",
                   "Content-Location", "X-Aweigh-User", "X-Aweigh-Session", "Cookie", "Authorization",
                   "Idempotency-Key", "From", "X-Webhook", "Destination", "Traceparent"]  # fmt: skip
PARAMETERS = ["url", "uri", "callback", "webhook", "webhook_url", "next", "redirect_uri", "issuer", "source", "input",
              "path", "model_url", "image", "src", "state", "code", "request_uri", "jku", "output", "keep"]  # fmt: skip


@pytest.mark.parametrize("which", partly_slow("app", slow=["closed"]))
def test_an_address_in_a_request_is_fetched(which, request, listener):
    """MLflow CVE-2026-2393 (a webhook's address, also by redirect, as a decimal number, or by rebinding).

    There are no webhooks here, and no address that a request brings is ever asked; that of an OIDC provider comes from
    the server's own environment.
    """
    server = request.getfixturevalue(which)
    socket.create_connection(("127.0.0.1", listener.port)).close()
    end = time.monotonic() + 10
    while not listener.came:
        assert time.monotonic() < end, "the listener would see it"
        time.sleep(0.01)
    ids, away = [], []
    hosts = [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
    ]
    urls = [f"http://{host}:{listener.port}/x" for host in hosts]
    urls += [f"{kind}://127.0.0.1:{listener.port}/x" for kind in ("https", "ftp", "redis", "gopher", "s3", "jdbc:http")]
    urls += [
        f"//127.0.0.1:{listener.port}/x",
        f"\\\\127.0.0.1@{listener.port}\\x",
        f"http://a@127.0.0.1:{listener.port}",
    ]
    with server.client() as client:
        for url in urls:
            rows = [ROW | {"island": url}, ROW | {"sex": url}]
            bodies = [{"rows": rows}, {"url": url, "callback": url}, {"rows": [{url: 1}]}, url, [{"$ref": url}]]
            inputs = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [url]} for name in ROW]
            infer = {"id": url, "inputs": inputs, "parameters": {"shared_memory_region": url, "callback": url}}
            client.post("/v2/models/penguins/infer", json=infer)
            for body in bodies:
                client.post("/v1/predict", json=body)
                answer = client.post("/v1/jobs", json=body)
                ids += [answer.json()["id"]] if answer.status_code == 202 else []
            text = ",".join(ROW) + "\n" + ",".join([f'=WEBSERVICE("{url}")'.replace('"', '""').join('""')] * len(ROW))
            answer = client.post("/v1/jobs", content=text, headers={"Content-Type": CSV})
            ids += [answer.json()["id"]] if answer.status_code == 202 else []
            for path in (
                "/",
                "/v1/schema",
                "/v1/docs",
                "/login",
                "/oauth/start",
                "/oauth/callback",
                "/logout",
                "/media/x",
            ):
                answer = client.get(path, params=dict.fromkeys(PARAMETERS, url), headers={"Accept": "text/html"})
                away.append(answer.headers.get("location", "/"))
            away.append(
                client.post("/login", data={"name": url, "password": url, "next": url}).headers.get("location", "/")
            )
            client.post("/v1/jobs", params={"webhook": url, "source": url}, content=b"a", headers={"Content-Type": CSV})
            body = json.dumps({"rows": [ROW]}).encode()
            for name in ADDRESS_HEADERS:
                asked(
                    server, "/v1/predict", method="POST", headers=[f"Content-Type: {JSON}", f"{name}: {url}"], body=body
                )
                asked(server, "/login", headers=[f"{name}: {url}", "Accept: text/html"])
            for line in (url, f"/{url}", f"/static/{url}", f"/component/{url}", f"/app/{url}", f"/v1/{url}"):
                asked(server, line.replace(" ", "%20"))
        asked(server, f"127.0.0.1:{listener.port}", method="CONNECT")
    if ids:
        jobs_end(server, ids)
    assert listener.came == 1
    assert [one for one in away if urlsplit(one).netloc or not one.startswith("/") or one[1:2] in {"/", "\\"}] == []


# -- archives and metadata -------------------------------------------------------------------------------------------


def archives(good, target):
    """Yield archives in which a link leads out, and a file that goes through it; by name."""
    link = tarfile.TarInfo("model")
    link.type, link.linkname = tarfile.SYMTYPE, str(target)
    hard = tarfile.TarInfo("model/x")
    hard.type, hard.linkname = tarfile.LNKTYPE, str(target / "kept.txt")
    through = tarfile.TarInfo("model/kept.txt")
    through.size = len(CANARY)
    up = tarfile.TarInfo("../kept.txt")
    up.size = len(CANARY)
    for name, first, second in (("link", link, through), ("hard link", hard, through), ("up", up, up)):
        for mode in ("w", "w:gz"):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode=mode) as archive:
                archive.addfile(first, io.BytesIO(CANARY.encode()))
                archive.addfile(second, io.BytesIO(CANARY.encode()))
            yield f"tar {mode}, {name}", out.getvalue()
    with zipfile.ZipFile(good) as archive:
        files = {one: archive.read(one) for one in archive.namelist()}
    for name, member, content in (
        ("link", "model/extra.py", str(target).encode()),
        ("up", "../kept.txt", CANARY.encode()),
        ("absolute", str(target / "kept.txt"), CANARY.encode()),
    ):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for one, found in files.items():
                archive.writestr(zipfile.ZipInfo(one), found)
            info = zipfile.ZipInfo(member)
            if name == "link":
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
        yield f"zip, {name}", out.getvalue()


def test_a_link_in_an_archive_leads_out(app, driver, good, tmp_path):
    """BentoML CVE-2026-27905: a tar's link led out of the folder, and the next member went through it."""
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept.txt").write_text("kept")
    sample = str(good / "sample.csv")
    ids = []
    for number, (name, content) in enumerate(archives(good / "good.aweigh", target)):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "model.aweigh"
        path.write_bytes(content)
        for argv in (
            ["verify", str(path)],
            ["inspect", str(path)],
            ["predict", str(path), sample, "-o", "out.csv"],
            ["eject", str(path), "-o", "app"],
            ["serve", str(path), "--no-ui", "--port", "0"],
            ["pack", str(path), "--data", sample, "-o", "out"],
        ):
            outcome = driver.ask(argv=argv, cwd=str(folder))
            assert outcome["exit"] in REFUSED, (name, argv, outcome)
        assert [one.name for one in folder.iterdir()] == ["model.aweigh"], name
        with app.client() as client:
            for kind in ("application/octet-stream", "application/gzip", CSV):
                answer = client.post("/v1/jobs", content=content, headers={"Content-Type": kind})
                ids += [answer.json()["id"]] if answer.status_code == 202 else []
    if ids:
        assert set(jobs_end(app, ids)) == {"failed"}
    assert [(one.name, one.read_text()) for one in target.iterdir()] == [("kept.txt", "kept")]


NAMES = ["x\nRUN touch mark", 'x"\nRUN touch mark', "x$(touch mark)", "x`touch mark`", "x; touch mark",
         "x\r\nX-Evil: 1", "x\0y", "../x", "x y", "'x'", "{{7*7}}", "<b>x</b>", "-rf", ""]  # fmt: skip
EVIL = (
    '"""\'\'\'\\"\n__import__("os").system("touch mark")\n{__import__("os").system("touch mark")}'
    "</script><script>$(touch mark)`touch mark`"
)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundles_name_becomes_part_of_something_else(driver, good, tmp_path, name):
    """BentoML CVE-2026-33744 and CVE-2026-44345: metadata with a newline became lines of a Dockerfile."""
    with zipfile.ZipFile(good / "good.aweigh") as archive:
        files = {one: archive.read(one) for one in archive.namelist()}
    files.pop("signature.json", None)
    body = msgspec.json.decode(files["manifest.json"]) | {"name": name}
    files["manifest.json"] = to_json(body)
    path = tmp_path / "model.aweigh"
    write_bundle(files, path)
    for argv in (["verify", str(path)], ["inspect", str(path)], ["eject", str(path)], ["serve", str(path), "--no-ui"]):
        outcome = driver.ask(argv=argv, cwd=str(tmp_path))
        assert outcome["exit"] in REFUSED, (argv, outcome)
        assert "none that a bundle may have" in outcome["err"], (argv, outcome)
        assert "\nRUN" not in outcome["err"] + outcome["out"]
    assert [one.name for one in tmp_path.iterdir()] == ["model.aweigh"]


@pytest.fixture(scope="module")
def worded(tmp_path_factory):
    """Return a bundle all of whose texts are hostile: titles, units, categories, a golden row's cells."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    folder = tmp_path_factory.mktemp("worded")
    frame = pd.DataFrame(
        {"a b": np.linspace(0, 1, 40), "kind": ["$(touch mark)", EVIL] * 20, "it's": 1.0 * np.arange(40)}
    )
    prepare = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough")
    model = make_pipeline(prepare, Ridge()).fit(frame, frame["a b"])
    text = json.dumps(EVIL)
    config = folder / "aweigh.toml"
    lines = [
        *("[app]", f"title = {text}", f"description = {text}", f"footer = {text}"),
        *("[output]", f"unit = {text}", f"description = {text}"),
        *("[columns.kind]", f"title = {text}", f"description = {text}", f"group = {text}"),
        *('[columns."a b"]', f"title = {text}", f"unit = {text}"),
        *("[model]", f"intended_use = {text}", f"contact = {text}"),
    ]
    config.write_text("\n".join(lines))
    return pack(model, frame, name="worded", output=folder, config=read_config(config)).path


def names_in(script):
    """Return the names that a script speaks of, whatever stands in its strings."""
    return {node.id for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Name)}


def test_texts_of_a_bundle_become_code(driver, worded, good, tmp_path):
    """BentoML CVE-2026-33744, for the program that `aweigh eject` writes: texts and file names stay texts."""
    strange = tmp_path / 'a""";__import__(\'os\').system(\'touch mark\');""".aweigh'
    strange.write_bytes(worded.read_bytes())
    plain = driver.ask(argv=["eject", str(good / "good.aweigh"), "-o", "plain"], cwd=str(tmp_path))
    assert plain["exit"] == 0, plain
    for number, path in enumerate((worded, strange)):
        outcome = driver.ask(argv=["eject", str(path), "-o", f"app{number}"], cwd=str(tmp_path))
        assert outcome["exit"] == 0, outcome
        for script in (tmp_path / f"app{number}").rglob("*.py"):
            assert "__import__" not in names_in(script.read_text())
        (command,) = [line for line in outcome["out"].splitlines() if "aweigh serve" in line]
        assert str(path) in shlex.split(command)
    bundle = verify(worded)
    for unit in ('{__import__("os").system("touch mark")}', '" + __import__("os").name + "', "{{", "\\", "kg/m\u00b2"):
        output = msgspec.structs.replace(bundle.schema.output, unit=unit)
        schema = msgspec.structs.replace(bundle.schema, output=output)
        script = files_of(bundle.manifest, schema, bundle="x.aweigh")["app.py"]
        assert "__import__" not in names_in(script), unit
    assert not list(tmp_path.rglob("mark"))


def test_texts_of_a_bundle_become_headers_lines_or_markup(start_server, worded, tmp_path):
    """The same texts where they are served: a command to copy, counters, pages, documents."""
    server = start_server(worded, "--no-ui", env={"AWEIGH_DRAIN_DELAY_S": "0"})
    words = shlex.split(server.line("try"))
    assert words[0] == "curl"
    assert words[-2] == "-d"
    assert set(json.loads(words[-1])["rows"][0]) == {"a b", "kind", "it's"}
    with server.client() as client:
        assert client.post("/v1/predict", json=json.loads(words[-1])).status_code == 200
        page = client.get("/v1/docs")
        assert EVIL.partition("</script>")[2] not in page.text
        assert "<script>$(touch" not in page.text
        for path in ("/v1/model", "/v1/schema", "/v1/openapi.json", "/v2/models/worded"):
            answer = client.get(path)
            assert answer.headers["content-type"] == JSON
            assert answer.json()
        counters = client.get("/metrics").text
        assert all(re.match(r"(# |[a-z_]+(\{[^\n]*\})? )", line) for line in counters.splitlines())
    assert not list(tmp_path.rglob("mark"))


# -- multipart -------------------------------------------------------------------------------------------------------

MEGABYTE = 2**20


def test_a_boundary_of_a_megabyte(app, session):
    """BentoML CVE-2024-9056: characters behind a boundary kept a server busy for good, without signing in."""
    part = b'\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na\r\n'
    tail = b"-" * MEGABYTE
    forms = {
        "behind the last boundary": b"--b" + part + b"--b--" + tail,
        "behind the first": b"--b" + tail + part + b"--b--\r\n",
        "before the first": tail + b"\r\n--b" + part + b"--b--\r\n",
        "line ends before it": b"\r\n" * (MEGABYTE // 2) + b"--b" + part + b"--b--\r\n",
        "nearly boundaries": b"--b" + part[:-3] + b"\r\n--" * (MEGABYTE // 4) + b"\r\n--b--\r\n",
        "without an end": b"--b" + part[:-3] + tail,
        "a header without an end": b"--b\r\nContent-Disposition: " + tail,
        "very many headers": b"--b\r\n" + b"A: b\r\n" * (MEGABYTE // 6),
        "very many parts": (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 20_000) + b"--b--\r\n",
    }
    for name, form in forms.items():
        begun = time.monotonic()
        answer = session.upload(form, "multipart/form-data; boundary=b")
        assert answer.status_code < 500, (name, answer.text)
        assert time.monotonic() - begun < 5, name
        with app.client() as client:
            for path in ("/v1/predict", "/v1/jobs", "/login", "/v2/models/penguins/infer"):
                answer = client.post(path, content=form, headers={"Content-Type": "multipart/form-data; boundary=b"})
                assert answer.status_code in {404, 405, 415, 400}, (name, path)
            assert time.monotonic() - begun < 10, name
            assert client.post("/v1/predict", json={"rows": [ROW]}).status_code == 200
    long = "multipart/form-data; boundary=" + "b" * MEGABYTE
    for path in ("/v1/predict", "/v1/jobs", f"/_stcore/upload_file/{session.id}/x"):
        method = "PUT" if "upload" in path else "POST"
        assert asked(app, path, method=method, headers=[f"Content-Type: {long}"], body=b"x")[0] == 431
    fine = session.upload(b"--b" + part + b"--b--\r\n", "multipart/form-data; boundary=b")
    assert fine.status_code == 204, "the session takes a file still"


# -- what is echoed --------------------------------------------------------------------------------------------------

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"
FIELDS = ("name", "password", "next", "code")
SPLIT = "%0d%0aX-Evil:%201%0d%0a%0d%0a" + quote(MARKUP)


def shows(text):
    """Return whether a browser would see our markup as markup."""
    found = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.extend([tag] if dict(attributes).get("onerror") == "alert(1)" else [])

        def handle_data(self, data):
            if data.strip() == "alert(1)":
                found.append("script")

    Reader().feed(text)
    return found


@pytest.mark.parametrize("which", partly_slow("app", slow=["own", "closed"]))
def test_what_is_echoed_is_markup(which, request):
    """MLflow CVE-2023-6568: the content type that somebody sent came back in a page of HTML."""
    server = request.getfixturevalue(which)
    paths = ["/", "/v1/predict", "/v1/jobs", "/v1/x", "/v2/x", "/v2/models/penguins/infer", "/health/x", "/metrics/x",
             "/login", "/logout", "/invite/x", "/oauth/x", "/account", "/admin", "/media/x", "/component/x",
             "/_stcore/upload_file/x/y", "/static/x", "/batch"]  # fmt: skip
    lines = ["Content-Type", "Accept", "Accept-Language", "Referer", "User-Agent", "Authorization", "X-Forwarded-Host",
             "X-Requested-With", "Idempotency-Key", "Range", "If-None-Match"]  # fmt: skip
    bodies = {
        JSON: json.dumps({"rows": [ROW | {MARKUP: MARKUP, "island": MARKUP, "year": MARKUP}]}).encode(),
        CSV: f"{MARKUP},island\n{MARKUP},{MARKUP}\n".encode(),
        "application/x-www-form-urlencoded": "&".join(f"{one}={quote(MARKUP)}" for one in FIELDS).encode(),
        "multipart/form-data; boundary=b": (
            f'--b\r\nContent-Disposition: form-data; name="{MARKUP}"; filename="{MARKUP}"\r\n'
            f"Content-Type: {MARKUP}\r\n\r\n{MARKUP}\r\n--b--\r\n"
        ).encode(),
        f"text/{MARKUP}": MARKUP.encode(),
    }
    answers = []
    for path in paths:
        for method in ("GET", "POST", "PUT", "DELETE"):
            sent = [f"{path}/{quote(MARKUP)}", f"{path}/{MARKUP.replace(' ', '%20')}", f"{path}?x={quote(MARKUP)}",
                    f"{path}?next={quote(MARKUP)}&done={quote(MARKUP)}&output={quote(MARKUP)}&{quote(MARKUP)}=1",
                    f"{path}/{SPLIT}", f"{path}?next=/{SPLIT}"]  # fmt: skip
            answers += [(method, one, asked(server, one, method=method, headers=["Accept: text/html"])) for one in sent]
            answers += [
                (method, path, asked(server, path, method=method, headers=[f"Content-Type: {kind}"], body=body))
                for kind, body in bodies.items()
                if method != "GET"
            ]
        for name in lines:
            answers.append((name, path, asked(server, path, headers=[f"{name}: {MARKUP}"])))
            answers.append((name, path, asked(server, path, method="POST", headers=[f"{name}: {MARKUP}"], body=b"{}")))
    answers.append(("Host", "/", asked(server, "/v1/docs", headers=[f"Host: {MARKUP}"])))
    assert len(answers) > 500
    assert shows(MARKUP) == ["script", "img"]
    wrong = []
    for what, path, (status, head, body) in answers:
        kind = re.search(r"^content-type: (\S+)", head, re.MULTILINE)
        is_page = kind is None or any(word in kind[1] for word in ("html", "svg", "xml"))
        if status >= 500 or "\nx-evil" in head or (body and "nosniff" not in head and status != 400):
            wrong.append((what, path, status, head))
        elif body and is_page and shows(body.decode(errors="replace")):
            wrong.append((what, path, status, body))
    assert wrong == []
