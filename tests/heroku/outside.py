"""What is not the API: pre-signed addresses of sources and slugs, output streams, log sessions.

The addresses carry their own permission, and so an Authorization header beside it is refused, as storage does; a
Content-Type that the signature does not name breaks it.
"""

import io
import re
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from tests.heroku.streams import Line, Stream

MOST_SOURCE_BYTES = 2**31


def _refused(status: int, code: str, message: str) -> Response:
    document = f"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(document, status, media_type="application/xml")


async def outside(gate: Any, request: Request, asked: dict[str, Any]) -> Response:
    """Answer a request to ``/_...``."""
    _, kind, name = request.url.path.split("/", 2)
    if kind == "_sources":
        return await _source(gate, request, name, asked)
    if kind == "_slugs":
        return await _slug(gate, request, name, asked)
    if kind == "_streams" and name in gate.platform.streams:
        return _output(gate, request, gate.platform.streams[name])
    if kind == "_logs" and name in gate.platform.sessions:
        return _log(gate, request, name)
    return PlainTextResponse("not found\n", 404)


def _unsigned(request: Request, expected: str, given: str | None) -> Response | None:
    if "authorization" in request.headers:
        return _refused(
            400,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query "
            "parameter, Signature query string parameter or the Authorization header should be specified",
        )
    if given != expected or request.headers.get("content-type"):
        return _refused(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the "
            "signature you provided. Check your key and signing method.",
        )
    return None


async def _source(gate: Any, request: Request, name: str, asked: dict[str, Any]) -> Response:
    source = gate.platform.sources.get(name)
    if source is None or request.method not in ("PUT", "GET"):
        return _refused(404, "NoSuchKey", "The specified key does not exist.")
    wrong = _unsigned(request, f"{request.method.lower()}-{source.key}", request.query_params.get("Signature"))
    if wrong is not None:
        return wrong
    if request.method == "GET":
        return Response(source.path.read_bytes()) if source.path.is_file() else _refused(404, "NoSuchKey", "Not there.")
    if "content-length" not in request.headers:
        return _refused(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    asked["body"] = await _keep(request, source.path)
    return Response(status_code=200, headers={"ETag": f'"{source.key}"'})


async def _keep(request: Request, path: Path) -> int:
    part = path.with_suffix(".part")
    size_bytes = 0
    with part.open("wb") as file:
        async for chunk in request.stream():
            size_bytes += len(chunk)
            file.write(chunk)
    part.replace(path)
    return size_bytes


async def _slug(gate: Any, request: Request, name: str, asked: dict[str, Any]) -> Response:
    slug = next((app.slugs[name] for app in gate.platform.apps.values() if name in app.slugs), None)
    if slug is None or request.query_params.get("key") != slug.key or request.method != "PUT":
        return _refused(404, "NoSuchKey", "The specified key does not exist.")
    if "authorization" in request.headers:
        return _refused(400, "InvalidArgument", "Only one auth mechanism allowed")
    raw = await request.body()
    asked["body"] = slug.size_bytes = len(raw)
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        archive.extractall(slug.folder.with_suffix(".in"), filter="data")
    slug.folder.with_suffix(".in").joinpath("app").replace(slug.folder)
    return Response(status_code=200)


def _events(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def _output(gate: Any, request: Request, stream: Stream) -> Response:
    """Answer from an offset on: ``Range: bytes=N-``, or ``Last-Event-Id`` for events, whose ids are offsets, too."""
    events = _events(request)
    found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "").strip())
    last = request.headers.get("last-event-id", "").strip()
    start = int(last) if events and last.isdigit() else int(found[1]) if found else 0
    if start >= len(stream.data) and stream.closed and start > 0:
        return Response(status_code=204 if events else 416)
    kind = "text/event-stream" if events else "text/plain"
    headers = {"Content-Range": f"bytes {start}-/*"} if found and not events else {}
    status = 206 if found and not events else 200
    body = _read_output(gate, stream, start, events=events)
    return StreamingResponse(_cut(gate, request, body), status, headers=headers, media_type=kind)


async def _read_output(gate: Any, stream: Stream, start: int, *, events: bool) -> AsyncIterator[bytes]:
    offset, rest = start, b""
    async for chunk in stream.read(start, gate.options.keepalive_s):
        if not chunk:
            yield b":keepalive\n" if events else b"\0"
        elif not events:
            yield chunk
        else:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                offset += len(line) + 1
                yield b"id: %d\ndata: %s\n\n" % (offset, line)
    if rest:
        yield b"id: %d\ndata: %s\n\n" % (offset + len(rest), rest)


def _log(gate: Any, request: Request, name: str) -> Response:
    app, wanted = gate.platform.sessions[name]
    events = _events(request)

    async def lines() -> AsyncIterator[bytes]:
        async for line in app.log.read(wanted, gate.options.keepalive_s):
            yield _write_line(line, events=events)

    return StreamingResponse(_cut(gate, request, lines()), media_type="text/event-stream" if events else "text/plain")


def _write_line(line: Line | None, *, events: bool) -> bytes:
    if line is None:
        return b":keepalive\n" if events else b"\0"
    return f"id: {line.number}\ndata: {line}\n\n".encode() if events else f"{line}\n".encode()


async def _cut(gate: Any, request: Request, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """End the connection in the middle, where that was ordered."""
    left = gate.cuts.pop(0) if gate.cuts else None
    async for chunk in body:
        if left is not None and len(chunk) >= left:
            yield chunk[:left]
            gate.cut(request)
            return
        left = None if left is None else left - len(chunk)
        yield chunk
