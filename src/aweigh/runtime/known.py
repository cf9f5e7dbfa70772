"""A model that is asked only for the rows that nobody has asked before."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import numpy as np

from aweigh.runtime.cache import Cache, Keys
from aweigh.runtime.shared_cache import SharedCache
from aweigh.schema.answers import Answers
from aweigh.schema.stored import RowForm
from aweigh.table import Table

MAX_ROWS = 1_000
"""Rows of a larger table are neither looked up nor kept: a file that is scored would drive out everything else."""

LOOK_S = 1.0
"""How often it is looked whether somebody was forgotten."""

AskModel = Callable[[Table], Awaitable[Answers]]


class Tally(Protocol):
    """Whoever counts."""

    def looked_up(self, *, hits: int, shared_hits: int, misses: int) -> None:
        """Of so many rows so many were known here, so many elsewhere, and so many not at all."""
        ...

    def kept(self, *, size_bytes: int, entries: int, evictions: int) -> None:
        """The cache holds so much now; so many entries have just been driven out."""
        ...


class Known:
    """Answers by row: from this process, from a Redis when there is one, else from the model.

    When what ``forgotten`` gives changes, this process lets go of all that it knows.
    """

    def __init__(
        self, keys: Keys, form: RowForm, *, cache: Cache, shared: SharedCache | None = None, tally: Tally | None = None,
        forgotten: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        self._keys = keys
        self._form = form
        self._cache = cache
        self._shared = shared
        self._tally = tally
        self._forgotten = forgotten
        self._mark = forgotten()
        self._looked_s = time.monotonic()

    async def ask(self, table: Table, model: AskModel) -> Answers:
        """The answers for a checked table; ``model`` is asked for the rows that are not known, each once.

        Raises:
            Exception: whatever the model raises; it may have been asked with fewer rows than the table has.
        """
        if not 0 < table.rows <= MAX_ROWS:
            return await model(table)
        keys = self._keys(table)
        self._forget()
        found = self._cache.get(keys)
        hits = len(found) - found.count(None)
        if self._shared is not None and hits < len(found):
            await self._look_elsewhere(keys, found, self._shared)
        places: dict[bytes, int] = {}
        for i, piece in enumerate(found):
            if piece is None:
                places.setdefault(keys[i], i)
        if self._tally is not None:
            misses = found.count(None)
            self._tally.looked_up(hits=hits, shared_hits=len(found) - hits - misses, misses=misses)
        if not places:
            return self._form.load([piece for piece in found if piece is not None])
        whole = len(places) == table.rows
        answers = await model(table if whole else table.take(np.fromiter(places.values(), dtype=np.int64)))
        try:
            fresh = dict(zip(places, self._form.dump(answers), strict=True))
        except ValueError:
            # Not what the schema says of them: they are given as they are, and not kept.
            return answers if whole else await model(table)
        self._keep(list(fresh), list(fresh.values()))
        if self._shared is not None:
            self._shared.put(fresh.keys(), fresh.values())
        if whole:
            return answers
        pieces = [fresh[key] if piece is None else piece for key, piece in zip(keys, found, strict=True)]
        return self._form.load(pieces)

    async def _look_elsewhere(self, keys: Sequence[bytes], found: list[bytes | None], shared: SharedCache) -> None:
        """Fills in what others know."""
        missed = [i for i, piece in enumerate(found) if piece is None]
        theirs = await shared.get([keys[i] for i in missed])
        got: dict[bytes, bytes] = {}
        for i, piece in zip(missed, theirs, strict=True):
            if piece is not None and self._form.is_sound(piece):
                found[i] = got[keys[i]] = piece
        if got:
            self._keep(list(got), list(got.values()))

    def _forget(self) -> None:
        """Lets go of all answers when somebody was forgotten since it was looked last: a second ago at the most."""
        now = time.monotonic()
        if now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        mark = self._forgotten()
        if mark != self._mark:
            self._mark = mark
            self._cache.clear()

    def _keep(self, keys: Sequence[bytes], pieces: Sequence[bytes]) -> None:
        before = self._cache.evictions
        self._cache.put(keys, pieces)
        if self._tally is not None:
            evictions = self._cache.evictions - before
            self._tally.kept(size_bytes=self._cache.held_bytes, entries=len(self._cache), evictions=evictions)

    async def close(self) -> None:
        """Says good-bye to the Redis."""
        if self._shared is not None:
            await self._shared.close()

    def open(self) -> None:
        """Looks for the Redis."""
        if self._shared is not None:
            self._shared.open()
