"""Personal columns of a sample: found by the form of their cells, by their names, and by naming nearly every row.

What is found is shown to the owner, who decides; nothing is sent anywhere to find it, and no model is asked. Each kind
of evidence is weighed against what the column holds: ``phone`` with only "yes" and "no" in it is no column of phones.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aweigh.schema.personal_forms import FORMS, holds_one
from aweigh.schema.personal_words import ALONE, AN_ID, FIRST_NAMES, OF_PERSONS, Kind
from aweigh.table import Table, Values

MOST_CELLS = 2_000
"""So many different cells of a column are looked at, spread evenly."""
MOSTLY = 0.6
"""A form that so many of the cells have is the column's."""
SOME_SHARE, SOME_CELLS = 0.02, 3
"""Text that holds something personal somewhere in so many cells is personal text."""
MANY_KINDS, MANY_SHARE = 30, 0.3
"""A column named as personal holds so many different cells, or so large a share of the rows; choices do not."""
NEARLY_UNIQUE, LEAST_ROWS, FEW_ROWS = 0.9, 20, 100
"""In a column of fewer rows than the last anything is different in nearly every one: its name must say so as well."""
WHOLE_UNIQUE = 0.98
DENSE = 1.5
LONG_DIGITS = 7
FLOAT_WHOLE = 2**53
"""Below this a float holds every whole number as it is."""
MOST_CHARACTERS = 64
NAMED_SHARE = 0.3
"""Of a column of names so many cells hold one of the common first names."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DATE = re.compile(r"\d{4}[-/.]\d\d?[-/.]\d\d?(?:[ T].*)?|\d\d?[-/.]\d\d?[-/.]\d{2,4}(?: .*)?", re.ASCII)
_PERSON = re.compile(r"[^\W\d_]+(?:['’.\-][^\W\d_]*)*(?:[ ,]+(?:\(?\"?[^\W\d_]+['’.\-]*[^\W\d_]*\.?\"?\)?)){1,6}")
_FIGURES = re.compile(r"[+-]?\d*(?:[.,:;/x][+-]?\d+)+(?:[eE][+-]?\d+)?%?|#[0-9a-fA-F]{3,8}", re.ASCII)
"""Numbers, versions, places, colours: different in every row, and no name of it."""
_UUID = re.compile(r"\{?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
_PHRASES = {phrase: kind for kind, words in ALONE.items() for phrase in words.split(", ")}


@dataclass(frozen=True, slots=True)
class Found:
    """A column that holds personal data: of what kind, and by what one can tell."""

    kind: Kind
    why: str


def find_personal(table: Table) -> dict[str, Found]:
    """The personal columns of a sample, by name."""
    found = {name: _looked_at(name, values) for name, values in table.columns.items()}
    return {name: one for name, one in found.items() if one is not None}


def _looked_at(name: str, values: Values) -> Found | None:
    present = values.present()
    if not len(present) or present.dtype.kind == "b":
        return None
    if present.dtype.kind == "f" and bool(((np.abs(present) < FLOAT_WHOLE) & (present == np.trunc(present))).all()):
        present = present.astype(np.int64)  # one empty cell makes floats of whole numbers in pandas
    kinds = np.unique(present.astype(str)) if present.dtype.kind == "O" else np.unique(present)
    share = len(kinds) / len(present)
    many = len(kinds) > MANY_KINDS or (share >= MANY_SHARE and len(kinds) > 2)
    some = [str(one) for one in kinds[np.unique(np.linspace(0, len(kinds) - 1, MOST_CELLS).astype(int))].tolist()]
    text = present.dtype.kind == "O"
    by_form = _by_form(some, text=text) if many and present.dtype.kind in "Oi" else None
    if by_form is not None:
        return by_form
    by_name = _by_name(name, some, many=many, kind=present.dtype.kind)
    if by_name is not None:
        return by_name
    if text:
        return _by_text(name, some, share=share, rows=len(present))
    return _by_whole(name, kinds, share=share, rows=len(present)) if present.dtype.kind == "i" else None


def _by_form(cells: Sequence[str], *, text: bool) -> Found | None:
    for kind, check in FORMS.items():
        if not text and kind != "card":
            continue
        share = _share(cells, lambda cell, check=check: check(cell.strip()))  # type: ignore[misc]
        if share >= MOSTLY:
            return Found(kind, f"{share:.0%} of its cells have the form")
    return None


def _share(cells: Sequence[str], check: Callable[[str], bool]) -> float:
    return sum(map(check, cells)) / len(cells)


# -- names -----------------------------------------------------------------------------------------------------------


def words_of(name: str) -> list[str]:
    """A column's name as plain words: without accents, capitals and signs."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss").replace("ø", "o").replace("ł", "l"))
    letters = "".join(one for one in plain if not unicodedata.combining(one))
    return re.findall(r"[a-z]+\d?|\d+", " ".join(_CAMEL.split(letters)).lower())


def kind_of_name(name: str) -> Kind | None:
    """What a column of that name holds, as far as a name can tell."""
    words = words_of(name)
    for first, last in ((0, len(words)), (1, len(words)), (0, -1), (1, -1)):
        outer = [*words[:first], *(words[last:] if last < 0 else [])]
        if not all(word in OF_PERSONS for word in outer):
            continue
        inner = words[first:last]
        kind = _PHRASES.get(" ".join(inner)) or _PHRASES.get("".join(inner))
        if kind is not None:
            return kind
    return None


def _by_name(name: str, cells: Sequence[str], *, many: bool, kind: str) -> Found | None:
    meant = kind_of_name(name)
    if meant is None or not many:
        return None
    if meant == "birth":
        fits = kind == "M" or _share(cells, lambda cell: _DATE.fullmatch(cell.strip()) is not None) >= MOSTLY
    elif meant in {"name", "email", "address", "link"}:
        fits = kind == "O" and _share(cells, _is_written) >= MOSTLY
    else:
        fits = kind in "Oi"
    return Found(meant, "its name says so") if fits else None


def _is_written(cell: str) -> bool:
    """Whether a cell is something of letters, and no number."""
    return any(one.isalpha() for one in cell)


# -- what names rows -------------------------------------------------------------------------------------------------


def _by_text(name: str, cells: Sequence[str], *, share: float, rows: int) -> Found | None:
    with_space = _share(cells, lambda cell: " " in cell.strip())
    if with_space >= 0.5 and len(cells) >= SOME_CELLS:
        holding = sum(map(holds_one, cells))
        if holding >= max(SOME_CELLS, SOME_SHARE * len(cells)):
            return Found("text", f"{holding / len(cells):.0%} of its cells hold an e-mail address, a phone or the like")
        named = _share(cells, _names_somebody)
        if named >= NAMED_SHARE and share >= MANY_SHARE and rows >= LEAST_ROWS:
            return Found("name", f"{named:.0%} of its cells hold a common first name")
    if share < NEARLY_UNIQUE or rows < LEAST_ROWS or with_space > 0.05:
        return None
    if _share(cells, lambda cell: len(cell) <= MOST_CHARACTERS) < MOSTLY:
        return None
    if _share(cells, lambda cell: bool(_DATE.fullmatch(cell) or _FIGURES.fullmatch(cell))) >= MOSTLY:
        return None
    named_id = bool(AN_ID & set(words_of(name)))
    if rows < FEW_ROWS and not named_id and _share(cells, lambda cell: bool(_UUID.fullmatch(cell))) < MOSTLY:
        return None
    if not named_id and _share(cells, lambda cell: any(one.isdigit() for one in cell)) < MOSTLY:
        return None
    return Found("identifier", f"{share:.0%} of its cells are different, and each is one word")


def _names_somebody(cell: str) -> bool:
    """Whether a cell is some capitalized words with a common first name among them."""
    if not _PERSON.fullmatch(cell.strip()):
        return False
    words = re.findall(r"[^\W\d_]+", cell)
    plain = {"".join(words_of(word)) for word in words if word[:1].isupper()}
    return bool(plain & FIRST_NAMES)


def _by_whole(
    name: str, kinds: "np.ndarray[tuple[int], np.dtype[np.int64]]", *, share: float, rows: int
) -> Found | None:
    if share < WHOLE_UNIQUE or rows < LEAST_ROWS:
        return None
    spread = int(kinds[-1]) - int(kinds[0]) + 1
    digits = {len(str(abs(int(one)))) for one in (kinds[0], kinds[len(kinds) // 2], kinds[-1])}
    named_id = bool(AN_ID & set(words_of(name)))
    dense = spread <= DENSE * len(kinds) and len(kinds) >= MANY_KINDS
    if rows < FEW_ROWS and not named_id:
        return None
    if named_id or dense or (len(digits) == 1 and digits.pop() >= LONG_DIGITS):
        return Found(
            "identifier", f"{share:.0%} of its numbers are different" + (", one after another" if dense else "")
        )
    return None
