"""A release to Dokku: the app made if there is none, its settings, its folder for data, the push, the golden rows."""

import re
import time
from collections.abc import Mapping
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
UNCHANGED = re.compile(r"^=\trefs/heads/", re.MULTILINE)
"""How git's report for programs says that the other side had the commit already."""
_COUNT = re.compile(r"^([a-z0-9-]+):\s+([0-9]+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is live; ``golden_rows`` is how many were asked and agreed."""

    app: str
    url: str | None
    commit: str
    bundle: str | None
    golden_rows: int
    created: bool = False
    changed: bool = True
    """Whether Dokku was given anything that it did not have."""
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
        commit, said = dokku.push(app, files, message=f"{release.name} {version}".rstrip())
    changed = UNCHANGED.search(said) is None
    what = "is built, healthy and live" if changed else "is there as it was"
    telling.line("push", f"{commit[:12]} {what}", time.monotonic() - started)
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
    return Deployed(app, url, commit, version or None, rows, is_new, changed, notes)


def planned(release: Release, app: str) -> list[list[str]]:
    """The commands of a first deployment, in order; the push is git's."""
    config = dict(release.config)
    commands = [["apps:create", app]]
    if release.stores:
        commands += [["storage:ensure-directory", app], ["storage:mount", app, f"{STORAGE}/{app}:{STATE}"]]
        config["AWEIGH_STATE_DIR"] = STATE
    if config:
        commands.append(["config:set", "--no-restart", app, *_assigned(config)])
    return [*commands, ["git-receive-pack", app]]


def _assigned(config: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(config.items())]


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
        dokku.run("config:set", "--no-restart", app, *_assigned(config))
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


def replicas_of(dokku: Dokku, app: str) -> dict[str, int]:
    """How many replicas there are to be of each process type.

    Raises:
        RemoteError: there is no such app, or Dokku cannot be asked.
    """
    check_app(app)
    return {kind: int(count) for kind, count in _COUNT.findall(dokku.run("ps:scale", app))}


def scale(dokku: Dokku, app: str, quantities: Mapping[str, int]) -> dict[str, int]:
    """Changes how many there are to be; all process types as they then are.

    Raises:
        RemoteError: there is no such app or process type, or Dokku refuses.
    """
    dokku.run("ps:scale", check_app(app), *(f"{kind}={count}" for kind, count in quantities.items()))
    return replicas_of(dokku, app)
