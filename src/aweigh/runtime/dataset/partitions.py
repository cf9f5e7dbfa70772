"""The files of a data set by a folder, a pattern or an address, and what each is called where the answers go.

Files and folders whose names begin with ``.`` or ``_`` are none of the data, as other tools that write partitions have
it: they hold marks and logs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aweigh.errors import DataError, UsageError
from aweigh.runtime.dataset.place import FILE, WILD, Found, Place, is_address, open_place
from aweigh.runtime.rows_out import OutKind, out_kind
from aweigh.table.files import SUFFIXES

BAD = ".bad.jsonl"
ENDINGS: Mapping[OutKind, str] = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet", "arrow": ".arrow"}
AS_OUTPUT = {".json": ".jsonl", ".arrows": ".arrow"}
"""Kinds of files that are read and not written, and what is written in their place."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One file of a data set: its name below the data, its size and mark, and the name of its answers below OUT."""

    name: str
    size_bytes: int
    mark: str
    out: str

    @property
    def bad(self) -> str:
        """Where its bad rows are told of."""
        return self.out + BAD


@dataclass(frozen=True, slots=True)
class DataSet:
    """Where the data is, its partitions in the order of their names, and the files beside that are none."""

    place: Place
    data: str
    partitions: tuple[Partition, ...]
    ignored: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """The sizes of all partitions together."""
        return sum(one.size_bytes for one in self.partitions)


def names_a_set(text: str) -> bool:
    """Whether a command's DATA is many files: a folder, a pattern, or an address."""
    if is_address(text):
        return True
    path = Path(text)
    return path.is_dir() or (WILD.search(text) is not None and not path.exists())


def find_partitions(data: str, *, kind: OutKind | None = None) -> DataSet:
    """The partitions that a folder, a pattern or an address names; ``kind`` is what is to be written of each.

    Raises:
        UsageError: there are none; two would be written into one file; a name that cannot be one where it goes.
        StoreFailed, MissingExtra, OSError: the place cannot be looked at.
    """
    place, pattern, is_file = _split(data)
    names = _one(place, pattern) if is_file else _matching(place, pattern)
    taken = {name: found for name, found in names.items() if pattern is not None or _known(name)}
    if not taken:
        hint = "CSV, Parquet, Arrow, JSON and JSON lines are read" if names else "check the name, or quote the pattern"
        raise UsageError(f"No file of data is there: {data}", hint=hint)
    partitions = [Partition(name, one.size_bytes, one.mark, out_name(name, kind)) for name, one in taken.items()]
    _check_names(partitions)
    ignored = tuple(sorted(names.keys() - taken.keys()))
    return DataSet(place, data, tuple(sorted(partitions, key=lambda one: one.name)), ignored)


def _split(data: str) -> tuple[Place, str | None, bool]:
    """The place that the partitions' names are relative to, the pattern below it (None: all), or a file's own name."""
    wild = WILD.search(data)
    here = None if is_address(data) and not data.startswith(FILE) else Path(data.removeprefix(FILE))
    if wild is not None and (here is None or not here.exists()):
        base = data[: wild.start()].rpartition("/")[0]
        pattern = data[len(base) + 1 :] if base or data.startswith("/") else data
        return open_place(base or ("/" if data.startswith("/") else ".")), pattern, False
    place = open_place(data)
    if here is None or not here.is_dir():
        parent, _, name = data.rstrip("/").rpartition("/")
        if name and not data.endswith("/") and _is_file(here, parent, name):
            return open_place(parent or ("/" if data.startswith("/") else ".")), name, True
    return place, None, False


def _is_file(here: Path | None, parent: str, name: str) -> bool:
    if here is not None:
        return here.is_file()
    return not parent.endswith("/") and open_place(parent).one(name) is not None


def _one(place: Place, name: str | None) -> dict[str, Found]:
    found = None if name is None else place.one(name)
    return {} if name is None or found is None else {name: found}


def _matching(place: Place, pattern: str | None) -> dict[str, Found]:
    depth = None if pattern is None or "**" in pattern else pattern.count("/") + 1
    matches = re.compile(".*" if pattern is None else _regex(pattern), re.DOTALL).fullmatch
    return {name: one for name, one in place.files(depth=depth).items() if matches(name) and not _hidden(name)}


def _regex(pattern: str) -> str:
    """A pattern whose ``*`` stays within a name, and whose ``**`` stands for any folders, as a regular expression."""
    *folders, last = pattern.split("/")
    text = "".join("(?:[^/]+/)*" if one == "**" else _one_name(one) + "/" for one in folders)
    return text + (".*" if last == "**" else _one_name(last))


def _one_name(pattern: str) -> str:
    text, place = "", 0
    while place < len(pattern):
        here = pattern[place]
        end = pattern.find("]", place + 2) if here == "[" else -1
        if end > 0:
            inner = pattern[place + 1 : end].replace("\\", "\\\\").replace("^", "\\^")
            text += f"(?!/)[{'^' + inner[1:] if inner.startswith('!') else inner}]"
            place = end
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(here) or re.escape(here)
        place += 1
    return text


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _known(name: str) -> bool:
    return _ending(name)[1].lower() in SUFFIXES


def _ending(name: str) -> tuple[str, str, str]:
    """A name without what says its kind, that, and the ``.gz`` behind it."""
    path = PurePosixPath(name)
    packed = path.suffix if path.suffix.lower() == ".gz" else ""
    path = path.with_suffix("") if packed else path
    return str(path.with_suffix("")), path.suffix, packed


def out_name(name: str, kind: OutKind | None) -> str:
    """What the answers of a partition are called: as it is, or with the suffix of the kind that is to be written.

    >>> out_name("2026/a.csv.gz", None), out_name("2026/a.csv.gz", "parquet"), out_name("a.json", None)
    ('2026/a.csv.gz', '2026/a.parquet', 'a.jsonl')

    Raises:
        UsageError: the name says nothing of its kind, and ``kind`` neither.
    """
    stem, suffix, packed = _ending(name)
    if kind is not None:
        same = SUFFIXES.get(suffix.lower()) == kind and suffix.lower() not in AS_OUTPUT
        if same:
            return name
        known = suffix.lower() in SUFFIXES
        return (stem if known else name.removesuffix(packed)) + ENDINGS[kind]
    written = stem + AS_OUTPUT.get(suffix.lower(), suffix) + packed
    if out_kind(written) is None:
        raise UsageError(f"Nobody knows which kind of file is to be written for {name!r}.", hint="say --format")
    return written


def _check_names(partitions: list[Partition]) -> None:
    """No two files go into one, and no name leads out of the folder that it goes to."""
    taken: dict[str, str] = {}
    for one in partitions:
        if any(part in {"", ".", ".."} or "\0" in part for part in one.name.split("/")):
            raise DataError(f"A file named {one.name!r} cannot be one where the answers go.", hint="rename it")
        try:
            one.name.encode()
        except UnicodeEncodeError:
            raise DataError(f"The name {one.name!r} is not UTF-8.", hint="rename it") from None
        for name in (one.out, one.bad):
            if name in taken:
                raise UsageError(
                    f"{taken[name]!r} and {one.name!r} would both be written as {name!r}.",
                    hint="leave --format out, or score them in two runs",
                )
            taken[name] = one.name
