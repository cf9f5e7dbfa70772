"""What a request for a job asks for: the kind of file by its headers, and how it is to be answered by its query."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import get_args
from urllib.parse import parse_qsl

from starlette.types import Scope

from aweigh.errors import UnsupportedMedia
from aweigh.jobs.job import Wish
from aweigh.runtime.rows_out import OutKind
from aweigh.server.media import ARROW_FILE, ARROW_STREAM, CSV, JSON, parse
from aweigh.server.problems import Refused

PARQUET = "application/vnd.apache.parquet"
JSON_LINES = "application/x-ndjson"
SUFFIXES = {
    CSV: ".csv", "text/tab-separated-values": ".csv", JSON: ".json",
    JSON_LINES: ".jsonl", "application/ndjson": ".jsonl", "application/jsonl": ".jsonl",
    PARQUET: ".parquet", "application/x-parquet": ".parquet", ARROW_STREAM: ".arrow", ARROW_FILE: ".arrow",
    "application/octet-stream": "", "application/gzip": "",
}  # fmt: skip
"""The content types of files; behind those with no suffix may be any of them, told by its first bytes."""

OUTPUTS: tuple[OutKind, ...] = get_args(OutKind)
BY_SUFFIX: dict[str, OutKind] = {
    ".csv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
MAX_KEY_BYTES = 255
_HINT = f"say what the file is in the header Content-Type: {CSV}, {JSON_LINES}, {JSON}, {PARQUET} or {ARROW_STREAM}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a job: the suffix of its file, what is wished, and the key under which it may come again."""

    suffix: str
    output: OutKind | None
    wish: Wish
    key: bytes | None


def read_asked(scope: Scope) -> Asked:
    """What a request asks for.

    Raises:
        UnsupportedMedia: a content type that is not read, or that needs a package which is not installed.
        Refused: a parameter that there is none of, or a value that it cannot have.
    """
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name, []).append(value)
    suffix, charset = _file(headers.get(b"content-type", []))
    for encoding in headers.get(b"content-encoding", []):
        if encoding.strip().lower() not in {b"", b"identity", b"gzip"}:
            raise UnsupportedMedia(
                "A file is taken as it is, or packed with gzip.", hint="send it with gzip or unpacked"
            )
    keys = headers.get(b"idempotency-key", [])
    if len(keys) > 1 or any(not 0 < len(one.strip()) <= MAX_KEY_BYTES for one in keys):
        raise _bad("Idempotency-Key", f"is one text of 1 to {MAX_KEY_BYTES} characters")
    output, wish = _wish(scope["query_string"], charset)
    if (output or BY_SUFFIX.get(suffix)) in {"parquet", "arrow"} and find_spec("pyarrow") is None:
        raise UnsupportedMedia(
            "Neither Parquet nor Arrow is written here.", hint="ask for ?output=csv or ?output=jsonl"
        )
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise UnsupportedMedia("Parquet is not read here.", hint=_HINT)
    return Asked(suffix, output, wish, keys[0].strip() if keys else None)


def _file(types: list[bytes]) -> tuple[str, str | None]:
    parsed = parse(types[0].decode("latin-1")) if len(types) == 1 else None
    if parsed is None:
        raise UnsupportedMedia("The request does not say what its body is.", hint=_HINT)
    media, parameters = parsed
    if media not in SUFFIXES:
        raise UnsupportedMedia(f"A file of type {media[:80]!r} is not read here.", hint=_HINT)
    return SUFFIXES[media], parameters.get("charset") if SUFFIXES[media] == ".csv" else None


def _wish(query: bytes, charset: str | None) -> tuple[OutKind | None, Wish]:
    """The output that is named, if any, and the wish; its output stands for the named one or for CSV."""
    output: OutKind | None = None
    keep: list[str] = []
    answers_only = ignore_extra = False
    delimiter = None
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=10_000)
    except ValueError as error:
        raise Refused("bad_parameter", "The query of the address cannot be read.") from error
    for name, value in pairs:
        if name == "output":
            if value not in OUTPUTS:
                raise _bad(name, f"is one of {', '.join(OUTPUTS)}")
            output = value
        elif name == "keep":
            keep.append(value)
        elif name == "answers_only":
            answers_only = _flag(name, value)
        elif name == "ignore_extra":
            ignore_extra = _flag(name, value)
        elif name == "delimiter":
            delimiter = "\t" if value in {"tab", "\\t"} else value
            if len(delimiter) != 1 or delimiter in '"\r\n\0':
                raise _bad(name, "is one character, or 'tab'")
        else:
            known = "output, keep, answers_only, ignore_extra and delimiter"
            raise Refused("bad_parameter", f"There is no parameter {name[:60]!r}.", hint=f"the parameters are {known}")
    if answers_only and keep:
        raise _bad("answers_only", "carries no column along, and 'keep' some")
    kept = () if answers_only else tuple(keep) or None
    wish = Wish(output=output or "csv", keep=kept, ignore_extra=ignore_extra, charset=charset, delimiter=delimiter)
    return output, wish


def _flag(name: str, value: str) -> bool:
    if value not in {"true", "false", ""}:
        raise _bad(name, "is true or false")
    return value != "false"


def _bad(name: str, what: str) -> Refused:
    return Refused("bad_parameter", f"{name} {what}.")
