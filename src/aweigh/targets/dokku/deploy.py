"""A release to Dokku: the app made if there is none, its settings, its folder for data, the push, the golden rows."""

import re
import time
from dataclasses import dataclass

from aweigh.errors import RemoteError
from aweigh.guard.deploy_key import VARIABLE
from aweigh.secret import Secret
from aweigh.targets.dokku.client import Dokku, check_app
from aweigh.targets.dokku.render import STATE, source_of
from aweigh.targets.live import get, golden_of, is_private, replay
from aweigh.targets.release import START, Release
from aweigh.targets.ssh.telling import Telling
from aweigh.targets.target import Status

STORAGE = "/var/lib/dokku/data/storage"
READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is live; ``golden_rows`` is how many were asked and agreed."""

    app: str
    url: str | None
    commit: str
    bundle: str | None
    golden_rows: int
    notes: tuple[str, ...] = ()


def deploy(dokku: Dokku, release: Release, app: str, *, replicas: int = 1, telling: Telling | None = None) -> Deployed:
    """Takes a release live by Dokku's own way.

    Raises:
        UsageError: a name or a document that cannot be.
        RemoteError: Dokku refuses, the build or the health check fails, or the answers differ.
    """
    telling = telling or Telling()
    check_app(app)
    files = source_of(release, replicas=replicas)
    golden = None if release.bundle is None else golden_of(release.files[release.bundle])
    started = time.monotonic()
    is_new = dokku.attempt("apps:exists", app)[0] != 0
    if is_new:
        dokku.run("apps:create", app)
    telling.line("app", f"{app}, {'created' if is_new else 'found'}", time.monotonic() - started)
    _settle(dokku, release, app, telling=telling)
    started = time.monotonic()
    version = "" if golden is None else golden.version
    with telling.doing("push"):
        commit, _ = dokku.push(app, files, message=f"{release.name} {version}".rstrip())
    telling.line("push", f"{commit[:12]} is built, healthy and live", time.monotonic() - started)
    url = url_of(dokku, app)
    rows = 0
    notes: tuple[str, ...] = ()
    if golden is not None and url is not None and START in release.processes["web"]:
        secret = None
        if "--auth none" not in release.processes["web"]:
            secret = Secret(dokku.run("config:get", app, VARIABLE).strip())
        if secret is not None and not is_private(url):
            notes = ("the golden rows are not asked: its address is not encrypted (dokku letsencrypt:enable)",)
        else:
            _wait(url)
            found = replay(url, golden, secret=secret)
            if not found.ok:
                raise RemoteError(
                    f"What is live answers differently: {found.problems[0]}.",
                    hint="Dokku goes back by deploying the earlier bundle again",
                )
            rows = found.rows - found.skipped
            telling.line("answers", f"{rows} golden rows agree with the original", 0.0)
    return Deployed(app, url, commit, version or None, rows, notes)


def _settle(dokku: Dokku, release: Release, app: str, *, telling: Telling) -> None:
    """Settings that everybody may read, and a folder of the host's where nothing else keeps data."""
    config = dict(release.config)
    there = dokku.run("config:keys", app).split()
    if release.stores and "DATABASE_URL" not in there:
        dokku.run("storage:ensure-directory", app)
        mount = f"{STORAGE}/{app}:{STATE}"
        if mount not in dokku.run("storage:list", app):
            dokku.run("storage:mount", app, mount)
        config["AWEIGH_STATE_DIR"] = STATE
    if config:
        dokku.run("config:set", "--no-restart", app, *(f"{name}={value}" for name, value in sorted(config.items())))
    telling.line("settings", ", ".join(sorted(config)) or "none", 0.0)


def _wait(url: str) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        reply = get(url, "/health/ready")
        if reply is not None and reply.status == 200:
            return
        time.sleep(0.5)
    raise RemoteError(
        f"The app does not answer at {url}.", hint="does its name point at the host? dokku domains:report"
    )


def url_of(dokku: Dokku, app: str) -> str | None:
    """The app's address as Dokku says, TLS before plain."""
    code, out, _ = dokku.attempt("urls", app)
    found = re.findall(r"^(https?://[A-Za-z0-9.:\[\]-]+)/?$", out, re.MULTILINE) if code == 0 else []
    return min(found, key=lambda one: not one.startswith("https"), default=None)


def status(dokku: Dokku, app: str) -> Status:
    """What runs of an app."""
    check_app(app)
    if dokku.attempt("apps:exists", app)[0] != 0:
        return Status(name=app, state="absent")
    out = dokku.run("ps:report", app)
    replicas: dict[str, int] = {}
    for kind in re.findall(r"^\s*Status ([a-z0-9-]+) \d+:\s*running\b", out, re.MULTILINE):
        replicas[kind] = replicas.get(kind, 0) + 1
    running = re.search(r"^\s*Running:\s*(true|mixed)", out, re.MULTILINE)
    deployed = re.search(r"^\s*Deployed:\s*true", out, re.MULTILINE)
    state = "up" if running else ("crashed" if deployed else "down")
    return Status(name=app, state=state, url=url_of(dokku, app), replicas=replicas)  # type: ignore[arg-type]
