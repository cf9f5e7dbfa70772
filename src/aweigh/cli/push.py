"""``aweigh push`` and ``aweigh pull``: bundles in a registry of images."""

import os
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from aweigh.cli.door import json_option
from aweigh.cli.image import insecure_option
from aweigh.cli.image_checks import require_host
from aweigh.cli.terminal import Steps, print_document
from aweigh.cli.trusting import signed_by, trust_option, trusted
from aweigh.errors import StorageFull, UsageError, is_full

PULLING = ".aweigh-pull-"
"""How the folder begins, beside its place, in which a bundle arrives."""


@click.command("push")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.argument("name", metavar="REGISTRY/NAME:TAG")
@insecure_option
@json_option
def push_bundle(path: Path, name: str, insecure: bool, as_json: bool) -> None:
    """Put a BUNDLE into a registry, such as ghcr.io/team/penguins:1.0, beside the images there.

    It is checked before, and travels as it is: signatures are in it. The registry's account is looked for where Docker
    keeps it, or in AWEIGH_REGISTRY_USERNAME, _PASSWORD and _HOST.
    """
    from aweigh.bundle import remote
    from aweigh.oci.client import open_registry
    from aweigh.oci.reference import parse_reference

    require_host(name, "aweigh push BUNDLE")
    named = parse_reference(name)
    if named.digest:
        raise UsageError("A bundle is put under a tag: its digest comes of what is in it.", hint="REGISTRY/NAME:TAG")
    steps = Steps(json=as_json)
    with (
        open_registry(named.host, insecure=insecure, environ=os.environ) as registry,
        steps.step("push") as step,
        steps.progress("push", total=path.stat().st_size if path.is_file() else None, unit="bytes") as bar,
    ):
        pushed = remote.push_bundle(registry, path, named, progress=lambda done, _: bar.add(done - bar.done))
        step.says(f"{named}{'' if pushed.sent else ': its bytes were there already'}", size_bytes=pushed.size_bytes)
    if as_json:
        print_document({"name": str(named), "digest": pushed.digest, "sent": pushed.sent})
        return
    steps.line("digest", f"{replace(named, tag='', digest=pushed.digest)}")
    steps.next(f"aweigh pull {shlex.quote(str(named))}{' --insecure' if insecure else ''}")


@click.command("pull")
@click.argument("name", metavar="REGISTRY/NAME:TAG")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Where to put it (default: its name with .aweigh, here).")  # fmt: skip
@click.option("--force", is_flag=True, help="Put it in place of a file that is there.")
@trust_option
@insecure_option
@json_option
def pull_bundle(name: str, output: Path | None, force: bool, trust: Path | None, insecure: bool, as_json: bool) -> None:
    """Fetch a bundle from a registry, by its tag or its digest (NAME@sha256:...).

    It is verified before it is put anywhere: every byte, and with --trust who signed it. A bundle that holds code is
    fetched with --trust only.
    """
    from aweigh.bundle import remote
    from aweigh.oci.client import open_registry
    from aweigh.oci.leftovers import clear, held
    from aweigh.oci.reference import parse_reference

    require_host(name, "aweigh pull")
    named = parse_reference(name)
    steps = Steps(json=as_json)
    if output is not None and output.exists() and not force:
        raise _is_there(output)
    beside = Path() if output is None else output.parent
    clear(beside, f"{PULLING}*")
    try:
        place = tempfile.TemporaryDirectory(prefix=PULLING, dir=beside)
    except OSError as error:
        raise _unwritable(beside, error) from error
    with (
        place as folder,
        held(Path(folder)),
        open_registry(named.host, insecure=insecure, environ=os.environ) as registry,
    ):
        with steps.step("pull") as step, steps.progress("pull", total=None, unit="bytes") as bar:
            bundle, path = remote.pull_bundle(
                registry, named, Path(folder), trust=trusted(trust), progress=lambda done, _: bar.add(done - bar.done)
            )
            step.says(f"{named}", size_bytes=path.stat().st_size)
        target = output or Path(f"{bundle.manifest.name}.aweigh")
        if target.exists() and not force:
            raise _is_there(target)
        bundle.let_go()
        path.replace(target)
    if as_json:
        print_document({"name": str(named), "file": str(target), "version": bundle.version, "digest": bundle.digest})
        return
    steps.line("verified", f"{bundle.manifest.name} {bundle.version}{signed_by(bundle)}")
    steps.next(f"aweigh serve {shlex.quote(str(target))}")


def _is_there(path: Path) -> UsageError:
    return UsageError(
        f"{str(path)!r} is there already.", hint="name another with -o, or put it in its place with --force"
    )


def _unwritable(folder: Path, error: OSError) -> StorageFull | UsageError:
    if is_full(error):
        return StorageFull("The disk is full.", hint="make room, or name a place elsewhere with -o")
    return UsageError(f"Nothing can be written to {folder}.", hint="name another place with -o")
