"""A file of a job that grows while it is written, and of which more and more is safely stored."""

import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from aweigh.database.place import PRIVATE_FILE
from aweigh.jobs.local import Folder
from aweigh.jobs.postgres import Pieces
from aweigh.jobs.redis import RedisFiles
from aweigh.runtime.score_on import NotTheSame

COPY_BYTES = 2**20

Files = Folder | Pieces | RedisFiles


class Growing:
    """One such file, written by one attempt alone under a name of its own; ``spool`` is where copies lie meanwhile."""

    def __init__(self, files: Files, job_id: str, name: str, *, spool: Path) -> None:
        self.name = name
        self._files = files
        self._job_id = job_id
        self._spool = spool
        self._kept_bytes = 0
        path = files.grow(job_id, name, spool)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
        self.stream = cast("BinaryIO", os.fdopen(file, "w+b"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()

    def begin_with(self, name: str, size_bytes: int) -> None:
        """Takes over what another attempt has stored: the first so many bytes of its file.

        Raises:
            NotTheSame: there are not so many.
        """
        path = self._files.fetch(self._job_id, name, self._spool)
        left = size_bytes
        try:
            with path.open("rb") as file:
                while left and (piece := file.read(min(left, COPY_BYTES))):
                    self.stream.write(piece)
                    left -= len(piece)
        except FileNotFoundError as error:
            raise NotTheSame from error
        if path.parent == self._spool:
            path.unlink()
        if left:
            raise NotTheSame

    def keep(self) -> int:
        """Makes safe what was written up to here; how many bytes that is.

        Raises:
            StorageDown: the store cannot be reached; it may be tried again.
            StorageFull: there is no room.
        """
        self.stream.flush()
        end = self.stream.tell()
        if end > self._kept_bytes:
            self._files.keep(self._job_id, self.name, self.stream, start=self._kept_bytes)
            self._kept_bytes = end
        return end
