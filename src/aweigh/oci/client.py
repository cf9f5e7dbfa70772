"""A registry of images, as who builds, pushes and pulls them sees it.

>>> import os
>>> from aweigh.oci.client import open_registry
>>> with open_registry("ghcr.io", environ=os.environ) as registry:  # doctest: +SKIP
...     found = registry.pull_manifest("team/app", "1.2")
"""

import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from aweigh._version import __version__
from aweigh.errors import ConfigError, DamagedImage, RemoteError, UsageError
from aweigh.oci import manifests
from aweigh.oci.auth import Authority, pulling
from aweigh.oci.connection import Connection, missing_is_none
from aweigh.oci.credentials import Credential, find_credential
from aweigh.oci.documents import MAX_DOCUMENT_BYTES, Descriptor
from aweigh.oci.download import Progress, pull_to_file, read_blob
from aweigh.oci.errors import name_of, no_registry
from aweigh.oci.line import ANSWER_S, CONNECT_S, Line, Request
from aweigh.oci.manifests import Pulled
from aweigh.oci.reference import check_digest, check_host, check_repository, is_loopback
from aweigh.oci.upload import CHUNK_BYTES, Arrival, Upload
from aweigh.registry import require

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")


class _Tags(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """One registry, with its connections open; ``with`` closes them.

    Every question may end in a ``RegistryRefused`` (of these ``NotInRegistry`` and ``AccessDenied``), a
    ``RegistrySilent`` or a plain ``RemoteError``; names that are none are a ``UsageError``, wrong bytes a
    ``DamagedImage``. Repositories are named without the host, digests are ``sha256:...``, sizes are in bytes.
    """

    connection: Connection

    @property
    def host(self) -> str:
        """Its host, with the port."""
        return self.connection.host

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self.connection.line.client.close()

    def ping(self, what: str = "say that it is a registry") -> None:
        """Asks whether it is a registry that lets this account in at all; ``what`` is wanted of it, for its errors.

        Raises:
            RemoteError: it is none, it is not there, or nobody is let in.
        """
        reply = self.connection.ask(Request("GET", f"{self.connection.base}/v2/", what, "registry"))
        if "html" in reply.headers.get("content-type", "").lower():
            raise no_registry(host=self.host, what=what)

    # -- manifests ---------------------------------------------------------------------------------------------------

    def pull_manifest(self, repository: str, wanted: str) -> Pulled:
        """The manifest or index of a tag or a digest: ``content``, ``media_type``, ``digest``."""
        return manifests.pull(self.connection, repository, wanted)

    def head_manifest(self, repository: str, wanted: str) -> Descriptor | None:
        """What a tag or a digest names; None where it names nothing."""
        return manifests.head(self.connection, repository, wanted)

    def push_manifest(self, repository: str, wanted: str, content: bytes, media_type: str) -> str:
        """Writes a manifest or an index under a tag, or under its digest where ``wanted`` is that or empty; its digest.

        What it names has to be there already. Where it has a ``subject``, that lists it afterwards.
        """
        return manifests.push(self.connection, repository, wanted, content, media_type)

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Removes a manifest with all of its tags; whether there was one."""
        return manifests.delete(self.connection, repository, digest)

    def referrers(self, repository: str, digest: str, *, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """What refers to a digest, all of it or that of one kind, by the registry's API or by its tag."""
        return manifests.referrers(self.connection, repository, digest, artifact_type=artifact_type)

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, in the registry's order."""
        url: str | None = self.connection.url(check_repository(repository), "tags/list")
        what, thing, found = f"list the tags of {repository}", f"repository {repository}", list[str]()
        for _ in range(manifests.MOST_PAGES):
            assert url is not None  # noqa: S101  for the type checker
            reply = self.connection.ask(Request("GET", url, what, thing, pulling(repository)))
            try:
                found += msgspec.json.decode(reply.body, type=_Tags).tags or ()
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise no_registry(host=self.host, what=what) from error
            url = manifests.next_page(self.connection, reply)
            if url is None:
                return [one for one in found if _TAG.match(one)]
        raise RemoteError(f"{name_of(self.host)} gives a list without an end when it is asked to {what}.")

    # -- blobs -------------------------------------------------------------------------------------------------------

    def head_blob(self, repository: str, digest: str) -> int | None:
        """The size of a blob in bytes; None where the repository has none of that digest."""
        url = self.connection.url(check_repository(repository), f"blobs/{check_digest(digest)}")
        name = f"blob {digest[:19]} in {repository}"
        request = Request("HEAD", url, f"look for a blob in {repository}", name, pulling(repository))
        reply = missing_is_none(lambda: self.connection.ask(request))
        if reply is None:
            return None
        size = reply.headers.get("content-length", "")
        if not (size.isascii() and size.isdigit() and len(size) < 19):
            raise no_registry(host=self.host, what=request.what)
        return int(size)

    def pull_blob(
        self, repository: str, descriptor: Descriptor, path: Path, *, progress: Progress | None = None
    ) -> None:
        """Writes a blob to a file, which is there whole and checked, or not at all.

        Raises:
            StorageFull: the disk is full.
            UsageError: the file cannot be written.
        """
        pull_to_file(self.connection, check_repository(repository), descriptor, path, progress)

    def read_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        write: Callable[[bytes], object],
        *,
        progress: Progress | None = None,
    ) -> None:
        """Hands a blob's bytes to ``write`` as they come; that they are the right ones is known when this returns."""
        read_blob(self.connection, check_repository(repository), descriptor, write, progress)

    def pull_bytes(self, repository: str, descriptor: Descriptor, *, most_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
        """A small blob, such as a config."""
        if descriptor.size > most_bytes:
            raise DamagedImage(f"A blob of {descriptor.size:,} bytes is more than the {most_bytes:,} that it may be.")
        found: list[bytes] = []
        self.read_blob(repository, descriptor, found.append)
        return b"".join(found)

    def push_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        open_stream: Callable[[], BinaryIO],
        *,
        mount_from: str | None = None,
        progress: Progress | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Arrival:
        """Sees to it that a repository has a blob: ``present`` already, ``mounted`` or ``uploaded``.

        ``open_stream`` gives the bytes from their start, on a stream that can be sought in, and may be called again;
        ``mount_from`` is another repository of this registry that may have the blob.
        """
        source = None if mount_from is None else check_repository(mount_from)
        upload = Upload(self.connection, check_repository(repository), descriptor, open_stream, progress)
        return upload.send(mount_from=source, chunk_bytes=chunk_bytes)


def open_registry(
    host: str,
    *,
    insecure: bool = False,
    environ: Mapping[str, str],
    pause: Callable[[float], None] = time.sleep,
) -> Registry:
    """A registry at a host (with its port), over TLS; ``insecure`` speaks plain HTTP, to this machine alone.

    Who signs in is found in the environment and in the files that it names, when the registry asks for it
    (``credentials.find_credential``). A certificate authority of one's own is the file of ``SSL_CERT_FILE``.

    Raises:
        UsageError: the host is none, or is not on this machine and ``insecure``.
        ConfigError: the authority's file cannot be read.
        MissingExtra: httpx is not installed.
    """
    httpx = require("httpx", what="a registry", extra="deploy")
    check_host(host)
    near = is_loopback(host)
    if insecure and not near:
        raise UsageError(
            f"{name_of(host)} is not this machine, and is not asked without TLS.",
            hint="leave out --insecure, or name a registry on 127.0.0.1",
        )
    try:
        client = httpx.Client(
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            verify=_trusted(environ),
            trust_env=not near,
            follow_redirects=False,
            headers={"User-Agent": f"aweigh/{__version__}"},
        )
    except (ValueError, ImportError) as error:
        raise ConfigError(
            "The proxy of HTTPS_PROXY or ALL_PROXY is of no kind that is known.", hint="name one as http://HOST:PORT"
        ) from error
    line = Line(client, host, pause)

    @cache
    def credential() -> Credential | None:
        return find_credential(host, environ)

    return Registry(Connection(f"{'http' if insecure else 'https'}://{host}", line, Authority(line, credential)))


def _trusted(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The authorities that certificates are held against: one's own, else those that httpx brings."""
    try:
        return _authorities(environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", ""))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            "SSL_CERT_FILE names no file of certificates.", hint="name one in PEM form, or unset it"
        ) from error


@cache
def _authorities(file: str, folder: str) -> ssl.SSLContext:
    import httpx

    if file or folder:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    # To read them takes longer than most answers do.
    return httpx.create_ssl_context(trust_env=False)
