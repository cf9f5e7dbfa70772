"""``--trust`` and ``--key``: whose signature a bundle must bear, and the key that a bundle is signed with."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from aweigh.bundle.ec import EcPrivateKey
    from aweigh.bundle.keys import PrivateKey
    from aweigh.bundle.trust import Trust
    from aweigh.bundle.verify import Bundle, VerifiedBundle
    from aweigh.secret import Secret

TRUST_VARIABLE = "AWEIGH_TRUST"

F = TypeVar("F", bound=Callable[..., Any])


def _named(_: click.Context, __: click.Parameter, said: str | None) -> Path | None:
    """The path as it was written; an empty one would be the working folder."""
    if said is None:
        return None
    from aweigh.bundle.policy import policy_at

    policy_at(said)
    return Path(said)


def trust_option(command: F) -> F:
    """The option; processes that the command starts take the same from the environment."""
    return click.option(
        "--trust",
        callback=_named,
        envvar=TRUST_VARIABLE,
        show_envvar=True,
        metavar="FILE|DIR",
        help="Take only what these have signed: a policy, a public key, or a folder of them.",
    )(command)


def trusted(path: Path | None) -> "Trust | None":
    """The policy that was asked for, told to all processes that are started from here on, and read where they read it.

    Without a path it is the one that ``AWEIGH_TRUST`` names, and so the one that was asked for before.

    Raises:
        ConfigError: it says something that cannot be, or the variable is set and empty.
    """
    from aweigh.bundle.policy import policy_at, policy_of

    if path is not None:
        os.environ[TRUST_VARIABLE] = str(policy_at(path))
    return policy_of(os.environ)


def private_key(path: Path) -> "PrivateKey":
    """The key of ``--key``; the passphrase of an encrypted one is that of the environment, or is asked for.

    Raises:
        UsageError: it cannot be read, or the passphrase is not its.
    """
    from aweigh.bundle.keys import read_private

    return read_private(path, passphrase=_passphrase(path))


def ec_private_key(path: Path) -> "EcPrivateKey":
    """The key of ``--key`` where an elliptic-curve key is asked for.

    Raises:
        UsageError: it cannot be read, or the passphrase is not its.
    """
    from aweigh.bundle.ec import read_ec_private

    return read_ec_private(path, passphrase=_passphrase(path))


def _passphrase(path: Path) -> "Secret | None":
    from aweigh.bundle.keys import PASSPHRASE_VARIABLE, is_encrypted
    from aweigh.secret import Secret
    from aweigh.secret.read import read_secret

    if not is_encrypted(path):
        return None
    said = read_secret(os.environ, PASSPHRASE_VARIABLE)
    return said or Secret(click.prompt("passphrase", hide_input=True, err=True))


def check_pickle(bundle: "Bundle | VerifiedBundle") -> None:
    """A pickled model imports what its manifest says and what is trusted, or no signature helps; nothing of it is run.

    Raises:
        UntrustedModel, UnreadableModel: it does not, or cannot be read.
    """
    if bundle.manifest.pickle is None:
        return
    from aweigh.models.pickled import check_pickled

    check_pickled(bundle.read(bundle.manifest.model_file), bundle.manifest.pickle)


def signed_by(bundle: "VerifiedBundle") -> str:
    """Who has signed a bundle, in words; empty where nobody was asked for."""
    return "" if not bundle.signers else ", signed by " + " and ".join(one.name for one in bundle.signers)
