"""A JSON body into a table: a decoder compiled from the schema for what is right, a patient reader for what is not.

``compile_decoder`` makes msgspec structs of the columns, so that parsing, type checks and the table are one pass in C.
Whatever it does not take, for whatever reason, goes to the slow reader (``parse_json`` and ``check_rows``), which
alone decides what is wrong and says so. The fast way never takes what the slow way would refuse, and both make the
same table: tests hold them against each other.
"""

import json
import struct
from collections.abc import Callable
from typing import Never

import msgspec

from aweigh.errors import InvalidRows, MalformedBody, Problem, TooLarge
from aweigh.schema.cells import BadCell
from aweigh.schema.check import check_rows
from aweigh.schema.column import Schema
from aweigh.schema.decode_fast import Later, compile_fast, count_byte
from aweigh.table import Table
from aweigh.table.blocks import Layout

Decode = Callable[[bytes], Table]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_SHOWN_CHARACTERS = 20
MOST_NESTED = 1000
"""Within so many lists and objects no row stands."""

BLOCK_BYTES = 2**16
"""So much of a body is taken apart at once: of all of it, three million strings would be as many objects."""


# -- the patient reader ----------------------------------------------------------------------------------------------


def parse_json(body: bytes) -> object:
    """A JSON text as plain Python values, read strictly; a byte-order mark before it is stepped over.

    Refused: what is not UTF-8, ``NaN`` and ``Infinity``, a key that stands twice in one object, nesting without end,
    integers of thousands of digits.

    Raises:
        MalformedBody: the body is none of that.
    """
    try:
        text = body.removeprefix(BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not UTF-8: byte {error.start} does not belong to it.") from error
    if not text.strip():
        raise MalformedBody("The body is empty.", hint='send {"rows": [{"column": value}]}')
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, character {error.colno}"
        found = text[error.pos : error.pos + MAX_SHOWN_CHARACTERS]
        near = f", at {found!r}" if found else ", where it ends"
        message = f"The body is not JSON: {error.msg[:1].lower()}{error.msg[1:]} ({where}{near})."
        raise MalformedBody(message, hint=_mending(error)) from error
    except RecursionError as error:
        raise too_deep() from error
    except ValueError as error:  # Python's own limit on the digits of an integer
        raise MalformedBody("The JSON holds a number of too many digits.") from error


def _mending(error: json.JSONDecodeError) -> str:
    """What to do about a text that is no JSON: the slips of a shell, of Python and of a pen."""
    before, found = error.doc[: error.pos].rstrip(), error.doc[error.pos :].lstrip()
    if not found:
        return "it ends too early: send all of it"
    if error.msg == "Extra data":
        return "send one JSON object and nothing behind it"
    if found.startswith(("True", "False", "None", "nan")):
        return "JSON says true, false and null; json.dumps writes them so"
    if found[0] in "}]" and before.endswith(","):
        return "leave out the comma before it"
    if found[0] in "'\u2018\u2019\u201c\u201d" or found[0].isalpha():
        return "keys and texts stand in double quotes; where the shell takes these away, send a file: -d @body.json"
    return "let a library write it: json.dumps in Python, JSON.stringify in a browser"


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedBody(f"The JSON has the key {key[:60]!r} twice in one object.")
            seen.add(key)
    return found


def _no_constant(word: str) -> Never:
    raise MalformedBody(f"The body is not JSON: {word} is no JSON number.", hint="a missing value is null")


def count_containers(body: bytes, *, over: int) -> int:
    """How many objects and lists the JSON opens, counted outside its strings; at once 0 where it cannot be ``over``."""
    if len(body) <= over or count_byte(body, b"{") + count_byte(body, b"[") <= over:
        return 0
    count = at = inside = 0
    while at < len(body) and count <= over:
        piece = body[at : at + BLOCK_BYTES]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = body[at : at + BLOCK_BYTES + 1]  # with what the last of them escapes
        at += len(piece)
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        bare = b"".join(parts[inside::2])
        count += bare.count(b"{") + bare.count(b"[")
        inside ^= (len(parts) - 1) & 1
    return count


def refuse_many_rows(body: bytes, *, max_rows: int) -> None:
    """Refuses a body that holds more rows than the limit before memory is spent on them.

    Raises:
        TooLarge: it opens more objects and lists than that many rows do.
        MalformedBody: it opens them one within the other.
    """
    if count_containers(body, over=max_rows + 2) <= max_rows + 2:
        return
    ends = [at for at in (body.find(b"]"), body.find(b"}")) if at >= 0]
    if count_containers(body[: min(ends, default=len(body))], over=MOST_NESTED) > MOST_NESTED:
        raise too_deep()
    raise too_many_rows(max_rows)


def too_deep() -> MalformedBody:
    """The refusal of lists and objects within one another, without end."""
    return MalformedBody("The JSON is nested too deeply.")


def too_many_rows(max_rows: int) -> TooLarge:
    """The refusal of a table with more rows than the limit."""
    return TooLarge(f"More than {max_rows:,} rows.", hint="send fewer rows at a time")


def rows_of(document: object) -> list[dict[str, object]]:
    """The rows of a request: ``{"rows": [{...}, ...]}`` and nothing else.

    Raises:
        InvalidRows: the JSON has another shape.
    """
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list) or len(document) > 1:
        raise _wrong_shape(_shape_message(document))
    rows: list[object] = document["rows"]
    problems = [
        Problem("wrong_shape", f"row {i} is not an object of columns", row=i)
        for i, row in enumerate(rows)
        if not isinstance(row, dict)
    ]
    if problems:
        raise InvalidRows(tuple(problems[:100]), total=len(problems), hint='send {"rows": [{"column": value}]}')
    return rows  # type: ignore[return-value]  # each was just looked at


def _shape_message(document: object) -> str:
    if not isinstance(document, dict):
        return "the body must be a JSON object with the key 'rows'"
    if "rows" not in document:
        return "the body has no key 'rows'"
    if not isinstance(document["rows"], list):
        return "'rows' must be a list of objects"
    extra = next(key for key in document if key != "rows")
    return f"the body has a key that nobody reads: {extra[:60]!r}"


def _wrong_shape(message: str) -> InvalidRows:
    return InvalidRows((Problem("wrong_shape", message),), hint='send {"rows": [{"column": value}]}')


def read_rows(schema: Schema, body: bytes, *, max_rows: int) -> Table:
    """A JSON body as a table, slowly, with every problem told.

    Raises:
        MalformedBody: not JSON.
        InvalidRows: JSON of another shape, or cells, columns or rows that the schema refuses.
        TooLarge: more than ``max_rows`` rows.
    """
    refuse_many_rows(body, max_rows=max_rows)
    rows = rows_of(parse_json(body))
    if len(rows) > max_rows:
        raise too_many_rows(max_rows)
    return check_rows(schema, rows)


def _least_bytes(schema: Schema) -> int:
    """What a row takes at least: its braces, and of each column that it must have the name, quoted, and a value."""
    return len("{}") + sum(len(one.name.encode()) + len('"":0') for one in schema.columns if not one.nullable)


# -- the compiled decoder --------------------------------------------------------------------------------------------


def compile_decoder(schema: Schema, *, max_rows: int, layout: Layout | None = None) -> Decode:
    """A function from the bytes of ``{"rows": [...]}`` to the table in the schema's columns, order and types.

    ``layout``: that of the table's blocks, where others make tables of the schema as well.

    Raises:
        MalformedBody: (the function) not JSON.
        InvalidRows: (the function) JSON of another shape, or cells, columns or rows that the schema refuses.
        TooLarge: (the function) more than ``max_rows`` rows.
    """

    def slow(body: bytes) -> Table:
        return read_rows(schema, body, max_rows=max_rows)

    try:
        fast = compile_fast(schema, max_rows=max_rows, layout=layout)
    except ValueError:  # msgspec takes no name that holds a quote, a backslash or a control character
        return slow

    roomy_bytes = max_rows * _least_bytes(schema)

    def decode(body: bytes) -> Table:
        if len(body) > roomy_bytes:  # else the fast way meets a row that lacks something before there are too many
            refuse_many_rows(body, max_rows=max_rows)
        try:
            return fast(body)
        except (
            msgspec.MsgspecError, Later, ValueError, TypeError, OverflowError, RecursionError, BadCell, struct.error,
        ):  # fmt: skip
            return slow(body)

    return decode
