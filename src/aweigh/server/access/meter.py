"""What an identity's rows are charged to: its budget, told when it is used up.

A process holds a part of each budget in memory. When that is spent the store has to be asked, which may take a while or
fail: never on the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from aweigh.errors import AweighError

if TYPE_CHECKING:
    from aweigh.guard.identity import Identity
    from aweigh.guard.limits import Limits

T = TypeVar("T")


class OverBudget(AweighError):  # noqa: N818  named as those of errors.py
    """An identity has asked for as many rows as it may; ``retry_after_s`` says when it may again."""

    code = "over_budget"
    http_status = 429

    def __init__(self, name: str, *, retry_after_s: float) -> None:
        self.retry_after_s = max(1, round(retry_after_s + 0.5))
        super().__init__(
            f"{name} has asked for as many rows as it may for now.",
            hint=f"ask again in {self.retry_after_s} s; whoever runs this server sets the budget",
        )


class MustAskStore(Exception):  # noqa: N818  no error: the way on is another
    """What is held in memory does not do, and this is the event loop."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows


class Meter:
    """Charges an identity for its rows: ``meter(rows)``."""

    def __init__(self, limits: "Limits", identity: "Identity") -> None:
        self._limits = limits
        self._identity = identity

    def __call__(self, rows: int) -> None:
        """Charge so many rows.

        Raises:
            OverBudget: that is more than there is left.
            MustAskStore: on the event loop, where the store would have to be asked; nothing is charged.
        """
        wait_s = self._limits.spend_held(self._identity, rows=rows)
        if wait_s is None:
            if _is_event_loop():
                raise MustAskStore(rows)
            wait_s = self._limits.spend(self._identity, rows=rows)
        if wait_s > 0:
            raise OverBudget(self._identity.name, retry_after_s=wait_s)


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
        await anyio.to_thread.run_sync(meter, asked.rows)
        return await ask(None)


def _is_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
