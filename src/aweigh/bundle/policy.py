"""Which trust policy this process is to hold: the one that ``AWEIGH_TRUST`` names, for all that load a bundle."""

import os
from collections.abc import Mapping
from pathlib import Path

from aweigh.bundle.trust import Trust, read_trust
from aweigh.errors import ConfigError

TRUST_VARIABLE = "AWEIGH_TRUST"


def policy_at(said: str | Path, *, where: str = "--trust") -> Path:
    """The place of a policy, from the root on; links in it are followed when it is read, and not before.

    Raises:
        ConfigError: nothing is named, which must not pass for "no policy" nor for the working folder.
    """
    if not str(said).strip():
        raise ConfigError(f"{where} names no policy.", hint="name a policy, a public key or a folder, or leave it out")
    return Path(os.path.abspath(said))  # noqa: PTH100  resolve() would follow links, once and for ever


def policy_of(environ: Mapping[str, str]) -> Trust | None:
    """The policy that ``AWEIGH_TRUST`` names; None where that is not set at all.

    Raises:
        ConfigError: it is set and empty, or the policy says something that cannot be.
        UsageError: a key cannot be read.
    """
    said = environ.get(TRUST_VARIABLE)
    return None if said is None else read_trust(policy_at(said, where=TRUST_VARIABLE))
