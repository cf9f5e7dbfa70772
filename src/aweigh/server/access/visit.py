"""What a page is asked: the path, the form and who asks, read within limits before a page's own code runs."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from aweigh.errors import AweighError, MalformedBody, UnsupportedMedia
from aweigh.guard.identity import Identity
from aweigh.server.body import Unread, read_body, refuse_encoding
from aweigh.server.settings import Settings

FORM = b"application/x-www-form-urlencoded"
MOST_BYTES = 16 * 1024
MOST_FIELDS = 64
TIMEOUT_S = 15.0

_LIMITS = Settings(max_body_bytes=MOST_BYTES, body_timeout_s=TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: ``parts`` of the path, ``query`` and ``form`` by name (the first of each name), and who asks."""

    scope: Scope = field(repr=False)
    method: str
    parts: tuple[str, ...]
    query: dict[str, str]
    form: dict[str, list[str]] = field(repr=False)
    identity: Identity | None
    client: str
    secure: bool

    def text(self, name: str, *, strip: bool = True) -> str:
        """A field of the form; empty where it is absent. Passwords are not stripped."""
        found = self.form.get(name, [""])[0]
        return found.strip() if strip else found

    @property
    def person(self) -> Identity:
        """The person who is signed in; ``Pages`` lets nobody else ask for what needs one."""
        if self.identity is None or self.identity.kind != "person":
            raise AssertionError("a page for people was shown to nobody")
        return self.identity

    @property
    def done(self) -> str:
        """What the form did that has led here; empty where another site's link would have people believe it."""
        said = next((value for name, value in self.scope["headers"] if name == b"sec-fetch-site"), b"")
        return "" if said in {b"cross-site", b"same-site"} else self.query.get("done", "")

    @property
    def host(self) -> str:
        """The header ``Host``, as the browser sent it."""
        return next((value.decode("latin-1") for name, value in self.scope["headers"] if name == b"host"), "")


async def read_visit(scope: Scope, receive: Receive, *, secure: bool) -> Visit:
    """The request, its form included.

    Raises:
        Unread: the body is no form, or larger than 16 kB, or comes too slowly.
        MalformedBody: it is not encoded as a form must be.
        ClientGone: the client hung up.
    """
    identity = scope.get("aweigh.identity")
    return Visit(
        scope=scope,
        method="GET" if scope["method"] == "HEAD" else scope["method"],
        parts=tuple(scope["path"].strip("/").split("/")),
        query=_query(scope.get("query_string", b"")),
        form=await _form(scope, receive) if scope["method"] == "POST" else {},
        identity=identity if isinstance(identity, Identity) and identity.kind != "nobody" else None,
        client=str(scope.get("aweigh.client") or (scope.get("client") or ("",))[0]),
        secure=secure,
    )


def _query(text: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}  # a link cut short or tampered with: the page without its filters
    return dict(reversed(pairs))


async def _form(scope: Scope, receive: Receive) -> dict[str, list[str]]:
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    try:
        refuse_encoding(scope)
        if kind.split(b";")[0].strip().lower() not in {FORM, b""}:
            raise UnsupportedMedia("This page takes the form that it shows.", hint="open the page and send its form")
    except AweighError as error:
        raise Unread(error) from error
    body = await read_body(scope, receive, settings=_LIMITS)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise MalformedBody("The form cannot be read.", hint="open the page again and send its form") from error
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found
