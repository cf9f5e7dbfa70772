"""``--format openssf`` of ``aweigh sign`` and ``aweigh verify``: a signature beside the bundle, for other tools."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from aweigh.bundle.atomic import whole_file
from aweigh.bundle.ec import read_ec_public
from aweigh.bundle.openssf import check_files, file_digests, name_of, read_openssf, sign_files, signature_beside
from aweigh.bundle.verify import check, open_bundle
from aweigh.cli.terminal import Steps, print_document
from aweigh.cli.trusting import check_pickle, ec_private_key
from aweigh.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def format_option(told: str) -> Callable[[F], F]:
    """``--format``, with what it does for the command."""
    kinds = click.Choice(["aweigh", "openssf"])
    return click.option("--format", "kind", type=kinds, default="aweigh", show_default=True, help=told)


def signature_option(told: str) -> Callable[[F], F]:
    """``--signature``, with what it does for the command."""
    place = click.Path(path_type=Path, dir_okay=False)
    return click.option("--signature", type=place, metavar="FILE", help=told)


def sign_openssf(path: Path, key_path: Path | None, signature: Path | None, *, as_json: bool) -> None:
    """Writes the signature of a bundle that is whole, and tells how to check it.

    Raises:
        UsageError: the key is none for it, or something is in the signature's place.
        DamagedBundle: the bundle is not whole.
    """
    if key_path is None:
        raise UsageError(
            "An OpenSSF signature is made with a key that is named.",
            hint="--key NAME.key; aweigh keygen NAME --type p256 makes one",
        )
    place = signature_beside(path) if signature is None else signature
    if path.is_dir() and place.resolve().is_relative_to(path.resolve()):
        raise UsageError("A signature within the bundle would be a file too many.", hint="name a file beside it")
    if place.exists():
        raise UsageError(f"{place} is there already.", hint="take it away, or choose another name with --signature")
    key = ec_private_key(key_path)
    # Before the check: a bundle that is changed meanwhile is left with a signature that does not fit it.
    digests = file_digests(path)
    bundle = open_bundle(path)
    check(bundle)
    check_pickle(bundle)
    content = sign_files(name_of(path), digests, key)
    try:
        with whole_file(place) as stream:
            stream.write(content)
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror}.") from error
    keyid = key.public.keyid
    if as_json:
        print_document({"path": str(path), "digest": bundle.digest, "keyid": keyid, "signature": str(place)})
        return
    steps = Steps()
    steps.line("bundle", f"{bundle.manifest.name} {bundle.digest[:12]}: every byte is as its manifest says")
    steps.line("signed", f"by the key {keyid}")
    steps.line("signature", f"{place}: give it away with the bundle")
    where = "" if signature is None else f" --signature {shlex.quote(str(place))}"
    public = shlex.quote(str(key_path.with_suffix(".pub")))
    steps.next(f"aweigh verify {shlex.quote(str(path))} --format openssf{where} --key {public}")


def check_openssf(path: Path, signature: Path | None, key_path: Path | None) -> dict[str, str]:
    """The key that has signed exactly these files, and where it says so; nothing in the bundle is read before.

    Raises:
        UsageError: no key is named, or a file cannot be read.
        UntrustedBundle: the key has not signed these files.
        BundleError: the bundle cannot be read.
    """
    if key_path is None:
        raise UsageError("An OpenSSF signature is checked with a key.", hint="--key NAME.pub says whose it must be")
    place = signature_beside(path) if signature is None else signature
    key = read_ec_public(key_path)
    check_files(read_openssf(place), file_digests(path), key)
    return {"keyid": key.keyid, "signature": str(place)}
