"""Content types: which way in a body takes, and which way out its sender asks for."""

import re
from typing import Literal

from aweigh.errors import UnsupportedMedia
from aweigh.server.problems import Refused

Kind = Literal["json", "csv", "arrow"]

JSON = "application/json"
CSV = "text/csv"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
BINARY_HEADER = b"inference-header-content-length"
"""Under ``/v2``: how much of a body is JSON, where the bytes of tensors are behind it."""

READ: dict[str, Kind] = {JSON: "json", CSV: "csv", ARROW_STREAM: "arrow", ARROW_FILE: "arrow"}
WRITTEN: dict[str, Kind] = {JSON: "json", CSV: "csv", ARROW_STREAM: "arrow"}
"""In the order of preference where a client takes several."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  RFC 9110's word for such a string
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*(?:({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*"))?')
_TYPE = re.compile(rf"[ \t]*({_TOKEN}/{_TOKEN})")

_HINT = f"send {JSON}, {CSV} or {ARROW_STREAM}, and say so in the header Content-Type"


def parse(header: str) -> tuple[str, dict[str, str]] | None:
    """A content type and its parameters (RFC 9110, 8.3.1), both in lower case but the values; None when it is none."""
    found = _TYPE.match(header)
    if found is None:
        return None
    media, at, end = found[1].lower(), found.end(), len(header.rstrip())
    parameters: dict[str, str] = {}
    while at < end:
        found = _PARAMETER.match(header, at)
        if found is None:
            return None
        if found[1]:
            value = found[2]
            parameters[found[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        at = found.end()
    return media, parameters


def kind_of(headers: list[bytes]) -> tuple[Kind, str | None]:
    """What a request's ``Content-Type`` headers say: the kind of body and, for CSV, its charset.

    Raises:
        UnsupportedMedia: there is none, several, or none that is read here.
    """
    if headers == [b"application/json"]:
        return "json", None
    if len(headers) != 1 or not headers[0].strip():
        raise UnsupportedMedia("The request does not say what its body is.", hint=_HINT)
    parsed = parse(headers[0].decode("latin-1"))
    if parsed is None:
        raise UnsupportedMedia("The header Content-Type is not well formed.", hint=_HINT)
    media, parameters = parsed
    kind = READ.get(media)
    if kind is None:
        raise UnsupportedMedia(f"A body of type {media[:80]!r} is not read here.", hint=_hint_for(media))
    charset = parameters.get("charset")
    if kind == "csv":
        return kind, charset
    if kind == "json" and charset is not None and charset.lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMedia("JSON is read as UTF-8 only.", hint="send UTF-8 and leave the charset out")
    return kind, None


def _hint_for(media: str) -> str:
    if media == "application/x-www-form-urlencoded":
        return f"with curl, add -H 'Content-Type: {JSON}'"
    if "parquet" in media or "sheet" in media or "excel" in media:
        return f"send the table as {CSV} or {ARROW_STREAM}"
    return _HINT


def wanted(headers: list[bytes]) -> Kind:
    """What a request's ``Accept`` headers ask for; JSON when they ask for anything or for nothing.

    Raises:
        Refused: they ask for what is not written here (406).
    """
    text = b",".join(headers).decode("latin-1").strip()
    if not text or text == "*/*":
        return "json"
    weights: dict[str, float] = {}
    for one in text.split(","):
        parsed = parse(one)
        if parsed is None:
            continue
        try:
            weights[parsed[0]] = min(1.0, float(parsed[1].get("q", "1")))
        except ValueError:
            continue
    best, best_weight = None, 0.0
    for media, kind in WRITTEN.items():
        some = media.partition("/")[0] + "/*"
        weight = weights.get(media, weights.get(some, weights.get("*/*", 0.0)))
        if weight > best_weight:
            best, best_weight = kind, weight
    if best is None:
        raise Refused("not_acceptable", "None of the content types asked for can be written.", hint=f"ask for {JSON}")
    return best
