"""aweigh's own wheel, of the code that is running: what is deployed is what was tried here.

No builder and no network are needed. An installed aweigh is put together again from the files that its RECORD names, a
checkout (an editable install is one, too) from its folder and its ``pyproject.toml``. The same files give the same
bytes: names are sorted, dates are 1980-01-01, nothing is compressed. The form is that of the PyPA's binary distribution
format, its metadata that of the core metadata specification 2.4.
"""

import base64
import hashlib
import importlib.metadata
import io
import re
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

import aweigh._version
from aweigh.errors import ConfigError

PACKAGE = "aweigh"
DATE = (1980, 1, 1, 0, 0, 0)
MODE = 0o100644
WHEEL = "Wheel-Version: 1.0\nGenerator: aweigh\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
TAG = "py3-none-any"

_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_]*")
_OF_THE_MACHINE = frozenset({"INSTALLER", "RECORD", "REQUESTED", "WHEEL", "direct_url.json", "uv_cache.json"})
"""Files of a ``.dist-info`` that an installer writes."""
_NEEDED = ("__init__.py", "__main__.py", "py.typed", "_version.py")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel: its file name, its bytes, and the requirements that its metadata names."""

    name: str
    content: bytes
    requires: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()


def own_wheel() -> Wheel:
    """The wheel of the aweigh that is running.

    Raises:
        ConfigError: a file is missing, or it runs from something that is no folder.
    """
    return wheel_of(Path(aweigh._version.__file__).parent)  # noqa: SLF001  the one module that has a file for certain


def wheel_of(package: Path) -> Wheel:
    """The wheel of the package in that folder: of a checkout, or of an environment that it is installed in.

    Raises:
        ConfigError: a file is missing, or what is there is neither of the two.
    """
    missing = [name for name in _NEEDED if not (package / name).is_file()]
    if missing:
        raise _incomplete(f"{PACKAGE}/{missing[0]}")
    root = package.parent.parent
    if package.parent.name == "src" and (root / "pyproject.toml").is_file():
        return _assemble(_walk(package), *_metadata_of_checkout(root))
    return _of_installed(package)


def _incomplete(name: str) -> ConfigError:
    return ConfigError(
        f"No wheel can be made of the aweigh that is running: {name} is missing or cannot be read.",
        hint="install aweigh again",
    )


# -- what it is made of ----------------------------------------------------------------------------------------------


def _walk(package: Path) -> dict[str, bytes]:
    """The files of a checkout's package that belong into a wheel, by their names in it."""
    found = {}
    for path in sorted(package.rglob("*")):
        parts = path.relative_to(package).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if not hidden and path.suffix not in {".pyc", ".aweigh", ".part"} and path.is_file():
            found["/".join((PACKAGE, *parts))] = _read(path)
    return found


def _of_installed(package: Path) -> Wheel:
    """From an installed distribution: every file that its RECORD names must be there."""
    folders = sorted(package.parent.glob(f"{PACKAGE}-*.dist-info"))
    if not folders:
        raise ConfigError(
            "No wheel can be made of the aweigh that is running: it was not installed by an installer.",
            hint="install aweigh with pip or uv, or run it from its checkout",
        )
    distribution = importlib.metadata.PathDistribution(folders[-1])
    metadata = distribution.read_text("METADATA")
    if not metadata or not distribution.files:
        raise _incomplete("its metadata")
    code, info = {}, {}
    for file in distribution.files:
        inside = PurePosixPath(file).parts
        if inside[0] == PACKAGE and file.suffix != ".pyc":
            code[str(file)] = _read(package.parent / file)
        elif inside[0] == folders[-1].name and inside[1:] != () and inside[1] not in {*_OF_THE_MACHINE, "METADATA"}:
            info["/".join(inside[1:])] = _read(package.parent / file)
    return _assemble(code, metadata, info)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _incomplete("/".join(path.parts[path.parts.index(PACKAGE) :] if PACKAGE in path.parts else ())) from error


def _metadata_of_checkout(root: Path) -> tuple[str, dict[str, bytes]]:
    """METADATA and the other files of ``.dist-info``, as ``pyproject.toml`` says them."""
    try:
        project = tomllib.loads(_read(root / "pyproject.toml").decode())["project"]
        if project["name"] != PACKAGE:
            raise KeyError(PACKAGE)
        metadata = "\n".join([*_headers(project), "", _read(root / project["readme"]).decode()])
        scripts = [f"{name} = {target}" for name, target in sorted(project["scripts"].items())]
        licences = {f"licenses/{name}": _read(root / name) for name in project["license-files"]}
    except (KeyError, TypeError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _incomplete("its pyproject.toml") from error
    entry_points = "\n".join(["[console_scripts]", *scripts, ""]).encode()
    return metadata, {"entry_points.txt": entry_points} | licences


def _headers(project: Mapping[str, object]) -> Iterator[str]:
    """The lines of core metadata for a ``[project]`` table such as aweigh's own."""
    values: Mapping[str, list[str]] = {key: one for key, one in project.items() if isinstance(one, list)}
    extras = project.get("optional-dependencies", {})
    yield "Metadata-Version: 2.4"
    yield f"Name: {project['name']}"
    yield f"Version: {aweigh._version.__version__}"  # noqa: SLF001
    yield f"Summary: {project['description']}"
    yield f"License-Expression: {project['license']}"
    yield from (f"License-File: {name}" for name in values["license-files"])
    yield f"Keywords: {','.join(values['keywords'])}"
    yield from (f"Classifier: {name}" for name in values["classifiers"])
    yield f"Requires-Python: {project['requires-python']}"
    yield from (f"Requires-Dist: {text}" for text in values["dependencies"])
    if not isinstance(extras, dict):
        raise TypeError
    for extra, texts in sorted(extras.items()):
        yield f"Provides-Extra: {extra}"
        yield from (f"Requires-Dist: {_in_extra(text, extra)}" for text in texts)
    yield "Description-Content-Type: text/markdown"


def _in_extra(text: str, extra: str) -> str:
    requirement, _, marker = (part.strip() for part in text.partition(";"))
    return f"{requirement}; {f'({marker}) and ' if marker else ''}extra == '{extra}'"


# -- the wheel -------------------------------------------------------------------------------------------------------


def _assemble(code: Mapping[str, bytes], metadata: str, info: Mapping[str, bytes]) -> Wheel:
    headers = HeaderParser().parsestr(metadata)
    version = str(headers["Version"])
    if _VERSION.fullmatch(version) is None:
        raise _incomplete("its version")
    folder = f"{PACKAGE}-{version}.dist-info"
    files = dict(sorted(code.items()))
    inside = {**info, "METADATA": metadata.encode(), "WHEEL": WHEEL.encode()}
    files |= {f"{folder}/{name}": inside[name] for name in sorted(inside)}
    record = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{folder}/RECORD"] = "\n".join([*record, f"{folder}/RECORD,,", ""]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, DATE)
            entry.create_system, entry.external_attr = 3, MODE << 16
            archive.writestr(entry, content)
    requires = tuple(str(one) for one in headers.get_all("Requires-Dist") or ())
    return Wheel(f"{PACKAGE}-{version}-{TAG}.whl", packed.getvalue(), requires)


def _digest(content: bytes) -> str:
    """A sha256 as RECORD writes it: base64 for addresses, without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
