"""Codes of an authenticator app (TOTP, RFC 6238: SHA-1, 30 s, six digits), and the codes for when it is lost."""

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from urllib.parse import quote

STEP_S = 30
DIGITS = 6
WINDOW = 1
"""How many steps a clock may be off, either way."""
SECRET_BYTES = 20
RECOVERY_CODES = 10
RECOVERY_BYTES = 10
"""80 bits: nobody guesses one, so that a plain digest of it may be kept."""


def new_secret() -> str:
    """A secret, as authenticator apps read it (base32)."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether it is one that ``new_secret`` could have made."""
    try:
        return len(base64.b32decode(text.encode("ascii"))) == SECRET_BYTES
    except (binascii.Error, UnicodeEncodeError):
        return False


def uri_of(secret: str, *, name: str, issuer: str = "aweigh") -> str:
    """What a QR code of it says."""
    label = quote(f"{issuer}:{name}", safe="")
    return f"otpauth://totp/{label}?secret={secret}&issuer={quote(issuer, safe='')}"


def code_at(secret: str, counter: int) -> str:
    """The code of one step."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", counter), hashlib.sha1)
    (number,) = struct.unpack_from(">I", digest, digest[-1] & 0xF)
    return f"{(number & 0x7FFFFFFF) % 10**DIGITS:0{DIGITS}}"


def counter_of(secret: str, code: str, *, now: float) -> int | None:
    """The step whose code it is, of those that count now; None: of none. All of them are compared, whichever it is."""
    if len(code) != DIGITS or not code.isascii() or not code.isdigit():
        return None
    here = int(now // STEP_S)
    found = None
    for counter in range(max(here - WINDOW, 0), here + WINDOW + 1):
        if hmac.compare_digest(code_at(secret, counter), code):
            found = counter
    return found


def plain_code(text: str) -> str:
    """A code as it was typed, without what people put between its groups."""
    return "".join(one for one in text if one.isalnum()).upper()


def new_recovery_codes() -> list[str]:
    """Codes to be written down: ``ABCD-EFGH-IJKL-MNOP``."""
    made = [base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES)]
    return ["-".join(one[at : at + 4] for at in range(0, 16, 4)) for one in made]
