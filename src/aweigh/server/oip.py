"""``/v2``: the Open Inference Protocol, which KServe, Triton and MLServer clients speak.

The values mean what they mean to ``/v1``: same checks, same answers. Errors are ``{"error": "..."}``, as the protocol
has them, and what ``/v1`` calls 422 is 400 here.
"""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.types import Receive, Scope, Send

from aweigh._version import __version__
from aweigh.errors import AweighError, InvalidRows, MalformedBody, Problem
from aweigh.schema import Answers
from aweigh.schema.check import check_rows
from aweigh.server.access.meter import Meter
from aweigh.server.asking import Ask, Question, one_model
from aweigh.server.body import ClientGone, Unpacking, Unread, packing_of, read_body, refuse_unread
from aweigh.server.finish import finish
from aweigh.server.media import BINARY_HEADER
from aweigh.server.output_tensors import datatype_of, output_metadata, output_tensors
from aweigh.server.problems import Refused, encode, headers_of, method_not_allowed, sentence_of, status_of
from aweigh.server.readiness import Readiness
from aweigh.server.reply import Reply
from aweigh.server.service import Seen, Service
from aweigh.server.settings import Settings
from aweigh.server.tensors import read_request, rows_of
from aweigh.server.timing import Timing
from aweigh.server.ulid import ulid
from aweigh.table import Table
from aweigh.wire.coding import Coding

JSON = b"application/json"
BINARY = b"application/octet-stream"
EXTENSIONS = ("binary_tensor_data",)
CODINGS: tuple[Coding, ...] = ("gzip",)
"""Triton's client lets aiohttp ask for zstd, where that can, and reads no more than gzip and deflate."""


class OpenInference:
    """Everything under ``/v2`` as a raw ASGI endpoint; errors are ``{"error": "..."}``, as the protocol has them."""

    def __init__(
        self, service: Service | None, *, readiness: Readiness, settings: Settings, ask: Ask | None = None
    ) -> None:
        self._service = service
        self._ask = ask
        self._readiness = readiness
        self._settings = settings
        self._unpacked = Unpacking(settings.max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            headers, body = await self._answer(scope, receive)
            status = 200
        except ClientGone:
            return
        except Unread as unread:
            body = encode({"error": sentence_of(unread.error)})
            await refuse_unread(unread.error, scope, receive, send, media=JSON, body=body)
            return
        except AweighError as error:
            status = 400 if status_of(error) == 422 else status_of(error)
            body = encode({"error": sentence_of(error)})
            headers = headers_of(error, size_bytes=len(body), media=JSON)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        parts = scope["path"].split("/")[2:]
        if parts and not parts[-1]:
            parts.pop()
        if "" in parts:  # the door has read the address as it stands
            raise _nothing_here()
        reply, methods = self._find(parts)
        if scope["method"] not in methods:
            raise method_not_allowed(methods)
        if reply is not None:
            return _json(reply())
        return await self._infer(scope, receive)

    def _find(self, parts: list[str]) -> tuple[Callable[[], dict[str, object]] | None, tuple[str, ...]]:
        """What answers at the path, and which methods it takes; no function stands for ``infer``.

        Raises:
            Refused: nothing does (404).
        """
        read = ("GET", "HEAD")
        if not parts:
            return self._server, read
        if parts == ["health", "live"]:
            return lambda: {"live": True}, read
        if parts == ["health", "ready"]:
            return lambda: {"live": True, "ready": self._is_ready()}, read
        if parts[0] != "models" or len(parts) < 2 or self._service is None:
            raise _nothing_here()
        predictor = self._service.predictor
        if parts[1] != predictor.manifest.name:
            raise Refused("not_found", f"There is no model of that name here, only {predictor.manifest.name!r}.")
        rest = parts[2:]
        if rest[:1] == ["versions"] and len(rest) >= 2:
            if rest[1] not in {predictor.version, predictor.digest}:
                raise Refused("not_found", f"There is no such version here, only {predictor.version!r}.")
            rest = rest[2:]
        if not rest:
            return self._model, read
        if rest == ["ready"]:
            return lambda: {"name": predictor.manifest.name, "ready": self._is_ready()}, read
        if rest == ["infer"]:
            return None, ("POST",)
        raise _nothing_here()

    def _server(self) -> dict[str, object]:
        return {"name": "aweigh", "version": __version__, "extensions": list(EXTENSIONS)}

    def _is_ready(self) -> bool:
        """True.

        Raises:
            NotReady: it is not.
        """
        self._readiness.require_ready()
        return True

    def _model(self) -> dict[str, object]:
        service = self._service
        if service is None:
            raise _nothing_here()
        predictor = service.predictor
        inputs = [{"name": one.name, "datatype": datatype_of(one), "shape": [-1]} for one in service.schema.columns]
        return {
            "name": predictor.manifest.name,
            "versions": [predictor.version],
            "platform": f"aweigh_{predictor.manifest.runtime}",
            "inputs": inputs,
            "outputs": output_metadata(service.schema),
            "properties": {"digest": predictor.digest, "task": service.schema.output.task},
        }

    async def _infer(self, scope: Scope, receive: Receive) -> Reply:
        service = self._service
        if service is None:
            raise _nothing_here()
        self._readiness.require_proof()
        packing = packing_of(scope)
        codings = [value for name, value in scope["headers"] if name == b"accept-encoding"]
        json_bytes = _json_bytes({value for name, value in scope["headers"] if name == BINARY_HEADER})
        body = await read_body(scope, receive, settings=self._settings)
        if packing is not None:
            body = await self._unpacked(body, packing)
        if json_bytes is not None and not 0 <= json_bytes <= len(body):
            raise MalformedBody(
                "The header Inference-Header-Content-Length is not the length of the JSON in the body.",
                hint="count its bytes, unpacked; leave the header out where nothing is behind the JSON",
            )
        timing = Timing()

        def attempt(service: Service, meter: Meter | None, seen: Seen | None) -> Awaitable[Reply]:
            request = Inference(service, body, json_bytes=json_bytes, meter=meter)

            def write(answers: Answers, warnings: Sequence[Problem]) -> Reply:
                if seen is not None:
                    seen(answers)
                reply = request.reply(answers, warnings)
                return finish(reply, accepted=b",".join(codings), timing=timing, among=CODINGS)

            return service.ask(request.read, write, size_bytes=len(body), timing=timing, receive=receive)

        question = Question(scope, body, lambda service: Inference(service, body, json_bytes=json_bytes).read())
        return await (self._ask or one_model(service))(attempt, question)


class Inference:
    """One inference request: its tensors as a table, and the answers as tensors."""

    def __init__(self, service: Service, body: bytes, *, json_bytes: int | None, meter: Meter | None = None) -> None:
        self._service = service
        self._body = body
        self._json_bytes = json_bytes
        self._meter = meter
        self._id: str | None = None
        self._asked: frozenset[str] = frozenset()
        self._binary: frozenset[str] = frozenset()

    def read(self) -> Table:
        """The tensors as a table that fits the schema.

        Raises:
            DataError: the body, its tensors or their values do not fit.
            OverBudget: whoever asks has asked for as much as they may.
        """
        schema = self._service.schema
        request = read_request(self._body, json_bytes=self._json_bytes)
        self._id = request.id
        self._asked = frozenset(one.name for one in request.outputs or ())
        known = {str(one["name"]) for one in output_metadata(schema)}
        if self._asked - known:
            stranger = min(self._asked - known)[:60]
            raise InvalidRows((Problem("unknown_output", f"the model has no output {stranger!r}"),))
        self._binary = request.binary_outputs(known)
        rows = rows_of(schema, request.inputs, max_rows=self._service.max_rows, missing_text=request.missing_text)
        table = self._service.within(check_rows(schema, rows))
        if self._meter is not None:
            self._meter(table, len(self._body))
        return table

    def reply(self, answers: Answers, warnings: Sequence[Problem]) -> Reply:
        """The outputs that were asked for, all of them when none was named; in JSON, or behind it in bytes."""
        predictor = self._service.predictor
        schema = predictor.schema
        if self._meter is not None:
            answers = self._meter.told(answers)
            schema = msgspec.structs.replace(schema, output=answers.output)
        tensors, rest = output_tensors(schema, answers, names=self._asked, binary=self._binary)
        document: dict[str, object] = {
            "model_name": predictor.manifest.name,
            "model_version": predictor.version,
            "id": self._id if self._id is not None else ulid(),
            "outputs": tensors,
        }
        if warnings:  # as text: a parameter is a text, a number or a boolean
            document["parameters"] = {"warnings": encode([one.document() for one in warnings]).decode()}
        if not self._binary:
            return _json(document)
        head = encode(document)
        return [
            (b"content-type", BINARY),
            (b"content-length", b"%d" % (len(head) + len(rest))),
            (BINARY_HEADER, b"%d" % len(head)),
        ], head + rest


def _json(document: dict[str, object]) -> Reply:
    body = encode(document)
    return [(b"content-type", JSON), (b"content-length", b"%d" % len(body))], body


def _json_bytes(said: set[bytes]) -> int | None:
    """The length of the JSON before the bytes of tensors, as the header says it; -1: it cannot be."""
    if not said:
        return None
    value = said.pop()
    return int(value) if not said and value.isdigit() and len(value) < 12 else -1


def _nothing_here() -> Refused:
    return Refused("not_found", "There is nothing at this address.")
