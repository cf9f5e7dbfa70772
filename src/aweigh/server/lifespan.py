"""Start and stop: the UI's own, and the proof by golden rows, before which no prediction is given."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from starlette.types import Receive, Scope, Send

from aweigh.server.readiness import Readiness
from aweigh.server.service import Service

if TYPE_CHECKING:
    from aweigh.server.access.sweeps import Sweeps
    from aweigh.server.jobs.door import Door
    from aweigh.server.release.trial import Trial

SHOWN_PROBLEMS = 10

_LOG = logging.getLogger(__name__)


class UI(Protocol):
    """An ASGI app whose own start and stop belong into this one's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or one WebSocket."""
        ...

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """What to enter before the first request and leave after the last."""
        ...


@runtime_checkable
class WarmUI(UI, Protocol):
    """A UI of this process, whose first page costs more than those after it."""

    async def warm(self) -> None:
        """Show the first page to nobody; raises nothing."""
        ...


@asynccontextmanager
async def lifespan(  # noqa: PLR0913  all that is started and stopped, each by its name
    app: object,
    *,
    service: Service | None,
    ui: UI | None,
    readiness: Readiness,
    on_settled: Callable[[], None] | None,
    prove_first: bool = False,
    jobs: "Door | None" = None,
    sweeps: "Sweeps | None" = None,
    trial: "Trial | None" = None,
) -> AsyncIterator[None]:
    """Everything around the requests. They are let in before the proof, to ask whether the process lives.

    ``prove_first``: not before; for a process beside others, which answer meanwhile.
    """

    async def settle() -> None:
        readiness.warming = isinstance(ui, WarmUI)
        if trial is not None:  # before anybody is answered, so that nobody is answered by a model given up before
            await _in_thread(trial.prove)
        await _in_thread(partial(prove, service, readiness=readiness))
        if service is not None:
            service.open()
        if trial is not None:
            trial.open()
        if isinstance(ui, WarmUI) and readiness.proven:
            await ui.warm()
        readiness.warming = False
        if on_settled is not None:
            on_settled()

    async with AsyncExitStack() as stack:
        if ui is not None:
            await stack.enter_async_context(ui.lifespan()(app))
        if service is not None:
            stack.push_async_callback(service.close)
        if trial is not None:
            stack.push_async_callback(trial.close)
        if sweeps is not None:
            stack.push_async_callback(_in_thread, sweeps.close)
        if jobs is not None:
            await stack.enter_async_context(jobs.running())
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        if prove_first:
            await settle()
            yield
        else:
            settling = tasks.create_task(settle())
            yield
            settling.cancel()  # told to stop before it was ready: no page is waited for


async def _in_thread(work: Callable[[], object]) -> None:
    """Works in a thread; whoever is cancelled meanwhile waits for its end: nothing is closed that is still at work.

    anyio does the same, and its backend is a twentieth of a start: who is never asked for many rows never needs it.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # nobody is left who could be told
        raise


def prove(service: Service | None, *, readiness: Readiness) -> None:
    """Replays the golden rows and settles the readiness by them; warms the way that requests take."""
    if service is None:
        readiness.prove(golden_rows=0)
        return
    try:
        replay = service.predictor.replay()
        if replay.ok:
            service.warm()
            readiness.prove(golden_rows=replay.rows)
            return
    except Exception:  # noqa: BLE001  whatever a model raises, the server must still be able to say "not ready"
        _LOG.exception("the model fails on its golden rows")
        readiness.refuse()
        return
    for problem in replay.problems[:SHOWN_PROBLEMS]:
        _LOG.error("not ready: %s", problem)
    readiness.refuse()
