"""Manifests and indexes in a registry: read and held against their digest, written, and the list of who refers to one.

Who refers to a manifest is asked of the referrers API. A registry without it keeps the list as an index under a tag
made of the digest (``sha256-...``), which those who push keep up to date (distribution-spec 1.1).
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin

import msgspec

from aweigh.errors import DamagedImage, RemoteError, UnsuitableImage, UsageError
from aweigh.oci.auth import deleting, pulling, pushing
from aweigh.oci.connection import Connection, missing_is_none
from aweigh.oci.documents import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    MAX_DOCUMENT_BYTES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    digest_of,
    encode,
    index_of,
    read_index,
)
from aweigh.oci.errors import RegistryRefused, name_of, no_registry
from aweigh.oci.line import Reply, Request
from aweigh.oci.reference import check_digest, check_repository, check_tag, check_wanted

ACCEPT = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_INDEX}, {DOCKER_MANIFEST}"
MOST_PAGES = 200
MOST_MERGES = 4
"""So often a list of referrers is written anew when somebody else writes it, too."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_NO_API = frozenset({400, 404, 405, 501})
_VAGUE = frozenset({"", "application/json", "text/plain", "application/octet-stream"})


@dataclass(frozen=True, slots=True)
class Pulled:
    """A manifest or an index as it is in the registry, and what it says that it is."""

    content: bytes
    media_type: str
    digest: str

    @property
    def descriptor(self) -> Descriptor:
        """What names it."""
        return Descriptor(self.media_type, self.digest, len(self.content))


class _About(msgspec.Struct, frozen=True, rename="camel"):
    """What of a manifest matters to a list of referrers."""

    media_type: str = ""
    artifact_type: str = ""
    config: dict[str, Any] | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


def pull(connection: Connection, repository: str, wanted: str) -> Pulled:
    """The manifest or index of a tag or a digest.

    Raises:
        NotInRegistry: there is none of that name.
        DamagedImage: its bytes are not what their digest says, or it contradicts itself.
        UnsuitableImage: it is of a kind that nobody writes any more.
        RegistryRefused, RegistrySilent, RemoteError: the registry does not give it.
    """
    check_repository(repository), check_wanted(wanted)
    reply = connection.ask(_manifest_request(connection, "GET", repository, wanted))
    digest = digest_of(reply.body)
    stated = wanted if ":" in wanted else reply.headers.get("docker-content-digest", "")
    media_type = _media_type(reply, connection, repository, wanted)
    if stated.startswith("sha256:") and stated != digest:
        raise DamagedImage(
            f"{name_of(connection.host)} gives other bytes for {_name(repository, wanted)} than their digest says.",
            hint="run the same command again; if it stays, do not use this registry",
        )
    return Pulled(reply.body, media_type, digest)


def _name(repository: str, wanted: str) -> str:
    return f"{repository}@{wanted[:19]}" if ":" in wanted else f"{repository}:{wanted}"


def _manifest_request(connection: Connection, method: str, repository: str, wanted: str) -> Request:
    name = _name(repository, wanted)
    url = connection.url(repository, f"manifests/{wanted}")
    return Request(method, url, f"pull {name}", name, pulling(repository), {"Accept": ACCEPT})


def _media_type(reply: Reply, connection: Connection, repository: str, wanted: str) -> str:
    header = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    own: Any = None
    try:
        document = msgspec.json.decode(reply.body)
        own = document.get("mediaType", "") if isinstance(document, dict) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    if not isinstance(own, str):
        raise no_registry(host=connection.host, what=f"pull {_name(repository, wanted)}")
    if header.startswith(_SCHEMA_1):
        raise UnsuitableImage(
            f"{_name(repository, wanted)} is an image in the format of before 2017.",
            hint="push it anew, or take another",
        )
    if header not in _VAGUE and own and own != header:
        raise DamagedImage(
            f"{_name(repository, wanted)} says of itself that it is something else than its registry says."
        )
    found = own if header in _VAGUE else header
    if not found:
        raise no_registry(host=connection.host, what=f"pull {_name(repository, wanted)}")
    return found


def head(connection: Connection, repository: str, wanted: str) -> Descriptor | None:
    """What a tag or a digest names, without its bytes; None where it names nothing.

    Raises:
        RegistryRefused, RegistrySilent, RemoteError: the registry does not say it.
    """
    check_repository(repository), check_wanted(wanted)
    reply = missing_is_none(lambda: connection.ask(_manifest_request(connection, "HEAD", repository, wanted)))
    if reply is None:
        return None
    size, digest = reply.headers.get("content-length", ""), reply.headers.get("docker-content-digest", "")
    digest = wanted if ":" in wanted else digest
    media_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in INDEXES | MANIFESTS and size.isascii() and size.isdigit() and len(size) < 12 and digest:
        found = Descriptor(media_type, digest, int(size))
        found.check()
        return found
    # Not every registry says all of it here.
    return pull(connection, repository, wanted).descriptor


def push(connection: Connection, repository: str, wanted: str, content: bytes, media_type: str) -> str:
    """Writes a manifest or an index under a tag, or (``wanted`` is its digest or empty) under its digest; the digest.

    What it refers to (``subject``) lists it afterwards, also where the registry does not see to that.

    Raises:
        UsageError: the name is none, or another digest than that of the bytes.
        RegistryRefused, RegistrySilent, RemoteError: the registry does not take it.
    """
    digest = digest_of(content)
    check_repository(repository)
    if wanted and ":" not in wanted:
        check_tag(wanted)
    elif wanted and check_digest(wanted) != digest:
        raise UsageError("The manifest is not what the digest says under which it is to be pushed.")
    about = _about(content, media_type)
    reply = _put(connection, repository, wanted or digest, content, media_type)
    if about.subject is not None and "oci-subject" not in reply.headers:
        config = about.config or {}
        kind = about.artifact_type or str(config.get("mediaType", ""))
        own = Descriptor(media_type, digest, len(content), None, about.annotations or {}, kind)
        _list_by_tag(connection, repository, about.subject.digest, own)
    return digest


def _about(content: bytes, media_type: str) -> _About:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise UsageError(f"A manifest of {len(content):,} bytes is larger than a registry has to take.")
    try:
        about = msgspec.json.decode(content, type=_About)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError("What is to be pushed as a manifest is none.") from error
    if media_type not in INDEXES | MANIFESTS or about.media_type not in ("", media_type):
        raise UsageError(
            f"A manifest is not pushed as {media_type[:80]!r}.", hint="name the type that is written in it"
        )
    if about.subject is not None:
        about.subject.check()
    return about


def _put(connection: Connection, repository: str, wanted: str, content: bytes, media_type: str) -> Reply:
    name = _name(repository, wanted)
    url = connection.url(repository, f"manifests/{wanted}")
    request = Request(
        "PUT",
        url,
        f"push {name}",
        f"place for {name}",
        pushing(repository),
        {"Content-Type": media_type},
        content,
        frozenset({200, 201, 202}),
    )
    reply = connection.ask(request)
    stated = reply.headers.get("docker-content-digest", "")
    if stated.startswith("sha256:") and stated != digest_of(content):
        raise DamagedImage(
            f"{name_of(connection.host)} keeps other bytes for {name} than were sent.",
            hint="a registry must not rewrite manifests: use another",
        )
    return reply


def referrers(
    connection: Connection, repository: str, digest: str, *, artifact_type: str = ""
) -> tuple[Descriptor, ...]:
    """What refers to a digest: signatures, bills of materials; all of it, or that of one kind.

    Raises:
        DamagedImage: the list is none.
        RegistryRefused, RegistrySilent, RemoteError: the registry does not say it.
    """
    check_repository(repository), check_digest(digest)
    found = _by_api(connection, repository, digest, artifact_type)
    if found is None:
        found = _named(_by_tag(connection, repository, digest))
    return tuple(one for one in found if artifact_type in ("", one.artifact_type))


def _by_api(connection: Connection, repository: str, digest: str, artifact_type: str) -> tuple[Descriptor, ...] | None:
    query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
    url = connection.url(repository, f"referrers/{digest}") + query
    found: list[Descriptor] = []
    what, thing = f"list what refers to {_name(repository, digest)}", f"list of what refers to {repository}"
    for _ in range(MOST_PAGES):
        request = Request("GET", url, what, thing, pulling(repository), {"Accept": OCI_INDEX})
        try:
            reply = connection.ask(request)
        except RegistryRefused as error:
            if error.status in _NO_API:
                return None
            raise
        if "html" in reply.headers.get("content-type", "").lower():
            # A registry that shows its own pages for every address that it does not know.
            return None
        found += read_index(reply.body).manifests
        following = next_page(connection, reply)
        if following is None:
            return tuple(found)
        url = following
    raise RemoteError(f"{name_of(connection.host)} gives a list without an end when it is asked to {what}.")


def next_page(connection: Connection, reply: Reply) -> str | None:
    """Where a list goes on (RFC 8288): only ever at the registry itself."""
    for link in reply.headers.get("link", "").split(","):
        address, _, rest = link.strip().partition(">")
        if address.startswith("<") and 'rel="next"' in rest.replace("rel=next", 'rel="next"'):
            found = connection.follow(reply.url, urljoin(reply.url, address[1:]))
            return found if connection.is_own(found) else None
    return None


def fallback_tag(digest: str) -> str:
    """The tag under which the referrers of a digest are listed where the registry has no API for it."""
    return check_digest(digest).replace(":", "-", 1)


def _by_tag(connection: Connection, repository: str, digest: str) -> bytes | None:
    """The list under the tag, as it is written; None where there is none."""
    request = _manifest_request(connection, "GET", repository, fallback_tag(digest))
    reply = missing_is_none(lambda: connection.ask(request))
    return None if reply is None else reply.body


def _named(content: bytes | None) -> tuple[Descriptor, ...]:
    return () if content is None else read_index(content).manifests


def _list_by_tag(connection: Connection, repository: str, subject: str, own: Descriptor) -> None:
    """Puts a descriptor into the list of a subject's referrers, and looks: two who do so at once would lose one."""
    for _ in range(MOST_MERGES):
        content = _by_tag(connection, repository, subject)
        if any(one.digest == own.digest for one in _named(content)):
            return
        # What others have written into the list stays as it is.
        document = msgspec.json.decode(encode(index_of(())) if content is None else content)
        document["manifests"].append(msgspec.to_builtins(own))
        _put(connection, repository, fallback_tag(subject), encode(document), OCI_INDEX)
    if all(one.digest != own.digest for one in _named(_by_tag(connection, repository, subject))):
        raise RemoteError(
            f"What refers to {_name(repository, subject)} could not be listed: somebody else writes the list, too.",
            hint="run the same command again",
        )


def delete(connection: Connection, repository: str, digest: str) -> bool:
    """Removes a manifest with all of its tags; whether there was one. What it refers to lists it no more.

    Raises:
        RegistryRefused: the registry does not let anything be removed, or not by this account.
        RegistrySilent, RemoteError: it does not answer as it should.
    """
    check_repository(repository), check_digest(digest)
    name = _name(repository, digest)
    url = connection.url(repository, f"manifests/{digest}")
    subject = _subject_of(connection, repository, digest)
    request = Request("DELETE", url, f"delete {name}", name, deleting(repository), good=frozenset({200, 202, 204}))
    found = missing_is_none(lambda: connection.ask(request))
    if subject is not None and _by_api(connection, repository, subject, "") is None:
        _strike_by_tag(connection, repository, subject, digest)
    return found is not None


def _subject_of(connection: Connection, repository: str, digest: str) -> str | None:
    reply = missing_is_none(lambda: connection.ask(_manifest_request(connection, "GET", repository, digest)))
    if reply is None:
        return None
    try:
        about = msgspec.json.decode(reply.body, type=_About)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    subject = about.subject
    return None if subject is None or _DIGEST.match(subject.digest) is None else subject.digest


def _strike_by_tag(connection: Connection, repository: str, subject: str, digest: str) -> None:
    content = _by_tag(connection, repository, subject)
    if content is None or all(one.digest != digest for one in _named(content)):
        return
    document = msgspec.json.decode(content)
    document["manifests"] = [one for one in document["manifests"] if one.get("digest") != digest]
    _put(connection, repository, fallback_tag(subject), encode(document), OCI_INDEX)
