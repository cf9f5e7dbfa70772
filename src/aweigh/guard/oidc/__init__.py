"""Sign-in with an OpenID Connect provider: what is asked of it, what is believed, and what somebody then is here."""

from aweigh.guard.oidc.failures import Reason, SignInFailed
from aweigh.guard.oidc.flow import Oidc, SignedInAt, Started, open_oidc
from aweigh.guard.oidc.settings import OidcSettings, read_oidc, read_public_url

__all__ = [
    "Oidc",
    "OidcSettings",
    "Reason",
    "SignInFailed",
    "SignedInAt",
    "Started",
    "open_oidc",
    "read_oidc",
    "read_public_url",
]
