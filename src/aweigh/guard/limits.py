"""Budgets: how many rows an identity may ask for in a minute, a day and in all.

What was spent is kept where all processes and replicas see it (Redis, or the database), and taken from there in leases,
so that a request asks nobody: a process holds a part of each budget, and asks for the next when that is used up. What
it holds it gives back when it is closed; when it is killed, that counts as spent. So nobody gets more than their
budget, and somebody who is answered by N processes may be stopped up to N - 1 leases early. Where the store is down,
nothing more is granted: that is an error, and not a budget without end.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aweigh.database.opening import Database
from aweigh.guard.budget import DAY_S, MINUTE_S, NEVER_S, Budget
from aweigh.guard.identity import Identity
from aweigh.guard.redis_store import RedisLeases

LEASE_PART = 20
"""A lease is this part of a budget, or what is asked for if that is more."""
MOST = 50_000
"""Leases held at once; what is left of those that make room counts as spent."""
TRIES = 8


class SqlLeases:
    """What has been spent, in the database."""

    def __init__(self, database: Database, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._takes = 0

    def take(self, bucket: str, wanted: int, *, most: int, lives_s: float | None) -> int:
        """Takes up to so much of a budget; how much was left of it."""
        now = self._clock()
        expires = None if lives_s is None else now + lives_s
        with self._database.together() as run:
            ((spent,),) = run(
                "INSERT INTO aweigh_spent (bucket, amount, expires) VALUES (?, 0, ?) "
                "ON CONFLICT (bucket) DO UPDATE SET bucket = excluded.bucket RETURNING amount",
                (bucket, expires),
            )
            granted = max(min(wanted, most - int(spent)), 0)
            if granted:
                run("UPDATE aweigh_spent SET amount = amount + ? WHERE bucket = ?", (granted, bucket))
            self._takes += 1
            if self._takes % 100 == 1:
                run("DELETE FROM aweigh_spent WHERE expires <= ?", (now,))
        return granted

    def give_back(self, bucket: str, amount: int) -> None:
        """What was taken and not spent."""
        self._database.run(
            "UPDATE aweigh_spent SET amount = amount - ? WHERE bucket = ? RETURNING amount", (amount, bucket)
        )


@dataclass(slots=True)
class _Window:
    """One budget of one identity, in one minute or day, or for ever."""

    bucket: str
    most: int
    ends: float | None
    held: int = 0
    spent_all: bool = False


class Limits:
    """Budgets of all identities."""

    def __init__(
        self, budget: Budget, ledger: SqlLeases | RedisLeases, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.budget = budget
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def spend(self, identity: Identity, amount: int = 1, *, rows: int | None = None) -> float:
        """Spends ``rows`` of a budget (``amount`` where there are none to count): 0, or how many seconds to wait.

        What has to wait has spent nothing. May ask the store: see ``spend_held``.

        Raises:
            StorageDown: the store cannot be asked.
        """
        now, cost = self._clock(), max(amount if rows is None else rows, 1)
        windows = self._of(identity, now)
        for _ in range(TRIES):
            short = self._take(windows, cost)
            if not short or any(window.spent_all or cost > window.most for window in short):
                return _wait_s(short, cost, now)
            # Another thread may be quicker with what this one fetches.
            for window in short:
                self._fill(window, cost)
        return 1.0

    def spend_held(self, identity: Identity, amount: int = 1, *, rows: int | None = None) -> float | None:
        """As ``spend``, from memory alone; None: the store has to be asked, and nothing is spent."""
        now, cost = self._clock(), max(amount if rows is None else rows, 1)
        windows = self._of(identity, now)
        short = self._take(windows, cost)
        if not short or any(window.spent_all or cost > window.most for window in short):
            return _wait_s(short, cost, now)
        return None

    def first_today(self, what: str, identity: Identity) -> bool:
        """Whether this is the first time today that something is told of the identity, whichever replica asks.

        Raises:
            StorageDown: the store cannot be asked.
        """
        return self._ledger.take(self._today(what, identity), 1, most=1, lives_s=float(DAY_S)) == 1

    def not_today(self, what: str, identity: Identity) -> None:
        """Takes it back: it came to nothing.

        Raises:
            StorageDown: the store cannot be asked.
        """
        self._ledger.give_back(self._today(what, identity), 1)

    def _today(self, what: str, identity: Identity) -> str:
        return f"{what}:{identity.id}:{int(self._clock() // DAY_S)}"

    def close(self) -> None:
        """Gives back what is held."""
        with self._lock:
            held = [(window.bucket, window.held) for window in self._windows.values() if window.held]
            self._windows.clear()
        for bucket, amount in held:
            self._ledger.give_back(bucket, amount)

    def __len__(self) -> int:
        return len(self._windows)

    def _of(self, identity: Identity, now: float) -> list[_Window]:
        found = []
        with self._lock:
            for kind, most, size in (
                ("minute", self.budget.per_minute, MINUTE_S),
                ("day", self.budget.per_day, DAY_S),
                ("total", self.budget.total, 0),
            ):
                if most is None:
                    continue
                name = f"{kind}:{identity.payer or identity.id}"
                at = int(now // size) if size else 0
                window = self._windows.get(name)
                bucket = f"{name}:{at}" if size else name
                if window is None or window.bucket != bucket:
                    window = _Window(bucket, most, (at + 1) * size if size else None)
                    self._windows[name] = window
                self._windows.move_to_end(name)
                found.append(window)
            while len(self._windows) > max(MOST, len(found)):
                self._windows.popitem(last=False)
        return found

    def _fill(self, window: _Window, cost: int) -> None:
        """Takes another lease where what is held does not do."""
        with self._lock:
            lacking = cost - window.held
            if lacking <= 0 or window.spent_all:
                return
        wanted = max(lacking, window.most // LEASE_PART)
        lives_s = None if window.ends is None else max(window.ends - self._clock(), 1.0) + MINUTE_S
        granted = self._ledger.take(window.bucket, wanted, most=window.most, lives_s=lives_s)
        with self._lock:
            window.held += granted
            window.spent_all = granted < wanted

    def _take(self, windows: list[_Window], cost: int) -> list[_Window]:
        """Spends of all of them, or of none: those that hold too little."""
        with self._lock:
            short = [window for window in windows if window.held < cost]
            if not short:
                for window in windows:
                    window.held -= cost
            return short


def _wait_s(short: list[_Window], cost: int, now: float) -> float:
    """When it is worth while to ask again."""
    waits = [NEVER_S if window.ends is None or cost > window.most else max(window.ends - now, 1.0) for window in short]
    return max(waits, default=0.0)
