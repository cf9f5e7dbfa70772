"""``aweigh sign``: a name under a bundle."""

import os
import shlex
from pathlib import Path

import click

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.atomic import whole_file
from aweigh.bundle.contents import holds_code, needs_signature
from aweigh.bundle.keys import OWN_KEY, OWN_PUBLIC, own_folder, own_key, own_public
from aweigh.bundle.manifest import digest_of
from aweigh.bundle.names import MANIFEST, SIGNATURE
from aweigh.bundle.signature import check_payload, sign
from aweigh.bundle.verify import Bundle, check, open_bundle, read_signature
from aweigh.cli.openssf import format_option, sign_openssf, signature_option
from aweigh.cli.terminal import Steps, print_document
from aweigh.cli.trusting import check_pickle, private_key
from aweigh.errors import DamagedBundle, UsageError


@click.command("sign")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path, exists=True))
@click.option("--key", "key_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The private key (default: your own, made when it is first asked for).")  # fmt: skip
@click.option("--remove", is_flag=True, help="Take all signatures away, before signing if --key is given.")
@format_option("The signature to make: aweigh's own in the bundle, or one of the OpenSSF's model signing beside it.")
@signature_option("Where to write the OpenSSF signature (default: BUNDLE.sig; model.sig beside a folder).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sign_bundle(
    path: Path, key_path: Path | None, remove: bool, kind: str, signature: Path | None, as_json: bool
) -> None:
    """Sign a BUNDLE: every byte of it is looked at, and the signature goes into it.

    It is Ed25519 over the digest of the manifest, which names all other files with theirs. A bundle may be signed by
    several; its digest, and so its version, stays what it was.

    With --format openssf the bundle stays as it is, and a file beside it holds the signature, over the sha256 of the
    bundle's one file, or of each file of a folder. --key is then a P-256, P-384 or P-521 key. Make it last: whatever
    changes the bundle, another signature too, makes it one of other files.
    """
    if kind == "openssf":
        if remove:
            raise UsageError("--remove takes aweigh's own signatures away.", hint="leave --format openssf out")
        sign_openssf(path, key_path, signature, as_json=as_json)
        return
    if signature is not None:
        raise UsageError("aweigh's own signature is in the bundle.", hint="--signature goes with --format openssf")
    bundle = open_bundle(path)
    check(bundle)
    check_pickle(bundle)
    is_made = key_path is None and not remove and own_public(os.environ) is None
    key = None if remove and key_path is None else own_key(os.environ) if key_path is None else private_key(key_path)
    before = None if remove else read_signature(bundle)
    content = None if key is None else sign(bundle.manifest.name, bundle.digest, key, before=before)
    if path.is_dir():
        _write_beside(path, content)
    else:
        files = _files(bundle)
        write_bundle(files if content is None else {**files, SIGNATURE: content}, path, like=path)
    keyid = None if key is None else key.public.keyid
    if as_json:
        print_document({"path": str(path), "digest": bundle.digest, "keyid": keyid})
        return
    steps = Steps()
    steps.line("bundle", f"{bundle.manifest.name} {bundle.digest[:12]}: every byte is as its manifest says")
    steps.line("signed", f"by the key {keyid}" if keyid else "by nobody any more")
    if is_made:
        folder = own_folder(os.environ)
        steps.line("made", f"a key of your own, as there was none: {folder / OWN_KEY}")
        steps.more(f"keep a copy of it, as nobody can make it again, and give {OWN_PUBLIC} beside it to who checks;")
        steps.more(f"elsewhere sign with it: aweigh sign BUNDLE --key {OWN_KEY}")
    _next(steps, path, key_path, bundle, content)


def _next(steps: Steps, path: Path, key_path: Path | None, bundle: Bundle, content: bytes | None) -> None:
    """The line that says how to check it, which succeeds: for code no public key alone vouches, only a policy."""
    quoted = shlex.quote(str(path))
    has_code = holds_code(bundle.manifest)
    if needs_signature(bundle.manifest) and content is None:
        steps.next(f"aweigh sign {quoted}")
    elif key_path is None or (has_code and content is not None and _is_own(bundle, content)):
        steps.next(f"aweigh verify {quoted}")
    elif has_code:
        public = key_path.with_suffix(".pub")
        said = f'[[keys]] signer = "{public.stem}", file = "{public.name}", code = true'
        steps.line("code", f"runs only where a policy lets this key sign it: {said}")
        steps.next(f"aweigh verify {quoted} --trust {shlex.quote(str(public.with_name('trust.toml')))}")
    else:
        steps.next(f"aweigh verify {quoted} --trust {shlex.quote(str(key_path.with_suffix('.pub')))}")


def _files(bundle: Bundle) -> dict[str, bytes]:
    """All files of the bundle but its signature, each still as it was when it was looked at."""
    manifest = bundle.members[MANIFEST].read()
    if digest_of(manifest) != bundle.digest:
        raise DamagedBundle("The manifest has changed while it was being signed.", hint="sign it again")
    return {name: bundle.read(name) for name in bundle.manifest.files} | {MANIFEST: manifest}


def _is_own(bundle: Bundle, content: bytes) -> bool:
    """Whether this user's own key is among those that have signed, so that the code runs here without a policy."""
    try:
        own = own_public(os.environ)
    except UsageError:  # the bundle is signed by now, with another key: that this one cannot be read is no failure
        return False
    return own is not None and own.keyid in check_payload(content, name=bundle.manifest.name, digest=bundle.digest)


def _write_beside(folder: Path, content: bytes | None) -> None:
    """The signature in a bundle that is a folder: to be read by whoever may read the rest."""
    if content is None:
        (folder / SIGNATURE).unlink(missing_ok=True)
        return
    there = folder / SIGNATURE
    with whole_file(there, like=there if there.exists() else folder / MANIFEST) as stream:
        stream.write(content)
