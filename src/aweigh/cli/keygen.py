"""``aweigh keygen``: a key to sign bundles with, and its public half for those who check."""

import os
import shlex
from pathlib import Path

import click

from aweigh.bundle.atomic import whole_file
from aweigh.bundle.ec import CURVES, make_ec_key
from aweigh.bundle.keys import PASSPHRASE_VARIABLE, make_key, write_private
from aweigh.cli.terminal import Steps, print_document
from aweigh.errors import UsageError
from aweigh.secret import Secret
from aweigh.secret.read import read_secret


@click.command()
@click.argument("name", metavar="NAME")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", default=Path(),
              help="Where to write NAME.key and NAME.pub (default: the working folder).")  # fmt: skip
@click.option("--type", "kind", type=click.Choice(["ed25519", *CURVES]), default="ed25519", show_default=True,
              help="The kind of key: ed25519 for bundles, p256 or p384 for OpenSSF signatures.")  # fmt: skip
@click.option("--passphrase", is_flag=True, help="Encrypt the key; the passphrase is asked for, or read from "
              f"{PASSPHRASE_VARIABLE}.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def keygen(name: str, output: Path, kind: str, passphrase: bool, as_json: bool) -> None:
    """Make a key to sign bundles with: NAME.key, which stays with you, and NAME.pub, which you give away.

    An Ed25519 key in the files that openssl reads. NAME.key may be read by nobody but you. Who has NAME.pub can tell
    that a bundle is yours: aweigh serve BUNDLE --trust NAME.pub

    With --type p256 it is a key for aweigh sign --format openssf, and for nothing else.
    """
    private, public = output / f"{name}.key", output / f"{name}.pub"
    if not name.strip() or Path(name).name != name or name.startswith("."):
        raise UsageError(f"{name!r} is no name for a file.", hint="name a folder with -o")
    if not output.is_dir():
        raise UsageError(f"There is no folder {output}.", hint="make it first, or name another with -o")
    if public.exists():
        raise UsageError(f"{public} is there already.", hint="choose another name: a key is never written over")
    key = make_key() if kind == "ed25519" else make_ec_key(kind)
    write_private(key, private, passphrase=_passphrase() if passphrase else None)
    try:
        with whole_file(public) as stream:
            stream.write(key.public.pem())
    except BaseException:  # whatever it is, Ctrl-C too: half a pair would be in the way of the next try
        private.unlink(missing_ok=True)
        raise
    if as_json:
        print_document({"private": str(private), "public": str(public), "keyid": key.public.keyid})
        return
    steps = Steps()
    steps.line("private", f"{private}: keep it, and show it to nobody")
    steps.line("public", f"{public}: for those who check")
    steps.line("key", key.public.keyid)
    option = "" if kind == "ed25519" else "--format openssf "
    steps.next(f"aweigh sign BUNDLE {option}--key {shlex.quote(str(private))}")


def _passphrase() -> Secret:
    said = read_secret(os.environ, PASSPHRASE_VARIABLE)
    return said or Secret(click.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True))
