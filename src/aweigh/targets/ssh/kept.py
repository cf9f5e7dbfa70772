"""What lies on the host and is read back from there: the release, what was asked for, the slots, the history.

A host is not trusted to have kept them as they were: what is read is decoded strictly, and every value of it passes the
same allow-lists as one that is typed (``units.py``, ``site.py``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from aweigh.errors import RemoteError
from aweigh.targets.errors import AGAIN
from aweigh.targets.live import Golden
from aweigh.targets.release import START, Release
from aweigh.targets.ssh.place import BLOCK, FIRST_PORT, MEMORY, MOST_BLOCKS, MOST_REPLICAS, PORT

FOLDER = "aweigh-release"
"""What a release says of itself, in its own folder on the host."""
RELEASE, GOLDEN, RUN = f"{FOLDER}/release.json", f"{FOLDER}/golden.json", f"{FOLDER}/run"
VENV = "venv"
COMPLETE = f"{FOLDER}/complete"
"""Written last: a release without it was cut off while it was installed."""

DIGEST = re.compile(r"[0-9a-f]{12}")
_LINE = re.compile(r"([0-9a-f]{12}) ([0-9a-f]{12}|-) ([0-9]{1,12})")


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A release as its units are made of it; ``bundle`` is the bundle's short digest, where it serves one."""

    name: str
    python: str
    processes: dict[str, str]
    config: dict[str, str] = {}
    secrets: list[str] = []
    stores: list[str] = []
    bundle: str | None = None
    own_lines: bool = False
    """Whether the command lines are a Procfile's of the owner's, which a shell reads."""

    @property
    def is_ours(self) -> bool:
        """Whether ``aweigh serve`` answers."""
        return START in self.processes.get("web", "")

    @property
    def is_public(self) -> bool:
        """Whether nobody has to sign in."""
        return "--auth none" in self.processes.get("web", "")


class KeptGolden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The golden rows, beside the bundle: a rollback asks them again, without reading the bundle itself."""

    name: str
    version: str
    rows: list[dict[str, object]]
    predictions: list[dict[str, object]]
    absolute_tolerance: float


Replicas = dict[
    Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,32}$")], Annotated[int, msgspec.Meta(ge=0, le=MOST_REPLICAS)]
]
"""How many there are to be of each process type."""


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was asked for of an app on this host; ``base`` is the first of its ports."""

    app: str
    base: Annotated[int, msgspec.Meta(ge=FIRST_PORT, lt=FIRST_PORT + BLOCK * MOST_BLOCKS, multiple_of=BLOCK)]
    domain: str | None = None
    port: int = PORT
    memory: str = MEMORY
    replicas: Replicas = {}


class InSlot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What runs in a slot: the release, how many replicas of each process, the digest of its units' text."""

    release: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$")]
    replicas: Replicas
    units: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """A time that something went live; ``number`` counts from 1, ``at`` is seconds since 1970."""

    number: int
    release: str
    bundle: str | None
    at: int

    @property
    def label(self) -> str:
        """As people see it."""
        return f"v{self.number}"


def kept_of(release: Release, *, bundle: str | None) -> Kept:
    """What the host keeps of a release."""
    return Kept(
        name=release.name,
        python=release.python,
        processes=dict(release.processes),
        config=dict(release.config),
        secrets=list(release.secrets),
        stores=list(release.stores),
        bundle=bundle,
        own_lines="Procfile" in release.own,
    )


def kept_golden(golden: Golden) -> bytes:
    """The golden rows as a document."""
    return encoded(
        KeptGolden(
            golden.name,
            golden.version,
            [dict(one) for one in golden.rows],
            [dict(one) for one in golden.predictions],
            golden.absolute_tolerance,
        )
    )


def read_golden(content: bytes) -> Golden:
    """The golden rows of a release that lies on the host.

    Raises:
        RemoteError: it is no such document.
    """
    found = decoded(content, KeptGolden, what="the golden rows of the release")
    if len(found.rows) != len(found.predictions):
        raise RemoteError(
            "On the host the golden rows of the release cannot be read.", hint=f"deploy once more; {AGAIN}"
        )
    return Golden(found.name, found.version, found.rows, found.predictions, found.absolute_tolerance)


def encoded(value: msgspec.Struct) -> bytes:
    """A document of the host's, the same bytes for the same value."""
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2) + b"\n"


T = TypeVar("T", bound=msgspec.Struct)


def decoded(content: bytes | str, kind: type[T], *, what: str, fix: str = f"deploy once more; {AGAIN}") -> T:
    """A document of the host's; ``fix`` is what to do about one that is damaged.

    Raises:
        RemoteError: it is not one.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError(f"On the host {what} cannot be read.", hint=fix) from error


def read_history(text: str) -> list[Version]:
    """All times that something went live, the first one first; lines that were cut off are passed over."""
    found: list[Version] = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is not None:
            bundle = None if match[2] == "-" else match[2]
            found.append(Version(len(found) + 1, match[1], bundle, int(match[3])))
    return found


def installed_files(
    release: Release, *, golden: Golden | None, scripts: Mapping[str, bytes]
) -> dict[str, bytes | Path]:
    """All that is sent of a release: its files, and what it says of itself."""
    files = {name: one for name, one in release.files.items() if not name.startswith(f"{FOLDER}/")}
    kept = kept_of(release, bundle=None if golden is None else golden.version)
    more: dict[str, bytes | Path] = {RELEASE: encoded(kept), **scripts}
    if release.requirements is not None:
        more["requirements.txt"] = release.requirements.encode()
    if golden is not None:
        more[GOLDEN] = kept_golden(golden)
    return dict(sorted({**files, **more}.items()))
