"""What an audit found: advisories of one fault in one package are one finding, and what is set aside says why."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aweigh.advisories.osv import Advisory, fixes
from aweigh.bundle.requirements import Pinned
from aweigh.errors import UsageError

SAME_CODE: Mapping[str, tuple[str, ...]] = {
    "xgboost-cpu": ("xgboost",),
    "psycopg-binary": ("psycopg",),
}
"""Distributions of the same code under another name: whose advisories speak of them, too."""
_IGNORE = re.compile(r"(?P<id>[A-Za-z0-9:._-]{3,100})=(?P<reason>.*?)(?:[\s,;]*\buntil (?P<until>\d{4}-\d{2}-\d{2}))?")


@dataclass(frozen=True, slots=True)
class Ignored:
    """One advisory that the owner sets aside: why, and the first day on which it counts again."""

    id: str
    reason: str
    until: dt.date | None = None

    def holds(self, today: dt.date) -> bool:
        """Whether it is set aside today."""
        return self.until is None or today < self.until


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault in one package: all ``ids`` that it is known by, and the versions that mend it.

    ``ignored`` is the reason for which it does not count.
    """

    package: str
    version: str
    ids: tuple[str, ...]
    words: str
    rating: str
    fixed: tuple[str, ...]
    ignored: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What a source said: the advisories that speak of each package, by (name, version), and what it is.

    ``source`` names it for people; ``notes`` are what they should know of it.
    """

    source: str
    advisories: Mapping[tuple[str, str], tuple[Advisory, ...]]
    notes: tuple[str, ...] = ()


def names_of(package: Pinned) -> tuple[str, ...]:
    """The names under which advisories may speak of a package."""
    return (package.name, *SAME_CODE.get(package.name, ()))


def public(version: str) -> str:
    """A version without its local part: advisories know ``2.13.0``, and not ``2.13.0+cpu``."""
    return version.partition("+")[0]


def read_ignored(text: str) -> Ignored:
    """``ID=REASON``, or ``ID=REASON until 2027-01-31``.

    Raises:
        UsageError: it is neither, or gives no reason.
    """
    match = _IGNORE.fullmatch(text.strip())
    if match is None or not match["reason"].strip():
        raise UsageError(
            f"--ignore {text[:80]!r} says no advisory, or no reason.",
            hint='write --ignore "GHSA-xxxx-xxxx-xxxx=why it does not matter here until 2027-01-31"',
        )
    try:
        until = dt.date.fromisoformat(match["until"]) if match["until"] else None
    except ValueError as error:
        raise UsageError(f"--ignore {text[:80]!r} ends on a day that there is not.") from error
    return Ignored(match["id"], match["reason"].strip(), until)


def findings(told: Told, packages: Iterable[Pinned], ignored: Sequence[Ignored], today: dt.date) -> list[Finding]:
    """What was found in the packages, worst first as far as that is known, what is set aside at the end."""
    found = [
        _finding(one, group, ignored, today)
        for one in packages
        for group in _grouped(told.advisories.get((one.name, one.version), ()))
    ]
    return sorted(found, key=lambda one: (bool(one.ignored), one.package, one.ids))


def unused(ignored: Sequence[Ignored], found: Iterable[Finding], today: dt.date) -> list[str]:
    """What to tell of the advisories that were to be set aside: those that count again, and those nobody found."""
    seen = {name for one in found for name in one.ids}
    told = [
        f"{one.id} is set aside until {one.until} only, and counts again" for one in ignored if not one.holds(today)
    ]
    return told + [f"{one.id} was to be set aside, and was not found" for one in ignored if one.id not in seen]


def _grouped(advisories: Iterable[Advisory]) -> list[list[Advisory]]:
    """Advisories that share an id or an alias speak of one fault."""
    groups: list[tuple[set[str], list[Advisory]]] = []
    for advisory in sorted(advisories, key=lambda one: one.id):
        names = set(advisory.names)
        together = [advisory]
        apart = []
        for known, members in groups:
            if known & names:
                names |= known
                together = [*members, *together]
            else:
                apart.append((known, members))
        groups = [*apart, (names, together)]
    return [members for _, members in groups]


def _finding(package: Pinned, group: list[Advisory], ignored: Sequence[Ignored], today: dt.date) -> Finding:
    ids = {name for advisory in group for name in advisory.names}
    # A CVE is what people search for, and the shortest name of a fault: it stands behind the databases' own.
    ordered = sorted(ids, key=lambda name: (name.startswith("CVE-"), name))
    version = public(package.version)
    mended = {fix for advisory in group for name in names_of(package) for fix in fixes(advisory, name, version)}
    aside = next((one for one in ignored if one.id in ids and one.holds(today)), None)
    return Finding(
        package=package.name,
        version=package.version,
        ids=tuple(ordered),
        words=next((one.words for one in group if one.words), "no summary"),
        rating=next((one.rating for one in sorted(group, key=_plainly_rated) if one.rating), ""),
        fixed=_sorted_versions(mended),
        ignored="" if aside is None else aside.reason,
    )


def _plainly_rated(advisory: Advisory) -> bool:
    """Whether its rating is a vector, which a word comes before."""
    return advisory.rating.startswith("CVSS:")


def _sorted_versions(texts: Iterable[str]) -> tuple[str, ...]:
    from packaging.version import Version

    return tuple(sorted(texts, key=Version))
