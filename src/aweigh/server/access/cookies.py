"""The session's cookie: what it is called, how it is set and taken away, and the one that a request brought.

Over TLS it is ``__Host-aweigh``: a browser takes it only from this very host, and sends it over TLS only (RFC 6265bis,
section 4.1.3.2). On plain HTTP that name is not allowed, and cookies of one host are shared by all its ports: there
the port is in the name, so that two servers on one machine do not sign each other's people out.
"""

import re

from starlette.types import Scope

from aweigh.secret import Secret

NAME = "aweigh"
ONCE = "once"
"""Another cookie of ours: carries a value that is shown once over the redirect to the page that shows it."""

_PORT = re.compile(rb":([0-9]{1,5})\Z")
_VALUE = re.compile(rb"[A-Za-z0-9_.\-]{1,2048}\Z")

Header = tuple[bytes, bytes]


def is_secure(scope: Scope) -> bool:
    """Whether the browser came over TLS: the gate has written down what a trusted proxy says of it."""
    return scope.get("scheme") in {"https", "wss"}


def session_cookie_name(scope: Scope, *, secure: bool | None = None) -> str:
    """``__Host-aweigh`` over TLS, else ``aweigh_PORT`` with the port that the browser has in its address bar."""
    return _name(scope, NAME, secure=secure)


def once_cookie_name(scope: Scope, *, secure: bool | None = None) -> str:
    """The name of the cookie that lives for one redirect."""
    return _name(scope, f"{NAME}-{ONCE}", secure=secure)


def set_cookie(scope: Scope, secret: Secret, max_age_s: int, *, secure: bool | None = None) -> Header:
    """The header that gives the browser its session."""
    return written(scope, session_cookie_name(scope, secure=secure), secret.reveal(), max_age_s, secure=secure)


def clear_cookie(scope: Scope, *, secure: bool | None = None) -> Header:
    """The header that takes the session's cookie away."""
    return written(scope, session_cookie_name(scope, secure=secure), "", 0, secure=secure)


def session_of(scope: Scope, *, secure: bool | None = None) -> bytes | None:
    """The session's secret as the request brought it, or None; it has only the letters that a secret can have."""
    return cookie_of(scope, session_cookie_name(scope, secure=secure))


def written(scope: Scope, name: str, value: str, max_age_s: int, *, secure: bool | None = None) -> Header:
    """The header ``Set-Cookie`` of a cookie for this host alone that no script can read."""
    flags = "; Secure" if _secure(scope, secure) else ""
    text = f"{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{flags}"
    return b"set-cookie", text.encode("ascii")


def cookie_of(scope: Scope, name: str) -> bytes | None:
    """The value of a cookie that the request brought, the first of that name; None where it cannot be one of ours."""
    wanted = name.encode("ascii")
    for header, value in scope["headers"]:
        if header != b"cookie":
            continue
        for pair in value.split(b";"):
            key, _, found = pair.strip().partition(b"=")
            if key == wanted:
                return found if _VALUE.match(found) else None
    return None


def _name(scope: Scope, name: str, *, secure: bool | None) -> str:
    if _secure(scope, secure):
        return f"__Host-{name}"
    return f"{name}_{_port(scope)}"


def _secure(scope: Scope, secure: bool | None) -> bool:  # noqa: FBT001  as given by the caller
    return is_secure(scope) if secure is None else secure


def _port(scope: Scope) -> str:
    for header, value in scope["headers"]:
        if header == b"host":
            found = _PORT.search(value)
            return found[1].decode() if found else "80"
    return "80"
