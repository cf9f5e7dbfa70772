"""The packages: one file that names them, exact versions in it, and none that is too large or leads to a secret."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from aweigh.bundle.requirements import canonical
from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder, find_script

FILE = "requirements.txt"
MANAGERS = (FILE, "Pipfile.lock", "poetry.lock", "uv.lock")
"""Files of which the buildpack wants exactly one."""

_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;#]*)")
_EXACT = re.compile(r"===?\s*([A-Za-z0-9.!+_-]+)\s*(?:--hash|\\|$)")
# Every part is bounded: what is looked for in a line of a megabyte must not take the square of that.
_PASSWORD = re.compile(r"[a-z+]{1,20}://[^\s/@]{0,200}:[^\s/@]{1,1000}@", re.IGNORECASE)
_VARIABLE = re.compile(r":(?:\$\{\w+\}|\$\w+)@")
_CPU_TORCH = re.compile(r"download\.pytorch\.org/whl/cpu|\+cpu")
CPU_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True, slots=True)
class Line:
    """A requirement: its name as PEP 503 has it, what its version is held to, the exact version if it is, its line."""

    name: str
    specifier: str
    version: str | None
    number: int
    hashed: bool = False


def read_lines(text: str) -> tuple[Line, ...]:
    """The requirements of a ``requirements.txt``; options, addresses and comments are left out."""
    found: list[Line] = []
    joined = re.sub(r"\\\r?\n", lambda _: "\x00", text)
    number = 1
    for raw in joined.splitlines():
        line = raw.replace("\x00", " ").strip()
        match = _LINE.match(line)
        if match is not None and "://" not in line.split(" #")[0] and not line.startswith("-"):
            exact = _EXACT.match(match[2].strip())
            version = exact[1] if exact is not None and "*" not in match[2] else None
            specifier = match[2].partition("--hash")[0].strip()
            found.append(Line(canonical(match[1]), specifier, version, number, "--hash=" in line))
        number += 1 + raw.count("\x00")
    return tuple(found)


def requirements_of(folder: Folder) -> tuple[Line, ...]:
    """Those of the folder's ``requirements.txt``; none where another file names the packages."""
    return read_lines(folder.text(FILE) or "")


def check(folder: Folder) -> Iterator[Finding]:
    """Everything about the packages that can be told from the files alone."""
    found = [*_managers(folder), *_lines(folder)]
    yield from found
    if not any(one.level != "pass" for one in found):
        name = next(name for name in MANAGERS if name in folder.names)
        yield Finding("requirements", "pass", "one file names the packages, all of them exactly", where=name)


def _lock(folder: Folder) -> str:
    """The command that writes the missing lines, for the script that is there."""
    return f"aweigh lock {find_script(folder) or 'app.py'} -o requirements.txt"


def _managers(folder: Folder) -> Iterator[Finding]:
    here = [name for name in MANAGERS if name in folder.names]
    if "Pipfile" in folder.names and "Pipfile.lock" not in folder.names:
        what = "there is a Pipfile without its lock: No 'Pipfile.lock' found!"
        yield Finding("no_pipfile_lock", "fail", what, "run pipenv lock, and commit Pipfile.lock", "Pipfile")
    elif not here:
        only = " (pyproject.toml alone is not enough)" if "pyproject.toml" in folder.names else ""
        what = f"no file names the packages{only}: Couldn't find any supported Python package manager files."
        yield Finding("no_requirements", "fail", what, _lock(folder), FILE)
    if len(here) > 1:
        what = f"{' and '.join(here)} name packages: Multiple Python package manager files were found."
        keep = next((name for name in here if name != FILE), here[0])
        away = " ".join(name for name in here if name != keep)
        yield Finding("two_managers", "fail", what, f"keep one of them; as {keep} is a lock: git rm {away}", here[0])
    if "uv.lock" in folder.names and ".python-version" not in folder.names:
        what = "with uv.lock the Python has to be named: No Python version was specified."
        yield Finding("uv_no_python", "fail", what, "echo 3.13 > .python-version", ".python-version")


def _lines(folder: Folder) -> Iterator[Finding]:
    text = folder.text(FILE)
    if text is None:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if _PASSWORD.search(line) and not _VARIABLE.search(line):
            what = "the line holds an address with a password, which everybody sees who sees the file"
            fix = "put the password into a config variable, write ${NAME} in its place, and change the password"
            yield Finding("index_password", "fail", what, fix, f"{FILE}, line {number}")
    lines = read_lines(text)
    if not lines and "-r " not in text:
        yield Finding("no_requirements", "fail", "it names no package", f"rm {FILE}, then {_lock(folder)}", FILE)
    if "streamlit" not in {one.name for one in lines} and _needs_streamlit(folder) and lines:
        what = "streamlit is not among them, and the app imports it"
        yield Finding("no_streamlit", "fail", what, "add streamlit, then aweigh lock", FILE)
    loose = [one for one in lines if one.version is None]
    if loose:
        names = ", ".join(one.name for one in loose[:4]) + (f" and {len(loose) - 4} more" if len(loose) > 4 else "")
        what = f"{names}: no exact version, so every build may get another one, and so may what they need in turn"
        yield Finding("loose", "warn", what, f"aweigh lock {FILE}", f"{FILE}, line {loose[0].number}")
    elif lines and not all(one.hashed for one in lines):
        what = f"{len(lines)} exact versions without hashes: what they need in turn is whatever is newest on the day"
        yield Finding("not_locked", "warn", what, f"aweigh lock {FILE} pins those too, with hashes", FILE)
    yield from _large(lines, text)
    yield from _altair(lines)


def _needs_streamlit(folder: Folder) -> bool:
    from aweigh.targets.doctor.folder import find_script

    return find_script(folder) is not None


def _large(lines: tuple[Line, ...], text: str) -> Iterator[Finding]:
    by_name = {one.name: one for one in lines}
    if "torch" in by_name and not _CPU_TORCH.search(text):
        what = "torch as it is on the index brings CUDA, some gigabytes that nothing without a GPU can use"
        fix = f"put {CPU_INDEX} on the first line, and write torch==VERSION+cpu"
        yield Finding("cuda_torch", "fail", what, fix, f"{FILE}, line {by_name['torch'].number}")
    if "tensorflow" in by_name:
        what = "tensorflow brings what GPUs need, and has led to builds of more than 600 MB (Heroku takes 500)"
        fix = "write tensorflow-cpu, or have the model converted: aweigh pack"
        yield Finding("full_tensorflow", "fail", what, fix, f"{FILE}, line {by_name['tensorflow'].number}")
    if "xgboost" in by_name and "xgboost-cpu" not in by_name:
        what = "xgboost brings NVIDIA's NCCL, a few hundred megabytes that nothing without a GPU can use"
        fix = "write xgboost-cpu, which is imported by the same name (version 3.0 and later)"
        yield Finding("xgboost_nccl", "warn", what, fix, f"{FILE}, line {by_name['xgboost'].number}")


def _altair(lines: tuple[Line, ...]) -> Iterator[Finding]:
    """Streamlit before 1.20 let in an altair that no longer has what it imports (altair.vegalite.v4, gone in 5)."""
    by_name = {one.name: one for one in lines}
    streamlit = by_name.get("streamlit")
    version = _numbers(streamlit.version) if streamlit is not None else None
    if streamlit is not None and version is not None and version < FIRST_WITHOUT_OLD_ALTAIR and "altair" not in by_name:
        what = (
            f"streamlit {streamlit.version} takes any altair, and fails with today's: "
            "No module named 'altair.vegalite.v4'"
        )
        fix = f"add altair<5, or let aweigh lock {FILE} take the versions of its time"
        yield Finding("altair", "fail", what, fix, f"{FILE}, line {streamlit.number}")


FIRST_WITHOUT_OLD_ALTAIR = (1, 20)
"""From here on Streamlit's own requirements hold altair below 5, or it no longer needs the old one."""


def _numbers(version: str | None) -> tuple[int, ...] | None:
    found = re.match(r"(\d{1,6})\.(\d{1,6})", version or "")
    return (int(found[1]), int(found[2])) if found is not None else None


def minor_of(version: str | None) -> tuple[int, ...] | None:
    """Major and minor of an exact version, as numbers."""
    return _numbers(version)
