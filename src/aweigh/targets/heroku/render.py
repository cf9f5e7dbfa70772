"""A release as Heroku reads it: ``Procfile``, ``.python-version``, ``requirements.txt`` and ``app.json``.

Nothing is asked of anybody, and nothing else is written. What the owner of a folder wrote is not rendered again.
Whatever reaches a command line or ``app.json`` holds only characters that no shell and no reader takes for more than a
name: what does not is refused where it says what runs, and left out where it only describes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aweigh.bundle.names import REQUIREMENTS
from aweigh.database.redis import UNVERIFIED
from aweigh.errors import UsageError
from aweigh.guard import deploy_key
from aweigh.targets.heroku.dynos import DYNOS, is_fir_size
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
_PLAN = re.compile(r"[a-z0-9][a-z0-9-]{0,60}(?::[a-z0-9][a-z0-9.-]{0,60})?")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_VALUE = re.compile(r"[A-Za-z0-9_./:=@,*+ -]{0,1000}")
_NOT_DESCRIBING = re.compile(r"[^\w .,:()/+%-]+")
_DESCRIPTIONS: Mapping[str, str] = {
    "AWEIGH_PROXIES": "How many proxies stand in front and are believed: Heroku's router is one.",
    "AWEIGH_DRAIN_S": "Seconds that requests under way have to finish: Heroku ends what takes longer than 30.",
    "AWEIGH_JOBS": "Jobs are run by the worker dynos, and not beside the server.",
    "AWEIGH_TRUST": "Whose signatures count.",
    "AWEIGH_CACHE_SECRET": "The key by which replicas name the answers that they share.",
    deploy_key.VARIABLE: "With it whoever deploys asks the golden rows of what is live, and nothing else.",
}
_TO_BE_SAID: Mapping[str, Mapping[str, str]] = {
    "oidc": {
        "AWEIGH_OIDC_ISSUER": "The address of the OpenID Connect provider that people sign in with.",
        "AWEIGH_OIDC_CLIENT_ID": "How the provider knows this app.",
        "AWEIGH_OIDC_CLIENT_SECRET": "What this app tells the provider to prove that it is itself.",
    }
}
"""What only the owner knows, by what the web process is asked to do."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of it there is to be where ``app.json`` says so: by a button, and for review apps.

    ``size`` and ``replicas`` are those of the web dynos; ``addons`` are plans (None: the smallest that the release
    needs); ``repository`` is where the folder will lie. A review app has one dyno of each process, of ``review_size``.
    """

    size: str = SIZE
    replicas: int = 1
    addons: tuple[str, ...] | None = None
    repository: str | None = None
    review_size: str = SIZE


def render(release: Release, shape: Shape | None = None) -> dict[str, bytes]:
    """The documents of a release, by their names at its root.

    Raises:
        UsageError: a name, a size, a plan, a command line or a setting that cannot be.
    """
    if _APP.fullmatch(release.name) is None:
        raise UsageError(
            f"No app on Heroku can be named {release.name[:60]!r}.",
            hint="3 to 30 small letters, digits and -, beginning with a letter",
        )
    shape = shape or Shape()
    _check_shape(shape)
    files = {
        PROCFILE: _procfile(release),
        PYTHON_VERSION: f"{_python(release)}\n",
        APP_JSON: _app_json(release, shape),
    }
    if release.requirements is not None:
        files[REQUIREMENTS] = release.requirements
    kept = release.own | ({PYTHON_VERSION} if "runtime.txt" in release.own else set())
    return {name: text.encode() for name, text in files.items() if name not in kept}


def _check_shape(shape: Shape) -> None:
    for size in (shape.size, shape.review_size):
        if size not in DYNOS and not is_fir_size(size):
            raise UsageError(f"There is no dyno of size {size[:40]!r}.", hint=f"known: {', '.join(DYNOS)}")
    most = DYNOS[shape.size].most if shape.size in DYNOS else None
    if not 0 <= shape.replicas <= (most or shape.replicas):
        raise UsageError(f"There can be at most {most} dyno of size {shape.size}.", hint="take standard-1x or more")
    wrong = next((one for one in shape.addons or () if _PLAN.fullmatch(one) is None), None)
    if wrong is not None:
        raise UsageError(f"{wrong[:60]!a} is no add-on.", hint="write SERVICE:PLAN, as heroku-postgresql:essential-0")


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


def _app_json(release: Release, shape: Shape) -> str:
    env, needed = _env(release), list(addons_of(release))
    document: dict[str, object] = {
        "name": release.name,
        "description": described(release.description) or f"{release.name}, served by aweigh.",
        "repository": shape.repository,
        "env": env,
        "formation": _formation(release, size=shape.size, replicas=shape.replicas),
        "addons": needed if shape.addons is None else list(shape.addons),
        "buildpacks": [{"url": BUILDPACK}],
        # Whether what stands there is added to what stands above or takes its place is not said by Heroku: it is all.
        "environments": {"review": _review(release, env, size=shape.review_size, addons=needed)},
    }
    return (
        msgspec.json.format(msgspec.json.encode({key: one for key, one in document.items() if one}), indent=2).decode()
        + "\n"
    )


def _review(release: Release, env: Mapping[str, object], *, size: str, addons: Sequence[str]) -> dict[str, object]:
    """A review app: the smallest of everything, and secrets of its own, as each app's are made up anew."""
    found = {"env": env, "formation": _formation(release, size=size, replicas=1), "addons": list(addons)}
    return {key: one for key, one in found.items() if one or key == "addons"}


def _formation(release: Release, *, size: str, replicas: int) -> dict[str, dict[str, object]]:
    return {
        kind: {"quantity": replicas if kind == "web" else 1, "size": size}
        for kind in release.processes
        if kind != RELEASE_PHASE and (kind in {"web", "worker"} or PROCFILE not in release.own)
    }


def secrets_of(release: Release) -> tuple[str, ...]:
    """The variables that are made up where there are none; with a bundle also what its check asks with."""
    return (*release.secrets, *([deploy_key.VARIABLE] if release.bundle is not None else []))


def asked_of(release: Release) -> dict[str, str]:
    """What only the owner knows and the app cannot do without, by its variable, and what each is."""
    if PROCFILE in release.own:
        return {}
    web = release.processes.get("web", "")
    return {
        name: told for auth, names in _TO_BE_SAID.items() if f"--auth {auth}" in web for name, told in names.items()
    }


def _env(release: Release) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for name, value in sorted(config_of(release).items()):
        if _VARIABLE.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise UsageError(f"The setting {name[:60]!a} has a name or a value that app.json cannot hold safely.")
        found[name] = {"description": _DESCRIPTIONS.get(name, "A setting of the app."), "value": value}
    for name in secrets_of(release):
        if _VARIABLE.fullmatch(name) is None:
            raise UsageError(f"No variable can be named {name[:60]!a}.")
        found[name] = {"description": _DESCRIPTIONS.get(name, "A secret of the app."), "generator": "secret"}
    if PROCFILE not in release.own:
        found |= {name: {"description": told, "required": True} for name, told in asked_of(release).items()}
        found["AWEIGH_HOSTS"] = {"description": "The names by which the app is asked, with commas.", "required": False}
    return found


def described(text: str) -> str:
    r"""What somebody wrote of a model, as one line of plain words.

    >>> described("Penguins; `rm`\n$(more)")
    'Penguins rm (more)'
    """
    words = _NOT_DESCRIBING.sub(" ", text)
    return " ".join(words.split())[:MOST_DESCRIPTION].strip()
