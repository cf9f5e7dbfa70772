"""``aweigh audit``: known vulnerabilities of the packages that a bundle is served with."""

import datetime as dt
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.advisories import DEFAULT_SOURCE
from aweigh.bundle.coherence import read_locks
from aweigh.bundle.names import REQUIREMENTS, REQUIREMENTS_UI
from aweigh.bundle.requirements import Pinned
from aweigh.bundle.verify import Bundle, open_bundle
from aweigh.cli.terminal import aligned, clean, print_document
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.advisories.report import Finding, Told

FOUND = 1
"""The exit code when something was found; a source that could not be asked is 4."""
WIDTH = 100


@click.command("audit")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--source", metavar="URL", default=DEFAULT_SOURCE, show_default=True,
              help="A server of OSV's API: it learns names and versions of packages, nothing else.")  # fmt: skip
@click.option("--advisories", type=click.Path(path_type=Path, exists=True), metavar="FILE|DIR",
              help="An export of OSV instead (a .json, a .zip, a folder): nobody is asked.")  # fmt: skip
@click.option("--ignore", "aside", multiple=True, metavar="ID=REASON",
              help='Set an advisory aside, and say why; "ID=REASON until 2027-01-31" for a while.')  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def audit_bundle(
    ctx: click.Context, path: Path, source: str, advisories: Path | None, aside: tuple[str, ...], as_json: bool
) -> int:
    """Tell the known vulnerabilities of the packages that a BUNDLE's locks pin, for the API and for the app.

    Exits with 1 when there is one that is not set aside, and with 4 when the source could not be asked, did not answer
    in full, or knows nothing at all: that is never told as "none". Nothing of the bundle is run.
    """
    from aweigh.advisories.report import findings, read_ignored, unused

    if advisories is not None and ctx.get_parameter_source("source") == click.core.ParameterSource.COMMANDLINE:
        raise UsageError("--source and --advisories exclude each other.", hint="leave one of them out")
    ignored = [read_ignored(one) for one in aside]
    bundle = open_bundle(path)
    packages = _packages(bundle)
    told = _told(source, advisories, list(packages))
    today = dt.datetime.now(dt.UTC).date()
    found = findings(told, packages, ignored, today)
    notes = [*told.notes, *unused(ignored, found, today)]
    if as_json:
        print_document(document(bundle, told, packages, found, notes))
    else:
        for line in lines(bundle, told, packages, found, notes):
            click.echo(line)
    return FOUND if any(not one.ignored for one in found) else 0


def _packages(bundle: Bundle) -> dict[Pinned, tuple[str, ...]]:
    """Every package at its version, once, and the locks that pin it."""
    names = [name for name in (REQUIREMENTS, REQUIREMENTS_UI) if name in bundle.manifest.files]
    locks = read_locks({name: bundle.read(name) for name in names})
    holders: dict[tuple[str, str], list[str]] = {}
    for name, packages in locks.items():
        for one in packages:
            holders.setdefault((one.name, one.version), []).append(name)
    if not holders:
        raise UsageError("The bundle's locks pin nothing: there is nothing to audit.")
    return {Pinned(*key, ()): tuple(pinned_by) for key, pinned_by in sorted(holders.items())}


def _told(source: str, advisories: Path | None, packages: list[Pinned]) -> "Told":
    if advisories is not None:
        from aweigh.advisories.export import read_export

        return read_export(advisories, packages)
    from aweigh.advisories.remote import Source

    return Source(source).ask(packages)


def document(
    bundle: Bundle,
    told: "Told",
    packages: dict[Pinned, tuple[str, ...]],
    found: "list[Finding]",
    notes: list[str],
) -> dict[str, object]:
    """What ``--json`` prints."""
    locks = {(one.name, one.version): names for one, names in packages.items()}
    return {
        "name": bundle.manifest.name,
        "digest": bundle.digest,
        "source": told.source,
        "packages": len(packages),
        "found": sum(not one.ignored for one in found),
        "findings": [
            {
                "package": one.package,
                "version": one.version,
                "ids": list(one.ids),
                "summary": one.words,
                "severity": one.rating or None,
                "fixed": list(one.fixed),
                "locks": list(locks[one.package, one.version]),
                "ignored": one.ignored or None,
            }
            for one in found
        ],
        "notes": notes,
    }


def lines(
    bundle: Bundle,
    told: "Told",
    packages: dict[Pinned, tuple[str, ...]],
    found: "list[Finding]",
    notes: list[str],
) -> list[str]:
    """What a person reads, line by line."""
    counted = [one for one in found if not one.ignored]
    aside = len(found) - len(counted)
    affected = len({one.package for one in counted})
    nothing = "none that counts" if aside else "none is known there"
    outcome = f"{len(counted)} known, in {affected} of them" if counted else nothing
    facts = [
        ("bundle", f"{bundle.manifest.name} {bundle.digest[:12]}"),
        ("asked", f"{told.source}, about the {len(packages)} packages of the locks"),
        ("found", outcome + (f"; {aside} set aside" if aside else "")),
        *(("note", note) for note in notes),
    ]
    shown = [f"  {name:<10}{clean(text)}" for name, text in facts]
    if not found:
        return shown
    rows = [("package", "version", "mended in", "advisory", "severity")]
    rows += [
        (one.package, one.version, _first(one.fixed), one.ids[0], one.rating.partition("/")[0] or "not rated")
        for one in found
    ]
    shown += ["", *aligned(rows), ""]
    for one in found:
        also = f" (also {', '.join(one.ids[1:])})" if one.ids[1:] else ""
        why = f" Set aside: {one.ignored}." if one.ignored else ""
        text = clean(f"{one.ids[0]}{also}: {one.words.rstrip('.')}.{why}")
        shown += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return shown


def _first(fixed: tuple[str, ...]) -> str:
    """The lowest version that mends it: the shortest way from here."""
    return fixed[0] if fixed else "none yet"
