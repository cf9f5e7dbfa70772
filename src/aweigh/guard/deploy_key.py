"""The deployment's key: with it whoever deployed an app asks the golden rows of it, and for ten minutes nothing else.

The app and its deployer share one secret, ``AWEIGH_DEPLOY_SECRET``, which the platform keeps among the app's settings.
A key is ``aw_deploy_`` + the second at which it ends + ``_`` + HMAC-SHA-256 of that, in hex. Its text is kept nowhere
and needs no database, no person who could be removed, and no release of its own: a check of what is live changes
nothing there. Whoever can read the secret can put any program in the app's place already, so it gives nothing away.
"""

import hmac
import re
import time

from aweigh.errors import ConfigError
from aweigh.guard.identity import Identity, Role
from aweigh.secret import Secret

VARIABLE = "AWEIGH_DEPLOY_SECRET"
PATH = "/v1/predict"
"""All that it opens."""
PREFIX = b"aw_deploy_"
LONGEST_S = 600
"""A key that is said to last longer is none."""
LEAST_CHARACTERS = 32
"""Of the secret: what somebody made up in their head is not enough."""

DEPLOYMENT = Identity("key", "deploy", "the deployment", Role.PREDICTOR, frozenset({"predict"}))
"""Whoever shows such a key."""

_SHAPE = re.compile(rb"aw_deploy_([0-9]{10,11})_([0-9a-f]{64})\Z")
_PURPOSE = b"aweigh deployment key 1\n"


def new_key(secret: Secret, *, now: float | None = None, lasts_s: int = LONGEST_S) -> Secret:
    """A key that opens from now on for so many seconds."""
    ends = b"%d" % int((time.time() if now is None else now) + lasts_s)
    return Secret((PREFIX + ends + b"_" + _seal(secret, ends)).decode())


def opens(text: bytes, secret: Secret, *, now: float | None = None) -> bool:
    """Whether the text is a key of this secret that has not ended."""
    found = _SHAPE.match(text)
    if found is None or not hmac.compare_digest(found[2], _seal(secret, found[1])):
        return False
    left_s = int(found[1]) - (time.time() if now is None else now)
    return 0 < left_s <= LONGEST_S


def check_secret(secret: Secret | None) -> Secret | None:
    """The secret, if it is long enough.

    Raises:
        ConfigError: it is not.
    """
    if secret is not None and len(secret.reveal()) < LEAST_CHARACTERS:
        raise ConfigError(
            f"{VARIABLE} is shorter than {LEAST_CHARACTERS} characters.",
            hint="unset it: 'aweigh deploy' makes one up where there is none",
        )
    return secret


def _seal(secret: Secret, ends: bytes) -> bytes:
    return hmac.digest(secret.reveal().encode(), _PURPOSE + ends, "sha256").hex().encode()
