"""A project's folder: the documents that run, those of each release, and the secrets that were made up for it.

    compose.yaml, Caddyfile     what runs: compose can be used here by hand
    compose.override.yaml       the owner's own, never written
    app.env, secrets/           made up once, kept for all releases; each store has its own
    settings.json               what the owner has set
    releases/0001/              the plan of a release, its golden rows, and when it was made

What runs is asked of the engine; the folder holds what an engine does not know. It is the owner's alone (0700).
"""

import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from aweigh.errors import ConfigError, StorageFull, UsageError
from aweigh.guard import deploy_key
from aweigh.secret import Secret
from aweigh.targets.compose.errors import Occupied
from aweigh.targets.compose.plan import POSTGRES, VALKEY, Plan
from aweigh.targets.compose.render import (
    ADDRESSES,
    COMPOSE,
    DATABASE,
    ENVIRONMENT,
    PASSWORD,
    USER,
    VALKEY_CONF,
    environment_files,
    render,
)
from aweigh.targets.live import Golden
from aweigh.targets.local.dotenv import read_dotenv

OVERRIDE = "compose.override.yaml"
SETTINGS, RELEASES, RECORD, GOLDEN, LOCK = "settings.json", "releases", "release.json", "golden.json", ".lock"
MOST_RELEASES = 50
"""Kept, the newest; images of older ones are left to the engine."""
MOST_BYTES = 16 * 2**20
CACHE_MB = 192
_NUMBER = re.compile(r"[0-9]{4,9}")
_PLAIN_SECRET = re.compile(r"[A-Za-z0-9 !%&()*+,./:;<=>?@\[\]^_{|}~-]+")
"""What all readers of such files take for itself: no quotes, no $, no #, no backslash."""
_MADE_UP = frozenset({"DATABASE_URL", "REDIS_URL"})
"""They belong to the containers that are there."""

State = Literal["", "live", "failed"]


class Record(msgspec.Struct, frozen=True):
    """A release: its number, when it was made (seconds since 1970), how it came about, and what it runs.

    ``state`` is ``live`` once it has been up and has answered rightly, ``failed`` if it has not.
    """

    number: int
    created_s: float
    why: str
    plan: Plan
    state: State = ""

    @property
    def label(self) -> str:
        """As ``v12``."""
        return f"v{self.number}"


@dataclass(frozen=True, slots=True)
class Project:
    """The folder of an app."""

    app: str
    folder: Path

    def exists(self) -> bool:
        """Whether there ever was a deployment."""
        return (self.folder / RELEASES).is_dir()

    # -- what runs ---------------------------------------------------------------------------------------------------

    def write(self, plan: Plan) -> None:
        """Puts the documents of a plan where compose reads them.

        Raises:
            StorageFull: the disk is full.
        """
        documents = render(plan)
        for name, content in documents.items():
            path = self.folder / name
            if path.is_dir():
                path.rmdir()  # an engine makes a folder of what a container wants and it does not find
            # The proxy's container reads its file as another user; the folder lets no other user in.
            _write(path, content, mode=0o644)

    def files(self) -> list[str]:
        """The documents that compose is to read, the owner's own last."""
        return [COMPOSE, *([OVERRIDE] if (self.folder / OVERRIDE).is_file() else [])]

    # -- releases ----------------------------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """All releases that are kept, the newest first; a damaged one is left out."""
        found = []
        place = self.folder / RELEASES
        for folder in sorted(place.iterdir() if place.is_dir() else [], reverse=True):
            content = _read(folder / RECORD) if _NUMBER.fullmatch(folder.name) else None
            try:
                if content is not None:
                    found.append(msgspec.json.decode(content, type=Record))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
        return found

    def current(self) -> Record | None:
        """The release that was last found to be up and right."""
        return max((one for one in self.records() if one.state == "live"), key=lambda one: one.number, default=None)

    def add(self, plan: Plan, *, why: str, golden: Golden | None) -> Record:
        """Keeps a new release, under the next number.

        Raises:
            StorageFull: the disk is full.
        """
        known = self.records()
        place = self.folder / RELEASES
        taken = [int(one.name) for one in place.iterdir() if _NUMBER.fullmatch(one.name)] if place.is_dir() else []
        record = Record(max(taken, default=0) + 1, time.time(), why, plan)
        self.keep(record)
        if golden is not None:
            _write(self._of(record.number) / GOLDEN, msgspec.json.encode(golden))
        for old in known[MOST_RELEASES - 1 :]:
            shutil.rmtree(self._of(old.number), ignore_errors=True)
        return record

    def keep(self, record: Record) -> None:
        """Writes a release anew, as when it has come up."""
        _write(self._of(record.number) / RECORD, msgspec.json.encode(record))

    def golden(self, record: Record) -> Golden | None:
        """The golden rows of a release; None where it serves no bundle."""
        content = _read(self._of(record.number) / GOLDEN)
        try:
            return None if content is None else msgspec.json.decode(content, type=Golden)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _of(self, number: int) -> Path:
        return self.folder / RELEASES / f"{number:04}"

    # -- secrets and settings ----------------------------------------------------------------------------------------

    def needs_secrets(self, plan: Plan) -> list[str]:
        """Which stores have no password here yet."""
        return [one for one in plan.stores if not (self.folder / ADDRESSES[one]).is_file()]

    def make_secrets(self, plan: Plan, *, named: tuple[str, ...] = ()) -> list[str]:
        """Makes up what is not there yet, for the app and for its stores; the names of what was made up.

        Raises:
            StorageFull: the disk is full.
            ConfigError: what is kept cannot be read.
        """
        made = []
        for store in self.needs_secrets(plan):
            password = secrets.token_hex(24)
            if store == "postgresql":
                name, url = "DATABASE_URL", f"postgresql://{USER}:{password}@{POSTGRES}:5432/{DATABASE}"
                _write(self.folder / PASSWORD, password.encode(), mode=0o444)
            else:
                name, url = "REDIS_URL", f"redis://:{password}@{VALKEY}:6379/0"
                _write(self.folder / VALKEY_CONF, _valkey_conf(password, plan).encode(), mode=0o444)
            # The address last: with it the store counts as known.
            _write(self.folder / ADDRESSES[store], _lines({name: Secret(url)}))
            made.append(name)
        there = self._own_secrets()
        new = {one: Secret(secrets.token_hex(32)) for one in (deploy_key.VARIABLE, *named) if one not in there}
        if new or not (self.folder / ENVIRONMENT).is_file():
            self._write_secrets(there | new)
        return sorted([*made, *new])

    def secrets(self, plan: Plan) -> dict[str, Secret]:
        """What the containers of a plan are told in secret, by name.

        Raises:
            ConfigError: a file cannot be read.
        """
        found: dict[str, Secret] = {}
        for name in environment_files(plan):
            found |= self._secrets_in(name)
        return found

    def _own_secrets(self) -> dict[str, Secret]:
        return self._secrets_in(ENVIRONMENT)

    def _secrets_in(self, name: str) -> dict[str, Secret]:
        content = _read(self.folder / name)
        try:
            text = "" if content is None else content.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name} of the app is no text in UTF-8.") from error
        return {key: Secret(value) for key, value in read_dotenv(text, name=name).items()}

    def settings(self) -> dict[str, str]:
        """What the owner has set, beside secrets.

        Raises:
            ConfigError: the file cannot be read.
        """
        content = _read(self.folder / SETTINGS)
        try:
            return {} if content is None else msgspec.json.decode(content, type=dict[str, str])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"{SETTINGS} of the app cannot be read.", hint="mend it, or take it away") from error

    def set(self, plain: Mapping[str, str | None], hidden: Mapping[str, Secret | None]) -> None:
        """Changes settings and secrets; None takes one away. A name is one of both.

        Raises:
            UsageError: a secret has characters that not every reader takes alike, or belongs to a container.
        """
        for name, secret in hidden.items():
            if name in _MADE_UP:
                raise UsageError(f"{name} belongs to the containers here.", hint=f"set another in {OVERRIDE}")
            text = "x" if secret is None else secret.reveal()
            if _PLAIN_SECRET.fullmatch(text) is None or text != text.strip():
                raise UsageError(
                    f"The value of {name} has characters that not every reader of such files takes alike.",
                    hint=f"quotes, $, # and backslashes go into {OVERRIDE} in the app's folder",
                )
        gone = {name for name, value in {**plain, **hidden}.items() if value is None}
        settings = {name: one for name, one in self.settings().items() if name not in gone | hidden.keys()}
        kept = {name: one for name, one in self._own_secrets().items() if name not in gone | plain.keys()}
        settings |= {name: one for name, one in plain.items() if one is not None}
        kept |= {name: one for name, one in hidden.items() if one is not None}
        _write(self.folder / SETTINGS, msgspec.json.encode(dict(sorted(settings.items()))))
        self._write_secrets(kept)

    def _write_secrets(self, found: Mapping[str, Secret]) -> None:
        _write(self.folder / ENVIRONMENT, _lines(found))

    # -- the folder --------------------------------------------------------------------------------------------------

    def make(self) -> None:
        """Sees to it that the folder is there, for its owner alone.

        Raises:
            UsageError: it cannot be made.
        """
        try:
            for folder in (self.folder, self.folder / RELEASES, (self.folder / PASSWORD).parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise _unwritable(error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While nobody else changes the app from this machine.

        Raises:
            Occupied: somebody does.
        """
        with open(self.folder / LOCK, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Occupied(
                    f"Somebody else changes {self.app} at this moment.", hint="wait until that is done"
                ) from error
            yield

    def remove(self) -> None:
        """Takes the folder away, with all secrets and releases in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def project_of(app: str, *, environ: Mapping[str, str], folder: Path | None = None) -> Project:
    """The project of an app: in the folder that is named, else where this user's programs keep what must last."""
    if folder is not None:
        return Project(app, folder.absolute())
    said = environ.get("XDG_DATA_HOME", "")
    home = Path(said) if Path(said).is_absolute() else Path(environ.get("HOME") or Path.home()) / ".local" / "share"
    return Project(app, home / "aweigh" / "compose" / app)


def _lines(found: Mapping[str, Secret]) -> bytes:
    lines = ["# Written by aweigh; 'aweigh config compose' changes what is set.\n"]
    return "".join([*lines, *(f"{name}={one.reveal()}\n" for name, one in sorted(found.items()))]).encode()


def _valkey_conf(password: str, plan: Plan) -> str:
    """Jobs must not be thrown away to make room; answers may."""
    holds_jobs = "postgresql" not in plan.stores
    return (
        f"requirepass {password}\ndir /data\nappendonly yes\nmaxmemory {CACHE_MB}mb\n"
        f"maxmemory-policy {'noeviction' if holds_jobs else 'allkeys-lru'}\n"
    )


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path.name} of the app cannot be read: {error.strerror}.") from error


def _write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Writes a file whole or not at all, never open to more than it is to be."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), mode)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> StorageFull | UsageError:
    if error.errno in {28, 122}:  # ENOSPC, EDQUOT
        return StorageFull("The disk is full.", hint="make room, or name another folder: --dir")
    return UsageError(f"The app's folder cannot be written: {error.strerror}.", hint="name another: --dir DIR")
