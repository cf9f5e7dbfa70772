"""A release as Heroku reads it: ``Procfile``, ``.python-version``, ``requirements.txt`` and ``app.json``.

Nothing is asked of anybody, and nothing else is written. What the owner of a folder wrote is not rendered again.
Whatever reaches a command line or ``app.json`` holds only characters that no shell and no reader takes for more than a
name: what does not is refused where it says what runs, and left out where it only describes.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from aweigh.bundle.names import REQUIREMENTS
from aweigh.database.redis import UNVERIFIED
from aweigh.errors import UsageError
from aweigh.targets.heroku.dynos import DYNOS
from aweigh.targets.procfile import write_procfile
from aweigh.targets.release import Release
from aweigh.targets.releasing import APP_JSON, PROCFILE, PYTHON_VERSION

PLANS: Mapping[str, str] = {"postgresql": "heroku-postgresql:essential-0", "redis": "heroku-redis:mini"}
"""The add-on for each kind of store: the smallest plan."""
BUILDPACK = "heroku/python"
SIZE = "basic"
RELEASE_PHASE = "release"
"""The process type that runs once before each release, and is no part of the formation."""
MOST_DESCRIPTION = 200

_APP = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")
"""What the Platform API takes for the name of an app."""
_COMMAND = re.compile(r"[A-Za-z0-9_./:=@ -]+")
"""Of the command lines that are generated; those in a Procfile of the owner's own are the owner's."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_VALUE = re.compile(r"[A-Za-z0-9_./:=@,*+ -]{0,1000}")
_NOT_DESCRIBING = re.compile(r"[^\w .,:()/+%-]+")
_DESCRIPTIONS: Mapping[str, str] = {
    "AWEIGH_PROXIES": "How many proxies stand in front and are believed: Heroku's router is one.",
    "AWEIGH_DRAIN_S": "Seconds that requests under way have to finish: Heroku ends what takes longer than 30.",
    "AWEIGH_JOBS": "Jobs are run by the worker dynos, and not beside the server.",
    "AWEIGH_TRUST": "Whose signatures count.",
    "AWEIGH_CACHE_SECRET": "The key by which replicas name the answers that they share.",
}
_TO_BE_SAID: Mapping[str, Mapping[str, str]] = {
    "oidc": {
        "AWEIGH_OIDC_ISSUER": "The address of the OpenID Connect provider that people sign in with.",
        "AWEIGH_OIDC_CLIENT_ID": "How the provider knows this app.",
        "AWEIGH_OIDC_CLIENT_SECRET": "What this app tells the provider to prove that it is itself.",
    }
}
"""What only the owner knows, by what the web process is asked to do."""


def render(release: Release, *, size: str = SIZE, replicas: int = 1) -> dict[str, bytes]:
    """The documents of a release, by their names at its root; ``size`` and ``replicas`` are those of the web dynos.

    Raises:
        UsageError: a name, a size, a command line or a setting that cannot be.
    """
    if _APP.fullmatch(release.name) is None:
        raise UsageError(
            f"No app on Heroku can be named {release.name[:60]!r}.",
            hint="3 to 30 small letters, digits and -, beginning with a letter",
        )
    if size not in DYNOS:
        raise UsageError(f"There is no dyno of size {size[:40]!r}.", hint=f"known: {', '.join(DYNOS)}")
    if not 0 <= replicas <= (DYNOS[size].most or replicas):
        raise UsageError(
            f"There can be at most {DYNOS[size].most} dyno of size {size}.", hint="take standard-1x or more"
        )
    files = {
        PROCFILE: _procfile(release),
        PYTHON_VERSION: f"{_python(release)}\n",
        APP_JSON: _app_json(release, size=size, replicas=replicas),
    }
    if release.requirements is not None:
        files[REQUIREMENTS] = release.requirements
    kept = release.own | ({PYTHON_VERSION} if "runtime.txt" in release.own else set())
    return {name: text.encode() for name, text in files.items() if name not in kept}


def source_of(release: Release, documents: Mapping[str, bytes]) -> dict[str, bytes | Path]:
    """All that is built from: the release's own files and its documents."""
    return dict(sorted({**release.files, **documents}.items()))


def config_of(release: Release) -> dict[str, str]:
    """The settings of a release here: the certificate of a Redis is one that Heroku has signed itself."""
    return dict(release.config) | ({UNVERIFIED: "1"} if "redis" in release.stores else {})


def addons_of(release: Release) -> tuple[str, ...]:
    """The add-ons that a release needs, as ``service:plan``."""
    return tuple(PLANS[store] for store in release.stores)


def _python(release: Release) -> str:
    if re.fullmatch(r"3\.\d{1,2}(\.\d{1,2})?", release.python, re.ASCII) is None:
        raise UsageError(f"{release.python[:20]!r} is no version of Python.", hint="put it as 3.12")
    return release.python


def _procfile(release: Release) -> str:
    if PROCFILE in release.own:
        return ""
    for command in release.processes.values():
        if _COMMAND.fullmatch(command) is None:
            raise UsageError(f"A command line holds what a shell would read as more: {command[:120]!a}.")
    try:
        return write_procfile(release.processes)
    except ValueError as error:
        raise UsageError("A process type of the release has a name that no Procfile can hold.") from error


def _app_json(release: Release, *, size: str, replicas: int) -> str:
    formation = {
        kind: {"quantity": replicas if kind == "web" else 1, "size": size}
        for kind in release.processes
        if kind != RELEASE_PHASE and (kind in {"web", "worker"} or PROCFILE not in release.own)
    }
    document = {
        "name": release.name,
        "description": described(release.description) or f"{release.name}, served by aweigh.",
        "env": _env(release),
        "formation": formation,
        "addons": list(addons_of(release)),
        "buildpacks": [{"url": BUILDPACK}],
    }
    return (
        msgspec.json.format(msgspec.json.encode({key: one for key, one in document.items() if one}), indent=2).decode()
        + "\n"
    )


def _env(release: Release) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for name, value in sorted(config_of(release).items()):
        if _VARIABLE.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise UsageError(f"The setting {name[:60]!a} has a name or a value that app.json cannot hold safely.")
        found[name] = {"description": _DESCRIPTIONS.get(name, "A setting of the app."), "value": value}
    for name in release.secrets:
        if _VARIABLE.fullmatch(name) is None:
            raise UsageError(f"No variable can be named {name[:60]!a}.")
        found[name] = {"description": _DESCRIPTIONS.get(name, "A secret of the app."), "generator": "secret"}
    if PROCFILE not in release.own:
        for auth, names in _TO_BE_SAID.items():
            if f"--auth {auth}" in release.processes.get("web", ""):
                found |= {name: {"description": told, "required": True} for name, told in names.items()}
        found["AWEIGH_HOSTS"] = {"description": "The names by which the app is asked, with commas.", "required": False}
    return found


def described(text: str) -> str:
    r"""What somebody wrote of a model, as one line of plain words.

    >>> described("Penguins; `rm`\n$(more)")
    'Penguins rm (more)'
    """
    words = _NOT_DESCRIBING.sub(" ", text)
    return " ".join(words.split())[:MOST_DESCRIPTION].strip()
