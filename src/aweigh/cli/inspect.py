"""``aweigh inspect``: what a bundle says of itself, for people and for programs. Nothing of it is run or trusted."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from aweigh.bundle.coherence import check_manifest, read_schema
from aweigh.bundle.manifest import Manifest, Proof, short
from aweigh.bundle.names import REQUIREMENTS, REQUIREMENTS_UI, SBOM, SCHEMA
from aweigh.bundle.requirements import Pinned, read_lock
from aweigh.bundle.sbom import told_bill
from aweigh.bundle.signature import check_payload
from aweigh.bundle.verify import Bundle, open_bundle, read_signature
from aweigh.cli.terminal import Steps, aligned, clean, human_size, print_document
from aweigh.cli.trusting import trust_option
from aweigh.errors import UsageError
from aweigh.schema.column import Column, Output, Schema

if TYPE_CHECKING:
    from aweigh.runtime.forms import Forms

SHOWN_KINDS = 5
SHOWN_CHARACTERS = 60


@click.command("inspect")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--measure", is_flag=True, help="Load it, and tell how long each of its forms takes here.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True,
              help="On so many threads, with --measure.")  # fmt: skip
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def inspect_bundle(path: Path, measure: bool, threads: int, trust: Path | None, as_json: bool) -> None:
    """Show what is in a BUNDLE: model, proof, columns, files, environment.

    It shows what the bundle says of itself. Whether every byte of it is so is what 'aweigh verify' tells.
    """
    source = click.get_current_context().get_parameter_source("trust")
    if source == click.core.ParameterSource.COMMANDLINE and not measure:
        raise UsageError("Without --measure nothing is loaded, and --trust is asked by nobody.",
                         hint="who has signed it is told by aweigh verify BUNDLE --trust FILE")  # fmt: skip
    bundle = open_bundle(path)
    check_manifest(bundle.manifest)
    schema = read_schema(bundle.read(SCHEMA))
    locks = {name: read_lock(bundle.read(name).decode()) for name in _locks(bundle)}
    forms = _measured(path, threads, trust) if measure else None
    if as_json:
        print_document(
            document(bundle, schema, locks)
            | ({} if forms is None else {"forms": msgspec.to_builtins(forms, str_keys=True)})
        )
        return
    for line in [*lines(bundle, schema, locks), *([] if forms is None else forms_lines(forms))]:
        click.echo(line)
    Steps().next(f"aweigh verify {shlex.quote(str(path))}")


def _measured(path: Path, threads: int, trust: Path | None) -> "Forms | None":
    """The bundle's forms as ``aweigh serve --form fastest`` would measure them here."""
    from aweigh.bundle.verify import verify
    from aweigh.cli.trusting import trusted
    from aweigh.runtime.load import load

    return load(verify(path, trust=trusted(trust), to_load=True), threads=threads, form="fastest").forms


def forms_lines(forms: "Forms") -> list[str]:
    """A line for each form: what a call of so many rows takes, and for how many rows it answers."""
    sizes = sorted({size for one in forms.candidates for size in one.microseconds})
    rows = [("form", "threads", *(f"{size:,} row{'s' if size > 1 else ''}, µs" for size in sizes), "answers")]
    begins = [one.from_rows for one in forms.turns]
    for one in forms.candidates:
        spans = [
            f"{turn.from_rows:,} rows and more" if end is None else f"{turn.from_rows:,} to {end - 1:,} rows"
            for turn, end in zip(forms.turns, [*begins[1:], None], strict=True)
            if (turn.runtime, turn.threads) == (one.runtime, one.threads)
        ]
        figures = [f"{one.microseconds[size]:,.0f}" if size in one.microseconds else "" for size in sizes]
        rows.append((one.runtime, str(one.threads), *figures, one.unused or ", ".join(spans) or "never"))
    right = frozenset(range(1, 2 + len(sizes)))
    return [*aligned(rows, right=right), ""]


def _locks(bundle: Bundle) -> list[str]:
    return [name for name in (REQUIREMENTS, REQUIREMENTS_UI) if name in bundle.manifest.files]


def document(bundle: Bundle, schema: Schema, locks: dict[str, tuple[Pinned, ...]]) -> dict[str, object]:
    """What ``--json`` prints."""
    return {
        "path": str(bundle.path),
        "name": bundle.manifest.name,
        "digest": bundle.digest,
        "version": short(bundle.digest),
        "size_bytes": sum(member.size_bytes for member in bundle.members.values()),
        "code": bundle.manifest.code,
        "pickle": bundle.manifest.pickle is not None,
        "manifest": msgspec.to_builtins(bundle.manifest),
        "schema": msgspec.to_builtins(schema),
        "locks": {
            name: {"packages": len(packages), "hashed": all(one.hashes for one in packages)}
            for name, packages in locks.items()
        },
        "materials": SBOM if SBOM in bundle.manifest.files else None,
    }


def lines(bundle: Bundle, schema: Schema, locks: dict[str, tuple[Pinned, ...]]) -> list[str]:
    """What a person reads, line by line."""
    manifest = bundle.manifest
    facts = [
        ("bundle", f"{manifest.name} {short(bundle.digest)}"),
        ("model", f"{manifest.model} ({manifest.family})"),
        ("answers", _told_output(schema.output)),
        ("served by", f"{manifest.runtime}: {manifest.runtime_reason}"),
        *_told_others(manifest),
        *_told_proof(manifest.proof),
        ("python", f"{manifest.python}; {_told_locks(locks)}"),
        ("materials", _told_bill(bundle)),
        ("made with", ", ".join(f"{name} {version}" for name, version in sorted(manifest.made_with.items()))),
        ("code", _told_code(manifest)),
        ("signed", _told_signature(bundle)),
        ("digest", bundle.digest),
    ]
    files = [(name, human_size(entry.size_bytes)) for name, entry in sorted(manifest.files.items())]
    return [
        *(f"  {name:<10}{clean(text)}" for name, text in facts),
        "",
        *_attempts(manifest.proof),
        "",
        *aligned([("column", "type", "seen", "unit", "missing"), *(_column(column) for column in schema.columns)]),
        "",
        *aligned([("file", "size"), *files], right=frozenset({1})),
        "",
    ]


def _told_output(output: Output) -> str:
    if output.task == "class":
        kinds = _some([str(one) for one in output.classes])
        return f"{output.name}: {kinds}{', with probabilities' if output.probabilities else ''}"
    if output.names:
        return f"{output.name}: {_some(list(output.names))}"
    words = {"number": "a number", "numbers": "numbers", "cluster": "a cluster", "outlier": "an outlier or not"}
    return f"{output.name}: {words.get(output.task, output.task)}{f' in {output.unit}' if output.unit else ''}"


def _told_others(manifest: Manifest) -> list[tuple[str, str]]:
    """The other forms, or why there are none, where there might have been."""
    if not manifest.alternatives_reason:
        return []
    told = [f"{one.runtime}, {'locked' if one.locked else 'not in the locks'}" for one in manifest.alternatives]
    return [("also", ": ".join([*told, manifest.alternatives_reason]))]


def _told_proof(proof: Proof) -> list[tuple[str, str]]:
    rows = f"{proof.rows:,} rows of the sample and {proof.probe_rows:,} made from them"
    allowed = f"{proof.absolute_tolerance:g} + {proof.relative_tolerance:g} of the number"
    return [
        ("proof", f"agrees with the original on {rows}"),
        ("", f"largest difference {proof.largest_difference:.2g}, where {allowed} is allowed"),
    ]


def _told_locks(locks: dict[str, tuple[Pinned, ...]]) -> str:
    told = []
    for name, packages in locks.items():
        use = "API and app" if name == REQUIREMENTS_UI else "API"
        hashed = "hashed" if all(one.hashes for one in packages) else "without hashes"
        told.append(f"{len(packages)} packages for {use}, {hashed}")
    return "; ".join(told) or "no lock"


def _told_bill(bundle: Bundle) -> str:
    if SBOM not in bundle.manifest.files:
        return "no bill of materials"
    return f"{SBOM}: {told_bill(bundle.read(SBOM))}"


def _told_code(manifest: Manifest) -> str:
    if manifest.pickle is not None and not manifest.code:
        names = _some(list(manifest.pickle.names))
        return f"none; a pickle, which is loaded only when signed by who may, and imports only {names}"
    if not manifest.code:
        return "none: serving it runs nothing of its maker's"
    own = sorted(name for name in manifest.files if name.endswith(".py"))
    return f"its maker's own Python, which runs only when signed by who may: {_some(own)}"


def _told_signature(bundle: Bundle) -> str:
    """By which keys a bundle says that it is signed, which is for ``aweigh verify --trust`` to find out."""
    content = read_signature(bundle)
    if content is None:
        return "by nobody"
    keys = check_payload(content, name=bundle.manifest.name, digest=bundle.digest)
    named = ", ".join(keyid[:12] for keyid in keys)
    return f"by key {named}, it says; whether that is true: aweigh verify BUNDLE --trust FILE"


def _attempts(proof: Proof) -> list[str]:
    rows = [("tried", "agrees", "difference", "labels", "why not")]
    for one in proof.attempts:
        difference = "" if one.largest_difference is None else f"{one.largest_difference:.2g}"
        rows.append((one.form, "yes" if one.agreed else "no", difference, f"{one.labels_differing:,}", one.reason))
    return aligned(rows, right=frozenset({2, 3}))


def _column(column: Column) -> tuple[str, str, str, str, str]:
    seen = ""
    if column.categories is not None:
        seen = _some(list(column.categories))
    elif column.minimum is not None and column.maximum is not None:
        seen = f"{_plain(column.minimum)} to {_plain(column.maximum)}"
    if column.closed:
        seen += "; no other is allowed"
    elif column.lower_limit is not None or column.upper_limit is not None:
        low, high = (_plain(one) if one is not None else "any" for one in (column.lower_limit, column.upper_limit))
        seen += f"; allowed {low} to {high}"
    return column.name, column.type, seen, column.unit or "", "allowed" if column.nullable else "refused"


def _plain(value: float | str) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _some(kinds: list[str]) -> str:
    more = f" and {len(kinds) - SHOWN_KINDS} more" if len(kinds) > SHOWN_KINDS else ""
    return ", ".join(_cut(kind) for kind in kinds[:SHOWN_KINDS]) + more


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
