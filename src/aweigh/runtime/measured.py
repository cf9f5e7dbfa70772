"""What one bundle takes and gives when it is served: measured once for its digest and these versions, then kept.

A measurement is kept in the user's own cache folder. A file that is stale, broken or written by someone else counts as
none, and so does a folder that cannot be written to: then it is measured anew.
"""

import hashlib
import os
import platform
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from aweigh._version import __version__

FORMAT = 1
VERSIONED = ("numpy", "onnxruntime", "scikit-learn", "xgboost", "xgboost-cpu", "lightgbm", "catboost", "streamlit",
             "starlette", "uvicorn", "msgspec")  # fmt: skip
"""Packages whose version a measurement depends on."""

MAX_FILE_BYTES = 64 * 1024


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One request of so many rows as JSON: the CPU time that the whole server spends on it."""

    rows: int
    cpu_us: float


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One call of the model for so many rows, on so many threads.

    ``same`` tells that every answer is the same to the last bit as on one thread.
    """

    rows: int
    threads: int
    cpu_us: float
    wall_us: float
    same: bool = True


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bytes after the start, warm.

    ``alone`` is one process that answers the API, ``both`` one that answers the API and the app. Of several processes
    ``parent`` is the one that only watches, ``worker`` each that answers the API, ``ui`` each that shows the app, and
    ``files`` what all share. ``peak`` comes on top in a process that answers the largest request that is allowed, and
    has kept as many answers as it was told to keep. None stands for what cannot be served here: there is no Streamlit.
    """

    alone: int
    both: int | None
    parent: int
    worker: int
    ui: int | None
    files: int
    peak: int


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a plan is made from. ``largest_rows`` and ``largest_bytes`` are those of the largest request.

    ``estimated`` tells that nothing was measured: then there are no requests and calls, and start is 0.
    """

    memory: Memory
    largest_rows: int
    largest_bytes: int
    start_cpu_s: float = 0.0
    start_s: float = 0.0
    requests: tuple[Request, ...] = ()
    calls: tuple[Call, ...] = ()
    estimated: bool = False


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file: what was measured, and everything that it holds for."""

    format: int
    key: dict[str, str]
    measured: Measured


def key_of(digest: str, *, max_rows: int, max_body_bytes: int, cache_bytes: int) -> dict[str, str]:
    """What a measurement holds for: the bundle, the limits, the versions and the kind of machine."""
    from importlib import metadata

    key = {
        "digest": digest,
        "max_rows": str(max_rows),
        "max_body_bytes": str(max_body_bytes),
        "cache_bytes": str(cache_bytes),
        "aweigh": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    for name in VERSIONED:
        try:
            key[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return key


def cache_folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """Where measurements are kept (``XDG_CACHE_HOME``, else ``~/.cache``); None for a user without a home."""
    environ = os.environ if environ is None else environ
    named = environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named) / "aweigh" / "measured"
    home = environ.get("HOME", "")
    return Path(home) / ".cache" / "aweigh" / "measured" if Path(home).is_absolute() else None


def ever_measured(digest: str, *, folder: Path | None) -> bool:
    """Whether anything is kept of this bundle: to know for which versions takes 20 ms, a twentieth of a start."""
    try:
        return folder is not None and any(one.name.startswith(_begin(digest)) for one in folder.iterdir())
    except OSError:
        return False


def read_measured(key: Mapping[str, str], *, folder: Path | None) -> Measured | None:
    """What was measured for exactly this key, by this user; None when nothing was, or the file cannot be trusted."""
    if folder is None:
        return None
    try:
        with (folder / _name(key)).open("rb") as stream:
            status = os.fstat(stream.fileno())
            foreign = status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if foreign or not stat.S_ISREG(status.st_mode):
                return None
            kept = msgspec.json.decode(stream.read(MAX_FILE_BYTES), type=_Kept)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return kept.measured if kept.format == FORMAT and kept.key == dict(key) and _sane(kept.measured) else None


def keep_measured(measured: Measured, key: Mapping[str, str], *, folder: Path | None) -> bool:
    """Keeps a measurement for the next time; tells whether it could."""
    from aweigh.bundle.atomic import whole_file

    if folder is None:
        return False
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / _name(key)
        with whole_file(path) as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(msgspec.json.encode(_Kept(format=FORMAT, key=dict(key), measured=measured)))
    except OSError:
        return False
    return True


def _name(key: Mapping[str, str]) -> str:
    whole = hashlib.sha256(msgspec.json.encode(sorted(key.items()))).hexdigest()
    return f"{_begin(key['digest'])}{whole[:16]}.json"


def _begin(digest: str) -> str:
    """How the files of one bundle begin."""
    return f"{digest[:12]}-"


def _sane(measured: Measured) -> bool:
    """Whether the numbers can be true: none is below zero, and what must be there takes something."""
    memory = measured.memory
    sizes = [memory.alone, memory.worker, memory.both or memory.alone, memory.ui or 1, measured.largest_rows]
    return (
        min(sizes) > 0
        and min(memory.parent, memory.files, memory.peak, measured.largest_bytes) >= 0
        and all(one.rows > 0 and one.cpu_us > 0 for one in measured.requests)
        and all(one.rows > 0 and one.threads > 0 and min(one.cpu_us, one.wall_us) > 0 for one in measured.calls)
    )
