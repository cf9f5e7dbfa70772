"""``/v1``: rows in, predictions out; the schema and the model as documents.

``Predict`` is a raw ASGI endpoint: this is the path whose every microsecond counts.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import replace

import msgspec
from starlette.types import Receive, Scope, Send

from aweigh.errors import AweighError
from aweigh.runtime.predictor import Predictor
from aweigh.server.access.meter import Meter
from aweigh.server.asking import Ask, Question, one_model
from aweigh.server.body import ClientGone, Unread, read_body, refuse_encoding, refuse_unread
from aweigh.server.lane import INLINE_BYTES
from aweigh.server.media import ARROW_STREAM, Kind, kind_of, wanted
from aweigh.server.problems import document_of, encode, headers_of, method_not_allowed, status_of
from aweigh.server.readiness import Readiness
from aweigh.server.reply import Headers, Reply
from aweigh.server.service import Asked, Seen, Service
from aweigh.server.settings import Settings
from aweigh.server.whole import send_whole

JSON, ARROW = b"application/json", ARROW_STREAM.encode()
ANYTHING = b"*/*"
TAKES_JSON = frozenset({JSON, ANYTHING})
SENT: Mapping[bytes | None, Kind] = {JSON: "json", ARROW: "arrow"}
TAKEN: Mapping[bytes, Kind] = {JSON: "json", ANYTHING: "json", ARROW: "arrow"}
"""What programs say that they send and accept; a browser's longer list is read word by word."""


class Predict:
    """``POST /v1/predict`` as a raw ASGI endpoint."""

    def __init__(self, service: Service, *, readiness: Readiness, settings: Settings, ask: Ask | None = None) -> None:
        self._service = service
        self._ask = ask or one_model(service)
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
            await _send(send, *_problem(error))
            return
        await send_whole(scope, send, status=200, headers=headers, body=body)

    def at_once(
        self, headers: Mapping[bytes, bytes], body: bytes, meter: Meter | None = None
    ) -> tuple[int, bytes, bytes] | None:
        """The reply to a plain request, in JSON or Arrow for either, as status, header lines and body.

        It is small, or of whoever is alone with this process.

        None where ``__call__`` has more to look at.

        Raises:
            Exception: something else failed than the request, as ``__call__`` will say.
        """
        get = headers.get
        if (
            not self._service.inline
            or not self._readiness.proven
            or b"content-encoding" in headers
            or len(body) > self._settings.max_body_bytes
        ):
            return None
        media, accept, accepted = get(b"content-type"), get(b"accept", ANYTHING), get(b"accept-encoding", b"")
        try:
            if media == JSON and accept in TAKES_JSON and len(body) <= INLINE_BYTES:
                return 200, *self._service.reply_at_once(body, accepted=accepted, meter=meter)
            kind, wanted = SENT.get(media), TAKEN.get(accept)
            if kind is None or wanted is None or not self._service.is_quick(kind, len(body)):
                return None
            return 200, *self._service.reply_here(Asked(kind, None, wanted, body, accepted, meter, here=True))
        except AweighError as error:
            status, lines, told = _problem(error)
            return status, b"".join([b"%b: %b\r\n" % one for one in lines]), told

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        if scope["method"] != "POST":
            raise method_not_allowed(["POST"])
        self._readiness.require_proof()
        types: list[bytes] = []
        accepts: list[bytes] = []
        codings: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"content-type":
                types.append(value)
            elif name == b"accept":
                accepts.append(value)
            elif name == b"accept-encoding":
                codings.append(value)
        kind, charset = kind_of(types)
        reply_kind = wanted(accepts)
        refuse_encoding(scope)
        body = await read_body(scope, receive, settings=self._settings)
        asked = Asked(kind, charset, reply_kind, body, b",".join(codings))
        question = Question(scope, body, lambda service: service.read(asked))

        def attempt(service: Service, meter: Meter | None, seen: Seen | None) -> Awaitable[Reply]:
            return service.reply(replace(asked, meter=meter, seen=seen), receive=receive)

        return await self._ask(attempt, question)


def _problem(error: AweighError) -> tuple[int, Headers, bytes]:
    body = encode(document_of(error))
    return status_of(error), headers_of(error, size_bytes=len(body)), body


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def schema_document(predictor: Predictor) -> dict[str, object]:
    """``GET /v1/schema``: what goes in and what comes out."""
    return {"input": {"columns": predictor.schema.columns}, "output": predictor.schema.output}


def domain_document(predictor: Predictor) -> dict[str, object]:
    """What becomes here of rows outside what the model has seen, and what the check of combinations does."""
    known, policy = predictor.combinations, predictor.policy
    return {
        "columns": policy.columns,
        "combination": policy.combination,
        "named": policy.named,
        "calibration": None if known is None else known.calibration,
    }


def model_document(predictor: Predictor, *, in_full: bool = True) -> dict[str, object]:
    """``GET /v1/model``: what the bundle says of itself, its golden rows and its profile, for people and programs.

    ``in_full`` is False where not everybody is told all of an answer: then no answers stand beside the golden rows.
    """
    manifest, examples = predictor.manifest, predictor.examples
    if not in_full:
        examples = msgspec.structs.replace(examples, predictions=[])
    return {
        "name": manifest.name,
        "version": predictor.version,
        "digest": predictor.digest,
        "signers": [{"name": one.name, "keyid": one.keyid} for one in predictor.signers],
        "family": manifest.family,
        "model": manifest.model,
        "runtime": manifest.runtime,
        "runtime_reason": manifest.runtime_reason,
        "forms": msgspec.to_builtins(predictor.forms, str_keys=True),
        "task": predictor.schema.output.task,
        "python": manifest.python,
        "made_with": manifest.made_with,
        "proof": manifest.proof,
        "presentation": manifest.presentation,
        "domain": domain_document(predictor),
        "robustness": manifest.robustness,
        "membership": manifest.membership,
        "card": predictor.card,
        "examples": examples,
        "profile": msgspec.Raw(predictor.profile_json),
    }
