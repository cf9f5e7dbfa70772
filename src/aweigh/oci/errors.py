"""What a registry refuses, and what goes wrong on the way to it, each as one sentence and a fix.

A registry answers an error with ``{"errors": [{"code": "DENIED", "message": "..."}]}`` and a status. Its words are
quoted, cleaned and cut; what follows from them is decided by the status and by the codes of the specification.
"""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from aweigh.errors import RemoteError
from aweigh.oci.reference import HUB, HUB_NAME

MOST_QUOTED = 240
"""Characters of a registry's own words in one of our sentences."""

AGAIN = "run the same command again: what has arrived is not sent twice"
VARIABLES = "AWEIGH_REGISTRY_HOST, AWEIGH_REGISTRY_USERNAME and AWEIGH_REGISTRY_PASSWORD"


class RegistryRefused(RemoteError):
    """A registry answered a request with an error.

    ``status`` is that of HTTP, ``word`` the registry's own code (``MANIFEST_UNKNOWN``), ``retry_after_s`` how long it
    asks to be left alone, where it says so.
    """

    code = "registry_refused"

    def __init__(
        self, message: str, *, status: int, word: str = "", hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.word = word
        self.retry_after_s = retry_after_s


class AccessDenied(RegistryRefused):
    """Nobody is signed in, the password is wrong, or the account may not do this."""

    code = "registry_denied"


class NotInRegistry(RegistryRefused):
    """The registry has nothing of that name."""

    code = "not_in_registry"


class RegistrySilent(RemoteError):
    """A registry could not be asked, or its answer broke off."""

    code = "registry_silent"


class _Said(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct, frozen=True):
    errors: tuple[_Said, ...] = ()


def name_of(host: str) -> str:
    """A host as people know it."""
    return HUB_NAME if host == HUB else host


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer is to: of which host, ``what`` (``pull team/app:1.2``), of what ``thing`` (``team/app:1.2``).

    ``account`` is where who is signed in is known from, as words; empty where nobody is.
    """

    host: str
    what: str
    thing: str
    account: str = ""


def refusal(status: int, body: bytes, asked: Asked, *, retry_after_s: float | None = None) -> RegistryRefused:
    """The error of an answer of that status."""
    said = _said(body)
    words = quote(said.message)
    told = f": {words}" if words else "."
    sentence, hint = _words(status, asked, told=told)
    kind = {401: AccessDenied, 403: AccessDenied, 404: NotInRegistry}.get(status, RegistryRefused)
    return kind(sentence, status=status, word=said.code[:64], hint=hint, retry_after_s=retry_after_s)


def _said(body: bytes) -> _Said:
    try:
        found = msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Said()
    return found[0] if found else _Said()


def sign_in(host: str) -> str:
    """How to sign in, for a hint."""
    name = name_of(host)
    return f"sign in with 'docker login {name}' or 'podman login {name}', or set {VARIABLES}"


def _words(status: int, asked: Asked, *, told: str) -> tuple[str, str]:
    host, what, thing, way = name_of(asked.host), asked.what, asked.thing, sign_in(asked.host)
    if status in (401, 403) and asked.account:
        return f"{host} does not let the account of {asked.account} {what}{told}", f"ask its owner for access, or {way}"
    if status == 401:
        return f"{host} wants somebody signed in to {what}{told}", f"{way}; check the name, too: {_HIDDEN}"
    if status == 403:
        return f"{host} does not let everybody {what}{told}", f"{way}; check the name, too: {_HIDDEN}"
    if status == 404:
        return f"{host} has no {thing}{told}", f"check the name and the tag; {_HIDDEN}"
    if status == 405:
        return f"{host} does not offer to {what}{told}", "do it in the registry's own way, or use another registry"
    if status == 413:
        return (
            f"{host} takes no body of this size, and was asked to {what}{told}",
            "let the registry, or the proxy before it, take larger bodies",
        )
    if status == 429:
        return f"{host} was asked too often, the last time to {what}{told}", f"wait some minutes, or {way}"
    if status >= 500:
        return f"{host} failed with the status {status} when it was asked to {what}{told}", AGAIN
    return (
        f"{host} answers with the status {status} when it is asked to {what}{told}",
        "check that the host is a registry, and the name",
    )


_HIDDEN = "a private repository looks like none to who may not see it"


def no_registry(*, host: str, what: str) -> RemoteError:
    """The error of an answer that no registry gives: a page for people, or what is no JSON."""
    return RemoteError(
        f"{name_of(host)} does not answer as a registry when it is asked to {what}.",
        hint="check the host: it may be a web site, or a proxy's page that wants somebody to sign in",
    )


def silent(error: BaseException, *, host: str, what: str) -> RegistrySilent:
    """The error of a connection that could not be made, or broke."""
    sentence, hint = _silence(error, name_of(host))
    return RegistrySilent(f"{sentence} when it was asked to {what}.", hint=hint)


def _silence(error: BaseException, host: str) -> tuple[str, str]:
    for one in causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return (
                f"The certificate of {host} is not trusted ({quote(one.verify_message)})",
                "check the host; for an authority of your own set SSL_CERT_FILE to its certificate",
            )
        if isinstance(one, ssl.SSLError):
            return f"{host} does not speak TLS", "check the port; --insecure is for a registry on this machine alone"
        if isinstance(one, socket.gaierror):
            return f"The name {host} is not known", "check the host's name and this machine's network"
        if isinstance(one, ConnectionRefusedError):
            return f"Nothing answers at {host}", "check the host and the port, and that the registry runs"
    name = type(error).__name__
    if "Timeout" in name:
        return f"{host} did not answer in time", AGAIN
    if "Connect" in name:
        return f"{host} cannot be reached", "check this machine's network"
    return f"The connection to {host} broke", AGAIN


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it came of."""
    seen: BaseException | None = error
    for _ in range(12):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def quote(text: str) -> str:
    r"""Words from elsewhere as part of a sentence: on one line, without control characters, cut where they are long.

    >>> quote("no\nsuch\x1b[2J thing.")
    'no such [2J thing.'
    """
    text = " ".join("".join(one if one.isprintable() else " " for one in text[: 4 * MOST_QUOTED]).split())
    if not text:
        return ""
    if len(text) > MOST_QUOTED:
        text = f"{text[: MOST_QUOTED - 1]}…"
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
