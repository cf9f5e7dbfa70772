"""What a model file is and what it would import, as one frozen value."""

import stat
from dataclasses import dataclass
from pathlib import Path

from aweigh.errors import UsageError
from aweigh.models.scan import skops
from aweigh.models.scan.formats import UNKNOWN, format_of
from aweigh.models.scan.limits import DEFAULT, Limits, Refused
from aweigh.models.scan.machine import Findings, Machine
from aweigh.models.scan.tape import Tape
from aweigh.models.scan.trusted import FAMILIES, families_of
from aweigh.models.scan.unpack import compression_of, decompress
from aweigh.models.scan.worlds import WRAPPER_NAME, Inert

# After a pickle's end, so many more are looked into for what they would import; one is too many already.
MOST_PICKLES = 8
FIRST_BYTE_SINCE_PROTOCOL_2 = b"\x80"


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file is and what it would import.

    ``format`` is told by the content: joblib, pickle, skops, xgboost-json, xgboost-ubj, lightgbm-text, catboost-cbm,
    onnx or unknown. ``names`` are exact, ``module.name``, sorted; a name that walks through attributes is written
    ``module:a.b``. ``calls`` are those of them that loading would call with arguments that the file chooses.
    ``unreadable`` says why the file could not be read to its end, or what it holds that no model holds: a refusal.
    ``protocol`` is the pickle's.
    """

    format: str
    size_bytes: int
    compression: str | None = None
    names: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    unreadable: str | None = None
    protocol: int | None = None

    @property
    def families(self) -> tuple[str, ...]:
        """The model families that the names (or the format) belong to; the last one gives the model its kind."""
        if self.names:
            return families_of(self.names)
        return tuple(family for family in FAMILIES if self.format.startswith(f"{family}-"))


def scan(path: Path, *, limits: Limits = DEFAULT) -> Scan:
    """What this file is and would import; whatever is wrong with its content is in the answer.

    Raises:
        UsageError: There is no such file.
    """
    return scan_bytes(read_once(path, limits=limits), limits=limits)


def read_once(path: Path, *, limits: Limits = DEFAULT) -> bytes:
    """The file's bytes; of one that is larger than the limit only so many that it is seen to be.

    Raises:
        UsageError: There is no such file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is not a file.")
        with path.open("rb") as file:
            return file.read(limits.size_bytes + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def scan_bytes(data: bytes, *, limits: Limits = DEFAULT) -> Scan:
    """What these bytes are and would import."""
    size = len(data)
    compression = compression_of(data)
    try:
        if size > limits.size_bytes:
            raise Refused(f"it is larger than {limits.size_bytes:,} bytes")
        if compression:
            data = decompress(data, compression, limits=limits)
            if compression_of(data):
                raise Refused("it is compressed twice")
        kind = format_of(data)
        if compression and kind != "pickle":
            raise Refused(f"it is a compressed {kind} file: decompress it first")
    except Refused as reason:
        return Scan("unknown", size, compression, unreadable=str(reason))
    if kind == "pickle":
        return _scan_pickle(data, size, compression, limits)
    if kind == "skops":
        return _scan_skops(data, limits)
    return Scan(kind, size)


def _scan_skops(data: bytes, limits: Limits) -> Scan:
    found = skops.Schema()
    try:
        skops.read(data, found, limits=limits)
    except Refused as reason:
        found.problem = str(reason)
    return Scan("skops", len(data), "zip", tuple(sorted(found.names)), tuple(sorted(found.calls)), found.problem)


def _scan_pickle(data: bytes, size: int, compression: str | None, limits: Limits) -> Scan:
    found, tape = Findings(), Tape(data)
    pickles = 0
    problem = None
    try:
        while tape.remaining and pickles < MOST_PICKLES:
            Machine(tape, Inert(), found, limits=limits).run()
            pickles += 1
            if pickles == 1 and tape.remaining:
                problem = f"{tape.remaining:,} bytes follow the end of its pickle"
    except Refused as reason:
        problem = problem or str(reason)
    if problem and not pickles and not found.names and not data.startswith(FIRST_BYTE_SINCE_PROTOCOL_2):
        # Many a text begins with a letter that is an opcode, too.
        return Scan("unknown", size, compression, unreadable=UNKNOWN)
    kind = "joblib" if compression or WRAPPER_NAME in found.names else "pickle"
    names, calls = tuple(sorted(found.names)), tuple(sorted(found.calls))
    return Scan(kind, size, compression, names, calls, found.problem or problem, found.protocol)
