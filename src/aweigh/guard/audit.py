"""The audit log: who did what when, each entry's hash over the one before it.

An entry is kept as the very text that is hashed, so that nothing of it is outside the hash. Whoever can write to the
database could compute a whole chain anew: against that, and against a cut tail, a head that is kept elsewhere stands.
"""

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from aweigh.database.opening import Database
from aweigh.database.part import Run
from aweigh.errors import DamagedLog, StorageDown
from aweigh.guard.identity import Identity

START = "0" * 64
"""What stands before the first entry."""
TEXT_CHARACTERS = 200
FACTS = 20
PAGE = 1000
LOOKED_AT = 5000
LOOSE_PER_MINUTE = 20
"""How many entries a minute those may cause who are not signed in; more are counted, and their number told."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done. ``by`` is the id of who did it, empty when nobody was signed in."""

    number: int
    at: str
    event: str
    by: str
    by_name: str
    client: str
    what: Mapping[str, str]
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the log: the first number that is wrong (None: none), why, and the hash of the last entry."""

    entries: int
    first_bad: int | None
    reason: str
    head: str


@dataclass(slots=True)
class _Loose:
    """Entries of those who are not signed in, counted for a minute."""

    minute: int = 0
    written: int = 0
    left_out: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class AuditLog:
    """The log in a database; every replica writes to the one chain."""

    def __init__(self, database: Database, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._loose = _Loose()

    def write(self, event: str, *, by: Identity | None, what: Mapping[str, str], client: str = "") -> None:
        """Adds an entry, in a transaction of its own."""
        with self.change() as run:
            self.append(run, event, by=by, what=what, client=client)

    def write_loose(self, event: str, *, what: Mapping[str, str], client: str) -> None:
        """Adds an entry that somebody caused who is not signed in, unless there are too many of them already."""
        minute = int(self._clock() // 60)
        loose = self._loose
        with loose.lock:
            if loose.minute != minute:
                loose.minute, loose.written = minute, 0
            if loose.written >= LOOSE_PER_MINUTE:
                loose.left_out += 1
                return
            loose.written += 1
            left_out, loose.left_out = loose.left_out, 0
        self.write(event, by=None, what=dict(what) | ({"left_out": str(left_out)} if left_out else {}), client=client)

    @contextmanager
    def change(self) -> Iterator[Run]:
        """A transaction in which nobody else, on whichever replica, changes what the log tells of."""
        with self._database.together() as run:
            run("UPDATE aweigh_audit_head SET number = number WHERE name = 'head'", ())
            yield run

    def append(self, run: Run, event: str, *, by: Identity | None, what: Mapping[str, str], client: str = "") -> None:
        """Adds an entry within a ``change``.

        Raises:
            StorageDown: somebody has removed the record of where the log ends.
        """
        found = run("SELECT number, hash FROM aweigh_audit_head WHERE name = 'head'", ())
        if not found:
            raise StorageDown("The audit log has lost its end.", hint="see what 'aweigh audit-log verify' says")
        number, before = found[0]
        document = _document(
            number=number + 1,
            at=datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="microseconds"),
            event=event[:TEXT_CHARACTERS],
            by="" if by is None else by.id,
            by_name="" if by is None else by.name,
            client=client[:TEXT_CHARACTERS],
            what={key[:TEXT_CHARACTERS]: str(what[key])[:TEXT_CHARACTERS] for key in list(what)[:FACTS]},
        )
        digest = _hash(before or START, document)
        run("INSERT INTO aweigh_audit (number, document, hash) VALUES (?, ?, ?)", (number + 1, document, digest))
        run("UPDATE aweigh_audit_head SET number = ?, hash = ? WHERE name = 'head'", (number + 1, digest))

    def read(self, *, after: int, limit: int) -> list[Entry]:
        """Entries behind a number, in their order."""
        found = self._database.run(
            "SELECT document, hash FROM aweigh_audit WHERE number > ? ORDER BY number LIMIT ?", (after, limit)
        )
        return [_entry(document, digest) for document, digest in found]

    def latest(self, limit: int) -> list[Entry]:
        """The last entries, the newest first."""
        found = self._database.run("SELECT document, hash FROM aweigh_audit ORDER BY number DESC LIMIT ?", (limit,))
        return [_entry(document, digest) for document, digest in found]

    def last(self, event: str, *, by: str) -> Entry | None:
        """The last such entry of somebody, by their id, among the latest ``LOOKED_AT``."""
        found = self._database.run(
            "SELECT document, hash FROM aweigh_audit WHERE number > ? AND document LIKE ? ORDER BY number DESC",
            (self._head()[0] - LOOKED_AT, f'%"event":"{event}"%'),
        )
        entries = (_entry(document, digest) for document, digest in found)
        return next((one for one in entries if (one.event, one.by) == (event, by)), None)

    def verify(self, *, head: str = "") -> Verdict:
        """Computes the whole chain anew.

        ``head`` is a hash that was printed before and kept elsewhere: the entry that had it must still be there.
        """
        # Head first: whoever writes meanwhile only adds behind it.
        last_number, last_hash = self._head()
        number, before, seen = 0, START, not head
        while True:
            rows = self._database.run(
                "SELECT number, document, hash FROM aweigh_audit WHERE number > ? ORDER BY number LIMIT ?",
                (number or -(2**62), PAGE),
            )
            for found, document, digest in rows:
                reason = _wrong(found, document, digest, number=number + 1, before=before)
                if reason:
                    return Verdict(number, number + 1, reason, before if number else "")
                number, before = found, digest
                seen = seen or hmac.compare_digest(digest, head)
                if number == last_number and not hmac.compare_digest(digest, last_hash):
                    return Verdict(number, number, "it is not the entry that was written last", digest)
            if len(rows) < PAGE:
                break
        if number > last_number and self._head()[0] < number:
            return Verdict(number, number, "the log does not know that it was written", before)
        if number < last_number:
            return Verdict(number, number + 1, f"entries up to {last_number} were written, and are gone", before)
        if not seen:
            return Verdict(
                number, number + 1, "no entry has the hash that was kept: some were cut off or made anew", before
            )
        return Verdict(number, None, "", before if number else "")

    def _head(self) -> tuple[int, str]:
        found = self._database.run("SELECT number, hash FROM aweigh_audit_head WHERE name = 'head'", ())
        return (found[0][0], found[0][1]) if found else (0, "")


def _entry(document: str, digest: str) -> Entry:
    """What a row tells.

    Raises:
        DamagedLog: somebody has changed it beyond recognition.
    """
    try:
        return Entry(**msgspec.json.decode(document), hash=digest)
    except (msgspec.DecodeError, TypeError) as error:
        raise DamagedLog("An entry of the audit log cannot be read.", hint="run 'aweigh audit-log verify'") from error


def _wrong(found: int, document: str, digest: str, *, number: int, before: str) -> str:
    """What is wrong with a row; empty when nothing is."""
    if found != number:
        return f"entry {number} is missing; the next one is {found}"
    if not hmac.compare_digest(_hash(before, document), digest):
        return "its text, its hash or the one before it was changed"
    try:
        told = msgspec.json.decode(document)
    except msgspec.DecodeError:
        return "it cannot be read"
    return "" if isinstance(told, dict) and told.get("number") == number else "it carries another number"


def _document(**facts: Any) -> str:
    """One text for the same facts, whoever writes it: keys in order, no spaces."""
    cleaned = {key: _whole(value) for key, value in facts.items()}
    return msgspec.json.encode(cleaned, order="deterministic").decode()


def _whole(value: Any) -> Any:
    """Without halves of surrogate pairs and NUL, which no database takes."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode().replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_whole(key): _whole(one) for key, one in value.items()}
    return value


def _hash(before: str, document: str) -> str:
    return hashlib.sha256(f"{before}\n{document}".encode()).hexdigest()
