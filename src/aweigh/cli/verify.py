"""``aweigh verify``: whether every byte of a bundle is what its manifest says, and all of it fits together."""

import shlex
import time
from pathlib import Path

import click

from aweigh.bundle.names import MANIFEST
from aweigh.bundle.verify import VerifiedBundle, verify
from aweigh.cli.openssf import check_openssf, format_option, signature_option
from aweigh.cli.terminal import Steps, human_size, print_document
from aweigh.cli.trusting import check_pickle, trust_option, trusted
from aweigh.errors import UsageError


@click.command("verify")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@trust_option
@format_option("What to check: aweigh's own signatures by --trust, or one of the OpenSSF's model signing, too.")
@signature_option("Where the OpenSSF signature lies (default: BUNDLE.sig; model.sig beside a folder).")
@click.option("--key", "key_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The public key that the OpenSSF signature must be of.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify_bundle(
    path: Path, trust: Path | None, kind: str, signature: Path | None, key_path: Path | None, as_json: bool
) -> None:
    """Check a BUNDLE: every byte, every name, that its parts fit together, and with --trust who has signed it.

    Exits with 3 when it is damaged, when the signatures that --trust wants are not there, or when it holds code that
    nobody trusted has signed. Nothing of it is run.

    With --format openssf a file beside it must hold the signature that --key has made over exactly these files, by
    aweigh or by another tool of the OpenSSF's model signing 1.0. It lets no code run: only aweigh's own does.
    """
    started = time.perf_counter()
    if kind != "openssf" and (signature is not None or key_path is not None):
        raise UsageError(
            "--signature and --key are for OpenSSF signatures.", hint="add --format openssf; or use --trust NAME.pub"
        )
    openssf = check_openssf(path, signature, key_path) if kind == "openssf" else None
    bundle = verify(path, trust=trusted(trust))
    check_pickle(bundle)
    if as_json:
        print_document(document(bundle) | ({} if openssf is None else {"openssf": openssf}))
        return
    steps = Steps()
    for name, text in told(bundle):
        steps.line(name, text, seconds=time.perf_counter() - started if name == "files" else 0.0)
    if openssf is not None:
        steps.line("openssf", f"every file is signed by the key {openssf['keyid'][:12]}, in {openssf['signature']}")
    option = "" if trust is None else f" --trust {shlex.quote(str(trust))}"
    steps.next(f"aweigh serve {shlex.quote(str(path))}{option}")


def told(bundle: VerifiedBundle) -> list[tuple[str, str]]:
    """What was checked, a line each."""
    size = human_size(_size_bytes(bundle))
    signed = " and ".join(f"{one.name} (key {one.keyid[:12]})" for one in bundle.signers)
    return [
        ("bundle", f"{bundle.manifest.name} {bundle.version}"),
        ("files", f"{len(bundle.names) + 1} files, {size}: every byte is as the manifest says"),
        ("parts", "manifest, schema, golden rows and locks fit together"),
        ("code", _told_code(bundle)),
        ("signed", f"by {signed}" if signed else "nobody was asked for; --trust says whose signature it must bear"),
        ("digest", bundle.digest),
    ]


def _told_code(bundle: VerifiedBundle) -> str:
    if bundle.manifest.code:
        return "its maker's own Python, signed by who may"
    if bundle.manifest.pickle is not None:
        return (
            f"none; a pickle of {len(bundle.manifest.pickle.names)} names, all of them on the lists, signed by who may"
        )
    return "none, and no pickle"


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
        "pickle": bundle.manifest.pickle is not None,
        "signers": [{"name": one.name, "keyid": one.keyid} for one in bundle.signers],
        "whole": True,
    }


def _size_bytes(bundle: VerifiedBundle) -> int:
    """All its files together, the manifest included."""
    named = sum(entry.size_bytes for entry in bundle.manifest.files.values())
    return named + bundle.members[MANIFEST].size_bytes
