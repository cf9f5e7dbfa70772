"""A JSON body into a table: a decoder compiled from the schema for what is right, a patient reader for what is not.

``compile_decoder`` makes msgspec structs of the columns, so that parsing, type checks and the table are one pass in C.
Whatever it does not take, for whatever reason, goes to the slow reader (``parse_json`` and ``check_rows``), which
alone decides what is wrong and says so. The fast way never takes what the slow way would refuse, and both make the
same table: tests hold them against each other.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Never

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from aweigh.errors import InvalidRows, MalformedBody, Problem, TooLarge
from aweigh.schema.cells import FLOAT32_MAX, RESERVED_TEXT, BadCell, Parse, json_parser
from aweigh.schema.check import check_rows
from aweigh.schema.column import Column, Schema
from aweigh.schema.whole import blank
from aweigh.table import Table, Values

Decode = Callable[[bytes], Table]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
RESERVED_BYTES = RESERVED_TEXT.encode()
MAX_SHOWN_CHARACTERS = 20
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # a string that never closes reaches to the end


class _Later(Exception):  # noqa: N818  control flow, no error of the tree
    """The fast way does not take this body: the slow reader shall decide."""


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
        raise MalformedBody(f"The body is not JSON: {error.msg[:1].lower()}{error.msg[1:]} ({where}{near}).") from error
    except RecursionError as error:
        raise MalformedBody("The JSON is nested too deeply.") from error
    except ValueError as error:  # Python's own limit on the digits of an integer
        raise MalformedBody("The JSON holds a number of too many digits.") from error


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
    if len(body) <= over or body.count(b"{") + body.count(b"[") <= over:
        return 0
    bare = _STRINGS.sub(b"", body)
    return bare.count(b"{") + bare.count(b"[")


def refuse_many_rows(body: bytes, *, max_rows: int) -> None:
    """Refuses a body that holds more rows than the limit before memory is spent on them.

    Raises:
        TooLarge: it opens more objects and lists than that many rows do.
    """
    if count_containers(body, over=max_rows + 2) > max_rows + 2:
        raise too_many_rows(max_rows)


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


# -- the compiled decoder --------------------------------------------------------------------------------------------


def compile_decoder(schema: Schema, *, max_rows: int) -> Decode:
    """A function from the bytes of ``{"rows": [...]}`` to the table in the schema's columns, order and types.

    Raises:
        MalformedBody: (the function) not JSON.
        InvalidRows: (the function) JSON of another shape, or cells, columns or rows that the schema refuses.
        TooLarge: (the function) more than ``max_rows`` rows.
    """

    def slow(body: bytes) -> Table:
        return read_rows(schema, body, max_rows=max_rows)

    try:
        fast = _compile_fast(schema, max_rows=max_rows)
    except ValueError:  # msgspec takes no name that holds a quote, a backslash or a control character
        return slow

    def decode(body: bytes) -> Table:
        refuse_many_rows(body, max_rows=max_rows)
        try:
            return fast(body)
        except (msgspec.MsgspecError, _Later, ValueError, TypeError, OverflowError, RecursionError, BadCell):
            return slow(body)

    return decode


_CELL: dict[str, Any] = {"number": float, "integer": int, "boolean": bool}


def _compile_fast(schema: Schema, *, max_rows: int) -> Decode:
    fields: list[tuple[str, Any, Any]] = []
    for i, column in enumerate(schema.columns):
        cell = _CELL.get(column.type, str)
        if column.nullable:
            fields.append((f"c{i}", cell | None | UnsetType, msgspec.field(name=column.name, default=UNSET)))
        else:
            fields.append((f"c{i}", cell, msgspec.field(name=column.name)))
    row = msgspec.defstruct("Row", fields, kw_only=True, forbid_unknown_fields=True, gc=False)
    request = msgspec.defstruct("Request", [("rows", list[row])], forbid_unknown_fields=True)  # type: ignore[valid-type]
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(request)
    get = _getter(len(schema.columns))
    audit = _compile_audit(schema)
    assemble = _compile_columns(schema)

    def decode(body: bytes) -> Table:
        rows = decoder.decode(body).rows
        if not rows or len(rows) > max_rows:
            raise _Later
        return Table(assemble(audit(body, [get(row) for row in rows])), len(rows))

    return decode


def _getter(columns: int) -> Callable[[Any], tuple[Any, ...]]:
    if columns == 1:  # attrgetter of one name returns no tuple
        return lambda row: (row.c0,)
    return attrgetter(*(f"c{i}" for i in range(columns)))


def _compile_audit(schema: Schema) -> Callable[[bytes, list[tuple[Any, ...]]], list[tuple[Any, ...]]]:
    """What msgspec does not look at: keys that stand twice, and characters that no text may hold.

    Every key has one colon behind it. When the body has no colon more than its keys, the columns' names and the
    text cells account for, no key stands twice. Escapes that could hide a colon (or a NUL, or the reserved
    character) leave the matter to the slow reader.
    """
    per_name = [1 + name.count(":") for name in schema.names]
    per_row = sum(per_name)
    texts = tuple(i for i, column in enumerate(schema.columns) if column.type not in _CELL)
    may_be_absent = any(column.nullable for column in schema.columns)

    def audit(body: bytes, cells: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        if b"\\u" in body:
            folded = body.lower()
            if b"\\u003a" in folded or b"\\u0000" in folded or b"\\ufdd0" in folded:
                raise _Later
        if texts and RESERVED_BYTES in body:
            raise _Later
        surplus = body.count(b":") - 1 - len(cells) * per_row
        if may_be_absent and any(UNSET in row for row in cells):
            # An absent key takes its own colon and those of its name with it.
            surplus += sum(per_name[i] for row in cells for i, cell in enumerate(row) if cell is UNSET)
            cells = [tuple([None if cell is UNSET else cell for cell in row]) for row in cells]
        if surplus and texts:
            surplus -= sum(row[i].count(":") for row in cells for i in texts if row[i])
        if surplus:
            raise _Later
        return cells

    return audit


Assemble = Callable[[list[tuple[Any, ...]]], dict[str, Values]]


def _compile_columns(schema: Schema) -> Assemble:
    """Rows of cells into columns: all numbers at once, the others one by one, in the schema's order."""
    blanks = {column.name: Values(blank(column, 0)) for column in schema.columns}
    numbers = [(i, column) for i, column in enumerate(schema.columns) if column.type == "number"]
    names = [column.name for _, column in numbers]
    bounds = [(place, bound) for place, (_, column) in enumerate(numbers) if (bound := _bounds(column)) is not None]
    others = [
        (i, column.name, _converter(column)) for i, column in enumerate(schema.columns) if column.type != "number"
    ]
    pick = _picker([i for i, _ in numbers]) if others else None

    def assemble(cells: list[tuple[Any, ...]]) -> dict[str, Values]:
        columns = dict(blanks)
        if numbers:
            # None becomes NaN; JSON has no NaN of its own, so that NaN and missing are one.
            matrix = np.array(cells if pick is None else [pick(row) for row in cells], dtype=np.float64).T.copy()
            gone = np.isnan(matrix)
            masks: list[NDArray[np.bool_] | None] | None = None
            if gone.any():
                matrix[gone] = 0
                masks = [mask if mask.any() else None for mask in gone]
            for place, bound in bounds:
                bound(matrix[place], gone[place])
            values = map(Values, matrix) if masks is None else map(Values, matrix, masks)
            columns.update(zip(names, values, strict=True))
        for i, name, convert in others:
            columns[name] = convert([row[i] for row in cells])
        return columns

    return assemble


def _picker(places: list[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    if len(places) == 1:  # itemgetter of one place returns no tuple
        return lambda row: (row[places[0]],)
    return itemgetter(*places) if places else lambda _: ()


Bound = Callable[[NDArray[np.float64], NDArray[np.bool_]], None]


def _bounds(column: Column) -> Bound | None:
    """Refuses numbers beyond the column's limits and rounds them to 32 bits, in place; None where neither is due."""
    parse = json_parser(column)
    single = column.dtype == "float32"
    low, high = (math.nan if limit is None else float(limit) for limit in (column.lower_limit, column.upper_limit))
    for limit in (column.lower_limit, column.upper_limit):
        parse(limit)
    if math.isnan(low) and math.isnan(high) and not single:
        return None

    def bound(data: NDArray[np.float64], missing: NDArray[np.bool_]) -> None:
        beyond = (data < low) | (data > high)  # NaN, where there is no limit, compares false
        if single:
            beyond |= np.abs(data) > FLOAT32_MAX
        if (beyond & ~missing).any():
            raise _Later
        if single:
            data[:] = data.astype(np.float32)

    return bound


def _converter(column: Column) -> Callable[[Sequence[Any]], Values]:
    """Cells of a column that is not of plain numbers; ``None`` is missing."""
    bounded = column.lower_limit is not None or column.upper_limit is not None
    if bounded or column.is_time:
        return _parsed(column, json_parser(column))
    if column.is_text:
        return _text(frozenset(column.categories) if column.closed and column.categories is not None else None)
    dtype = blank(column, 0).dtype

    def convert(cells: Sequence[Any]) -> Values:
        if None not in cells:
            return Values(np.array(cells, dtype=dtype))
        missing = np.array([cell is None for cell in cells])
        return Values(np.array([cell or 0 for cell in cells], dtype=dtype), missing)

    return convert


def _text(allowed: frozenset[str] | None) -> Callable[[Sequence[Any]], Values]:
    def convert(cells: Sequence[Any]) -> Values:
        missing = None
        if None in cells:
            missing = np.array([cell is None for cell in cells])
        if allowed is not None and not allowed.issuperset(cell for cell in cells if cell is not None):
            raise _Later
        data = np.empty(len(cells), dtype=object)
        data[:] = cells if missing is None else ["" if cell is None else cell for cell in cells]
        return Values(data, missing)

    return convert


def _parsed(column: Column, parse: Parse) -> Callable[[Sequence[Any]], Values]:
    def convert(cells: Sequence[Any]) -> Values:
        data: Any = blank(column, len(cells))
        missing = np.zeros(len(cells), dtype=bool)
        for i, cell in enumerate(cells):
            if cell is None:
                missing[i] = True
            else:
                data[i] = parse(cell)
        return Values(data, missing if missing.any() else None)

    return convert
