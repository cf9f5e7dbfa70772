"""Streamlit's version against the Python that runs it."""

from collections.abc import Iterator

from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder
from aweigh.targets.doctor.requirements import FILE, minor_of, requirements_of

_FIRST_FOR = {(3, 11): (1, 24), (3, 12): (1, 29), (3, 13): (1, 41), (3, 14): (1, 52)}
"""The first Streamlit whose metadata names a Python among those that it is made for."""


def check(folder: Folder, *, python: str) -> Iterator[Finding]:
    """Whether an exact Streamlit is older than what first knew the Python."""
    line = next((one for one in requirements_of(folder) if one.name == "streamlit"), None)
    version = minor_of(line.version) if line is not None else None
    major, _, minor = python.partition(".")
    first = _FIRST_FOR.get((int(major), int(minor)))
    if line is None or version is None or first is None or version >= first:
        return
    older = [wanted for wanted, known in sorted(_FIRST_FOR.items()) if known <= version]
    near = f"{older[-1][0]}.{older[-1][1]}" if older else "3.10"
    what = f"streamlit {line.version} was not made for Python {python}; the first that was is {first[0]}.{first[1]}"
    fix = f"echo {near} > .python-version, or take streamlit {first[0]}.{first[1]} or newer"
    yield Finding("old_streamlit", "warn", what, fix, f"{FILE}, line {line.number}")
