"""What Heroku's Python buildpack looks at before it installs anything: detect, package files, the Python version.

After the classic buildpack of August 2026. The first line of each message is its own; the rest is said more shortly.
"""

import re
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PYTHON = "3.14"
OLDEST_MINOR, NEWEST_MINOR = 10, 14
STACKS = ("heroku-22", "heroku-24", "heroku-26")
DETECTED_BY = (
    ".python-version", "app.py", "main.py", "manage.py", "pyproject.toml", "setup.py", "requirements.txt", "Pipfile",
    "Pipfile.lock", "poetry.lock", "uv.lock", "runtime.txt", "setup.cfg", "requirements", "requirement.txt",
    "Requirements.txt", "requirements.text", "venv", ".venv", "__init__.py", "server.py", "streamlit_app.py",
)  # fmt: skip
LOCKS = {"requirements.txt": "pip", "Pipfile.lock": "Pipenv", "poetry.lock": "Poetry", "uv.lock": "uv"}


class BuildFailed(Exception):
    """What a failed build says, line by line; the first begins with "Error: "."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a folder wants: ``origin`` says where the version was read, ``default`` where nobody named one."""

    manager: str
    python: str
    origin: str
    warnings: tuple[str, ...] = ()


def detect(folder: Path) -> None:
    """Raise BuildFailed where no buildpack would take the folder for Python."""
    if not any((folder / name).exists() for name in DETECTED_BY):
        raise BuildFailed(
            "No default language could be detected for this app.\n"
            "HINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.\n"
            "See https://devcenter.heroku.com/articles/buildpacks"
        )


def check(folder: Path, stack: str) -> Plan:
    """Make every check that compile makes before it downloads anything."""
    if stack not in STACKS:
        raise BuildFailed(f"Error: The '{stack}' stack is not recognised.")
    for name in (".heroku/python", ".venv"):
        if (folder / name).exists():
            raise BuildFailed(
                f"Error: Existing '{name}/' directory found.\n\nYour app's source code contains an existing "
                f"directory named\n'{name}/', which is where the buildpack installs its files.\n"
                "Delete it from your repository, and add it to .gitignore."
            )
    manager = _package_manager(folder)
    python, origin = _python(folder, manager)
    major, minor, *_ = (int(part) for part in python.split("."))
    if (major == 3 and minor < OLDEST_MINOR) or major < 3:
        raise BuildFailed(
            f"Error: The requested Python version has reached end-of-life.\n\nPython {major}.{minor} has "
            f"reached its upstream end-of-life, and is\ntherefore no longer receiving security updates.\n"
            f"It is set by: {origin}"
        )
    if major > 3 or minor > NEWEST_MINOR:
        raise BuildFailed(
            "Error: The requested Python version isn't recognised.\n\n"
            f"The requested Python version {major}.{minor} isn't recognised.\nIt is set by: {origin}"
        )
    warnings = []
    if origin == "runtime.txt":
        warnings.append(
            "Warning: The runtime.txt file is deprecated.\n\nDelete it, and create a .python-version file "
            f"that contains:\n{major}.{minor}"
        )
    if origin == "default":
        warnings.append(
            "Warning: No Python version was specified.\n\nYour app doesn't specify a Python version and so "
            f"the default of {DEFAULT_PYTHON} is used.\nCreate a .python-version file."
        )
    return Plan(manager, python, origin, tuple(warnings))


def _package_manager(folder: Path) -> str:
    found = [name for name in LOCKS if (folder / name).is_file()]
    if (folder / "Pipfile").is_file() and "Pipfile.lock" not in found:
        raise BuildFailed(
            "Error: No 'Pipfile.lock' found!\n\nA 'Pipfile' file was found, however, the associated "
            "'Pipfile.lock'\nPipenv lockfile was not. Run 'pipenv lock' and commit it."
        )
    if not found:
        contents = "\n".join(sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir()))
        raise BuildFailed(
            "Error: Couldn't find any supported Python package manager files.\n\n"
            "A Python app on Heroku must have either a 'requirements.txt',\n'Pipfile.lock', 'poetry.lock' "
            "or 'uv.lock' package manager file in\nthe root directory of its source code.\n\n"
            f"Currently the root directory of your app contains:\n\n{contents}"
        )
    if len(found) > 1:
        listed = "\n".join(f"{name} ({LOCKS[name]})" for name in found)
        raise BuildFailed(
            "Error: Multiple Python package manager files were found.\n\nExactly one package manager file "
            f"should be present in your app's\nsource code, however, several were found:\n\n{listed}"
        )
    return LOCKS[found[0]]


def _python(folder: Path, manager: str) -> tuple[str, str]:
    old, file = folder / "runtime.txt", folder / ".python-version"
    if old.is_file():
        found = re.fullmatch(r"\s*python-(\d+\.\d+(?:\.\d+)?)\s*", old.read_text(errors="replace"))
        if found is None:
            raise BuildFailed(
                "Error: Invalid Python version in runtime.txt.\n\nThe following file contents were found:\n"
                f"{old.read_text(errors='replace')}"
            )
        return found[1], "runtime.txt"
    if file.is_file():
        lines = [line for line in file.read_text(errors="replace").splitlines() if not re.fullmatch(r"\s*(#.*)?", line)]
        if len(lines) != 1:
            what = "Multiple Python versions were" if lines else "No Python version was"
            raise BuildFailed(f"Error: Invalid Python version in .python-version.\n\n{what} found in the file.")
        found = re.fullmatch(r"\s*(\d+\.\d+(?:\.\d+)?)\s*", lines[0])
        if found is None:
            raise BuildFailed(
                "Error: Invalid Python version in .python-version.\n\nThe following version was found:\n"
                f"{lines[0]}\n\nHowever, the version must be specified as either:\n"
                "1. '<major>.<minor>' (recommended, for automatic patch updates)\n"
                "2. '<major>.<minor>.<patch>' (to pin to an exact patch version)\n\n"
                "Don't include quotes or a 'python-' prefix."
            )
        return found[1], ".python-version"
    if manager == "uv":
        raise BuildFailed(
            "Error: No Python version was specified.\n\nWhen using the package manager uv on Heroku, you "
            "must specify\nyour app's Python version with a .python-version file."
        )
    return DEFAULT_PYTHON, "default"
