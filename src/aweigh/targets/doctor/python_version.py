"""Which Python is asked for, and whether the file that asks for it is of the form that is read."""

import re
from collections.abc import Iterator, Sequence

from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder

FILE = ".python-version"
OLD_FILE = "runtime.txt"
_VERSION = re.compile(r"3\.\d{1,2}(?:\.\d{1,3})?\Z")


def python_of(folder: Folder, *, default: str) -> str:
    """Major and minor of the Python that the folder is run with, as ``3.12``."""
    for name in (FILE, OLD_FILE):
        found = re.search(r"\b3\.\d{1,2}", _wanted(folder.text(name)))
        if found is not None:
            return found[0]
    return default


def check(folder: Folder, *, supported: Sequence[str], default: str, better: str | None = None) -> Iterator[Finding]:
    """``.python-version``, ``runtime.txt`` and neither; ``supported`` are those that the platform builds with.

    ``better`` is a version that the requirements would rather have.
    """
    text, old = folder.text(FILE), folder.text(OLD_FILE)
    python = python_of(folder, default=default)
    if old is not None:
        what = f"{OLD_FILE} is out of use, and read for the time being"
        yield Finding("runtime_txt", "warn", what, _write(better or python, remove=OLD_FILE), OLD_FILE)
    if text is None and old is None:
        what = f"no file says which Python: it would be {default} today, and another one some day"
        yield Finding("no_python_version", "warn", what, _write(better or default), FILE)
        return
    wanted = _wanted(text)
    if text is not None and not _VERSION.match(wanted):
        what = f"{wanted[:40] or 'an empty file'} is no version as it is read: 3.13 or 3.13.5, and nothing else"
        yield Finding("python_version_form", "fail", what, _write(better or python), FILE)
        return
    if python not in supported:
        what = f"Python {python} is not offered there: {supported[0]} to {supported[-1]} are"
        near = min(supported, key=lambda one: abs(int(one.split(".")[1]) - int(python.split(".")[1])))
        yield Finding(
            "python_unsupported", "fail", what, _write(better or near), FILE if text is not None else OLD_FILE
        )
    elif old is None:
        yield Finding("python_version", "pass", f"Python {python}", where=FILE)


def _wanted(text: str | None) -> str:
    """The first line that says anything."""
    lines = [line.strip() for line in (text or "").splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "")


def _write(version: str, *, remove: str | None = None) -> str:
    removed = f"; git rm {remove}" if remove else ""
    return f"echo {version} > {FILE}{removed}"
