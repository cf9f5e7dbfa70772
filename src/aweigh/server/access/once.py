"""What is shown once, carried over the redirect to the page that shows it.

A reload of the page must not make a second key, so a form is answered with a redirect; and what was made is stored
nowhere in clear. So the browser itself carries it, for a minute and out of reach of scripts, sealed with the secret of
its own session: a cookie that somebody else has planted is not shown. The page that shows it takes it away.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time

from aweigh.server.access.cookies import Header, cookie_of, once_cookie_name, session_of, written
from aweigh.server.access.visit import Visit

KEPT_S = 60
_PURPOSE = b"aweigh: shown once"


def keep_once(visit: Visit, about: str, value: str, *, session: bytes | None = None) -> Header:
    """The header that carries a value to the page about ``about``; ``session`` is another's that begins with it."""
    content = json.dumps([about, value, int(time.time()) + KEPT_S], separators=(",", ":")).encode()
    text = base64.urlsafe_b64encode(content).decode().rstrip("=") + "." + _seal(session or _session(visit), content)
    name = once_cookie_name(visit.scope, secure=visit.secure)
    return written(visit.scope, name, text, KEPT_S, secure=visit.secure)


def kept_once(visit: Visit, about: str) -> str | None:
    """The value that this very session was given for this page within the last minute."""
    found = cookie_of(visit.scope, once_cookie_name(visit.scope, secure=visit.secure))
    if found is None:
        return None
    text, _, seal = found.decode("ascii").partition(".")
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    if not hmac.compare_digest(seal, _seal(_session(visit), content)):
        return None
    for_whom, value, until = json.loads(content)
    return str(value) if for_whom == about and time.time() <= until else None


def forget_once(visit: Visit) -> Header:
    """The header that takes it away."""
    return written(visit.scope, once_cookie_name(visit.scope, secure=visit.secure), "", 0, secure=visit.secure)


def _session(visit: Visit) -> bytes:
    return session_of(visit.scope, secure=visit.secure) or b""


def _seal(session: bytes, content: bytes) -> str:
    key = hmac.new(_PURPOSE, session, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode().rstrip("=")
