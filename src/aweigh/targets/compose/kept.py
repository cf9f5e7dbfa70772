"""A project's folder: the documents that run, those of each release, and what the app is told beside them.

    compose.yaml, Caddyfile     what runs: compose can be used here by hand
    compose.next.yaml           what is being started beside it, until people are sent there
    compose.override.yaml       the owner's own, never written
    live/b                      there while the second of the two slots is the one that is asked
    app.env, secrets/, ...      settings and secrets (settings.py)
    releases/0001/              the plan of a release, its golden rows, and when it was made

What runs is asked of the engine; the folder holds what an engine does not know. It is the owner's alone (0700).
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from aweigh.errors import UsageError
from aweigh.targets.compose.caddy import CADDYFILE, LIVE
from aweigh.targets.compose.files import PART, read, unwritable, write
from aweigh.targets.compose.plan import Plan, Slot
from aweigh.targets.compose.render import ADDRESSES, COMPOSE, ENVIRONMENT, PASSWORD, VALKEY_CONF, render
from aweigh.targets.compose.settings import OVERRIDE, SETTINGS, UNDO, Settings
from aweigh.targets.errors import Occupied
from aweigh.targets.live import Golden

NEXT = "compose.next.yaml"
RELEASES, RECORD, GOLDEN, LOCK = "releases", "release.json", "golden.json", ".lock"
IMAGE = ".image-"
"""How folders begin that an image is put into on its way to the engine."""
MOST_RELEASES = 50
"""Kept, the newest, and the one that runs."""
_NUMBER = re.compile(r"[0-9]{4,9}")
_OURS = {COMPOSE, NEXT, OVERRIDE, CADDYFILE, LIVE, ENVIRONMENT, "secrets", SETTINGS, UNDO, RELEASES, LOCK}

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

    @property
    def own(self) -> Settings:
        """What the app is told beside its release."""
        return Settings(self.folder)

    def exists(self) -> bool:
        """Whether there ever was a deployment."""
        return (self.folder / RELEASES).is_dir()

    # -- what runs ---------------------------------------------------------------------------------------------------

    def write(self, plan: Plan, *, slot: Slot | None = None, document: str = COMPOSE) -> None:
        """Puts the documents of a plan where compose reads them, with its web containers in a slot.

        Raises:
            StorageFull: the disk is full.
        """
        documents = render(plan, slot=slot or self.slot(), mark=self.own.mark(plan))
        try:
            if plan.has_proxy:
                # The proxy's container reads there as another user; the folder above lets no other user in.
                (self.folder / LIVE).mkdir(mode=0o755, exist_ok=True)
                (self.folder / LIVE).chmod(0o755)
            for name, content in documents.items():
                path = self.folder / (document if name == COMPOSE else name)
                if path.is_dir():
                    path.rmdir()  # an engine makes a folder of what a container wants and it does not find
                write(path, content, mode=0o644)
        except OSError as error:
            raise unwritable(error) from error

    def slot(self) -> Slot:
        """Which of both slots the web containers run in that are asked."""
        return "b" if (self.folder / LIVE / "b").exists() else "a"

    def point(self, slot: Slot) -> None:
        """Has the proxy ask the web containers of a slot from the next request on; what started them is the document.

        Raises:
            StorageFull: the disk is full.
        """
        try:
            if slot == "b":
                write(self.folder / LIVE / "b", b"", mode=0o644)
            else:
                (self.folder / LIVE / "b").unlink(missing_ok=True)
            if (self.folder / NEXT).is_file():
                (self.folder / NEXT).replace(self.folder / COMPOSE)
        except OSError as error:
            raise unwritable(error) from error

    def is_bound(self) -> bool:
        """Whether the owner's own document speaks of the web containers, as they are called in the first slot."""
        return re.search(rb"\bweb\b", read(self.folder / OVERRIDE) or b"") is not None

    def files(self, document: str = COMPOSE) -> list[str]:
        """The documents that compose is to read, the owner's own last."""
        return [document, *([OVERRIDE] if (self.folder / OVERRIDE).is_file() else [])]

    # -- releases ----------------------------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """All releases that are kept, the newest first; a damaged one is left out.

        Raises:
            UsageError: the folder is another app's.
        """
        found = []
        place = self.folder / RELEASES
        for folder in sorted(place.iterdir() if place.is_dir() else [], reverse=True):
            content = read(folder / RECORD) if _NUMBER.fullmatch(folder.name) else None
            try:
                if content is not None:
                    found.append(msgspec.json.decode(content, type=Record))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
        other = next((one.plan.app for one in found if one.plan.app != self.app), None)
        if other is not None:
            raise UsageError(
                f"The folder {self.folder} is that of the app {other!r}.",
                hint="each app has its own: name another by --dir (AWEIGH_COMPOSE_DIR), or leave it out",
            )
        return sorted(found, key=lambda one: -one.number)

    def current(self) -> Record | None:
        """The release that was last found to be up and right."""
        return next((one for one in self.records() if one.state == "live"), None)

    def next_number(self) -> int:
        """The number of the next release."""
        place = self.folder / RELEASES
        taken = [int(one.name) for one in place.iterdir() if _NUMBER.fullmatch(one.name)] if place.is_dir() else []
        return max(taken, default=0) + 1

    def add(self, plan: Plan, *, why: str, golden: Golden | None) -> Record:
        """Keeps a new release, under the next number.

        Raises:
            StorageFull: the disk is full.
        """
        known, current = self.records(), self.current()
        record = Record(self.next_number(), time.time(), why, plan)
        self.keep(record)
        if golden is not None:
            write(self._of(record.number) / GOLDEN, msgspec.json.encode(golden))
        for old in known[MOST_RELEASES - 1 :]:
            if current is None or old.number != current.number:
                shutil.rmtree(self._of(old.number), ignore_errors=True)
        return record

    def keep(self, record: Record) -> None:
        """Writes a release anew, as when it has come up."""
        write(self._of(record.number) / RECORD, msgspec.json.encode(record))

    def golden(self, record: Record) -> Golden | None:
        """The golden rows of a release; None where it serves no bundle."""
        content = read(self._of(record.number) / GOLDEN)
        try:
            return None if content is None else msgspec.json.decode(content, type=Golden)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _of(self, number: int) -> Path:
        return self.folder / RELEASES / f"{number:04}"

    # -- changes -----------------------------------------------------------------------------------------------------

    @contextmanager
    def tried(self) -> Iterator[None]:
        """While settings change and the next release brings the change: they stay as they were unless it is live then.

        Also where the process is killed in between: whoever changes the app next undoes it first.

        Raises:
            StorageFull: the disk is full.
        """
        self.own.remember(self.next_number())
        try:
            yield
        finally:
            self.mend()

    def mend(self) -> None:
        """Undoes a change of settings whose release did not go live."""
        current = self.current()
        self.own.settle(None if current is None else current.number)

    def make(self) -> None:
        """Sees to it that the folder is there, for its owner alone.

        Raises:
            UsageError: it cannot be made, or holds what is not an app's.
        """
        try:
            self.check_own()
            for folder in (self.folder, self.folder / RELEASES, (self.folder / PASSWORD).parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise unwritable(error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While nobody else changes the app from this machine; what was cut off before is cleared away first.

        Raises:
            Occupied: somebody does.
            UsageError: the folder cannot be written, or is another app's.
        """
        try:
            file = open(self.folder / LOCK, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))  # noqa: SIM115
        except OSError as error:
            raise unwritable(error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Occupied(
                    f"Somebody else changes {self.app} at this moment.", hint="wait until that is done"
                ) from error
            self.mend()
            for pattern in (f"{IMAGE}*", f"{PART}*", f"*/{PART}*"):
                for left in self.folder.glob(pattern):
                    shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
            yield

    def check_own(self) -> None:
        """Passes where what lies in the folder was put there by a deployment, or nothing lies there.

        Raises:
            UsageError: other files do.
        """
        if self.folder.is_dir() and _is_foreign(self.folder) and not self.records():
            raise UsageError(
                f"The folder {self.folder} holds other files than an app's: nothing was changed.",
                hint="name the app's own folder, or an empty one: --dir",
            )

    def remove(self) -> None:
        """Takes away what is an app's in the folder, secrets and releases too; and the folder, if that was all.

        Raises:
            UsageError: some of it cannot be taken away.
        """
        try:
            there = list(self.folder.iterdir()) if self.folder.is_dir() else []
            for path in sorted(there, key=lambda one: one.name == RELEASES):  # last: with it the app counts as there
                if path.name not in _OURS and not path.name.startswith((IMAGE, PART)):
                    continue
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            if self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()
        except OSError as error:
            raise UsageError(
                f"The app's folder cannot be taken away: {error.strerror}.", hint=f"take {self.folder} away by hand"
            ) from error


def _is_foreign(folder: Path) -> bool:
    """Whether a folder has something in it that no deployment has put there."""
    if not folder.exists() or _is_written_by_us(folder):
        return False
    # A first deployment that was cut off has made folders, and perhaps secrets, before its documents.
    made = {OVERRIDE, LOCK, PASSWORD, VALKEY_CONF, *ADDRESSES.values()}
    there = (one.relative_to(folder) for one in folder.rglob("*") if not one.is_dir() or one.is_symlink())
    left = (IMAGE, PART)
    return any(one.as_posix() not in made and not any(part.startswith(left) for part in one.parts) for one in there)


def _is_written_by_us(folder: Path) -> bool:
    return any((read(folder / name) or b"").startswith(b"# Written by aweigh") for name in (COMPOSE, ENVIRONMENT))


def project_of(app: str, *, environ: Mapping[str, str], folder: Path | None = None) -> Project:
    """The project of an app: in the folder that is named, else where this user's programs keep what must last."""
    if folder is not None:
        return Project(app, folder.absolute())
    said = environ.get("XDG_DATA_HOME", "")
    home = Path(said) if Path(said).is_absolute() else Path(environ.get("HOME") or Path.home()) / ".local" / "share"
    return Project(app, home / "aweigh" / "compose" / app)
