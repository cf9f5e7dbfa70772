"""Throttling of guesses, in the database, so that all processes and replicas count together.

Failures are counted by address, by name, and by the pair of both. From the fifth on each makes the next try wait: a
second, two, four, up to a quarter of an hour. A try is counted before the password is looked at and given back when it
was right, so that a hundred at once are no more than one after the other. What is typed as a name counts alike whether
somebody has it or not.

No lock-out: who comes from an address from which that name has signed in before is counted by the pair alone, so that
nobody else's failures, elsewhere, keep them out.
"""

import hashlib
import ipaddress
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aweigh.database.opening import Database
from aweigh.errors import StorageDown

FREE = 5
FIRST_S = 1.0
LONGEST_S = 900.0
FORGET_S = 86_400.0
KNOWN_S = 90 * 86_400.0
"""How long an address is remembered from which somebody has signed in."""
KNOWN_EACH = 20
MOST = 50_000
"""Counts kept: the oldest make room."""
SWEEP_EVERY = 200


@dataclass(frozen=True, slots=True)
class Ticket:
    """A try that was let in, and what it was counted by; ``retry_after_s`` when it was not."""

    buckets: Sequence[str] = ()
    retry_after_s: int = 0


class Throttle:
    """Counts of failures."""

    def __init__(self, database: Database, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._charges = 0

    def charge(self, name: str, client: str) -> Ticket:
        """Counts a try as failed, or says how long to wait; nothing is counted of one that has to wait."""
        now = self._clock()
        where = network_of(client)
        pair = _digest("pair", name, where)
        known = self._database.run("SELECT seen FROM aweigh_known WHERE pair = ?", (pair,))
        buckets = [pair]
        if not known or known[0][0] < now - KNOWN_S:
            buckets = sorted([pair, _digest("name", name), _digest("from", where)])
        # Who has to wait costs a look and no more: a crowd of them must not keep others from the database.
        marks = ", ".join("?" * len(buckets))
        statement = f"SELECT max(closed) FROM aweigh_failures WHERE bucket IN ({marks})"  # noqa: S608  question marks
        ((closed,),) = self._database.run(statement, buckets)
        wait_s = self._count(buckets, now) if closed is None or closed <= now else closed - now
        if wait_s > 0:
            # A clock that was set back must not close a door for longer than this.
            return Ticket(retry_after_s=math.ceil(min(wait_s, LONGEST_S)))
        self._sweep()
        return Ticket(buckets)

    def refund(self, ticket: Ticket) -> None:
        """The try was no failure."""
        with self._database.together() as run:
            for bucket in ticket.buckets:
                run("UPDATE aweigh_failures SET failures = failures - 1, closed = 0 WHERE bucket = ?", (bucket,))
                run("DELETE FROM aweigh_failures WHERE bucket = ? AND failures <= 0", (bucket,))

    def succeeded(self, ticket: Ticket, name: str, client: str) -> None:
        """The try led in: its pair is forgiven, and known from now on.

        Name and address are not forgiven, or who has an account here could guess at others' without end by signing in
        to it in between.
        """
        self.refund(ticket)
        now, where = self._clock(), network_of(client)
        pair, owner = _digest("pair", name, where), _digest("name", name)
        with self._database.together() as run:
            run("DELETE FROM aweigh_failures WHERE bucket = ?", (pair,))
            run(
                "INSERT INTO aweigh_known (pair, name, seen) VALUES (?, ?, ?) "
                "ON CONFLICT (pair) DO UPDATE SET seen = excluded.seen",
                (pair, owner, now),
            )
            run(
                "DELETE FROM aweigh_known WHERE pair IN (SELECT pair FROM aweigh_known WHERE name = ? "
                "ORDER BY seen DESC LIMIT 1000000 OFFSET ?)",
                (owner, KNOWN_EACH),
            )

    def forget(self, name: str) -> None:
        """Forgets from where a name has signed in."""
        self._database.run("DELETE FROM aweigh_known WHERE name = ? RETURNING pair", (_digest("name", name),))

    def _count(self, buckets: Sequence[str], now: float) -> float:
        """Counts a failure in all of them, or in none: 0, or how long to wait."""
        with self._database.together() as run:
            counts = {}
            for bucket in buckets:
                # Locks the row until the end, in one order for all who do this.
                ((failures, closed, latest),) = run(
                    "INSERT INTO aweigh_failures (bucket, failures, closed, latest) VALUES (?, 0, 0, ?) "
                    "ON CONFLICT (bucket) DO UPDATE SET bucket = excluded.bucket RETURNING failures, closed, latest",
                    (bucket, now),
                )
                counts[bucket] = (failures if latest > now - FORGET_S else 0, closed)
            wait_s = float(max(closed for _, closed in counts.values()) - now)
            for bucket, (failures, _) in counts.items():
                if wait_s > 0:
                    run("DELETE FROM aweigh_failures WHERE bucket = ? AND failures = 0", (bucket,))
                    continue
                run(
                    "UPDATE aweigh_failures SET failures = ?, closed = ?, latest = ? WHERE bucket = ?",
                    (failures + 1, now + delay_s(failures + 1), now, bucket),
                )
        return wait_s

    def _sweep(self) -> None:
        """Keeps the table small, every so many tries."""
        self._charges += 1
        if self._charges % SWEEP_EVERY != 1:
            return
        now = self._clock()
        # Who signs in is not to fail by this: where another one holds a row meanwhile, the next time will do.
        with suppress(StorageDown), self._database.together() as run:
            run("DELETE FROM aweigh_failures WHERE latest < ?", (now - FORGET_S,))
            run("DELETE FROM aweigh_known WHERE seen < ?", (now - KNOWN_S,))
            run(
                "DELETE FROM aweigh_failures WHERE latest < (SELECT min(latest) FROM (SELECT latest FROM "
                "aweigh_failures ORDER BY latest DESC LIMIT ?) AS kept)",
                (MOST,),
            )


def delay_s(failures: int) -> float:
    """How long the next try has to wait after so many."""
    if failures < FREE:
        return 0.0
    return min(FIRST_S * 2.0 ** min(failures - FREE, 20), LONGEST_S)


def network_of(client: str) -> str:
    """What counts as one address: an IPv4 address, the /64 of an IPv6 one (each household has one), or the text."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client[:100]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]
