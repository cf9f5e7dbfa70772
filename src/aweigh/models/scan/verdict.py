"""Scan, compare with the lists, and load what has passed: from the same bytes, by the same machine."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aweigh.errors import MissingExtra, UnreadableModel, UntrustedModel
from aweigh.models.scan.limits import DEFAULT
from aweigh.models.scan.machine import Findings, Machine
from aweigh.models.scan.scan import Scan, read_once, scan, scan_bytes
from aweigh.models.scan.tape import Tape
from aweigh.models.scan.trusted import FAMILIES, families_of, trusted_calls, trusted_names
from aweigh.models.scan.unpack import decompress
from aweigh.models.scan.worlds import Real


@dataclass(frozen=True, slots=True)
class Listed:
    """All that one certain pickle may import, and those of it that it may call."""

    names: frozenset[str]
    calls: frozenset[str]


LOADABLE = ("joblib", "pickle", "skops")
HOSTILE_MODULES = frozenset(
    {"os", "posix", "nt", "subprocess", "pty", "shutil", "socket", "ctypes", "runpy", "importlib", "code", "pdb",
     "webbrowser", "urllib", "http", "ftplib", "smtplib", "requests", "pip", "commands", "asyncio"}
)  # fmt: skip
HOSTILE = frozenset(f"builtins.{name}" for name in ("eval", "exec", "compile", "__import__", "open", "breakpoint"))
"""What runs commands or code, or reaches for files and the network: no library's model has any of these."""

NAMES_SHOWN = 3


def check(path: Path, *, family: str | None = None) -> Scan:
    """Scan a file and refuse it unless all that it would import is listed for its family (told from the names if None).

    Raises:
        UntrustedModel: It would import or call what is on no list; the message names it.
        UnreadableModel: It could not be read.
        UsageError: There is no such file, or no such family.
    """
    found = scan(path)
    _judge(found, path.name, family)
    return found


def load_trusted(path: Path, *, family: str | None = None) -> Any:
    """Load a joblib, pickle or skops file of listed names, from the very bytes that were checked.

    What the libraries warn of (a model of another version of scikit-learn, say) comes through.

    Raises:
        UntrustedModel: It would import or call what is on no list; nothing of it was run.
        UnreadableModel: It could not be read or loaded, or is of a format that its own library loads.
        MissingExtra: The library that made it is not installed.
        UsageError: There is no such file, or no such family.
    """
    return load_trusted_bytes(read_once(path), path.name, family=family)


def load_trusted_bytes(
    data: bytes, file: str, *, family: str | None = None, formats: Collection[str] = LOADABLE
) -> Any:
    """Load the bytes of a file of listed names; ``file`` is what messages call it.

    ``formats`` narrows what may be loaded: what comes out of a bundle is skops, never a pickle.

    Raises:
        UntrustedModel, UnreadableModel, MissingExtra, UsageError: As ``load_trusted``.
    """
    found = scan_bytes(data)
    names, calls = _judge(found, file, family)
    if found.format not in formats:
        raise UnreadableModel(
            f"{file} is a file of format {found.format}, and here only {' or '.join(formats)} is loaded.",
            hint="read it by the library that wrote it, or pack the original model file again",
        )
    return _loaded(data, found, file, names & set(found.names), calls & set(found.calls))


def _loaded(data: bytes, found: Scan, file: str, names: frozenset[str], calls: frozenset[str]) -> Any:
    try:
        return _load(data, found, names, calls)
    except Exception as error:
        missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else None
        if missing in FAMILIES:
            raise MissingExtra("Loading this model", extra=missing) from error
        # Each library has exceptions of its own for a state that it does not understand.
        raise UnreadableModel(
            f"{file} could not be loaded ({type(error).__name__}: {error}).",
            hint="load it where it was made, with the versions of its libraries that are here, and save it again",
        ) from error


def load_listed(data: bytes, file: str, listed: Listed) -> Any:
    """Load a plain pickle that imports and calls what it was listed with, of that what is trusted, and nothing else.

    Raises:
        UntrustedModel: it would import or call more, or what it is listed with is on no list of ours; nothing was run.
        UnreadableModel: it could not be read, is no plain pickle, or could not be loaded.
        MissingExtra: the library that made it is not installed.
    """
    found = check_listed(data, file, listed)
    return _loaded(data, found, file, listed.names & set(found.names), listed.calls & set(found.calls))


def check_listed(data: bytes, file: str, listed: Listed) -> Scan:
    """What a plain pickle is, when it imports and calls nothing but what it is listed with and what is trusted.

    Raises:
        UntrustedModel, UnreadableModel: as of ``load_listed``; nothing of it is run.
    """
    families = families_of(listed.names)
    for said, trusted, what in (
        (listed.names, frozenset[str]().union(*map(trusted_names, families)), "import"),
        (listed.calls, frozenset[str]().union(*map(trusted_calls, families)), "call"),
    ):
        if not said <= trusted:
            raise UntrustedModel(
                f"The manifest lets {file} {what} {_few(said - trusted)}, which no signature can; nothing was run.",
                hint="pack the original model file again, with this version of aweigh",
            )
    found = scan_bytes(data)
    _judge(found, file, None)
    if found.format != "pickle" or found.compression:
        raise UnreadableModel(f"{file} is a file of format {found.format}, and no plain pickle.")
    for has, said, what in ((found.names, listed.names, "import"), (found.calls, listed.calls, "call")):
        if not set(has) <= said:
            raise UntrustedModel(
                f"{file} would {what} {_few(set(has) - said)}, which its manifest does not say; nothing of it was run.",
                hint="pack the original model file again",
            )
    return found


def _load(data: bytes, found: Scan, names: frozenset[str], calls: frozenset[str]) -> Any:
    if found.format == "skops":
        from skops.io import loads

        return loads(data, trusted=sorted(names))
    if found.compression:
        data = decompress(data, found.compression, limits=DEFAULT)
    return Machine(Tape(data), Real(names, calls), Findings()).run()


def _judge(found: Scan, file: str, family: str | None) -> tuple[frozenset[str], frozenset[str]]:
    """The names and calls that are allowed here, after refusing what goes beyond them."""
    families = (family,) if family else found.families
    names = frozenset[str]().union(*map(trusted_names, families))
    calls = frozenset[str]().union(*map(trusted_calls, families))
    strangers = [name for name in found.names if name not in names]
    if strangers:
        raise UntrustedModel(f"{file} would import {_few(strangers)}; nothing of it was run.", hint=_way_out(strangers))
    called = [name for name in found.calls if name not in calls]
    if called:
        raise UntrustedModel(
            f"{file} would call {_few(called)} while it is loaded; nothing of it was run.", hint=_way_out(called)
        )
    if found.unreadable:
        raise UnreadableModel(
            f"{file} cannot be read as a model: {found.unreadable}.",
            hint="save it again with joblib.dump, skops.io.dump or its library's save_model, or export it to ONNX",
        )
    return names, calls


def _few(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _way_out(names: Collection[str]) -> str:
    """What to do about names like these."""
    if any(name.partition(".")[0] in HOSTILE_MODULES or name in HOSTILE for name in names):
        return "it may be hostile, as no model needs that: load it nowhere, and ask who made it"
    if any(name.startswith("scipy.stats.") for name in names):
        return (
            "the search keeps the distributions that it drew from, and these hold source text: save its best_estimator_"
        )
    if any(name.partition(".")[0] in {"torch", "keras", "tensorflow", "transformers"} for name in names):
        return "export the model to ONNX and pack that"
    return (
        "take functions and classes of your own out of the model (do that step on the data before it, or use"
        " scikit-learn's transformers and numpy's functions) and save it again; or pack your own code as"
        " module:function, signed; or export the model to ONNX, which holds no code"
    )
