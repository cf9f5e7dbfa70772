"""The local Heroku is what it says: a folder becomes a live app, and what goes wrong is said as Heroku says it."""

import io
import random
import re
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.heroku import HerokuServer
from tests.heroku.buildpack import BuildFailed, check, detect
from tests.heroku.sources import ACCEPT, deploy, open_client, pack, upload
from websockets.sync.client import connect

PATIENCE_S = 30.0
APP = """\
import http.server
import os
import time

hoard = []


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            os._exit(3)
        if self.path == "/slow":
            time.sleep(60)
        if self.path.startswith("/hoard/"):
            hoard.append(b"x" * (int(self.path.rpartition("/")[2]) << 20))
        if self.path == "/environment":
            body = "\\n".join(f"{name}={value}" for name, value in os.environ.items())
        elif self.path == "/headers":
            body = str(self.headers)
        else:
            body = os.environ.get("WORD", "no word") + " of " + os.environ["DYNO"]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format, *args):
        print("asked for", self.path, flush=True)


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""
ECHO = """\
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute


async def echo(socket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text.upper())


app = Starlette(routes=[WebSocketRoute("/echo", echo)])
"""
FILES = {"app.py": APP, "Procfile": "web: python app.py\n", "requirements.txt": "", ".python-version": "3.11\n"}


@contextmanager
def running(**options):
    """A server, its client, and a look at what it answered: nothing of it may be off the schema."""
    options = {"prebuilt": Path(sys.prefix), "addon_s": 0.01, "memory_s": 0.05} | options
    with HerokuServer(**options) as server, open_client(server) as client:
        yield server, client
        assert server.off_schema == []


# Nothing here is encrypted: to read the machine's certificates would take most of the time.
PLAIN = {"timeout": PATIENCE_S, "trust_env": False, "verify": False}


def until(what, *expected):
    """Wait until a function returns something true, or one of what is expected."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = what()
        if found in expected or (found and not expected):
            return found
        time.sleep(0.02)
    return pytest.fail(f"after {PATIENCE_S:g} s it is still {found!r}")


def get(url, path="", **more):
    return httpx.get(url + path, **PLAIN, **more)


def logged(server, name, pattern):
    """Wait for a line of the log."""
    return until(lambda: next((line for line in server.app_log(name) if re.search(pattern, line)), None))


def test_a_folder_goes_from_source_to_a_live_answer_and_through_its_life():
    with running() as (server, client):
        app = client.post("/apps", json={"name": "tiny"}).raise_for_status().json()
        url = server.app_url("tiny")
        assert app["web_url"] == url
        assert get(url).status_code == 503
        logged(server, "tiny", r"heroku\[router\]: at=error code=H14 desc=\"No web processes running\"")

        build, output = deploy(client, "tiny", FILES)
        assert build["status"] == "succeeded"
        assert "-----> Python app detected" in output
        assert "Procfile declares types -> web" in output
        assert get(url).text == "no word of web.1"

        # One release for all variables, none where nothing changes; and the dyno is another.
        client.patch("/apps/tiny/config-vars", json={"WORD": "hello", "OTHER": "1"}).raise_for_status()
        client.patch("/apps/tiny/config-vars", json={"WORD": "hello"}).raise_for_status()
        assert get(url).text == "hello of web.1"
        releases = client.get("/apps/tiny/releases").json()
        assert [(one["version"], one["description"]) for one in releases[2:]] == [
            (3, "Deploy 0123abcd"),
            (4, "Set WORD, OTHER config vars"),
        ]

        old = client.post("/apps/tiny/releases", json={"release": releases[2]["id"]}).json()
        assert (old["version"], old["description"], old["current"]) == (5, "Rollback to v3", True)
        assert get(url).text == "no word of web.1"
        assert client.get("/apps/tiny/config-vars").json() == {}

        # The first crash is forgiven, the second is not.
        until(lambda: get(url, "crash").status_code == 503 and any("H10" in line for line in server.app_log("tiny")))
        logged(server, "tiny", r"heroku\[web\.1\]: Process exited with status 3")
        logged(server, "tiny", r"heroku\[web\.1\]: State changed from up to crashed")
        line = logged(server, "tiny", r'at=error code=H10 desc="App crashed" method=GET path="/crash"')
        assert "status=503" in line
        assert [dyno["state"] for dyno in client.get("/apps/tiny/dynos").json()] == ["crashed"]

        client.delete("/apps/tiny").raise_for_status()
        assert client.get("/apps/tiny").json()["id"] == "not_found"
        with pytest.raises(httpx.ConnectError):
            get(url)
        assert server.violations == []


def test_a_dyno_has_the_port_the_config_and_nothing_of_this_machine(monkeypatch):
    monkeypatch.setenv("OF_THE_DEVELOPER", "1")
    with running() as (server, client):
        client.post("/apps", json={"name": "tiny"})
        client.patch("/apps/tiny/config-vars", json={"WORD": "a b=c"})
        deploy(client, "tiny", FILES)
        found = dict(line.split("=", 1) for line in get(server.app_url("tiny"), "environment").text.splitlines())
    assert found["WORD"] == "a b=c"
    assert found["PORT"].isdigit()
    assert found["WEB_CONCURRENCY"] == "2"
    wanted = "WORD PORT DYNO HOME PATH PWD LANG PYTHONPATH PYTHONUNBUFFERED WEB_CONCURRENCY FORWARDED_ALLOW_IPS"
    assert set(found) == {*wanted.split(), "GUNICORN_CMD_ARGS"}


def test_what_the_schema_does_not_allow_is_refused_and_recorded():
    cases = [
        ("POST", "/apps", {"name": "Not A Name"}),
        ("POST", "/apps", {"nome": "tiny"}),
        ("PATCH", "/apps/tiny/formation", {"updates": [{"type": "web", "size": "basic"}]}),
        ("PATCH", "/apps/tiny/config-vars", {"A": 1}),
        ("PATCH", "/apps/tiny/config-vars", {"A-B": "1"}),
        ("POST", "/apps/tiny/releases", {"release": "v3"}),
        ("POST", "/apps/tiny/builds", {}),
    ]
    with running() as (server, client):
        client.post("/apps", json={"name": "tiny"})
        for method, path, body in cases:
            answer = client.request(method, path, json=body)
            assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params"), (path, body)
        assert client.post("/apps", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
        assert client.get("/no-such-thing").status_code == 404
        assert len(server.violations) == len(cases) + 2
        assert server.violations[2].startswith("PATCH /apps/tiny/formation: Batch Update: updates/0: ")
    with running(strict=False) as (server, client):
        client.post("/apps", json={"name": "tiny"})
        deploy(client, "tiny", FILES)
        scaled = client.patch(
            "/apps/tiny/formation", json={"updates": [{"type": "web", "quantity": "1", "size": "eco"}]}
        )
        assert scaled.json()[0]["dyno_size"]["name"] == "eco"
        assert len(server.violations) == 1


def test_a_pre_signed_address_takes_no_token_and_no_content_type():
    with running() as (server, client):
        blob = client.post("/sources").json()["source_blob"]
        token = {"Authorization": f"Bearer {server.token}"}
        assert httpx.put(blob["put_url"], content=b"x", headers=token, **PLAIN).status_code == 400
        assert (
            httpx.put(blob["put_url"], content=b"x", headers={"Content-Type": "text/plain"}, **PLAIN).status_code == 403
        )
        assert httpx.put(blob["get_url"], content=b"x", **PLAIN).status_code == 403
        assert httpx.put(blob["put_url"], content=b"x", **PLAIN).status_code == 200
        assert get(blob["get_url"]).content == b"x"
        assert [asked.signed for asked in server.requests] == [True, True, False, False, False, False]


def test_an_output_that_was_cut_goes_on_where_it_ended():
    with running() as (server, client):
        client.post("/apps", json={"name": "tiny"})
        build, whole = deploy(client, "tiny", FILES)
        server.cut_streams(100)
        read = b""
        with pytest.raises(httpx.HTTPError), httpx.stream("GET", build["output_stream_url"], **PLAIN) as stream:
            for chunk in stream.iter_raw():
                read += chunk
        assert read == whole.encode()[:100]
        rest = get(build["output_stream_url"], headers={"Range": f"bytes={len(read)}-"})
        assert (rest.status_code, read + rest.content) == (206, whole.encode())
        assert get(build["output_stream_url"], headers={"Range": f"bytes={len(whole)}-"}).status_code == 416

        events = {"Accept": "text/event-stream"}
        first = get(build["output_stream_url"], headers=events).text.split("\n\n")
        last = re.match(r"id: (\d+)\n", first[2])[1]
        second = get(build["output_stream_url"], headers={**events, "Last-Event-Id": last}).text.split("\n\n")
        assert second == first[3:]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"readme.md": ""}, "No default language could be detected"),
        ({"app.py": ""}, "Error: Couldn't find any supported Python package manager files."),
        ({"pyproject.toml": ""}, "Error: Couldn't find any supported Python package manager files."),
        ({"requirements.txt": "", "uv.lock": ""}, "Error: Multiple Python package manager files were found."),
        ({"Pipfile": "", "requirements.txt": ""}, "Error: No 'Pipfile.lock' found!"),
        ({"uv.lock": ""}, "Error: No Python version was specified."),
        ({"requirements.txt": "", ".venv/x": ""}, "Error: Existing '.venv/' directory found."),
        (
            {"requirements.txt": "", ".python-version": "python-3.13"},
            "Error: Invalid Python version in .python-version.",
        ),
        (
            {"requirements.txt": "", ".python-version": "3.12\n3.13"},
            "Error: Invalid Python version in .python-version.",
        ),
        ({"requirements.txt": "", "runtime.txt": "3.13"}, "Error: Invalid Python version in runtime.txt."),
        (
            {"requirements.txt": "", ".python-version": "3.9"},
            "Error: The requested Python version has reached end-of-life.",
        ),
        ({"requirements.txt": "", ".python-version": "3.15"}, "Error: The requested Python version isn't recognised."),
    ],
)
def test_a_build_is_refused_for_what_the_buildpack_refuses(tmp_path, files, says):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(BuildFailed) as refused:
        detect(tmp_path)
        check(tmp_path, "heroku-24")
    assert str(refused.value).startswith(says)


def test_a_build_that_fails_says_why_and_changes_nothing():
    with running(slug_limit_bytes=20_000) as (server, client):
        client.post("/apps", json={"name": "tiny"})
        deploy(client, "tiny", FILES)
        large = {"large": random.Random(1).randbytes(40_000)}
        for files, says in [
            (FILES | {"uv.lock": ""}, " !     Error: Multiple Python package manager files were found."),
            (FILES | large, " is too large (max is 0M)."),
        ]:
            build, output = deploy(client, "tiny", files)
            assert (build["status"], build["release"], build["slug"]) == ("failed", None, None)
            assert says in output
        body = {"source_blob": {"url": upload(client, FILES), "checksum": f"SHA256:{'0' * 64}"}}
        build = client.post("/apps/tiny/builds", json=body).json()
        assert "Checksum of the source does not match" in get(build["output_stream_url"]).text
        assert get(server.app_url("tiny")).text == "no word of web.1"
        assert len(client.get("/apps/tiny/releases").json()) == 3


def wheel(version):
    """A package of one module, as a wheel."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("seaworthy.py", f"VERSION = {version!r}\n")
        info = f"seaworthy-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: seaworthy\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return raw.getvalue()


@pytest.mark.slow
def test_requirements_are_installed_once_for_the_same_lock():
    name = "seaworthy-1.0-py3-none-any.whl"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    files = {
        "requirements.txt": f"./{name}\n", name: wheel("1.0"), ".python-version": python,
        "Procfile": 'release: python -c "import seaworthy, sys; print(seaworthy.VERSION, sys.prefix)"\n',
    }  # fmt: skip
    with running(prebuilt=None) as (server, client):
        client.post("/apps", json={"name": "tiny"})
        outputs = []
        for _ in range(2):
            build, output = deploy(client, "tiny", files)
            assert build["status"] == "succeeded", output
            release = client.get(f"/apps/tiny/releases/{build['release']['id']}").json()
            outputs.append((output, get(release["output_stream_url"]).text))
        assert "Installing dependencies using 'pip install -r requirements.txt'" in outputs[0][0]
        assert "Restoring cache" in outputs[1][0]
        assert outputs[0][1] == outputs[1][1]
        assert outputs[0][1].startswith(f"1.0 {server.folder}")


@pytest.mark.slow
def test_hooks_run_and_a_hook_that_fails_fails_the_build():
    hooks = {"bin/pre_compile": "echo before > trace", "bin/post_compile": "cat trace; echo $WORD; exit $CODE"}
    with running() as (_, client):
        client.post("/apps", json={"name": "tiny"})
        client.patch("/apps/tiny/config-vars", json={"WORD": "configured", "CODE": "0"})
        build, output = deploy(client, "tiny", FILES | hooks)
        assert build["status"] == "succeeded"
        assert "       before\n       configured\n" in output
        client.patch("/apps/tiny/config-vars", json={"CODE": "1"})
        assert deploy(client, "tiny", FILES | hooks)[0]["status"] == "failed"


@pytest.mark.slow
def test_a_slug_that_somebody_else_built_runs():
    with running() as (server, client):
        client.post("/apps", json={"name": "tiny"})
        body = {"process_types": {"web": "python app.py"}, "commit": "0123abcdef"}
        slug = client.post("/apps/tiny/slugs", json=body).raise_for_status().json()
        assert client.post("/apps/tiny/releases", json={"slug": slug["id"]}).status_code == 404
        raw = pack({f"./app/{name}": text for name, text in FILES.items()})
        httpx.put(slug["blob"]["url"], content=raw, **PLAIN).raise_for_status()
        release = client.post("/apps/tiny/releases", json={"slug": slug["id"]}).raise_for_status().json()
        assert release["description"] == "Deploy 0123abcd"
        assert get(server.app_url("tiny")).text == "no word of web.1"
        assert client.get(f"/apps/tiny/slugs/{slug['id']}").json()["size"] == len(raw)


def test_a_command_runs_once_beside_the_formation():
    with running() as (server, client):
        client.post("/apps", json={"name": "tiny"})
        deploy(client, "tiny", FILES)
        body = {"command": "echo $WORD; exit 5", "env": {"WORD": "once"}, "attach": False}
        dyno = client.post("/apps/tiny/dynos", json=body).raise_for_status().json()
        logged(server, "tiny", rf"app\[{dyno['name']}\]: once")
        logged(server, "tiny", rf"heroku\[{dyno['name']}\]: Process exited with status 5")
        until(lambda: [one["name"] for one in client.get("/apps/tiny/dynos").json()], ["web.1"])


@pytest.mark.slow
def test_a_person_starts_it_from_the_command_line(root):
    command = [sys.executable, "-m", "tests.heroku", "--port", "0"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            settings = dict(process.stdout.readline().strip().split("=") for _ in range(2))
            headers = {"Accept": ACCEPT, "Authorization": f"Bearer {settings['HEROKU_API_KEY']}"}
            assert get(settings["HEROKU_HOST"], "/apps", headers=headers).json() == []
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


def test_a_release_process_stands_between_a_release_and_the_dynos():
    with running() as (server, client):
        client.post("/apps", json={"name": "tiny"})
        waits = "while [ -e $GATE ]; do sleep 0.02; done; echo migrated"
        files = FILES | {"Procfile": f"release: {waits}; exit $CODE\nweb: python app.py\n"}
        gate = server.folder / "gate"
        client.patch("/apps/tiny/config-vars", json={"GATE": str(gate), "CODE": "0", "WORD": "old"})
        build, output = deploy(client, "tiny", files)
        assert "Release command declared" in output
        address = f"/apps/tiny/releases/{build['release']['id']}"
        until(lambda: client.get(address).json()["status"], "succeeded")
        assert get(server.app_url("tiny")).text == "old of web.1"

        gate.touch()
        client.patch("/apps/tiny/config-vars", json={"WORD": "new"})
        last = client.get("/apps/tiny/releases/5").json()
        assert (last["status"], last["current"]) == ("pending", False)
        assert get(server.app_url("tiny")).text == "old of web.1"
        gate.unlink()
        assert get(last["output_stream_url"]).text == "migrated\n"
        until(lambda: client.get("/apps/tiny/releases/5").json()["status"], "succeeded")
        assert get(server.app_url("tiny")).text == "new of web.1"

        client.patch("/apps/tiny/config-vars", json={"CODE": "4", "WORD": "never"})
        until(lambda: client.get("/apps/tiny/releases/6").json()["status"], "failed")
        logged(server, "tiny", r"heroku\[release\.\d+\]: Process exited with status 4")
        assert get(server.app_url("tiny")).text == "new of web.1"
        assert client.get("/apps/tiny/releases/5").json()["current"]


@pytest.mark.slow
def test_a_long_list_comes_in_parts():
    with running() as (_, client):
        client.post("/apps", json={"name": "tiny"})
        for number in range(5):
            client.patch("/apps/tiny/config-vars", json={"N": str(number)})
        versions, following = [], "version ..; max=3, order=desc"
        for status in (206, 206, 200):
            answer = client.get("/apps/tiny/releases", headers={"Range": following})
            assert answer.status_code == status
            versions += [one["version"] for one in answer.json()]
            following = answer.headers.get("Next-Range")
        assert (versions, following) == ([7, 6, 5, 4, 3, 2, 1], None)


@pytest.mark.slow
def test_the_router_adds_what_a_proxy_adds_and_stays_with_a_dyno_when_asked():
    with running() as (server, client):
        client.post("/apps", json={"name": "tiny"})
        deploy(client, "tiny", FILES)
        url = server.app_url("tiny")
        headers = get(url, "headers", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "gopher"}).text
        assert "X-Forwarded-For: 203.0.113.9, 127.0.0.1\n" in headers.replace("\r", "")
        assert "X-Forwarded-Proto: http\n" in headers.replace("\r", "")

        update = {"updates": [{"type": "web", "quantity": 2, "dyno_size": {"name": "standard-1x"}}]}
        client.patch("/apps/tiny/formation", json=update).raise_for_status()
        until(lambda: [dyno["state"] for dyno in client.get("/apps/tiny/dynos").json()], ["up", "up"])
        seen = set()
        until(lambda: seen.add(get(url).text) or len(seen), 2)
        client.patch("/apps/tiny/features/http-session-affinity", json={"enabled": True}).raise_for_status()
        with httpx.Client(**PLAIN) as browser:
            assert len({browser.get(url).text for _ in range(20)}) == 1

        refused = client.patch(
            "/apps/tiny/formation", json={"updates": [{"type": "web", "dyno_size": {"name": "basic"}}]}
        )
        assert refused.status_code == 422
        client.patch("/apps/tiny", json={"maintenance": True}).raise_for_status()
        assert get(url).status_code == 503


@pytest.mark.slow
def test_web_sockets_go_through_until_nobody_says_anything():
    files = {
        "app.py": ECHO,
        "requirements.txt": "",
        "Procfile": "web: python -m uvicorn app:app --host 0.0.0.0 --port $PORT",
    }
    with running(idle_s=0.5) as (server, client):
        client.post("/apps", json={"name": "tiny"})
        deploy(client, "tiny", files)
        address = server.app_url("tiny").replace("http", "ws", 1) + "echo"
        with connect(address, ping_interval=None, open_timeout=PATIENCE_S) as socket:
            socket.send("ahoy")
            assert socket.recv(timeout=PATIENCE_S) == "AHOY"
            logged(server, "tiny", r'code=H15 desc="Idle connection"')


@pytest.mark.slow
def test_a_slow_answer_a_late_port_and_a_greedy_process_are_said_as_heroku_says_them():
    with running(first_byte_s=0.3, boot_s=10, quota_bytes=100 << 20, restarts=9) as (server, client):
        client.post("/apps", json={"name": "tiny"})
        deploy(client, "tiny", FILES)
        url = server.app_url("tiny")
        assert get(url).status_code == 200
        assert get(url, "slow").status_code == 503
        logged(server, "tiny", r'code=H12 desc="Request timeout" method=GET path="/slow"')
        assert get(url).status_code == 200
        get(url, "hoard/120")
        logged(server, "tiny", r"heroku\[web\.1\]: Error R14 \(Memory quota exceeded\)")
        get(url, "hoard/120")
        logged(server, "tiny", r"heroku\[web\.1\]: Error R15 \(Memory quota vastly exceeded\)")
        logged(server, "tiny", r"heroku\[web\.1\]: Process exited with status 137")


@pytest.mark.slow
def test_listening_on_loopback_alone_is_not_listening():
    files = FILES | {"app.py": APP.replace('("", int', '("127.0.0.1", int')}
    with running(boot_s=0.6) as (server, client):
        client.post("/apps", json={"name": "tiny"})
        deploy(client, "tiny", files)
        logged(server, "tiny", r"Error R10 \(Boot timeout\) -> Web process failed to bind to \$PORT within 0.6 seconds")
        until(lambda: [dyno["state"] for dyno in client.get("/apps/tiny/dynos").json()], ["crashed"])
        assert get(server.app_url("tiny")).status_code == 503


@pytest.mark.slow
def test_who_does_not_end_when_told_is_killed():
    stubborn = 'web: trap "" TERM; python app.py\n'
    with running(stop_s=0.3) as (server, client):
        client.post("/apps", json={"name": "tiny"})
        ignoring = APP.replace("hoard = []", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nhoard = []")
        deploy(client, "tiny", FILES | {"Procfile": stubborn, "app.py": ignoring})
        assert get(server.app_url("tiny")).status_code == 200
        client.patch("/apps/tiny/config-vars", json={"WORD": "next"})
        logged(server, "tiny", r"Error R12 \(Exit timeout\)")
        assert get(server.app_url("tiny")).text == "next of web.1"
        server.signal_dyno("tiny", "web.1", signal.SIGKILL)
        logged(server, "tiny", r"heroku\[web\.1\]: State changed from up to crashed")


@pytest.mark.slow
def test_a_database_appears_in_the_config_as_a_release():
    with running(postgres_url="postgres://someone@127.0.0.1/one", addon_s=0.2) as (_, client):
        client.post("/apps", json={"name": "tiny"})
        addon = client.post("/apps/tiny/addons", json={"plan": "heroku-postgresql:essential-0"}).json()
        assert addon["state"] == "provisioning"
        assert client.get("/apps/tiny/config-vars").json() == {}
        until(lambda: client.get(f"/apps/tiny/addons/{addon['id']}").json()["state"], "provisioned")
        assert client.get("/apps/tiny/config-vars").json() == {"DATABASE_URL": "postgres://someone@127.0.0.1/one"}
        assert client.get("/apps/tiny/releases").json()[-1]["description"].startswith("Attach DATABASE")
        assert client.post("/apps/tiny/addons", json={"plan": "heroku-redis:mini"}).status_code == 422
        client.delete(f"/apps/tiny/addons/{addon['name']}").raise_for_status()
        assert client.get("/apps/tiny/config-vars").json() == {}


def test_logs_end_or_go_on_as_they_are_asked():
    with running() as (server, client):
        client.post("/apps", json={"name": "tiny"})
        deploy(client, "tiny", FILES)
        get(server.app_url("tiny"), "some-page")
        logged(server, "tiny", "asked for /some-page")
        session = client.post(
            "/apps/tiny/log-sessions", json={"lines": 3, "source": "app", "dyno_name": "web.1"}
        ).json()
        assert re.fullmatch(r"\S+ app\[web\.1\]: asked for /some-page\n", get(session["logplex_url"]).text)
        session = client.post("/apps/tiny/log-sessions", json={"lines": 0, "tail": True, "dyno_name": "router"}).json()
        with httpx.stream("GET", session["logplex_url"], **PLAIN) as stream:
            get(server.app_url("tiny"), "later")
            line = next(stream.iter_lines())
        assert ' heroku[router]: at=info method=GET path="/later" ' in line


def test_the_platform_fails_on_demand():
    with running(two_factor="123456", hourly_calls=4) as (server, client):
        assert client.get("/apps").json()["id"] == "two_factor"
        assert client.get("/apps", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/apps", headers={"Accept": "application/json"}).status_code == 404
        client.headers["Heroku-Two-Factor-Code"] = "123456"
        server.fail_next("POST", "/apps", 402, "verification_required", "Please verify your account")
        failed = client.post("/apps", json={"name": "tiny"})
        assert (failed.status_code, failed.json()["id"]) == (402, "verification_required")
        server.fail_next("GET", "/apps*", drop=True)
        with pytest.raises(httpx.TransportError):
            client.get("/apps")
        server.fail_next("POST", "/apps", lose=True)
        with pytest.raises(httpx.TransportError):
            client.post("/apps", json={"name": "tiny"})
        assert [app["name"] for app in client.get("/apps").json()] == ["tiny"]
        answers = [client.get("/apps") for _ in range(4)]
        assert [answer.status_code for answer in answers].count(429) >= 1
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert [asked.status for asked in server.requests[:4]] == [403, 401, 404, 402]


@pytest.mark.slow
def test_a_promotion_carries_the_slug_and_not_the_config():
    with running() as (server, client):
        pipeline = client.post("/pipelines", json={"name": "line"}).json()
        apps = {}
        for name, stage in (("trial", "staging"), ("sea", "production")):
            apps[name] = client.post("/apps", json={"name": name}).json()
            coupling = {"app": apps[name]["id"], "pipeline": pipeline["id"], "stage": stage}
            client.post("/pipeline-couplings", json=coupling).raise_for_status()
            client.patch(f"/apps/{name}/config-vars", json={"WORD": name})
        deploy(client, "trial", FILES)
        body = {
            "pipeline": {"id": pipeline["id"]},
            "source": {"app": {"id": apps["trial"]["id"]}},
            "targets": [{"app": {"id": apps["sea"]["id"]}}],
        }
        promotion = client.post("/pipeline-promotions", json=body).raise_for_status().json()
        targets = client.get(f"/pipeline-promotions/{promotion['id']}/promotion-targets").json()
        assert [target["status"] for target in targets] == ["succeeded"]
        assert get(server.app_url("sea")).text == "sea of web.1"


MANIFEST = """{
  "env": {"WORD": {"value": "button"}, "SECRET": {"generator": "secret"}, "NAME": {"description": "whose"}},
  "addons": ["heroku-redis:mini"],
  "formation": {"web": {"quantity": 1, "size": "standard-1x"}},
  "scripts": {"postdeploy": "echo afterwards"},
  "environments": {"review": {"addons": [], "scripts": {}}}
}"""


@pytest.mark.slow
def test_apps_are_set_up_from_an_app_json():
    with running(redis_url="redis://127.0.0.1:6379") as (server, client):
        source = {"url": upload(client, FILES | {"app.json": MANIFEST})}
        body = {"source_blob": source, "app": {"name": "pressed"}, "overrides": {"env": {"NAME": "ana"}}}
        setup = client.post("/app-setups", json=body).raise_for_status().json()
        address = f"/app-setups/{setup['id']}"
        until(lambda: client.get(address).json()["status"], "succeeded")
        assert client.get(address).json()["postdeploy"] == {"output": "afterwards\n", "exit_code": 0}
        config = client.get("/apps/pressed/config-vars").json()
        assert set(config) == {"WORD", "SECRET", "NAME", "REDIS_URL"}
        assert len(config["SECRET"]) == 64
        assert client.get("/apps/pressed/formation/web").json()["size"] == "Standard-1X"
        assert get(server.app_url("pressed")).text == "button of web.1"

        without = client.post("/app-setups", json={"source_blob": source}).json()
        until(lambda: client.get(f"/app-setups/{without['id']}").json()["status"], "failed")
        errors = client.get(f"/app-setups/{without['id']}").json()["manifest_errors"]
        assert errors == ["Environment variable NAME is required"]

        pipeline = client.post("/pipelines", json={"name": "line"}).json()
        body = {"branch": "b", "pipeline": pipeline["id"], "source_blob": source, "environment": {"NAME": "ben"}}
        assert client.post("/review-apps", json=body).status_code == 404
        config = {"repo": "someone/line", "automatic_review_apps": False}
        client.post(f"/pipelines/{pipeline['id']}/review-app-config", json=config).raise_for_status()
        review = client.post("/review-apps", json=body).raise_for_status().json()
        assert client.post("/review-apps", json=body).status_code == 409
        until(lambda: client.get(f"/review-apps/{review['id']}").json()["status"], "created")
        assert client.get(f"/apps/{review['app']['id']}/review-app").json()["branch"] == "b"
        client.delete(f"/review-apps/{review['id']}").raise_for_status()
        assert client.get(f"/apps/{review['app']['id']}").status_code == 404


@pytest.mark.slow
def test_a_client_of_somebody_else_drives_it(monkeypatch):
    """PyPI's heroku3, which knows nothing of this server."""
    heroku3 = pytest.importorskip("heroku3")
    with running(strict=False) as (server, client):
        monkeypatch.setattr("heroku3.api.HEROKU_URL", server.url)
        heroku = heroku3.from_key(server.token)
        app = heroku.create_app(name="theirs", stack_id_or_name="heroku-24")
        app.config()["WORD"] = "theirs"
        deploy(client, "theirs", FILES)
        assert get(server.app_url("theirs")).text == "theirs of web.1"
        del app.config()["WORD"]
        assert get(server.app_url("theirs")).text == "no word of web.1"
        app.process_formation()["web"].scale(0)
        assert get(server.app_url("theirs")).status_code == 503
        app.scale_formation_process("web", 1)
        versions = [release.version for release in app.releases()]
        assert versions == [1, 2, 3, 4, 5]
        app.rollback("v4")
        assert get(server.app_url("theirs")).text == "theirs of web.1"
        assert "Starting process with command `python app.py`" in app.get_log(lines=200)
        app.enable_feature("http-session-affinity")
        app.delete()
        assert [one.name for one in heroku.apps()] == []
