"""Personal columns at pack time: which there are, what becomes of each, and a schema and rows without their values.

The owner's word in ``aweigh.toml`` decides; what is merely found is dropped. Of a dropped or hashed column no value of
the sample goes into the bundle: no category, no end of a range, no golden row, no bin. The model itself is another
matter: one that was trained on a name may hold it, and the person who packs is told.
"""

import hashlib
import hmac
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from aweigh.config import Config
from aweigh.errors import ConfigError
from aweigh.schema.cells import value_parser
from aweigh.schema.column import Column, Policy, Scalar, Schema
from aweigh.schema.personal import Found, find_personal
from aweigh.schema.personal_words import PLACEHOLDER, SAID
from aweigh.secret import Secret
from aweigh.table import Table, Values

KEY_VARIABLE = "AWEIGH_PRIVACY_KEY"
LEAST_KEY = 16
"""Characters: the values that are hashed are few enough to try out, and the key must not be."""
HASH_CHARACTERS = 16
OPENED = "kept, since the model has no answer without its values"
LEAST_TEXT = 5
"""Shorter text stands in a model's bytes by chance."""
MOST_SEARCHED = 2_000
MOST_BYTES = 20 * 10**9
"""So much is read through for all of them, some ten seconds: of a large model fewer texts are looked for."""


@dataclass(frozen=True, slots=True)
class Personal:
    """A personal column: what it holds, by what one can tell, what becomes of it. ``used``: the model takes it."""

    column: str
    kind: str
    why: str
    policy: Policy
    used: bool
    owner: bool = False
    """Whether the owner said so, and it was not merely found."""
    predicted: Literal["", "classes", "numbers"] = ""
    """What of it is among the answers, where it is what the model predicts."""

    @property
    def becomes(self) -> str:
        """What becomes of its values in the bundle."""
        if self.predicted:
            kept = "its classes are in the bundle" if self.predicted == "classes" else "the answers are numbers like it"
            return f"it is what the model predicts: {kept}"
        if not self.used:
            return "the model does not take it: nothing of it is in the bundle"
        return {
            "drop": "dropped: none of its values is in the bundle, made-up ones stand in golden rows",
            "hash": f"hashed with the key of {KEY_VARIABLE}: none of its values is in the bundle as it is",
            "keep": "kept: its values are in golden rows, ranges and categories",
        }[self.policy]

    @property
    def told(self) -> str:
        """What is told of it when a bundle is packed."""
        return f"{self.column}: {self.kind} ({self.why}); {self.becomes}"


def personal_columns(
    table: Table, used: Sequence[str], config: Config, *, target: str | None = None, classes: bool = False
) -> tuple[Personal, ...]:
    """The personal columns of a sample, the owner's words before what is found, in the sample's order.

    ``classes`` says that the model predicts kinds of the ``target``, and not numbers.
    """
    said = {name: one.personal for name, one in config.columns.items() if one.personal is not None}
    found = find_personal(table)
    listed = []
    for name in table.columns:
        policy = said.get(name)
        if policy == "no" or (policy is None and name not in found):
            continue
        one = found.get(name, Found("text", ""))
        kind = SAID[one.kind] if name in found else "personal data"
        why = "aweigh.toml says so" if policy is not None else one.why
        predicted: Literal["", "classes", "numbers"] = ""
        if name == target:
            predicted = "classes" if classes else "numbers"
        owner = policy is not None
        listed.append(Personal(name, kind, why, policy or "drop", name in used, owner=owner, predicted=predicted))
    return tuple(listed)


@dataclass(frozen=True, slots=True, eq=False)
class Screen:
    """What stands between the sample's people and the bundle: ``columns`` by name, and the key for hashes."""

    columns: Mapping[str, Personal]
    key: Secret | None = None

    @property
    def hidden(self) -> list[str]:
        """The columns whose values must not be in the bundle."""
        return [name for name, one in self.columns.items() if one.policy != "keep"]

    @property
    def found(self) -> list[str]:
        """The hidden columns of which the owner has said nothing."""
        return [name for name in self.hidden if not self.columns[name].owner]

    def opened(self, names: Sequence[str]) -> "Screen":
        """The same with those columns kept: where the model has no answer without their values."""
        opened = {name: self.columns[name] for name in names}
        kept = {name: replace(one, policy="keep", why=f"{one.why}; {OPENED}") for name, one in opened.items()}
        return Screen({**self.columns, **kept}, self.key)

    def hiding(self, name: str) -> "Screen":
        """The same with a column that was opened hidden again."""
        one = self.columns[name]
        return Screen(
            {**self.columns, name: replace(one, policy="drop", why=one.why.removesuffix(f"; {OPENED}"))}, self.key
        )

    def schema(self, schema: Schema) -> Schema:
        """The schema with the columns marked, and without what it holds of people."""
        columns = tuple(self._column(one) for one in schema.columns)
        return msgspec.structs.replace(schema, columns=columns)

    def probing(self, schema: Schema) -> Schema:
        """The marked schema with the ranges that were seen: the proof is made at their ends, and keeps none."""
        ranges = {one.name: (one.minimum, one.maximum) for one in schema.columns if not one.is_text}
        marked = self.schema(schema)
        columns = tuple(
            msgspec.structs.replace(one, minimum=ranges[one.name][0], maximum=ranges[one.name][1])
            if one.name in ranges
            else one
            for one in marked.columns
        )
        return msgspec.structs.replace(marked, columns=columns)

    def _column(self, column: Column) -> Column:
        found = self.columns.get(column.name)
        if found is None:
            return column
        column = msgspec.structs.replace(column, personal=found.policy, personal_kind=found.kind)
        if found.policy == "keep":
            return column
        return msgspec.structs.replace(
            column,
            type="text" if column.type == "category" else column.type,
            minimum=None,
            maximum=None,
            categories=None,
            typical=stand_in(column, found.kind),
        )

    def rows(self, schema: Schema, table: Table) -> Table:
        """The rows with made-up or hashed values in the personal columns; ``schema`` is the marked one."""
        columns = dict(table.columns)
        for name in self.hidden:
            columns[name] = self._values(schema.column(name), table[name])
        return Table(columns, table.rows)

    def _values(self, column: Column, values: Values) -> Values:
        if column.personal == "hash" and column.is_text and self.key is not None:
            key = self.key
            data = np.empty(len(values), dtype=object)
            data[:] = [keyed_hash(key, column.name, str(cell)) for cell in values.data.tolist()]
        else:
            fill: object = column.typical
            if column.is_time:
                fill = np.datetime64(str(column.typical), "us")
            data = np.empty(len(values), dtype=values.data.dtype)
            data[:] = fill
        if values.missing is not None:
            data[values.missing] = "" if data.dtype == object else np.zeros(1, data.dtype)[0]
        return Values(data, values.missing, values.dtype)


def screen_for(personal: Sequence[Personal], schema: Schema, *, key: Secret | None) -> Screen:
    """The screen for the columns that the model takes.

    Raises:
        ConfigError: hashes are asked for and there is no key, or a column cannot do without its values.
    """
    by_name = {column.name: column for column in schema.columns}
    held: dict[str, Personal] = {}
    for one in personal:
        if one.column not in by_name:
            continue
        why = _cannot_hide(by_name[one.column]) if one.policy != "keep" else None
        if why is not None and one.owner:
            raise ConfigError(
                f"columns.{one.column}.personal is {one.policy!r}, and {why}.",
                hint='train the model without the column, or say personal = "keep"',
            )
        held[one.column] = one if why is None else replace(one, policy="keep", why=f"{one.why}; kept, since {why}")
    if any(one.policy == "hash" for one in held.values()):
        _require(key)
    return Screen(held, key)


def _cannot_hide(column: Column) -> str | None:
    if column.dtype.startswith("category"):
        return "the model itself holds its categories"
    if column.closed:
        return "only its own categories are let in"
    if column.type == "boolean":
        return "true and false are all that it holds"
    return None


def _require(key: Secret | None) -> None:
    if key is None or len(key.reveal()) < LEAST_KEY:
        wrong = "not set" if key is None else f"shorter than {LEAST_KEY} characters"
        raise ConfigError(
            f"A column is to be hashed, and {KEY_VARIABLE} is {wrong}.",
            hint=f"set it to some 32 random characters, or {KEY_VARIABLE}_FILE to a file of them; it is in no bundle",
        )


def keyed_hash(key: Secret, column: str, value: str) -> str:
    """A value as whoever has the key can make it again and nobody else can try out: HMAC-SHA-256, cut to 64 bits."""
    message = f"{column}\0{value}".encode()
    return hmac.new(key.reveal().encode(), message, hashlib.sha256).hexdigest()[:HASH_CHARACTERS]


def stand_in(column: Column, kind: str) -> Scalar:
    """A value that is nobody's: a placeholder for text, the median to one digit for numbers, a first of January."""
    if column.is_text:
        return next((PLACEHOLDER[one] for one, said in SAID.items() if said == kind), PLACEHOLDER["text"])
    if column.is_time:
        year = str(column.typical or "2000")[:4]
        return _within(f"{year}-01-01" if column.type == "date" else f"{year}-01-01T00:00:00", column)
    if column.typical is None or isinstance(column.typical, str):
        return 0
    coarse = float(f"{column.typical:.0e}")
    low, high = column.lower_limit, column.upper_limit
    if isinstance(low, int | float):
        coarse = max(coarse, math.ceil(low) if column.type == "integer" else low)
    if isinstance(high, int | float):
        coarse = min(coarse, math.floor(high) if column.type == "integer" else high)
    return int(coarse) if column.type == "integer" else coarse


def _within(time: str, column: Column) -> str:
    """A time, or the owner's own limit where it lies beyond."""
    parse = value_parser(msgspec.structs.replace(column, lower_limit=None, upper_limit=None))
    if column.lower_limit is not None and parse(time) < parse(column.lower_limit):  # type: ignore[operator]
        return str(column.lower_limit)
    if column.upper_limit is not None and parse(time) > parse(column.upper_limit):  # type: ignore[operator]
        return str(column.upper_limit)
    return time


# -- what the model itself says of people ----------------------------------------------------------------------------


def raw_texts(screen: Screen, table: Table) -> dict[str, list[str]]:
    """Some of the different texts of each hidden column, long enough to be told from chance."""
    found = {}
    for name in screen.hidden:
        present = table[name].present()
        if present.dtype == object:
            kinds = sorted({str(one) for one in present.tolist() if len(str(one)) >= LEAST_TEXT})
            places: NDArray[np.int64] = np.unique(np.linspace(0, len(kinds) - 1, MOST_SEARCHED).astype(int))
            found[name] = [kinds[place] for place in places] if kinds else []
    return found


@dataclass(frozen=True, slots=True)
class Looked:
    """How many of a column's texts were ``looked`` for in a model's files, of how many, and how many ``held`` there."""

    held: int
    looked: int
    texts: int


def held_by_model(raw: Mapping[str, Sequence[str]], contents: Sequence[bytes]) -> dict[str, Looked]:
    """How many of those texts stand in the model's own files, by column; fewer are looked for in large ones."""
    size_bytes = sum(map(len, contents)) * sum(1 for texts in raw.values() if texts)
    found = {}
    for name, texts in raw.items():
        most = max(1, MOST_BYTES // max(1, size_bytes * len(_WRITTEN)))
        places = np.unique(np.linspace(0, len(texts) - 1, min(most, len(texts))).astype(int)) if texts else ()
        held = sum(_stands_in(texts[place], contents) for place in places)
        found[name] = Looked(held, len(places), len(texts))
    return found


def _stands_in(text: str, contents: Sequence[bytes]) -> bool:
    forms = {write(text) for write in _WRITTEN}
    return any(form in content for content in contents for form in forms)


_WRITTEN: tuple[Callable[[str], bytes], ...] = (
    lambda text: text.encode(errors="surrogatepass"),
    lambda text: text.encode("utf-32-le", errors="surrogatepass"),  # numpy's own arrays of text
    lambda text: json.dumps(text)[1:-1].encode(),
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1].encode(errors="surrogatepass"),
)
"""How a model's file may hold a text; of most texts two are different."""
