"""Where the state of a release and its counts are: in the database that all processes and replicas share.

The state of a pair of bundles is one document, changed by whoever knows which one it was before; what each process has
counted is a document of its own, and the sum is everybody's.
"""

import threading
from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec

from aweigh.database.opening import Database, open_database
from aweigh.database.part import Part
from aweigh.database.place import state_folder
from aweigh.runtime.release.state import State
from aweigh.runtime.release.tally import Tally

T = TypeVar("T")

FILE = "release.sqlite"
MOST_PROCESSES = 1000
"""Counts of so many processes, those who were heard of last, are added up."""

KEPT_S = 90 * 86_400
"""What was counted of bundles that nobody serves any more goes after so long, when another release is changed."""

RELEASE = Part(
    "release",
    (
        (
            "CREATE TABLE aweigh_release (pair TEXT PRIMARY KEY, number BIGINT NOT NULL, document TEXT NOT NULL)",
            (
                "CREATE TABLE aweigh_release_counts (pair TEXT NOT NULL, process TEXT NOT NULL, salt TEXT NOT NULL, "
                "document TEXT NOT NULL, told DOUBLE PRECISION NOT NULL, PRIMARY KEY (pair, process))"
            ),
        ),
    ),
)
"""Never change a step: add another."""


class Store(Protocol):
    """What keeps the state of one pair of bundles, and the counts of all who serve it."""

    def read(self) -> State | None:
        """The state; None: nobody has written one."""
        ...

    def write(self, state: State) -> bool:
        """Writes the state that follows on the one with the number before; False: somebody else was quicker."""
        ...

    def count(self, salt: str, process: str, tally: Tally, *, now: float) -> None:
        """Keeps what a process has counted in a trial, in place of what it told before."""
        ...

    def total(self, salt: str) -> Tally:
        """What all processes have counted in a trial."""
        ...

    def close(self) -> None:
        """Closes what was opened."""
        ...


class SqlStore:
    """In a database; ``pair`` names the two bundles by their digests.

    All but ``close`` raise ``StorageDown`` or ``StorageFull`` where it cannot be asked.
    """

    def __init__(self, database: Database, pair: str) -> None:
        self._database = database
        self._pair = pair

    @property
    def place(self) -> str:
        """What it is: ``sqlite`` or ``postgresql``."""
        return self._database.place

    def read(self) -> State | None:
        """The state; None: nobody has written one, or one that cannot be read."""
        found = self._database.run("SELECT document FROM aweigh_release WHERE pair = ?", (self._pair,))
        return _read(found[0][0], State) if found else None

    def write(self, state: State) -> bool:
        """Writes the state that follows on the one with the number before; False: somebody else was quicker."""
        document = msgspec.json.encode(state).decode()
        with self._database.together() as run:
            if state.number == 1:
                found = run(
                    "INSERT INTO aweigh_release (pair, number, document) VALUES (?, ?, ?) "
                    "ON CONFLICT (pair) DO NOTHING RETURNING number",
                    (self._pair, state.number, document),
                )
            else:
                found = run(
                    "UPDATE aweigh_release SET number = ?, document = ? WHERE pair = ? AND number = ? RETURNING number",
                    (state.number, document, self._pair, state.number - 1),
                )
            if found:
                run("DELETE FROM aweigh_release_counts WHERE pair = ? AND salt <> ?", (self._pair, state.salt))
                run("DELETE FROM aweigh_release_counts WHERE told < ?", (state.at - KEPT_S,))
        return bool(found)

    def count(self, salt: str, process: str, tally: Tally, *, now: float) -> None:
        """Keeps what a process has counted in a trial, in place of what it told before."""
        self._database.run(
            "INSERT INTO aweigh_release_counts (pair, process, salt, document, told) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (pair, process) DO UPDATE SET salt = excluded.salt, document = excluded.document, "
            "told = excluded.told",
            (self._pair, process, salt, msgspec.json.encode(tally).decode(), now),
        )

    def total(self, salt: str) -> Tally:
        """What all processes have counted in a trial."""
        rows = self._database.run(
            "SELECT document FROM aweigh_release_counts WHERE pair = ? AND salt = ? ORDER BY told DESC LIMIT ?",
            (self._pair, salt, MOST_PROCESSES),
        )
        total = Tally()
        for (document,) in rows:
            found = _read(document, Tally)
            if found is not None:
                total.add(found)
        return total

    def close(self) -> None:
        """Closes the database."""
        self._database.close()


class MemoryStore:
    """In this process alone, for an app that is one: nothing outlives it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: State | None = None
        self._tallies: dict[str, tuple[str, bytes]] = {}

    def read(self) -> State | None:
        """The state; None: nobody has written one."""
        return self._state

    def write(self, state: State) -> bool:
        """Writes the state that follows on the one with the number before; False: somebody else was quicker."""
        with self._lock:
            if state.number != (0 if self._state is None else self._state.number) + 1:
                return False
            self._state = state
            return True

    def count(self, salt: str, process: str, tally: Tally, *, now: float) -> None:
        """Keeps what a process has counted in a trial, in place of what it told before."""
        del now
        with self._lock:
            self._tallies[process] = salt, msgspec.json.encode(tally)

    def total(self, salt: str) -> Tally:
        """What all processes have counted in a trial."""
        total = Tally()
        with self._lock:
            for of, document in self._tallies.values():
                if of == salt:
                    total.add(msgspec.json.decode(document, type=Tally))
        return total

    def close(self) -> None:
        """Nothing is open."""


def _read(document: str, kind: type[T]) -> T | None:
    """What a document says; None of one that another version of the program wrote."""
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.DecodeError:
        return None


def open_store(environ: Mapping[str, str], *, pair: str, state_dir: str | None = None) -> SqlStore:
    """The store of ``DATABASE_URL``, or of a file of this machine; nothing is opened before it is first asked.

    Raises:
        ConfigError: ``DATABASE_URL`` is of a database that is neither.
        MissingExtra: it is PostgreSQL, whose packages are not installed.
    """
    file = state_folder(environ, named=state_dir or environ.get("AWEIGH_STATE_DIR", "").strip() or None) / FILE
    return SqlStore(open_database(environ, file=file, parts=(RELEASE,)), pair)
