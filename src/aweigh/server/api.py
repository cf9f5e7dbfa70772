"""``/v1``: rows in, predictions out; the schema and the model as documents.

``Predict`` is a raw ASGI endpoint: this is the path whose every microsecond counts. Small bodies are answered at once
on the event loop, large ones and slow models in a thread, a few at a time.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from starlette.types import Receive, Scope, Send

from aweigh.errors import AweighError, InvalidRows, Problem
from aweigh.runtime.predictor import Predictor
from aweigh.schema.answers import Answers
from aweigh.schema.check import check
from aweigh.schema.decode import Decode, compile_decoder
from aweigh.schema.domain import warnings_for
from aweigh.server.body import ClientGone, Unread, read_body, refuse_encoding, refuse_unread
from aweigh.server.media import ARROW_STREAM, Kind, kind_of, wanted
from aweigh.server.metrics import Counters
from aweigh.server.problems import document_of, encode, headers_of, method_not_allowed, status_of
from aweigh.server.readiness import Readiness
from aweigh.server.settings import Settings
from aweigh.server.ulid import ulid
from aweigh.table import Table, read_csv, write_csv

INLINE_BYTES = 16 * 1024
"""Bodies up to here are answered on the event loop: a few dozen rows, well under a millisecond of parsing."""

INLINE_S = 0.005
"""A model that takes longer than this for one row always answers in a thread."""

THREADS = 4
"""How many requests are worked on in threads at once; the others wait."""

MAX_WARNINGS = 100
ASKED_ALONE = 100
"""When the model fails on a table of up to so many rows, each is asked alone, to say which it was."""

Headers = list[tuple[bytes, bytes]]

_LOG = logging.getLogger(__name__)
_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


class NoAnswer(InvalidRows):
    """Rows that the schema takes and the model itself refuses."""

    code = "no_answer"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for predictions: the body and what its headers say of it."""

    kind: Kind
    charset: str | None
    wanted: Kind
    body: bytes


class Service:
    """A predictor as the server uses it: bodies of any kind in, answers out, counted."""

    def __init__(self, predictor: Predictor, *, settings: Settings, counters: Counters) -> None:
        self.predictor = predictor
        self.schema = predictor.schema
        self.max_rows = settings.rows_for(predictor.schema)
        self.inline = True
        self._decode: Decode = compile_decoder(predictor.schema, max_rows=self.max_rows)
        self._counters = counters
        self._model = _encode({"name": predictor.manifest.name, "version": predictor.version})
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, work: Callable[[], Any], *, size_bytes: int) -> Any:
        """Does the work: at once when the body is small and the model quick, else in one of a few threads."""
        if self.inline and size_bytes <= INLINE_BYTES:
            return work()
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def warm(self) -> None:
        """Answers a golden row as a request would, twice, and learns whether the model is quick enough to wait for."""
        body = _encode({"rows": self.predictor.examples.rows[:1]})
        for _ in range(2):
            begun = time.perf_counter()
            self.answer(Asked("json", None, "json", body))
            self.inline = time.perf_counter() - begun < INLINE_S

    def table(self, asked: Asked) -> Table:
        """The body as a table that fits the schema.

        Raises:
            DataError: it cannot be read, is too large, or does not fit.
        """
        if asked.kind == "json":
            return self._decode(asked.body)
        if asked.kind == "csv":
            return check(self.schema, read_csv(asked.body, charset=asked.charset, max_rows=self.max_rows))
        from aweigh.table.arrow import read_arrow

        return check(self.schema, read_arrow(asked.body, max_rows=self.max_rows))

    def predict(self, table: Table) -> tuple[Answers, list[dict[str, object]]]:
        """The answers, and what is unusual about the rows.

        Raises:
            NoAnswer: the model fails on these rows though it still answers a golden one.
        """
        if not table.rows:
            return Answers.empty(self.schema.output), []
        begun = time.perf_counter()
        try:
            answers = self.predictor.predict(table)
        except (AweighError, MemoryError):
            raise
        except Exception as error:
            raise self._blame(table, error) from error
        seconds = time.perf_counter() - begun
        warnings = [one.document() for one in warnings_for(self.schema, table, limit=MAX_WARNINGS)]
        self._counters.predicted(rows=table.rows, warnings=len(warnings), seconds=seconds)
        return answers, warnings

    def _blame(self, table: Table, error: Exception) -> Exception:
        """The rows' fault or the model's: it is the rows' when the golden rows are answered as ever."""
        if not self.predictor.replay().ok:
            return error
        _LOG.warning("the model fails on rows that its schema takes: %s", type(error).__name__)
        problems = []
        for i in range(table.rows if table.rows <= ASKED_ALONE else 0):
            try:
                self.predictor.predict(table.take(slice(i, i + 1)))
            except Exception:  # noqa: BLE001  whatever a model raises is the answer to the question asked here
                problems.append(Problem("no_answer", f"the model has no answer for row {i}", row=i))
        return NoAnswer(tuple(problems) or (Problem("no_answer", "the model has no answer for these rows"),))

    def answer(self, asked: Asked) -> tuple[Headers, bytes]:
        """Headers and body of the reply to one request.

        Raises:
            DataError: see ``table`` and ``predict``.
        """
        answers, warnings = self.predict(self.table(asked))
        request_id = ulid().encode()
        if asked.wanted == "json":
            body = b'{"id":"%b","model":%b,"predictions":%b,"warnings":%b}' % (
                request_id,
                self._model,
                _encode(answers.documents()),
                _encode(warnings),
            )
            return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))], body
        names, rows = answers.flat()
        if asked.wanted == "csv":
            media, body = b"text/csv; charset=utf-8; header=present", write_csv(names, rows).encode()
        else:
            from aweigh.table.arrow_write import write_arrow

            media, body = (
                ARROW_STREAM.encode(),
                write_arrow(names, list(zip(*rows, strict=True)) or [[] for _ in names]),
            )
        extra = [
            (b"content-type", media),
            (b"content-length", b"%d" % len(body)),
            (b"x-aweigh-id", request_id),
            (b"x-aweigh-model", f"{self.predictor.manifest.name}@{self.predictor.version}".encode()),
            (b"x-aweigh-warnings", b"%d" % len(warnings)),
        ]
        return extra, body


class Predict:
    """``POST /v1/predict`` as a raw ASGI endpoint."""

    def __init__(self, service: Service, *, readiness: Readiness, settings: Settings) -> None:
        self._service = service
        self._readiness = readiness
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            headers, body = await self._reply(scope, receive)
        except ClientGone:
            return
        except Unread as unread:
            await refuse_unread(unread.error, scope, receive, send)
            return
        except AweighError as error:
            body = encode(document_of(error))
            await _send(send, status_of(error), headers_of(error, size_bytes=len(body)), body)
            return
        await _send(send, 200, headers, body)

    async def _reply(self, scope: Scope, receive: Receive) -> tuple[Headers, bytes]:
        if scope["method"] != "POST":
            raise method_not_allowed(["POST"])
        self._readiness.require_proof()
        types: list[bytes] = []
        accepts: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"content-type":
                types.append(value)
            elif name == b"accept":
                accepts.append(value)
        kind, charset = kind_of(types)
        reply_kind = wanted(accepts)
        refuse_encoding(scope)
        body = await read_body(scope, receive, settings=self._settings)
        asked = Asked(kind, charset, reply_kind, body)
        reply: tuple[Headers, bytes] = await self._service.run(
            partial(self._service.answer, asked), size_bytes=len(body)
        )
        return reply


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def schema_document(predictor: Predictor) -> dict[str, object]:
    """``GET /v1/schema``: what goes in and what comes out."""
    return {"input": {"columns": predictor.schema.columns}, "output": predictor.schema.output}


def model_document(predictor: Predictor) -> dict[str, object]:
    """``GET /v1/model``: what the bundle says of itself, its golden rows and its profile, for people and programs."""
    manifest = predictor.manifest
    return {
        "name": manifest.name,
        "version": predictor.version,
        "digest": predictor.digest,
        "family": manifest.family,
        "model": manifest.model,
        "runtime": manifest.runtime,
        "runtime_reason": manifest.runtime_reason,
        "task": predictor.schema.output.task,
        "python": manifest.python,
        "made_with": manifest.made_with,
        "proof": manifest.proof,
        "presentation": manifest.presentation,
        "card": predictor.card,
        "examples": predictor.examples,
        "profile": msgspec.Raw(predictor.profile_json),
    }
