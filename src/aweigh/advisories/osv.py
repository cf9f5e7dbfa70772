"""Advisories in OSV's schema (Open Source Vulnerability format, 1.7), and whether a version is among the affected.

Of an advisory only what an audit needs is read. Versions of PyPI are compared as PEP 440 orders them; what cannot be
read (a range of another kind, a version that is none) counts as affected, and is told as such.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from aweigh.bundle.requirements import canonical
from aweigh.errors import MissingExtra

if TYPE_CHECKING:
    from packaging.version import Version

ECOSYSTEM = "PyPI"
MAX_SUMMARY_CHARACTERS = 200


class Package(msgspec.Struct, frozen=True):
    """Whose advisory it is."""

    name: str = ""
    ecosystem: str = ""


class Event(msgspec.Struct, frozen=True):
    """One end of a range; exactly one of them is said."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None


class Range(msgspec.Struct, frozen=True):
    """Where a fault came in and went out again: ``type`` says what its events are ordered by."""

    type: str = ""
    events: tuple[Event, ...] = ()


class Affected(msgspec.Struct, frozen=True):
    """One package of an advisory, with its ranges and the versions that are listed one by one."""

    package: Package | None = None
    ranges: tuple[Range, ...] | None = None
    versions: tuple[str, ...] | None = None


class Severity(msgspec.Struct, frozen=True):
    """How bad it is, as a vector of CVSS."""

    type: str = ""
    score: str = ""


class Advisory(msgspec.Struct, frozen=True):
    """One advisory, as a file of an export or an answer of the API holds it."""

    id: str
    modified: str = ""
    withdrawn: str | None = None
    aliases: tuple[str, ...] | None = None
    summary: str = ""
    details: str = ""
    severity: tuple[Severity, ...] | None = None
    affected: tuple[Affected, ...] | None = None
    database_specific: dict[str, Any] | None = None

    @property
    def names(self) -> frozenset[str]:
        """Its own id and those that others gave to the same fault."""
        return frozenset({self.id, *(self.aliases or ())})

    @property
    def words(self) -> str:
        """What it is about, in a line."""
        text = self.summary or next((line for line in self.details.splitlines() if line.strip(" #")), "")
        text = " ".join(text.strip(" #").split())
        return text if len(text) <= MAX_SUMMARY_CHARACTERS else text[: MAX_SUMMARY_CHARACTERS - 3] + "..."

    @property
    def rating(self) -> str:
        """How bad it is in the database's own word, else its CVSS vector, else nothing."""
        said = (self.database_specific or {}).get("severity")
        if isinstance(said, str):
            return said.lower()
        return next((one.score for one in self.severity or ()), "")

    def entries(self, package: str) -> list[Affected]:
        """What it says of a package of PyPI."""
        return [
            one
            for one in self.affected or ()
            if one.package is not None
            and one.package.ecosystem.partition(":")[0] == ECOSYSTEM
            and canonical(one.package.name) == package
        ]


def affects(advisory: Advisory, package: str, version: str) -> bool:
    """Whether the advisory speaks of this version of the package; one that was withdrawn speaks of none."""
    return advisory.withdrawn is None and any(_affects(one, version) for one in advisory.entries(package))


def fixes(advisory: Advisory, package: str, version: str) -> tuple[str, ...]:
    """The versions above this one in which it is mended, in their order."""
    read = _reader()
    now = read(version)
    said = {
        event.fixed
        for one in advisory.entries(package)
        for span in one.ranges or ()
        if span.type == "ECOSYSTEM"
        for event in span.events
        if event.fixed
    }
    later = [(one, text) for text in said if (one := read(text)) is not None and (now is None or one > now)]
    return tuple(text for _, text in sorted(later))


def _affects(entry: Affected, version: str) -> bool:
    spans = [one for one in entry.ranges or () if one.type == "ECOSYSTEM"]
    read = _reader()
    now = read(version)
    if now is None:
        return True
    if any(one == version or read(one) == now for one in entry.versions or ()):
        return True
    if not spans:
        return not entry.versions  # nothing by which it could be told: it may well be affected
    return any(_within(span.events, now) for span in spans)


def _within(events: Iterable[Event], now: "Version") -> bool:
    """The rule of OSV's specification: the events in their order, and the last one that applies decides."""
    read = _reader()
    marks: list[tuple[Version | None, int, Event]] = []
    limits: list[str] = []
    for event in events:
        if event.limit is not None:
            limits.append(event.limit)
            continue
        said = event.introduced or event.fixed or event.last_affected or "0"
        at = None if said == "0" else read(said)
        if at is None and said != "0":
            return True  # an end that cannot be read
        marks.append((at, 0 if event.introduced is not None else 1, event))
    if limits and "*" not in limits and not any((end := read(one)) is None or now < end for one in limits):
        return False
    lowest = read("0.dev0")
    inside = False
    for at, _, event in sorted(marks, key=lambda one: (one[0] is not None, one[0] or lowest, one[1])):
        if event.introduced is not None and (at is None or now >= at):
            inside = True
        elif event.fixed is not None:
            inside = inside and at is not None and now < at
        elif event.last_affected is not None:
            inside = inside and at is not None and now <= at
    return inside


def _reader() -> Any:
    """What turns text into a version, without its local part (``+cpu``), or into None where it is none.

    Raises:
        MissingExtra: what knows PEP 440 is not installed.
    """
    try:
        from packaging.version import Version
    except ModuleNotFoundError as error:
        raise MissingExtra("Comparing versions", extra="audit") from error

    def read(text: str) -> "Version | None":
        try:
            return Version(Version(text).public)
        except ValueError:  # none (InvalidVersion is one), or of a number of more digits than Python reads
            return None

    return read
