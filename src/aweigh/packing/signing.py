"""The keys that ``pack`` signs with: the one that was asked for, and for a function the owner's own."""

import os
from pathlib import Path

from aweigh.bundle.keys import PASSPHRASE_VARIABLE, PrivateKey, is_encrypted, own_key, read_private
from aweigh.bundle.signature import sign
from aweigh.errors import UsageError
from aweigh.secret.read import read_secret


def read_key(path: Path) -> PrivateKey:
    """The key at a path, whose passphrase, if it has one, is in the environment.

    Raises:
        UsageError: it cannot be read, or the passphrase is not its.
    """
    passphrase = read_secret(os.environ, PASSPHRASE_VARIABLE) if is_encrypted(path) else None
    return read_private(path, passphrase=passphrase)


def own_beside(key: PrivateKey | None) -> PrivateKey | None:
    """This user's own key, so that their code is served where it was packed; None where only ``key`` can be had.

    Raises:
        UsageError: it cannot be had, and there is no other.
    """
    try:
        return own_key(os.environ)
    except UsageError:
        if key is None:
            raise
        return None


def sign_all(name: str, digest: str, keys: list[PrivateKey]) -> bytes | None:
    """``signature.json`` with the signatures of all keys; None when there is no key."""
    content = None
    for key in keys:
        content = sign(name, digest, key, before=content)
    return content
