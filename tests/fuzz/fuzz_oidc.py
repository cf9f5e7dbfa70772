"""What a provider says: its description, its keys, its tokens and what they claim, and the cookie of a sign-in."""

import asyncio
import base64
import json
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fuzz_bounds import Found, Run

from aweigh.errors import ConfigError
from aweigh.guard.oidc.failures import SignInFailed
from aweigh.guard.oidc.fetch import Web
from aweigh.guard.oidc.flow import _name_of
from aweigh.guard.oidc.pending import Sealer
from aweigh.guard.oidc.provider import Provider
from aweigh.guard.oidc.roles import read_roles, verified_email
from aweigh.guard.oidc.token import Expected, claims_of

ISSUER, NOW = "https://id.example.org", 1_800_000_000.0
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""The provider's. Here for all to see, and good for nothing else."""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


DESCRIBED = json.dumps(
    {
        "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/a", "token_endpoint": f"{ISSUER}/t",
        "jwks_uri": f"{ISSUER}/k",
    }
).encode()  # fmt: skip
KEYS = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": b64(KEY.public_key().public_bytes_raw())}]}).encode()
EXPECTED = Expected(ISSUER, "aweigh", "nonce", "of no use")


@dataclass(frozen=True)
class Canned(Web):
    """The network, which answers any address with the documents that are put there."""

    documents: dict[str, bytes] = field(default_factory=dict)

    async def _ask(self, method, url, *, headers, form=None):
        return 200, self.documents["keys" if url.endswith("/k") else "described"]


def signed(header: bytes, payload: bytes) -> str:
    """A token of the provider's own, whatever it says."""
    text = f"{b64(header)}.{b64(payload)}"
    return f"{text}.{b64(KEY.sign(text.encode()))}"


def providers() -> Run:
    """The first byte chooses which of the things that a provider says it is."""
    loop = asyncio.new_event_loop()
    sealer = Sealer(lambda: bytes(32))
    roles = read_roles("groups: data=predictor; roles.app: ops=operator; email: ana@example.org=admin; *=none")

    def provider(described: bytes = DESCRIBED, keys: bytes = KEYS) -> Provider:
        return Provider(ISSUER, Canned(loopback=False, documents={"described": described, "keys": keys}))

    usual = provider()

    async def tell(kind: int, content: bytes) -> None:
        if kind == 0:
            await provider(content).described()
        elif kind == 1:
            told = provider(keys=content)
            for algorithm in ("RS256", "ES256", "EdDSA", "Ed25519"):
                try:
                    await told.keys_for(algorithm, None)
                except SignInFailed:
                    continue
        elif kind == 2:
            await claims_of(content.decode("latin-1"), usual, EXPECTED, now=NOW)
            raise Found("a token is taken that the provider has not signed")
        elif kind == 3:
            header, _, payload = content.partition(b"\n")
            claims = await claims_of(signed(header, payload), usual, EXPECTED, now=NOW)
            role, email = roles.role_of(claims), verified_email(claims)
            if not _name_of(claims) or (
                role is not None and email is None and "email" in claims and role.name == "ADMIN"
            ):
                raise Found(f"the claims {claims!r} make {role!r} of somebody")
        elif kind == 4:
            sealer.opened(content.decode("latin-1"), now=NOW)
            raise Found("a cookie is opened that was never sealed")
        else:
            read_roles(content.decode("utf-8", "replace"))

    def run(data: bytes) -> None:
        try:
            loop.run_until_complete(tell(data[0] % 6 if data else 0, data[1:]))
        except (SignInFailed, ConfigError):
            return

    return run


TARGETS = {"oidc": providers}
