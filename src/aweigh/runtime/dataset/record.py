"""The record of a run, ``_aweigh.json`` beside the answers: which bundle, which options, and what each file came to.

It is what a later run goes by: a file that is in it, whose input and output are as it says, is not scored again. It is
written whole each time, seldom enough that this costs no more than a few hundredths of the run.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from aweigh._version import __version__
from aweigh.bundle.manifest import short
from aweigh.errors import DataError, UsageError
from aweigh.runtime.dataset.lock import Still
from aweigh.runtime.dataset.partitions import BAD, Partition
from aweigh.runtime.dataset.place import Found, Place
from aweigh.runtime.rows_out import OutKind

NAME = "_aweigh.json"
FORMAT = 1
"""Raised when an older aweigh could not go on with what a newer one wrote. Readers of older numbers stay."""
EVERY_S = 1.0
SHARE = 0.05
"""At most this part of the time is spent on writing the record."""
CHANGED = "--force scores all of it anew, or name another folder with -o"


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """What shapes the answers' bytes, beside the bundle and the data."""

    kind: OutKind | None = None
    keep: tuple[str, ...] | None = None
    ignore_extra: bool = False
    encoding: str | None = None
    delimiter: str | None = None
    domain: str = ""


class Done(msgspec.Struct, frozen=True, omit_defaults=True):
    """A partition that was scored: its input as it was then, its output, and the counts."""

    input_bytes: int
    input_mark: str
    output: str
    output_bytes: int
    rows: int
    good: int
    bad: int
    seconds: float = 0.0
    problems: dict[str, int] = {}
    first_problem: str = ""
    flagged: int = 0
    flags: dict[str, int] = {}
    answers: tuple[str, ...] = ()

    def still_holds(self, partition: Partition, outputs: Mapping[str, Found]) -> bool:
        """Whether the input is the one that was scored, and what came of it is there."""
        there = outputs.get(self.output)
        return (
            (self.input_bytes, self.input_mark, self.output) == (partition.size_bytes, partition.mark, partition.out)
            and there is not None
            and there.size_bytes == self.output_bytes
            and (self.bad > 0) == (partition.bad in outputs)
        )


class Failed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A partition that could not be scored, and why."""

    code: str
    message: str
    hint: str = ""


Outcome = Done | Failed


class Record(msgspec.Struct, frozen=True):
    """What a folder of answers says of itself."""

    format: int
    aweigh: str
    bundle: str
    digest: str
    data: str
    options: Options
    status: Literal["unfinished", "finished"]
    partitions: dict[str, Done]
    failed: dict[str, Failed]
    stale: tuple[str, ...] = ()
    """Files of an earlier run that no partition here vouches for; what of them is not written anew goes at the end."""


def read_record(place: Place) -> Record | None:
    """The record of a place; None where there is none.

    Raises:
        DataError: it cannot be read.
    """
    content = place.read(NAME)
    if content is None:
        return None
    try:
        if msgspec.json.decode(content).get("format") == FORMAT:
            return msgspec.json.decode(content, type=Record)
    except (msgspec.MsgspecError, AttributeError) as error:
        raise DataError(f"{NAME} of {place.address} cannot be read: {error}.", hint=CHANGED) from error
    raise DataError(f"{NAME} of {place.address} is of another version of aweigh.", hint=CHANGED)


def check_same(record: Record, *, bundle: str, digest: str, data: str, options: Options) -> None:
    """Whether a run may go on where the one of the record has come to.

    Raises:
        UsageError: it was of another bundle, of other data, or with other options.
    """
    if record.digest != digest:
        was = f"{record.bundle} {short(record.digest)}"
        raise UsageError(f"The folder holds the answers of {was}, and this is {bundle} {short(digest)}.", hint=CHANGED)
    if record.data != data:
        raise UsageError(f"The folder holds the answers for {record.data}.", hint=CHANGED)
    if record.options != options:
        before, now = msgspec.structs.asdict(record.options), msgspec.structs.asdict(options)
        name = next(key for key in before if before[key] != now[key])
        raise UsageError(
            f"The folder's answers were made with other options: {name} was {before[name]!r}, and is {now[name]!r}.",
            hint=CHANGED,
        )


@dataclass(slots=True)
class Ledger:
    """The record while the run goes on; ``still`` says whether it may be written."""

    place: Place
    still: Still
    bundle: str
    digest: str
    data: str
    options: Options
    done: dict[str, Done] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    _next_at: float = 0.0

    def put(self, name: str, outcome: Outcome) -> None:
        """Takes down what a partition came to."""
        if isinstance(outcome, Done):
            self.done[name] = outcome
            self.stale -= {outcome.output, outcome.output + BAD}
        else:
            self.failed[name] = outcome
        if time.monotonic() >= self._next_at:
            self.write()

    def write(self, *, finished: bool = False) -> None:
        """Writes the record.

        Raises:
            UsageError: the place is another run's by now.
        """
        started = time.monotonic()
        self.still()
        record = Record(
            FORMAT,
            __version__,
            self.bundle,
            self.digest,
            self.data,
            self.options,
            "finished" if finished else "unfinished",
            dict(sorted(self.done.items())),
            dict(sorted(self.failed.items())),
            tuple(sorted(self.stale)),
        )
        self.place.write(NAME, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
        now = time.monotonic()
        self._next_at = now + max(EVERY_S, (now - started) / SHARE)
