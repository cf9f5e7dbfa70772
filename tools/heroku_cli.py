"""Drive the tests' local Heroku with Heroku's own command line, which nobody here wrote; print what it says.

Needs npm: the command line is installed below .cache/heroku-cli (400 MB), or taken from HEROKU_CLI, a path to it. Its
home is a folder of its own, so that nothing of the user's is read or changed. Exits 1 where a command failed, or said
something else than was expected of it.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.heroku import HerokuServer  # noqa: E402  (needs the paths)

VERSION = "11"
COMMAND_S = 120
APP = """\
import http.server
import os


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("WORD", "none").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""
POSTGRES = "postgres://someone:secret@127.0.0.1:5432/one"
# Each with what it has to say, on either output.
BEFORE = (
    ("apps:create first --no-remote", "Creating"),
    ("apps:create second --no-remote", "Creating"),
    ("info --app first", "=== first"),
    ("config:set WORD=hello OTHER=1 --app first", "WORD"),
    ("config:unset OTHER --app first", "done"),
    ("config --app first", "hello"),
)
AFTER = (
    ("ps:scale web=2:standard-1x --app first", "web at 2:Standard-1X"),
    ("ps --app first", "web.2"),
    ("ps:restart --app first", "done"),
    ("config:set WORD=changed --app first", "v"),
    ("releases --app first", "Deploy"),
    ("releases:info --app first", "changed"),
    ("rollback v5 --app first", "Rolling back"),
    ("config:get WORD --app first", "hello"),
    ("logs --app first --num 20", "heroku[web.1]"),
    ("features:enable http-session-affinity --app first", "done"),
    ("features --app first", "http-session-affinity"),
    ("addons:create heroku-postgresql:essential-0 --app first --wait", "DATABASE_URL"),
    ("addons --app first", "essential-0"),
    ("maintenance:on --app first", "done"),
    ("maintenance:off --app first", "done"),
    ("pipelines:create line --app first --stage staging", "line"),
    ("pipelines:add line --app second --stage production", "done"),
    ("pipelines:promote --app first", "succeeded"),
    ("releases --app second", "Promote"),
    ("apps:destroy --app second --confirm second", "done"),
    ("apps:destroy --app first --confirm first", "done"),
    ("apps", "no apps"),
)


def find_command_line() -> str:
    """Return its path; install it where it is not there yet."""
    given = os.environ.get("HEROKU_CLI")
    if given:
        return given
    folder = ROOT / ".cache" / "heroku-cli"
    program = folder / "node_modules" / ".bin" / "heroku"
    npm = shutil.which("npm")
    if not program.is_file():
        if npm is None:
            raise SystemExit("error: npm is not installed here, and the command line comes with it")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}")
        subprocess.run([npm, "install", f"heroku@{VERSION}", "--ignore-scripts", "--no-audit", "--no-fund"],
                       cwd=folder, check=True)  # fmt: skip
    return str(program)


def deploy(server: HerokuServer, app: str) -> None:
    """Build a folder of three files: the command line itself would do it through git."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, text in {"app.py": APP, "Procfile": "web: python app.py\n", "requirements.txt": ""}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    headers = {"Accept": "application/vnd.heroku+json; version=3", "Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        source = client.post("/sources").json()["source_blob"]
        httpx.put(source["put_url"], content=raw.getvalue()).raise_for_status()
        build = client.post(f"/apps/{app}/builds", json={"source_blob": {"url": source["get_url"]}}).json()
        httpx.get(build["output_stream_url"], timeout=60)
    print("".join(f"  {line}\n" for line in httpx.get(server.app_url(app), timeout=60).text.splitlines()))


def drive(program: str, server: HerokuServer, home: Path) -> int:
    """Run every command; return how many went wrong."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / "git"),
        "HEROKU_HOST": server.url,
        "HEROKU_API_KEY": server.token,
        "DISABLE_TELEMETRY": "true",
        "NO_COLOR": "1",
    }
    wrong = 0

    def run(line: str, expected: str) -> None:
        nonlocal wrong
        outputs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run([program, *line.split()], env=env, cwd=home, check=False, text=True, timeout=COMMAND_S,
                              **outputs)  # fmt: skip
        fine = done.returncode == 0 and expected in done.stdout
        wrong += not fine
        print(f"{'ok  ' if fine else 'FAIL'} heroku {line}   ({done.returncode})", flush=True)
        print("".join(f"     | {text}\n" for text in done.stdout.splitlines()), end="", flush=True)

    for line, expected in BEFORE:
        run(line, expected)
    deploy(server, "first")
    for line, expected in AFTER:
        run(line, expected)
    return wrong


def main() -> int:
    """Drive it."""
    program = find_command_line()
    with tempfile.TemporaryDirectory(prefix="aweigh-heroku-cli-") as home:
        server = HerokuServer(strict=False, prebuilt=Path(sys.prefix), postgres_url=POSTGRES)
        with server:
            wrong = drive(program, server, Path(home))
            for line in sorted(set(server.violations)):
                print(f"asked, and not in the schema: {line}")
            for line in sorted(set(server.off_schema)):
                print(f"answered, and not in the schema: {line}")
            wrong += bool(server.off_schema)
    print(f"{len(BEFORE) + len(AFTER)} commands, {wrong} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
