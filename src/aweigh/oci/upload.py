"""A blob to a registry: not at all where it is there, taken over from another repository, in one piece, or in chunks.

After a connection that broke, and after a chunk that does not fit, a registry is asked how much it has, and that is
gone on from; where it has forgotten, the upload begins anew.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal
from urllib.parse import urlencode, urlsplit

from aweigh.errors import DamagedImage, RemoteError
from aweigh.oci.auth import pushing
from aweigh.oci.connection import Connection, missing_is_none
from aweigh.oci.documents import Descriptor
from aweigh.oci.download import Progress
from aweigh.oci.errors import RegistryRefused, RegistrySilent, name_of
from aweigh.oci.line import COMMIT_S, TRIES, Reply, Request, may_pass

Arrival = Literal["present", "mounted", "uploaded"]
"""How a blob came to where it is: it was there, another repository had it, or it was sent."""

WHOLE_BYTES = 4 * 2**20
"""Up to so many a blob goes in one piece."""
CHUNK_BYTES = 16 * 2**20
"""Of a larger one, so many are sent, and held in memory, at a time."""
PIECE_BYTES = 2**18
"""So many go over the line between two looks at how far it is."""
MOST_CHUNK_BYTES = 256 * 2**20
"""What a registry may ask for as the least of a chunk."""
MOST_BREAKS = 100
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})\Z")
_TYPE = {"Content-Type": "application/octet-stream"}
# A chunk that is refused so may fit as a part of the whole: not every registry takes chunks.
_FINAL = frozenset({401, 403, 429})
_NO_CHUNKS = frozenset({400, 404, 405, 411, 413, 415, 501})


class _Lost(Exception):  # noqa: N818  it is caught here
    """An upload that the registry has forgotten: it begins anew."""

    def __init__(self, error: RemoteError) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True)
class Upload:
    """A blob on its way: ``open_stream`` gives its bytes from the start, each time anew."""

    connection: Connection
    repository: str
    descriptor: Descriptor
    open_stream: Callable[[], BinaryIO]
    progress: Progress | None = None

    def send(self, *, mount_from: str | None = None, chunk_bytes: int = CHUNK_BYTES) -> Arrival:
        """Sees to it that the registry has the blob.

        Raises:
            DamagedImage: the stream's bytes are not those of the descriptor.
            RegistryRefused, RegistrySilent: the registry does not take it.
        """
        self.descriptor.check()
        if self.is_there():
            self._tell(self.descriptor.size)
            return "present"
        begun = self._mount(mount_from) if mount_from is not None and mount_from != self.repository else None
        if begun is not None and begun.status == 201:
            self._tell(self.descriptor.size)
            return "mounted"
        self._upload(begun, chunk_bytes)
        return "uploaded"

    def _upload(self, begun: Reply | None, chunk_bytes: int) -> None:
        whole, refused = self.descriptor.size <= WHOLE_BYTES, False
        for attempt in range(1, TRIES + 1):
            try:
                begun = begun or self._begin()
                if whole:
                    self._whole(begun)
                else:
                    self._in_chunks(begun, chunk_bytes)
            except _Lost as lost:
                if attempt == TRIES:
                    raise lost.error from lost
                begun = None
                self.connection.line.wait(attempt)
            except RegistryRefused as error:
                last = refused or attempt == TRIES or error.status >= 500 or error.status in _FINAL
                if last or (whole and error.status == 413):
                    raise self._told(error) from error
                whole, begun, refused = whole or error.status in _NO_CHUNKS, None, True
            else:
                return

    def is_there(self) -> bool:
        """Whether the registry has the blob in this repository."""
        url = self.connection.url(self.repository, f"blobs/{self.descriptor.digest}")
        found = missing_is_none(lambda: self.connection.ask(self._request("HEAD", url, good={200})))
        return found is not None

    def _request(
        self,
        method: str,
        url: str,
        *,
        good: set[int],
        content: bytes | Callable[[], Iterator[bytes]] | None = None,
        headers: dict[str, str] | None = None,
        once: bool = False,
    ) -> Request:
        return Request(
            method,
            url,
            f"push a blob to {self.repository}",
            f"place for a blob in {self.repository}",
            pushing(self.repository),
            headers or {},
            content,
            frozenset(good),
            1 if once else TRIES,
            COMMIT_S,
        )

    def _tell(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, self.descriptor.size)

    def _told(self, error: RegistryRefused) -> RemoteError | DamagedImage:
        if error.word in {"DIGEST_INVALID", "SIZE_INVALID"}:
            return DamagedImage(
                f"{name_of(self.connection.host)} did not get the bytes that {self.descriptor.digest[:19]} names.",
                hint="the file was changed while it was sent, or damaged on the way: run the same command again",
            )
        return error

    def _begin(self) -> Reply:
        url = self.connection.url(self.repository, "blobs/uploads/")
        return self.connection.ask(self._request("POST", url, good={202}))

    def _mount(self, mount_from: str) -> Reply | None:
        """Takes the blob over: 201 where that is done, 202 where an upload was begun instead, None where neither."""
        query = urlencode({"mount": self.descriptor.digest, "from": mount_from})
        url = f"{self.connection.url(self.repository, 'blobs/uploads/')}?{query}"
        request = self._request("POST", url, good={201, 202})
        try:
            return self.connection.ask(replace(request, scope=pushing(self.repository, mount_from=mount_from)))
        except RegistryRefused as error:
            # Who may not read the other repository may still write to this one.
            if error.status >= 500 or error.status == 429:
                raise
            return None

    def _place(self, reply: Reply, *, before: str | None = None) -> str:
        """Where the upload goes on: each answer may say so anew."""
        location = reply.headers.get("location", "")
        if not location and before is not None:
            return before
        return self.connection.follow(reply.url, location)

    def _commit_url(self, place: str) -> str:
        joined = "&" if urlsplit(place).query else "?"
        return f"{place}{joined}{urlencode({'digest': self.descriptor.digest})}"

    def _whole(self, started: Reply) -> None:
        place = self._place(started)
        headers = {**_TYPE, "Content-Length": str(self.descriptor.size)}
        self._commit(place, headers=headers, content=self._pieces)

    def _commit(
        self, place: str, *, headers: dict[str, str], content: Callable[[], Iterator[bytes]] | bytes | None
    ) -> None:
        """The last request of an upload. Whether one whose answer was lost was carried out is seen at the blob."""
        request = self._request(
            "PUT", self._commit_url(place), good={201, 204}, content=content, headers=headers, once=True
        )
        line = self.connection.line
        for attempt in range(1, TRIES + 1):
            try:
                self.connection.ask(request)
            except (RegistryRefused, RegistrySilent) as error:
                lost = not isinstance(error, RegistryRefused) or may_pass(error)
                if (lost or attempt > 1) and self.is_there():
                    break
                if not lost or attempt == TRIES:
                    raise
                line.wait(attempt, asked_s=getattr(error, "retry_after_s", None))
                if content is not None:
                    # What part of a whole has arrived does not matter: it begins anew, elsewhere.
                    place = self._place(self._begin())
                    request = self._request(
                        "PUT", self._commit_url(place), good={201, 204}, content=content, headers=headers, once=True
                    )
            else:
                break
        self._tell(self.descriptor.size)

    def _pieces(self) -> Iterator[bytes]:
        left = self.descriptor.size
        with self.open_stream() as stream:
            while left:
                piece = stream.read(min(left, PIECE_BYTES))
                if not piece:
                    raise self._short()
                left -= len(piece)
                self._check_end(stream, left)
                yield piece
                self._tell(self.descriptor.size - left)

    def _check_end(self, stream: BinaryIO, left: int) -> None:
        """Looks, before the last bytes are sent, that there are no more."""
        if not left and stream.read(1):
            raise self._short()

    def _short(self) -> DamagedImage:
        return DamagedImage(
            f"What is to be pushed has not the {self.descriptor.size:,} bytes that its descriptor says.",
            hint="the file was changed meanwhile: run the same command again",
        )

    def _in_chunks(self, started: Reply, chunk_bytes: int) -> None:
        place = self._place(started)
        least = started.headers.get("oci-chunk-min-length", "")
        if least.isascii() and least.isdigit() and len(least) < 12:
            chunk_bytes = max(chunk_bytes, min(int(least), MOST_CHUNK_BYTES))
        done = attempt = breaks = 0
        with self.open_stream() as stream:
            while done < self.descriptor.size:
                wanted = min(chunk_bytes, self.descriptor.size - done)
                chunk = stream.read(wanted)
                if len(chunk) < wanted:
                    raise self._short()
                self._check_end(stream, self.descriptor.size - done - wanted)
                try:
                    reply = self._patch(place, done, chunk)
                except (RegistryRefused, RegistrySilent) as error:
                    attempt, breaks = attempt + 1, breaks + 1
                    place, now = self._status_after(error, place, attempt, breaks)
                    if not 0 <= now <= done + len(chunk):
                        raise
                    attempt = 0 if now > done else attempt
                    done = now
                else:
                    place = self._place(reply, before=place)
                    done, attempt = done + len(chunk), 0
                stream.seek(done)
                self._tell(done)
        self._commit(place, headers={}, content=None)

    def _patch(self, place: str, done: int, chunk: bytes) -> Reply:
        headers = {
            **_TYPE,
            "Content-Length": str(len(chunk)),
            "Content-Range": f"{done}-{done + len(chunk) - 1}",
        }

        def content() -> Iterator[bytes]:
            for start in range(0, len(chunk), PIECE_BYTES):
                yield chunk[start : start + PIECE_BYTES]
                self._tell(done + min(start + PIECE_BYTES, len(chunk)))

        reply = self.connection.ask(
            self._request("PATCH", place, good={201, 202, 204}, content=content, headers=headers, once=True)
        )
        end = _end(reply)
        if end is not None and end != done + len(chunk):
            raise RegistryRefused(
                f"{name_of(self.connection.host)} did not take all of a chunk.", status=416, word="RANGE_INVALID"
            )
        return reply

    def _status_after(self, error: RemoteError, place: str, attempt: int, breaks: int) -> tuple[str, int]:
        """Where the upload goes on, and from which byte, after a chunk that did not get through.

        Raises:
            RegistryRefused, RegistrySilent: the error itself, where nothing is to be gained from another try.
            _Lost: the registry knows nothing of the upload any more.
        """
        asked_s = None
        if isinstance(error, RegistryRefused):
            asked_s = error.retry_after_s
            if error.status != 416 and not may_pass(error):
                raise error
        if attempt >= TRIES or breaks >= MOST_BREAKS:
            raise error
        self.connection.line.wait(attempt, asked_s=asked_s)
        try:
            reply = self.connection.ask(self._request("GET", place, good={200, 202, 204}))
        except RegistryRefused as unknown:
            # Docker's own registry forgets an upload that broke off within a chunk.
            raise _Lost(error) from unknown
        return self._place(reply, before=place), _end(reply) or 0


def _end(reply: Reply) -> int | None:
    """How many bytes a registry says that it has; None where it says nothing.

    Nothing at all is told as ``0-0``, as one byte is: that one would be sent again, and the digest would not fit.
    """
    stated = _RANGE.match(reply.headers.get("range", "").strip())
    if stated is None:
        return None
    return int(stated[1]) + 1 if int(stated[1]) else 0
