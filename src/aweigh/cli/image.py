"""``aweigh image``: a container image of a bundle, a folder or a Streamlit script, built without Docker."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aweigh.cli.door import auth_option, check_own_door
from aweigh.cli.image_checks import (
    check_insecure,
    check_lock,
    check_output,
    check_registry,
    named_by,
    plain_name,
)
from aweigh.cli.terminal import Steps, human_size, print_document
from aweigh.cli.trusting import private_key, trust_option
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.oci.documents import Descriptor
    from aweigh.oci.download import Progress
    from aweigh.oci.reference import Reference
    from aweigh.oci.store import Store
    from aweigh.targets.image.base import Base, Tell
    from aweigh.targets.image.build import Built
    from aweigh.targets.image.publish import Published
    from aweigh.targets.release import Release

PLATFORMS = ("linux/amd64", "linux/arm64")
TOLD_BYTES = 10**6
"""A blob of more gets a bar of its own."""

insecure_option = click.option(
    "--insecure", is_flag=True, help="Ask the registry without TLS; only one on this machine is."
)


@click.command("image")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("-t", "--tag", metavar="NAME:TAG", help="What it is called, with a registry's host to push it there.")
@click.option("--push", is_flag=True, help="Send it to the registry of its name.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="PATH",
              help="Write it here: an archive where that ends with .tar, else a folder (an OCI layout).")  # fmt: skip
@click.option("--base", metavar="REFERENCE", help="What it is built on: an image with the bundle's Python (default: "
              "the official python:X.Y-slim); by a digest (NAME@sha256:...) it is the same for ever.")  # fmt: skip
@click.option("--platform", "platforms", multiple=True, metavar="OS/ARCH",
              help="linux/amd64 (default), linux/arm64; several make an index of images.")  # fmt: skip
@click.option("--format", "flavour", type=click.Choice(("oci", "docker")), default="oci", show_default=True,
              help="Whose media types: the OCI's, or Docker's schema 2.")  # fmt: skip
@click.option("--key", "key_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Sign what is pushed with this private key, in the form that cosign checks.")  # fmt: skip
@auth_option
@click.option("--no-ui", is_flag=True, help="The API alone.")
@click.option("--worker", is_flag=True, help="Leave jobs to workers of their own.")
@click.option("--bytecode/--no-bytecode", default=True, show_default=True,
              help="Compile the modules beforehand: it starts in half the time and is a fifth larger.")  # fmt: skip
@trust_option
@insecure_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def image(
    path: Path,
    tag: str | None,
    push: bool,
    output: Path | None,
    base: str | None,
    platforms: tuple[str, ...],
    flavour: str,
    key_path: Path | None,
    auth: str,
    no_ui: bool,
    worker: bool,
    bytecode: bool,
    trust: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Build a container image of PATH (a bundle, a folder, a Streamlit script). No Docker is needed.

    It has a layer for the packages, one for aweigh and one for the bundle on top of a slim Python, runs as nobody's
    user (10001) on a read-only root, and is the same bytes each time. What was built before is kept and not built
    again, and of a new model only its own layer is sent. SOURCE_DATE_EPOCH sets the time of everything in it; at most
    AWEIGH_IMAGES_MAX_BYTES (5 GB) are kept below XDG_CACHE_HOME, what was used last.

    Where this machine has the bundle's Python, that compiles the modules; the label io.aweigh.bytecode names it.

    A name without a host is for this machine: write it with -o and load it. A registry's account is looked for where
    Docker keeps it, or in AWEIGH_REGISTRY_USERNAME, _PASSWORD and _HOST.
    """
    from aweigh.oci.room import opened_store
    from aweigh.targets.image.build import build, created_of
    from aweigh.targets.image.packages import Making, find_compiler
    from aweigh.targets.release import START
    from aweigh.targets.releasing import Wishes, release_of

    named = named_by(path, tag, push=push)
    if insecure:
        check_insecure(named, base, push=push)
    if key_path is not None and not push:
        raise UsageError("A signature lies beside the image in a registry.", hint="add --push")
    if output is not None:
        check_output(output)
    key = None if key_path is None else private_key(key_path)
    created_s = created_of(os.environ)
    steps, store = Steps(json=as_json), click.get_current_context().with_resource(opened_store(os.environ))
    if push:
        check_registry(named, insecure=insecure)
    with steps.step("release") as step:
        wishes = Wishes(auth=auth, ui=not no_ui, worker=worker, trust=trust)  # type: ignore[arg-type]  # one of AUTHS
        release = release_of(path, name=plain_name(named), wishes=wishes)
        check_lock(release, path)
        step.says(f"{release.bundle or path.name}, Python {release.python}")
    is_ours = release.processes.get("web", "").startswith(START)
    check_own_door(release, auth, steps)
    with steps.step("base") as step:
        bases = _bases(release, base, platforms or PLATFORMS[:1], store=store, insecure=insecure, steps=steps)
        step.says(f"{bases[0].reference.partition('@')[0]} {bases[0].digest[7:19]}, glibc {bases[0].libc}")
    with steps.step("build") as step:
        compiler = find_compiler(".".join(release.python.split(".")[:2])) if bytecode else None
        making = Making(store, created_s, compiler, step.doing)
        built = build(release, bases, making, flavour=flavour)  # type: ignore[arg-type]  # one of the two
        step.says(f"{built.top.digest[:19]}, {_sizes(built)}")
    if output is not None:
        with steps.step("write") as step:
            _write(built, named, output, store=store, created_s=created_s)
            step.says(str(output))
    published = None
    if push:
        with steps.step("push") as step:
            published = _publish(built, bases, release, named, store, key_path=key, insecure=insecure, steps=steps)
            step.says(_told(published))
    if as_json:
        print_document(_document(built, bases, named, published))
        return
    _next(steps, named, output, bases[0], pushed=push, keeps=is_ours and auth != "none")


def _bases(
    release: "Release",
    base: str | None,
    platforms: Sequence[str],
    *,
    store: "Store",
    insecure: bool,
    steps: Steps,
) -> "list[Base]":
    from aweigh.oci.client import open_registry
    from aweigh.oci.documents import Platform
    from aweigh.oci.reference import is_loopback, parse_reference
    from aweigh.targets.image.base import USUAL, fetch_base

    python = ".".join(release.python.split(".")[:2])
    reference = parse_reference(base or USUAL.format(python=python))
    asked = []
    for one in dict.fromkeys(platforms):
        system, _, architecture = one.partition("/")
        if one not in PLATFORMS:
            raise UsageError(f"No image is built for {one[:40]!r}.", hint=f"choose of {', '.join(PLATFORMS)}")
        asked.append(Platform(architecture, system))
    plain = insecure and is_loopback(reference.host)
    with open_registry(reference.host, insecure=plain, environ=os.environ) as registry, bars(steps, "base") as tell:
        return [fetch_base(registry, reference, platform=one, python=python, store=store, tell=tell) for one in asked]


def _write(built: "Built", named: "Reference", output: Path, *, store: "Store", created_s: int) -> None:
    from aweigh.oci.layout import Named, write_archive, write_layout

    host = "" if named.host == "localhost" else f"{named.host}/"
    held = Named(built.images, f"{host}{named.repository}", named.tag, built.index, built.index_descriptor)
    if output.suffix == ".tar":
        write_archive(held, store, output, created_s=created_s)
    else:
        write_layout(held, store, output)


def _publish(
    built: "Built",
    bases: "Sequence[Base]",
    release: "Release",
    named: "Reference",
    store: "Store",
    *,
    key_path: Any,
    insecure: bool,
    steps: Steps,
) -> "Published":
    from aweigh.oci.client import open_registry
    from aweigh.oci.reference import is_loopback, parse_reference
    from aweigh.targets.image.bill import image_bill
    from aweigh.targets.image.publish import Beside, publish

    below = parse_reference(bases[0].reference)
    bills = {str(one.platform): image_bill(release, base, one) for one, base in zip(built.images, bases, strict=True)}
    beside = Beside(bills, key_path, below.repository if below.host == named.host else None)
    plain = insecure and is_loopback(named.host)
    with open_registry(named.host, insecure=plain, environ=os.environ) as registry, bars(steps, "push") as tell:
        return publish(registry, named, built, store=store, beside=beside, tell=tell)


@contextmanager
def bars(steps: Steps, name: str) -> "Iterator[Tell]":
    """A bar for each large blob."""
    with ExitStack() as stack:

        def tell(blob: "Descriptor") -> "Progress":
            if blob.size < TOLD_BYTES:
                return lambda _done, _total: None
            bar = stack.enter_context(steps.progress(name, total=blob.size, unit="bytes"))
            return lambda done, _total: bar.add(done - bar.done)

        yield tell


def _sizes(built: "Built") -> str:
    layers = next(iter(built.own.values()))
    return " + ".join(human_size(one.descriptor.size) for one in layers) + " on the base"


def _told(published: "Published") -> str:
    sent = f"{published.sent_blobs} of {published.blobs} blobs sent, {human_size(published.sent_bytes)}"
    return f"{sent}{'; signed' if published.signature else ''}"


def _document(
    built: "Built", bases: "Sequence[Base]", named: "Reference", published: "Published | None"
) -> dict[str, Any]:
    return {
        "name": str(named),
        "digest": built.top.digest,
        "images": [
            {
                "platform": str(one.platform),
                "digest": one.descriptor.digest,
                "base": {"name": base.reference, "digest": base.digest},
                "layers": [
                    {"digest": layer.descriptor.digest, "size_bytes": layer.descriptor.size, "what": layer.history}
                    for layer in built.own[str(one.platform)]
                ],
                "size_bytes": sum(layer.size for layer in one.manifest.layers),
            }
            for one, base in zip(built.images, bases, strict=True)
        ],
        "pushed": None
        if published is None
        else {
            "blobs": published.blobs,
            "sent_blobs": published.sent_blobs,
            "sent_bytes": published.sent_bytes,
            "signature": published.signature or None,
        },
    }


def _next(steps: Steps, named: "Reference", output: Path | None, base: "Base", *, pushed: bool, keeps: bool) -> None:
    if "@" not in base.reference:
        steps.line("pinned", f"--base {base.reference.rpartition(':')[0]}@{base.digest} builds on the same again")
    name = f"{named.repository}:{named.tag}" if named.host == "localhost" else str(named)
    # A new model has another digest in its file's name, and the same people.
    whose = re.sub(r"-[0-9a-f]{12}\Z", "", named.repository.rpartition("/")[2])
    state = f" -v {whose}-state:/state" if keeps else ""
    run = f"docker run --rm --read-only --tmpfs /tmp -p 8000:8000{state} {shlex.quote(name)}"
    if pushed:
        steps.next(run)
    elif output is None:
        steps.next(f"the same with -o {named.repository.rsplit('/', 1)[-1]}.tar, or with --push")
    elif output.suffix == ".tar":
        steps.next(f"docker load -i {shlex.quote(str(output))} && {run}")
    else:
        steps.next(f"skopeo copy oci:{shlex.quote(str(output))}:{named.tag} docker://REGISTRY/NAME:TAG")
