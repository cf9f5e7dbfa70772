"""A blob from a registry: as it comes, gone on with where the connection broke, and held against its descriptor."""

import hashlib
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from aweigh.errors import AweighError, DamagedImage, StorageFull, UsageError, is_full
from aweigh.oci.auth import pulling
from aweigh.oci.connection import Connection
from aweigh.oci.documents import Descriptor
from aweigh.oci.errors import RegistryRefused, name_of, silent
from aweigh.oci.line import TRIES, Reply, Request, may_pass

if TYPE_CHECKING:
    import httpx

Progress = Callable[[int, int], None]
"""Told of bytes that are done, and of how many there are in all; what is sent anew after a break is told anew."""

MOST_BREAKS = 100
"""So often a download is gone on with at most, however far each piece gets."""
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)\Z")


@dataclass(slots=True)
class _Coming:
    """A blob that is on its way: what has come of it."""

    descriptor: Descriptor
    write: Callable[[bytes], object]
    progress: Progress | None
    host: str
    done: int = 0
    hashed: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def take(self, piece: bytes) -> None:
        if self.done + len(piece) > self.descriptor.size:
            raise self.damaged("more bytes than")
        self.write(piece)
        self.hashed.update(piece)
        self.done += len(piece)
        if self.progress is not None:
            self.progress(self.done, self.descriptor.size)

    def damaged(self, how: str) -> DamagedImage:
        return DamagedImage(
            f"{name_of(self.host)} gives {how} the blob {self.descriptor.digest[:19]} has.",
            hint="run the same command again; if it stays, the registry holds a damaged copy: push it anew",
        )

    def finish(self) -> None:
        if f"sha256:{self.hashed.hexdigest()}" != self.descriptor.digest:
            raise self.damaged("other bytes than")


def read_blob(
    connection: Connection,
    repository: str,
    descriptor: Descriptor,
    write: Callable[[bytes], object],
    progress: Progress | None = None,
) -> None:
    """Hands a blob's bytes to ``write`` piece by piece; that they are the right ones is known when this returns.

    Raises:
        DamagedImage: they are not those of the descriptor.
        RegistryRefused, RegistrySilent: the registry does not give them.
    """
    import httpx

    descriptor.check()
    coming = _Coming(descriptor, write, progress, connection.host)
    attempt, has_come = 0, False
    for _ in range(MOST_BREAKS):
        before = coming.done
        why: AweighError = coming.damaged("fewer bytes than")
        try:
            _one(connection, repository, coming)
            has_come = True
        except httpx.TransportError as error:
            why = silent(error, host=connection.host, what=f"pull a blob of {repository}")
            if not connection.line.is_worth_another(error):
                raise why from error
        except RegistryRefused as error:
            why = error
            if not may_pass(error):
                raise
        if coming.done == descriptor.size and (has_come or descriptor.size):
            coming.finish()
            return
        attempt = 1 if coming.done > before else attempt + 1
        if attempt >= TRIES:
            break
        connection.line.wait(attempt, asked_s=getattr(why, "retry_after_s", None))
    raise why


def _one(connection: Connection, repository: str, coming: _Coming) -> None:
    """Takes what one answer brings."""
    digest = coming.descriptor.digest
    headers = {"Range": f"bytes={coming.done}-"} if coming.done else {}
    request = Request(
        "GET",
        connection.url(repository, f"blobs/{digest}"),
        f"pull a blob of {repository}",
        f"blob {digest[:19]} in {repository}",
        pulling(repository),
        headers,
    )
    with connection.opened(request) as found:
        connection.line.has_answered = True
        if found.status_code not in (200, 206):
            body = connection.line.read(found, request)
            raise connection.line.refusal(Reply(found.status_code, found.headers, body, str(found.url)), request)
        skipped = _skipped(found, coming)
        for piece in found.iter_raw():
            kept = piece[skipped:] if skipped else piece
            skipped -= len(piece) - len(kept)
            if kept:
                coming.take(kept)


def _skipped(found: "httpx.Response", coming: _Coming) -> int:
    """How many of the bytes that come are here already: all of them where the registry knows nothing of ranges."""
    whole, first = found.headers.get("content-length", ""), 0
    if found.status_code == 206:
        stated = _RANGE.match(found.headers.get("content-range", ""))
        first, whole = (-1, "") if stated is None else (int(stated[1]), stated[2])
    if not 0 <= first <= coming.done:
        raise coming.damaged("another part than what was asked of")
    if whole.isascii() and whole.isdigit() and len(whole) < 19 and int(whole) != coming.descriptor.size:
        raise coming.damaged("more bytes than" if int(whole) > coming.descriptor.size else "fewer bytes than")
    return coming.done - first


def check_room(descriptor: Descriptor, folder: Path) -> None:
    """Refuses a blob that is larger than what the disk has left, before it takes the room from everybody else.

    Raises:
        StorageFull: it is.
    """
    try:
        left = shutil.disk_usage(folder).free
    except OSError:
        return
    if descriptor.size > left:
        raise StorageFull(
            f"{descriptor.size / 1e6:,.1f} MB are to be kept, and the disk has room for {left / 1e6:,.1f} MB.",
            hint="make room, or name another disk: with -o for a file, by XDG_CACHE_HOME for what images are made of",
        )


def pull_to_file(
    connection: Connection, repository: str, descriptor: Descriptor, path: Path, progress: Progress | None = None
) -> None:
    """Writes a blob to a file, which is there whole or not at all; what was there is replaced.

    Raises:
        DamagedImage, RegistryRefused, RegistrySilent: as ``read_blob``.
        StorageFull: the disk is full.
        UsageError: the file cannot be written.
    """
    check_room(descriptor, path.parent)
    with _writing(path), _beside(path) as (part, stream):
        read_blob(connection, repository, descriptor, stream.write, progress)
        stream.close()
        part.replace(path)


@contextmanager
def _beside(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    # The name is nobody's: two downloads of one blob do not meet.
    part = path.with_name(f".{path.name[:64]}-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            yield part, stream
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise StorageFull("The disk is full.", hint="make room, then run the same command again") from error
        raise UsageError(f"{path.name} cannot be written: {error.strerror}.", hint="name another place") from error
