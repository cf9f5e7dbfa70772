"""From what somebody has, a bundle, a folder or one Streamlit script, to a release.

What aweigh starts is guarded unless the contrary is said. People and keys are kept in PostgreSQL then, since a
platform's disk is lost at each restart. What the owner of a folder wrote is kept as it is; only what is missing is
added.
"""

import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.contents import needs_signature
from aweigh.bundle.lock import extra_of
from aweigh.bundle.manifest import Manifest
from aweigh.bundle.names import MANIFEST, REQUIREMENTS, REQUIREMENTS_UI
from aweigh.bundle.requirements import read_lock
from aweigh.bundle.trust import read_trust
from aweigh.bundle.verify import VerifiedBundle, verify
from aweigh.errors import ConfigError, DataError, UntrustedBundle, UsageError
from aweigh.targets.folder import check_kept, list_folder
from aweigh.targets.policy import FOLDER, policy_files
from aweigh.targets.procfile import read_procfile
from aweigh.targets.release import START, Release, web_line
from aweigh.targets.requirements import WHEELS, Wanted, added_to, locked, locked_anew, locked_with, names_aweigh
from aweigh.targets.script import distributions_of, find_script, imports_own, is_streamlit, plain_name
from aweigh.targets.secrets import refuse_secrets
from aweigh.targets.wheel import Wheel, own_wheel

Auth = Literal["none", "password", "oidc"]

PROCFILE, PYTHON_VERSION, APP_JSON = "Procfile", ".python-version", "app.json"
LOCKS = ("Pipfile.lock", "poetry.lock", "uv.lock")
"""Locks of other kinds: beside one of them there must be no requirements.txt."""
DOCUMENTS = (PROCFILE, PYTHON_VERSION, REQUIREMENTS, APP_JSON, "runtime.txt", "setup.sh", "Pipfile", *LOCKS)
"""What a folder's owner may have written for the platform, or for what builds there."""

MIGRATE = "aweigh migrate"
DRAIN_S = 20
"""With the delay before it, and the time that processes have to end, well within the 30 s from SIGTERM to SIGKILL."""
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PYTHON = re.compile(r"\s*(?:python-)?(3\.\d{1,2}(?:\.\d{1,2})?)\s*", re.ASCII)
_SERVES = re.compile(rf"(?:^|\s){START}\s+([A-Za-z0-9][A-Za-z0-9._/-]*\.aweigh)(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Wishes:
    """How it is to run.

    ``auth``: who may come in, people who sign in (``password``, ``oidc``) and keys, or anybody (``none``). ``ui``:
    whether people get an app, or programs an API alone. ``worker``: jobs are run by processes of their own, and not
    beside the server. ``redis``: answers, sessions and budgets are shared through a Redis. ``trust``: the policy, on
    this machine, by which the bundle's signatures count where it is served.
    """

    auth: Auth = "password"
    ui: bool = True
    worker: bool = False
    redis: bool = False
    trust: Path | None = None

    @property
    def stores(self) -> tuple[str, ...]:
        """What must outlive a restart, and where."""
        needs_database = self.auth != "none" or (self.worker and not self.redis)
        return ("postgresql",) * needs_database + ("redis",) * self.redis

    @property
    def extras(self) -> set[str]:
        """Which of aweigh's extras that takes."""
        asked = {"ui": self.ui, "auth": self.auth != "none", "redis": self.redis, "trust": self.trust is not None}
        return {extra for extra, is_asked in asked.items() if is_asked} | ({"jobs"} if self.stores else set())

    @property
    def config(self) -> dict[str, str]:
        """What aweigh is told by the environment: there is one proxy in front, the platform's."""
        found = {"AWEIGH_PROXIES": "1", "AWEIGH_DRAIN_S": str(DRAIN_S)}
        return (
            found
            | ({"AWEIGH_JOBS": "worker"} if self.worker else {})
            | ({"AWEIGH_TRUST": FOLDER} if self.trust is not None else {})
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is to be made up: replicas that share answers name them by one and the same key."""
        return ("AWEIGH_CACHE_SECRET",) if self.redis else ()


GUARDED = Wishes()


def release_of(path: Path | str, *, name: str, wishes: Wishes = GUARDED, wheel: Wheel | None = None) -> Release:
    """The release of a bundle, of a folder, or of a single Streamlit script; ``name`` is what it is called there.

    Reads, and asks a package index for what no lock pins yet; changes nothing. ``wheel`` is the aweigh that is to run
    there, by default the one that runs here.

    Raises:
        UsageError: there is nothing to deploy, or a name that cannot be.
        BundleError: the bundle is damaged, or signed by nobody that counts.
        ConfigError: requirements that do not go together, or that no index tells; an aweigh with files missing.
        DataError: a file of the folder cannot be read.
        HoldsSecret: a file of the folder holds a password, a key or a token.
        MissingExtra: what locks requirements is not installed.
    """
    path = Path(path)
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"Nothing can be called {name[:60]!r}.", hint="use small letters, digits and - : my-model")
    if not path.exists():
        raise UsageError(f"There is no {path.name!r}.", hint="name a bundle, a folder or a Streamlit script")
    if path.is_dir() and not (path / MANIFEST).is_file():
        return _of_folder(list_folder(path).files, name=name, wishes=wishes, wheel=wheel)
    if path.suffix == ".py":
        return _of_script(path, name=name, wishes=wishes, wheel=wheel)
    return _of_bundle(path, name=name, wishes=wishes, wheel=wheel or own_wheel())


# -- of a bundle -----------------------------------------------------------------------------------------------------


def _of_bundle(path: Path, *, name: str, wishes: Wishes, wheel: Wheel) -> Release:
    trust = None if wishes.trust is None else read_trust(wishes.trust)
    bundle = verify(path, trust=trust)
    manifest = bundle.manifest
    check_vouched(manifest, wishes.trust)
    served = f"{manifest.name}.aweigh"
    wanted = Wanted(wheel, {extra_of(manifest.runtime), *wishes.extras} - {""}, manifest.python)
    processes = {"web": web_line(served, auth=wishes.auth, has_ui=wishes.ui)}
    if wishes.worker:
        processes["worker"] = f"aweigh worker {served}"
    return Release(
        name=name,
        python=manifest.python,
        processes=processes | _migration(wishes),
        files={
            served: path if path.is_file() else archived(bundle),
            f"{WHEELS}{wheel.name}": wheel.content,
            **({} if wishes.trust is None else policy_files(wishes.trust)),
        },
        requirements=locked_with(wanted, pinned=read_lock(_lock_of(bundle, ui=wishes.ui))),
        config=wishes.config,
        secrets=wishes.secrets,
        stores=wishes.stores,
        bundle=served,
        description=manifest.presentation.description or manifest.presentation.title or "",
        has_ui=wishes.ui,
    )


def check_vouched(manifest: Manifest, trust: Path | None) -> None:
    """Passes unless a bundle runs its maker's own code and nobody is named whose signature counts where it is served.

    Raises:
        UntrustedBundle: it does.
    """
    if needs_signature(manifest) and trust is None:
        raise UntrustedBundle(
            f"The bundle {manifest.name} holds code or a pickle, and nobody is named whose signature counts there.",
            hint="say who: --trust KEY.pub, or a policy with code = true",
        )


def _migration(wishes: Wishes) -> dict[str, str]:
    return {"release": MIGRATE} if wishes.stores else {}


def _lock_of(bundle: VerifiedBundle, *, ui: bool) -> str:
    return bundle.read(REQUIREMENTS_UI if ui and REQUIREMENTS_UI in bundle.names else REQUIREMENTS).decode()


def archived(bundle: VerifiedBundle) -> bytes:
    """A bundle that lies here as a folder, as the one file that travels."""
    files = {name: member.read() for name, member in bundle.members.items()}
    with tempfile.TemporaryDirectory(prefix="aweigh-release-") as folder:
        path = Path(folder) / "bundle"
        write_bundle(files, path)
        verify(path, trust=None)  # whose signature counts was looked at before
        return path.read_bytes()


# -- of a folder or a script -----------------------------------------------------------------------------------------


def _of_script(path: Path, *, name: str, wishes: Wishes, wheel: Wheel | None) -> Release:
    """A script alone, with the requirements and the version of Python that lie beside it."""
    if not is_streamlit(path):
        raise UsageError(f"{path.name!r} imports no Streamlit.", hint="give the folder, with a Procfile that runs it")
    beside = [path.parent / one for one in (REQUIREMENTS, PYTHON_VERSION) if (path.parent / one).is_file()]
    files = {plain_name(path.name): path} | {one.name: one for one in beside}
    return _of_folder(files, name=name, wishes=wishes, wheel=wheel)


def _of_folder(files: Mapping[str, Path], *, name: str, wishes: Wishes, wheel: Wheel | None) -> Release:
    if wishes.worker:
        raise UsageError("A folder's jobs are its own: --worker goes with a bundle.")
    refuse_secrets(files, environ=os.environ)
    own = frozenset(one for one in DOCUMENTS if one in files)
    python = _python_of(files)
    if PROCFILE in own:
        processes: Mapping[str, str] = read_procfile(_text(files, PROCFILE)).processes
        wishes_here = _wishes_in(processes, wishes)
    else:
        script = find_script(files)
        processes = {"web": web_line(script, auth=wishes.auth), **_migration(wishes)}
        wishes_here = wishes
    needs_aweigh = wishes_here is not None or any(one.startswith("aweigh ") for one in processes.values())
    wanted = None
    asked = wishes_here or wishes
    if needs_aweigh or (REQUIREMENTS not in files and imports_own(files)):
        wanted = Wanted(wheel or own_wheel(), asked.extras | {"ui"}, python)
    added = () if wanted is None else (f"{WHEELS}{wanted.wheel.name}",)
    check_kept([PROCFILE, PYTHON_VERSION, REQUIREMENTS, *added], files)
    requirements, extra_files = _requirements_of(files, python=python, wanted=wanted)
    written = None if REQUIREMENTS not in own else _text(files, REQUIREMENTS)
    served = _SERVES.search(processes.get("web", ""))
    bundle = served[1] if served is not None and served[1] in files else None
    return Release(
        name=name,
        python=python,
        processes=processes,
        files={**files, **extra_files},
        requirements=requirements,
        config={} if wishes_here is None else wishes_here.config,
        secrets=() if wishes_here is None else wishes_here.secrets,
        stores=() if wishes_here is None else wishes_here.stores,
        bundle=bundle,
        has_ui="--no-ui" not in processes.get("web", ""),
        own=own if requirements == written else own - {REQUIREMENTS},
    )


def _wishes_in(processes: Mapping[str, str], wishes: Wishes) -> Wishes | None:
    """How aweigh is to run by a Procfile of the owner's (or one that was rendered); None: by none of its lines."""
    web = processes.get("web", "")
    if not web.startswith(f"{START} "):
        return None
    auth = re.search(r"--auth[ =](none|password|oidc)(?=\s|$)", web)
    worker = processes.get("worker", "").startswith("aweigh worker ")
    return replace(wishes, auth=wishes.auth if auth is None else auth[1], worker=worker)  # type: ignore[arg-type]


def _requirements_of(
    files: Mapping[str, Path], *, python: str, wanted: Wanted | None
) -> tuple[str | None, dict[str, bytes]]:
    """The text of requirements.txt (None: another lock is there), and the wheel where it names one."""
    lock = next((one for one in LOCKS if one in files), None)
    if REQUIREMENTS not in files and lock is not None:
        if wanted is not None and not re.search(r"\baweigh\b", _text(files, lock)):
            raise UsageError(
                f"The folder is locked by {lock}, which has no aweigh, and aweigh would serve it.",
                hint="write a Procfile of your own (web: streamlit run FILE.py --server.port $PORT --server.address "
                "0.0.0.0), or a requirements.txt in place of that lock",
            )
        return None, {}
    if "Pipfile" in files and REQUIREMENTS not in files:
        raise UsageError("The folder has a Pipfile and no Pipfile.lock.", hint="run pipenv lock")
    text = _text(files, REQUIREMENTS) if REQUIREMENTS in files else None
    if text is not None and (wanted is None or names_aweigh(text)):
        return text, {}
    if wanted is None:
        return locked(_asked_by(files), python=".".join(python.split(".")[:2])), {}
    wanted.check_python()
    made = added_to(text, wanted) if text is not None else locked_anew(wanted, _asked_by(files))
    return made, {f"{WHEELS}{wanted.wheel.name}": wanted.wheel.content}


def _asked_by(files: Mapping[str, Path]) -> tuple[str, ...]:
    """What a folder without a lock asks for: its pyproject.toml's dependencies, else what its scripts import."""
    if "pyproject.toml" in files:
        try:
            asked = tomllib.loads(_text(files, "pyproject.toml")).get("project", {}).get("dependencies")
        except (tomllib.TOMLDecodeError, AttributeError) as error:
            raise DataError("pyproject.toml cannot be read.", hint="write a requirements.txt") from error
        if isinstance(asked, list) and all(isinstance(one, str) and "\n" not in one for one in asked):
            return tuple(asked)
    return distributions_of(files)


def _python_of(files: Mapping[str, Path]) -> str:
    """The version that the owner names, else the one that runs here."""
    for name in (PYTHON_VERSION, "runtime.txt"):
        found = _PYTHON.fullmatch(_text(files, name)) if name in files else None
        if found is not None:
            return found[1]
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _text(files: Mapping[str, Path], name: str) -> str:
    try:
        return files[name].read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{name} is not UTF-8 text.", hint="save it as UTF-8, with LF at the ends of lines"
        ) from error
