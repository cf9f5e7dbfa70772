"""A trust policy as files of a release: what the machine that builds trusts, the one that serves is told to trust."""

import os
import tomllib
from pathlib import Path, PurePosixPath

from aweigh.bundle.keys import MAX_KEY_BYTES
from aweigh.bundle.names import what_is_wrong
from aweigh.bundle.trust import KEY_SUFFIX, MAX_POLICY_BYTES, read_trust
from aweigh.errors import ConfigError

FOLDER = "trust"
"""Where a release keeps its policy, and what ``AWEIGH_TRUST`` says there."""
POLICY = "trust.toml"


def policy_files(path: Path) -> dict[str, bytes]:
    """The files of a policy (TOML, a public key, or a folder of them) by their names in a release.

    Raises:
        ConfigError: it says something that cannot be, or names a key that does not lie beside it.
        UsageError: a key cannot be read.
    """
    read_trust(path)
    if path.is_dir() and os.path.lexists(path / POLICY):
        return _with_keys(path / POLICY)
    if path.is_dir():
        keys = [one for one in sorted(path.iterdir()) if one.suffix == KEY_SUFFIX and not one.name.startswith(".")]
        return {f"{FOLDER}/{one.name}": _read(one, MAX_KEY_BYTES) for one in keys}
    if path.suffix == KEY_SUFFIX:
        return {f"{FOLDER}/{path.name}": _read(path, MAX_KEY_BYTES)}
    return _with_keys(path)


def _with_keys(path: Path) -> dict[str, bytes]:
    content = _read(path, MAX_POLICY_BYTES)
    found = {f"{FOLDER}/{POLICY}": content}
    for entry in tomllib.loads(content.decode())["keys"]:
        name = entry.get("file")
        if name is None:
            continue
        inside = str(PurePosixPath(name))
        if what_is_wrong(inside) is not None:
            raise ConfigError(
                f"The policy names a key that cannot travel with it: {name[:80]!a}.",
                hint="lay the key beside the policy, or write it into it: public = ...",
            )
        found[f"{FOLDER}/{inside}"] = _read(path.parent / name, MAX_KEY_BYTES)
    return found


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(most_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{path.name!r} cannot be read: {error.strerror or error}.") from error
