"""``aweigh verify``: whether every byte of a bundle is what its manifest says, and all of it fits together."""

import shlex
import time
from pathlib import Path

import click

from aweigh.bundle.names import MANIFEST
from aweigh.bundle.verify import VerifiedBundle, verify
from aweigh.cli.terminal import Steps, human_size, print_document


@click.command("verify")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--allow-code", is_flag=True, help="Also take a bundle that holds its maker's own Python code.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify_bundle(path: Path, allow_code: bool, as_json: bool) -> None:
    """Check a BUNDLE: every byte, every name, and that its parts fit together.

    Exits with 3 when it is damaged, or holds code that nobody has vouched for. Nothing of it is run. Bundles of one
    digest hold the same bytes: to know that it is the one that was made, compare the digest with its maker's.
    """
    started = time.perf_counter()
    bundle = verify(path, allow_code=allow_code)
    if as_json:
        print_document(document(bundle))
        return
    steps = Steps()
    for name, text in told(bundle):
        steps.line(name, text, seconds=time.perf_counter() - started if name == "files" else 0.0)
    code = " --allow-code" if bundle.manifest.code else ""
    steps.next(f"aweigh serve {shlex.quote(str(path))}{code}")


def told(bundle: VerifiedBundle) -> list[tuple[str, str]]:
    """What was checked, a line each."""
    size = human_size(_size_bytes(bundle))
    code = "its maker's own Python, which you allowed" if bundle.manifest.code else "none, and no pickle"
    return [
        ("bundle", f"{bundle.manifest.name} {bundle.version}"),
        ("files", f"{len(bundle.names) + 1} files, {size}: every byte is as the manifest says"),
        ("parts", "manifest, schema, golden rows and locks fit together"),
        ("code", code),
        ("digest", bundle.digest),
    ]


def document(bundle: VerifiedBundle) -> dict[str, object]:
    """What ``--json`` prints."""
    return {
        "path": str(bundle.path),
        "name": bundle.manifest.name,
        "digest": bundle.digest,
        "version": bundle.version,
        "files": len(bundle.names) + 1,
        "size_bytes": _size_bytes(bundle),
        "code": bundle.manifest.code,
        "whole": True,
    }


def _size_bytes(bundle: VerifiedBundle) -> int:
    """All its files together, the manifest included."""
    named = sum(entry.size_bytes for entry in bundle.manifest.files.values())
    return named + bundle.members[MANIFEST].size_bytes
