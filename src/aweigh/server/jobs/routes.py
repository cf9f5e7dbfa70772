"""The endpoints of ``/v1/jobs``.

Whoever knows a job's id, which nobody guesses, may see the job and end it; none is ever listed. Where people and
programs say who they are, only who posted a job and those who run the server know of it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from aweigh.errors import AweighError, StorageDown, StorageFull
from aweigh.guard.identity import Identity
from aweigh.jobs.beside import Beside
from aweigh.jobs.check import check_head
from aweigh.jobs.job import Job, is_id, new_id
from aweigh.jobs.news import News, open_news
from aweigh.jobs.store import Store, cancel, open_store, remove
from aweigh.jobs.work import keep_swept
from aweigh.runtime.predictor import Predictor
from aweigh.server.access.door import IDENTITY, METER
from aweigh.server.body import ClientGone, Unread, refuse_unread
from aweigh.server.jobs.asked import Asked, read_asked
from aweigh.server.jobs.download import asked_range, reader, send_file
from aweigh.server.jobs.told import MEDIA, address, counters_text, job_document
from aweigh.server.jobs.upload import Upload, spool_name
from aweigh.server.problems import Refused, encode, method_not_allowed
from aweigh.server.readiness import Readiness
from aweigh.server.settings import Settings

THREADS = 4
"""How many requests for jobs are at the store at once: each thread may have a connection of its own."""
LOOK_AGAIN_S = b"1"

T = TypeVar("T")
Answer = Callable[[Scope, Receive, Send], Awaitable[None]]


class Jobs:
    """The jobs of one bundle as the server offers them: where they are kept, who is told of them, who runs them."""

    def __init__(self, store: Store, news: News, beside: Beside | None, *, settings: Settings) -> None:
        self.store = store
        self.news = news
        self.beside = beside
        self.settings = settings
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Does in a thread what waits for the disk or for another machine."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What to enter before the first request and leave after the last."""
        sweeper = asyncio.create_task(keep_swept(self.store, ttl_s=self.settings.jobs_ttl_s))
        try:
            async with nullcontext() if self.beside is None else self.beside.running():
                yield
        finally:
            sweeper.cancel()
            await asyncio.gather(sweeper, return_exceptions=True)
            await self.news.close()
            await self.run(self.store.close)

    def routes(self, predictor: Predictor, *, readiness: Readiness) -> list[Route]:
        """The routes of ``/v1/jobs``."""
        return [
            Route("/v1/jobs", Endpoint({"POST": Post(self, predictor, readiness)})),
            Route("/v1/jobs/{id}", Endpoint({"GET": self.tell, "HEAD": self.tell, "DELETE": self.end})),
            Route("/v1/jobs/{id}/result", Endpoint(dict.fromkeys(["GET", "HEAD"], partial(self.send, "result")))),
            Route("/v1/jobs/{id}/bad", Endpoint(dict.fromkeys(["GET", "HEAD"], partial(self.send, "bad")))),
        ]

    async def find(self, scope: Scope) -> Job:
        """The job that the address names.

        Raises:
            Refused: there is none (404).
        """
        job_id = scope["path_params"]["id"]
        found = await self.run(partial(self.store.records.get, job_id)) if is_id(job_id) else None
        if found is None or not _may_know(scope.get(IDENTITY), found[0]):
            raise Refused("no_job", "There is no such job.", hint="it may have expired, or been removed")
        return found[0]

    async def tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        """``GET``: how far the job is, and what came of it."""
        del receive
        await send_job(send, await self.find(scope), body=scope["method"] != "HEAD")

    async def end(self, scope: Scope, receive: Receive, send: Send) -> None:
        """``DELETE``: cancels a job that is not finished, and removes one that is."""
        del receive
        job = await self.find(scope)
        after = await self.run(partial(cancel, self.store, job.id, ttl_s=self.settings.jobs_ttl_s))
        if after is not None:
            await send_job(send, after)
            return
        await self.run(partial(remove, self.store, job.id))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(self, which: str, scope: Scope, receive: Receive, send: Send) -> None:
        """``GET``: the result, or what is told of the bad rows.

        Raises:
            Refused: the job has none, not yet, or not any more.
        """
        del receive
        job = await self.find(scope)
        if job.state == "expired":
            raise Refused("expired", "The job's files have been removed: it is too long ago.", hint="post it again")
        name, size = (job.result, job.result_bytes) if which == "result" else (job.told, job.told_bytes)
        if job.state != "done":
            hint = f"look at {address(job.id)}" if job.open else None
            raise Refused("no_result", f"The job has no result: it is {job.state}.", hint=hint)
        if name is None:
            raise Refused("no_job", "Every row was answered: there is nothing to tell of bad ones.")
        media = MEDIA[job.wish.output] if which == "result" else MEDIA["jsonl"]
        suffix = job.wish.output if which == "result" else "bad.jsonl"
        etag = f'"{job.id[:8]}-{name}"'.encode()
        headers = [
            (b"content-type", media.encode()),
            (b"content-disposition", f'attachment; filename="{job.model}-{job.id[:8]}.{suffix}"'.encode()),
            (b"etag", etag),
        ]
        part = asked_range(scope, size, etag=etag)
        read = reader(self.store, job.id, name)
        await send_file(read, headers=headers, part=part, size_bytes=size, send=send, body=scope["method"] != "HEAD")

    async def counters(self) -> str:
        """The lines of ``/metrics``; none while the store cannot be reached."""
        try:
            counts, tallies = await self.run(self._count)
        except AweighError:
            return ""
        return counters_text(counts, tallies)

    def _count(self) -> tuple[Mapping[str, int], Mapping[str, float]]:
        return self.store.records.counts(), self.store.records.tallies()


class Endpoint:
    """An address whose methods are answered each by its own; any other is refused."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = self._answers.get(scope["method"])
        if answer is None:
            raise method_not_allowed(list(self._answers))
        try:
            await answer(scope, receive, send)
        except ClientGone:
            return
        except Unread as unread:
            await refuse_unread(unread.error, scope, receive, send)


class Post:
    """``POST /v1/jobs``."""

    def __init__(self, jobs: Jobs, predictor: Predictor, readiness: Readiness) -> None:
        self._jobs = jobs
        self._predictor = predictor
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a file in, and say where to look."""
        try:
            self._readiness.require_proof()
            _require_all(scope)
            asked = read_asked(scope)
            await self._jobs.run(self._require_place)
            spool = await self._jobs.run(self._jobs.store.spool)
        except AweighError as error:
            raise Unread(error) from error
        try:
            identity = scope.get(IDENTITY)
            job = await self._take(asked, spool, scope, receive, client="" if identity is None else identity.id)
        finally:
            self._jobs.store.leave(spool)
        await self._jobs.news.tell(job.id)
        if self._jobs.beside is not None:
            self._jobs.beside.wake()
        await send_job(send, job, status=202)

    async def _take(self, asked: Asked, spool: Path, scope: Scope, receive: Receive, *, client: str) -> Job:
        settings = self._jobs.settings
        path = spool / spool_name(asked.suffix)
        upload = Upload(
            path, limit=settings.jobs_max_bytes, patience_s=settings.body_timeout_s, hashed=asked.key is not None
        )
        await upload.receive(scope, receive)
        try:
            return await self._jobs.run(partial(self._record, asked, upload, client=client))
        finally:
            path.unlink(missing_ok=True)

    def _require_place(self) -> None:
        """Nothing, if another job may wait, and there is room for it.

        Raises:
            Refused: too many do (503).
            StorageFull: there is none (507).
        """
        self._jobs.store.require_room(self._jobs.settings.jobs_max_kept_bytes)
        if self._jobs.store.records.counts().get("queued", 0) >= self._jobs.settings.jobs_max_queued:
            raise Refused("queue_full", "As many jobs wait as may.", hint="try again when some of them are done")

    def _record(self, asked: Asked, upload: Upload, *, client: str) -> Job:
        """Looks at the file's head, stores the file, then the job: a record never leads to a file that is not there.

        Raises:
            DataError: the file cannot be read, or its columns are not the model's.
            StorageFull: with this file, the jobs would take more room than they may.
        """
        store, predictor = self._jobs.store, self._predictor
        store.require_room(self._jobs.settings.jobs_max_kept_bytes)
        wish = check_head(predictor.schema, upload.path, asked.wish, named=asked.output is not None)
        now = store.records.now()
        job = Job(
            id=new_id(),
            state="queued",
            model=predictor.manifest.name,
            digest=predictor.digest,
            source=f"input{asked.suffix}",
            size_bytes=upload.size_bytes,
            wish=wish,
            created=now,
            expires=now + self._jobs.settings.jobs_ttl_s,
            key=_key(asked, upload, [predictor.digest, repr(wish), client]),
            client=client,
        )
        try:
            store.files.adopt(job.id, job.source, upload.path)
            found = store.records.add(job)
        except (StorageDown, StorageFull):
            _forget(store, job)
            raise
        if found.id != job.id:
            store.files.drop(job.id)
        return found


def _require_all(scope: Scope) -> None:
    """A job answers every row of a file in full: that is for those who may have all.

    Raises:
        Refused: whoever asks has a budget of rows, or is not told all of an answer (403).
    """
    identity, meter = scope.get(IDENTITY), scope.get(METER)
    if meter is not None and meter.is_bounded and (identity is None or "operate" not in identity.scopes):
        raise Refused(
            "not_allowed",
            "A job is neither counted against a budget nor cut down to what you may be told.",
            hint="ask for the rows by /v1/predict",
        )


def _may_know(identity: Identity | None, job: Job) -> bool:
    return identity is None or identity.id == job.client or "operate" in identity.scopes


def _forget(store: Store, job: Job) -> None:
    """Leaves nothing of a job that could not be recorded; what cannot be reached now, the sweep finds."""
    try:
        remove(store, job.id)
    except (StorageDown, StorageFull):
        return


def _key(asked: Asked, upload: Upload, more: Sequence[str]) -> str | None:
    """What makes two requests one: the client's key and all that was sent with it.

    The key alone would let a stranger who guesses it see another's job.
    """
    if asked.key is None or upload.digest is None:
        return None
    parts = [asked.key, upload.digest.digest(), *(one.encode() for one in more)]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


async def send_job(send: Send, job: Job, *, status: int = 200, body: bool = True) -> None:
    """A job's document as an answer."""
    document = encode(job_document(job))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(document))]
    if status == 202:
        headers.append((b"location", address(job.id).encode()))
    if job.open:
        headers.append((b"retry-after", LOOK_AGAIN_S))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": document if body else b""})


def open_jobs(settings: Settings, *, digest: str, command: Sequence[str], environ: Mapping[str, str]) -> Jobs:
    """The jobs of a bundle; ``command`` is what runs them beside the server.

    Raises:
        MissingExtra: the database that the environment names needs packages that are not installed.
    """
    store = open_store(environ, state_dir=settings.state_dir, inline=settings.jobs == "inline")
    news = open_news(store.news_url, digest=digest)
    beside = None
    if settings.jobs == "inline":
        beside = Beside(store, digest=digest, command=command, ttl_s=settings.jobs_ttl_s)
    return Jobs(store, news, beside, settings=settings)
