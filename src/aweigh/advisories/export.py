"""An export of advisories on this machine: a file or a folder of JSON, or the zip that OSV gives for an ecosystem."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from aweigh.advisories.osv import ECOSYSTEM, Advisory, affects
from aweigh.advisories.report import Told, names_of, public
from aweigh.bundle.requirements import Pinned, canonical
from aweigh.errors import SourceSilent, UsageError

MAX_FILE_BYTES = 64 * 2**20
"""Of one JSON file; an advisory has a few thousand, a list of them more."""
MAX_TOTAL_BYTES = 4 * 2**30

_ZIP_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError, LookupError,
    OverflowError,
)  # fmt: skip
"""What zipfile and the ways of packing raise when a zip is damaged, beside errors of the system."""

_Many = msgspec.json.Decoder(Advisory | list[Advisory])
_Named = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_export(path: Path, packages: Iterable[Pinned]) -> Told:
    """The advisories of an export that speak of the packages, as their ranges and lists say.

    Raises:
        UsageError: there is no such file, or it is of a kind that nobody here reads.
        SourceSilent: it cannot be read to its end, or holds no advisory of PyPI.
    """
    wanted: dict[str, dict[tuple[str, str], str]] = {}  # two locks may hold two versions, and two packages one code
    for one in packages:
        for name in names_of(one):
            wanted.setdefault(name, {})[one.name, one.version] = public(one.version)
    found: dict[tuple[str, str], list[Advisory]] = {key: [] for some in wanted.values() for key in some}
    seen, newest = 0, ""
    for advisory in _advisories(path):
        names = {
            canonical(one.package.name)
            for one in advisory.affected or ()
            if one.package and _is_ours(one.package.ecosystem)
        }
        seen += bool(names)
        newest = max(newest, advisory.modified) if names else newest
        for name in names & wanted.keys():
            for key, version in wanted[name].items():
                if affects(advisory, name, version):
                    found[key].append(advisory)
    if not seen:
        raise SourceSilent(
            f"{path} holds no advisory of {ECOSYSTEM}: it has nothing to say of a lock.",
            hint="OSV gives an export of each ecosystem: all.zip of PyPI",
        )
    note = f"{seen:,} advisories, the newest of {newest[:10] or 'an unknown day'}: what came later is not in it"
    return Told(str(path), {key: tuple(many) for key, many in found.items()}, (note,))


def _is_ours(ecosystem: str) -> bool:
    return ecosystem.partition(":")[0] == ECOSYSTEM


def _advisories(path: Path) -> Iterator[Advisory]:
    for name, content in _files(path):
        try:
            yield from _decoded(content)
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or not of the schema
            raise SourceSilent(
                f"{name!r} of the export is no advisory in OSV's schema.", hint="take a whole export, as OSV gives it"
            ) from error


def _decoded(content: bytes) -> list[Advisory]:
    """One advisory, a list of them, or an answer of the API (``{"vulns": [...]}``)."""
    keys = _Named.decode(content) if content.lstrip()[:1] == b"{" else {}
    if "id" not in keys and "vulns" in keys:
        return msgspec.json.decode(bytes(keys["vulns"]), type=list[Advisory])
    found = _Many.decode(content)
    return [found] if isinstance(found, Advisory) else found


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of each JSON file, with its name."""
    total = 0
    try:
        for name, stream in _streams(path):
            with stream:
                content = stream.read(MAX_FILE_BYTES + 1)
            total += len(content)
            if len(content) > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES:
                raise SourceSilent("The export is larger than any that OSV gives.")
            yield name, content
    except _ZIP_DAMAGE as error:
        raise SourceSilent(f"{path} is a damaged zip: {error}.", hint="fetch it again") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _streams(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if path.is_dir():
        for one in sorted(path.rglob("*.json")):
            yield one.name, one.open("rb")
    elif path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".json"):
                    yield member.filename, archive.open(member)
    elif path.suffix.lower() == ".json":
        yield path.name, path.open("rb")
    else:
        raise UsageError(f"{path} is no export of advisories.", hint="it is a .json, a .zip, or a folder of .json")
