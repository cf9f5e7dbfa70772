"""What an identity may have of the model: its budget of rows, how much of an answer it is told, and who looks on.

A process holds a part of each budget in memory. When that is spent the store has to be asked, which may take a while or
fail: never on the event loop.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from aweigh.errors import AweighError
from aweigh.guard.budget import NEVER_S

if TYPE_CHECKING:
    from aweigh.guard.disclosure import Disclosure
    from aweigh.guard.identity import Identity
    from aweigh.guard.limits import Limits
    from aweigh.schema.answers import Answers
    from aweigh.table import Table

T = TypeVar("T")

Watch = Callable[["Identity", "Table", int], None]
"""What looks at rows that somebody has asked for, of a body of so many bytes."""


class OverBudget(AweighError):  # noqa: N818  named as those of errors.py
    """An identity has asked for as many rows as it may; ``retry_after_s`` says when it may again, None: never."""

    code = "over_budget"
    http_status = 429

    def __init__(self, name: str, *, retry_after_s: float) -> None:
        self.retry_after_s = None if retry_after_s >= NEVER_S else max(1, round(retry_after_s + 0.5))
        if self.retry_after_s is None:
            hint = "ask for fewer rows at once, if any are left; whoever runs this server sets the budget"
            super().__init__(f"{name} has asked for more rows than its budget holds.", hint=hint)
        else:
            hint = f"ask again in {self.retry_after_s} s; whoever runs this server sets the budget"
            super().__init__(f"{name} has asked for as many rows as it may for now.", hint=hint)


class MustAskStore(Exception):  # noqa: N818  no error: the way on is another
    """What is held in memory does not do, and this is the event loop."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows


class Meter:
    """Charges an identity for its rows, ``meter(table, size_bytes)``, and tells as much of the answers as it may know.

    Without ``limits`` nothing is charged. ``watch`` is shown the rows that were charged.
    """

    def __init__(
        self,
        limits: "Limits | None",
        identity: "Identity",
        disclosure: "Disclosure | None" = None,
        watch: Watch | None = None,
    ) -> None:
        self._limits = limits
        self._identity = identity
        self._disclosure = disclosure
        self._watch = watch

    @property
    def is_bounded(self) -> bool:
        """Whether the identity may not have all that it asks for, or not all of each answer."""
        return self._limits is not None or self._disclosure is not None

    def __call__(self, table: "Table", size_bytes: int) -> None:
        """Charge the rows of a body of that size.

        Raises:
            OverBudget, MustAskStore: as ``charge``.
        """
        if self._limits is not None:
            self.charge(table.rows)
        if self._watch is not None:
            self._watch(self._identity, table, size_bytes)

    def charge(self, rows: int) -> None:
        """Charge so many rows.

        Raises:
            OverBudget: that is more than there is left.
            MustAskStore: on the event loop, where the store would have to be asked; nothing is charged.
        """
        if self._limits is None:
            return
        wait_s = self._limits.spend_held(self._identity, rows=rows)
        if wait_s is None:
            if _is_event_loop():
                raise MustAskStore(rows)
            wait_s = self._limits.spend(self._identity, rows=rows)
        if wait_s > 0:
            raise OverBudget(self._identity.name, retry_after_s=wait_s)

    def told(self, answers: "Answers") -> "Answers":
        """The answers as far as the identity may know them."""
        return answers if self._disclosure is None else self._disclosure.of(answers)

    def paid(self) -> "Meter":
        """The same for rows that were charged already."""
        return Meter(None, self._identity, self._disclosure, self._watch)


class Once(Meter):
    """A meter for one request that may be put to two models: its rows are charged, and shown, for one of them."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter._limits, meter._identity, meter._disclosure, meter._watch)  # noqa: SLF001  it is another
        self._was_charged = False
        self._was_shown = False
        self._charging = threading.Lock()

    def __call__(self, table: "Table", size_bytes: int) -> None:
        """Charge the rows, unless they were.

        Raises:
            OverBudget, MustAskStore: as ``charge``.
        """
        self.charge(table.rows)
        if self._watch is not None and not self._was_shown:
            self._was_shown = True
            self._watch(self._identity, table, size_bytes)

    def charge(self, rows: int) -> None:
        """Charge so many rows, unless they were.

        Raises:
            OverBudget, MustAskStore: as ever.
        """
        if self._was_charged:
            return
        # A model that was given up waiting for may be at it in a thread: that is waited for, in a thread.
        if not self._charging.acquire(blocking=not _is_event_loop()):
            raise MustAskStore(rows)
        try:
            if not self._was_charged:
                super().charge(rows)
                self._was_charged = True
        finally:
            self._charging.release()

    def paid(self) -> Meter:
        """The same: it knows what was charged."""
        return self


async def charged(meter: Meter | None, ask: Callable[[Meter | None], Awaitable[T]]) -> T:
    """What ``ask`` gives, its rows charged to the meter; where the store must be asked, in a thread beforehand.

    Raises:
        OverBudget: that is more than there is left.
        StorageDown: the store cannot be asked.
    """
    try:
        return await ask(meter)
    except MustAskStore as asked:
        if meter is None:
            raise
        await anyio.to_thread.run_sync(meter.charge, asked.rows)
        return await ask(meter.paid())


def _is_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
