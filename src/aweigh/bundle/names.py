"""The names that files of a bundle may have: the same file on every system, inside the bundle, and no other's twin."""

import unicodedata
from collections.abc import Iterable

from aweigh.errors import DamagedBundle

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
UNNAMED = frozenset({MANIFEST, SIGNATURE})
"""Files that no manifest names: itself, and what is signed over it."""

SCHEMA = "schema.json"
EXAMPLES = "examples.json"
PROFILE = "profile.json"
REQUIREMENTS = "requirements.txt"
REQUIREMENTS_UI = "requirements-ui.txt"
CARD = "card.md"
SBOM = "sbom.cdx.json"
APP = "app.py"
MODEL_FOLDER = "model/"
PICKLE = "model/model.pkl"
"""Where a pickled model lies; a pickle of any other name is refused, whoever has signed it."""
CODE_FOLDER = "model/code/"
"""Where the owner's own Python lies, and below it the files that it reads, as they lay in the project."""

REQUIRED = frozenset({SCHEMA, EXAMPLES, PROFILE, REQUIREMENTS, CARD})
"""What every bundle has, beside the manifest and the model."""
OPTIONAL = frozenset({REQUIREMENTS_UI, SBOM, APP})

MAX_FILES = 4096
MAX_NAME_BYTES = 512
MAX_PART_BYTES = 255
"""What common file systems take for one name."""

_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{name}{i}" for name in ("com", "lpt") for i in range(1, 10))})
_FORBIDDEN = frozenset('\\:*?"<>|')


def check_names(names: Iterable[str]) -> None:
    """Refuse names that lead out of the bundle, mean two files, or cannot be written on every system.

    Raises:
        DamagedBundle: with the first such name, shown as an escaped string.
    """
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for count, name in enumerate(names, start=1):
        if count > MAX_FILES:
            raise DamagedBundle(f"The bundle holds more than {MAX_FILES:,} files.")
        wrong = what_is_wrong(name)
        if wrong:
            raise DamagedBundle(f"The bundle holds a file named {name[:80]!a}: {wrong}.")
        key = _folded(name)
        if key in seen:
            raise DamagedBundle(f"The bundle holds {name!a} twice (as {seen[key]!a}).")
        seen[key] = name
        parts = key.split("/")
        folders.update({"/".join(parts[:i]): name for i in range(1, len(parts))})
    for key in seen.keys() & folders.keys():
        raise DamagedBundle(f"The bundle holds {seen[key]!a} as a file and as a folder.")


def what_is_wrong(name: str) -> str | None:
    """Why a file of a bundle cannot have this name; None when it can."""
    if not name or name.startswith("/"):
        return "an absolute path" if name else "an empty name"
    if "\\" in name:
        return "a backslash"
    if len(name) >= 2 and name[1] == ":" and name[0].isalpha():  # C:
        return "a drive letter"
    if name.endswith("/"):
        return "a folder"
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        return "no valid Unicode"
    if size_bytes > MAX_NAME_BYTES:
        return f"longer than {MAX_NAME_BYTES} bytes"
    if not unicodedata.is_normalized("NFC", name):
        return "not in Unicode's normal form NFC"
    if not name.isprintable() or not _FORBIDDEN.isdisjoint(name):
        return "a character that names may not hold"
    return next((wrong for part in name.split("/") if (wrong := _wrong_part(part))), None)


def _wrong_part(part: str) -> str | None:
    if part in {"", ".", ".."}:
        return "a path that leads elsewhere"
    if part != part.rstrip(" .") or part.startswith(" "):
        return "a space or a point at the edge of a name"
    if part.split(".", maxsplit=1)[0].casefold() in _DEVICES:
        return "a device's name on Windows"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"a part longer than {MAX_PART_BYTES} bytes"
    return None


def _folded(name: str) -> str:
    """What a file system that does not tell case apart makes of a name."""
    return unicodedata.normalize("NFC", name.casefold())
