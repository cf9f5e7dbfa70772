"""The door of ``/v1/jobs``: what is behind it is imported and opened when the first comes, or left jobs here before.

Reading and writing files of rows, queues and databases cost a server 65 ms of start and 4 MB: one that is never asked
for a job is spared them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from aweigh.database.place import state_folder
from aweigh.errors import AweighError, MissingExtra, StorageDown
from aweigh.jobs.place import RECORDS, database_of
from aweigh.runtime.predictor import Predictor
from aweigh.server.readiness import Readiness
from aweigh.server.settings import Settings

if TYPE_CHECKING:
    from aweigh.server.jobs.routes import Jobs

_LOG = logging.getLogger(__name__)


class Door:
    """The jobs of one bundle, not opened yet. ``command`` is what runs them beside the server."""

    def __init__(
        self,
        settings: Settings,
        *,
        predictor: Predictor,
        readiness: Readiness,
        command: Sequence[str],
        environ: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._predictor = predictor
        self._readiness = readiness
        self._command = command
        self._environ = dict(environ)
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._opened: tuple[Jobs, Router] | None = None

    def routes(self) -> list[Route]:
        """The addresses that lead here."""
        return [Route("/v1/jobs", self), Route("/v1/jobs/{path:path}", self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        _, router = await self._open()
        await router(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What to enter before the first request and leave after the last."""
        # Jobs that a server before this one left here are taken up again without anybody asking.
        task = None if self._is_blank() else asyncio.create_task(self._open_early())
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await self._stack.aclose()

    async def counters(self) -> str:
        """The lines of ``/metrics``; none where there never was a job."""
        if self._opened is None and self._is_blank():
            return ""
        try:
            jobs, _ = await self._open()
        except StorageDown:
            return ""
        return await jobs.counters()

    def _is_blank(self) -> bool:
        if database_of(self._environ, inline=self._settings.jobs == "inline") is not None:
            return False
        return not (state_folder(self._environ, named=self._settings.state_dir) / RECORDS).exists()

    async def _open_early(self) -> None:
        try:
            await self._open()
        except AweighError as error:
            _LOG.warning("jobs: %s", error.message)

    async def _open(self) -> "tuple[Jobs, Router]":
        """Opens what is behind the door, once.

        Raises:
            StorageDown: what the environment names cannot be used.
        """
        async with self._lock:
            if self._opened is None:
                from aweigh.server.jobs.routes import open_jobs

                try:
                    jobs = open_jobs(
                        self._settings, digest=self._predictor.digest, command=self._command, environ=self._environ
                    )
                except MissingExtra as error:
                    _LOG.error("jobs: %s %s", error.message, error.hint)
                    raise StorageDown("The database that holds the jobs cannot be used.") from error
                await self._stack.enter_async_context(jobs.running())
                self._opened = jobs, Router(jobs.routes(self._predictor, readiness=self._readiness))
            return self._opened
