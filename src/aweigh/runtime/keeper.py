"""Answers that are known, as something that keeps what was said of rows.

A known answer is kept under a hash of its row: nobody can tell whose it is, so all are let go of. They are only known,
and are asked again.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aweigh.errors import StorageDown
from aweigh.registry import require
from aweigh.runtime.shared_cache import PREFIX
from aweigh.runtime.subject import FORGOTTEN, Held, Keeper, Subject
from aweigh.secret import Secret
from aweigh.secret.read import read_secret

PATIENCE_S = 5.0
AT_ONCE = 1_000


def open_keepers(environ: Mapping[str, str], *, state: Path) -> Iterator[Keeper]:
    """The answers in the Redis, if there is one, and behind them those that processes of this machine know.

    Raises:
        MissingExtra: there is one, and the package that speaks to it is not installed.
    """
    url = read_secret(environ, "REDIS_URL")
    if url is not None:
        yield SharedAnswers(url)
    yield ProcessAnswers(state)  # behind the shared ones: a process that has let go asks those first


class ProcessAnswers:
    """What the processes of this machine know: each looks once a second whether somebody was forgotten."""

    name = "answers in server processes"

    def __init__(self, state: Path) -> None:
        self._state = state

    def find(self, subject: Subject) -> Held:
        """Nothing that could be looked at from here."""
        del subject
        return Held(0)

    def erase(self, subject: Subject) -> Held:
        """Tells all of them to let go of what they know.

        Raises:
            StorageDown: they cannot be told.
        """
        del subject
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._state / FORGOTTEN
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            os.utime(path)
        except OSError as error:
            raise StorageDown("The state folder cannot be written to: no server process can be told.") from error
        return Held(0, ("servers of this machine let go of all answers within a second; restart those of others",))

    def close(self) -> None:
        """Nothing is open."""


class SharedAnswers:
    """What servers share in a Redis."""

    name = "answers in Redis"

    def __init__(self, url: Secret) -> None:
        redis = require("redis", what="Redis", extra="redis")
        self._client = redis.Redis.from_url(url.reveal(), socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)
        self._erased: list[bytes] | None = None

    def find(self, subject: Subject) -> Held:
        """All answers; once they were erased, those of them that are there again.

        Raises:
            StorageDown: the Redis cannot be reached.
        """
        del subject
        if self._erased is not None:
            return Held(sum(self._ask("exists", *some) for some in _parts(self._erased)))
        keys = self._keys()
        return Held(len(keys), ("whose they are cannot be told: all of them count",) if keys else ())

    def erase(self, subject: Subject) -> Held:
        """Removes all answers.

        Raises:
            StorageDown: the Redis cannot be reached.
        """
        del subject
        self._erased = self._keys()
        count = sum(self._ask("unlink", *some) for some in _parts(self._erased))
        return Held(count)

    def close(self) -> None:
        """Hangs up."""
        self._client.close()

    def _keys(self) -> list[bytes]:
        from redis.exceptions import RedisError

        try:
            return list(self._client.scan_iter(match=PREFIX + b"*", count=AT_ONCE))
        except RedisError as error:
            raise StorageDown("The Redis that holds answers cannot be reached.") from error

    def _ask(self, command: str, *keys: bytes) -> int:
        from redis.exceptions import RedisError

        try:
            answer: Any = getattr(self._client, command)(*keys)
        except RedisError as error:
            raise StorageDown("The Redis that holds answers cannot be reached.") from error
        return int(answer)


def _parts(keys: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]
