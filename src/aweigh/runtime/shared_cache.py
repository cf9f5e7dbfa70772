"""Answers that other processes and machines know: a cache in Redis (or Valkey), which may be slow, down or wrong.

Nothing ever waits long for it and nothing fails with it. What many requests ask is sent together, one exchange at a
time, so that an exchange costs little; one that fails or takes longer than ``TIMEOUT_S`` shuts the door until a ping
in the background has been answered again. What comes back is believed only with its seal, a keyed hash over key and
answer: a damaged piece, or one of another key, is a miss. With a secret nobody without it can make a seal; without
one, whoever writes to the Redis can forge answers.
"""

import asyncio
import hashlib
import hmac
import logging
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, cast

from aweigh.errors import MissingExtra
from aweigh.secret import Secret

PREFIX = b"aweigh:answer:1:"
"""Before every key; what follows is the row's key in base64."""

TIMEOUT_S = 0.1
"""An exchange that takes longer has failed. One on the same network takes a millisecond."""

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
MAX_ASKED = 1_000
"""Keys of one exchange, and keys that may wait for the next one."""

MAX_UNSENT = 5_000
"""Answers that wait to be sent; more are not sent."""

SEAL_BYTES = 16

_LOG = logging.getLogger(__name__)


def connect(url: Secret) -> Any:
    """A client for the address (``redis://`` or ``rediss://``); it connects when it is first asked.

    Raises:
        MissingExtra: the package ``redis`` is not installed.
        ValueError: the address is none.
    """
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise MissingExtra("A cache in Redis", extra="redis") from error
    return Redis.from_url(
        url.reveal(),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 0),
        max_connections=4,
        decode_responses=False,
    )


class SharedCache:
    """Answers of rows in a Redis, kept there for ``ttl_s`` seconds. All of it belongs to one event loop."""

    def __init__(
        self, client: Any, *, ttl_s: int, secret: bytes = b"", on_failure: Callable[[int], None] = lambda _: None
    ) -> None:
        self.is_up = False
        self._client = client
        self._on_failure = on_failure
        self._ttl_s = ttl_s
        self._sealer = hashlib.blake2b(digest_size=SEAL_BYTES, key=secret, person=b"aweigh-seal-1")
        self._asked: list[tuple[Sequence[bytes], asyncio.Future[list[bytes | None]]]] = []
        self._asked_keys = 0
        self._unsent: deque[tuple[bytes, bytes]] = deque(maxlen=MAX_UNSENT)
        self._exchange: asyncio.Task[None] | None = None
        self._probe: asyncio.Task[None] | None = None
        self._backoff_s = 0.0
        self._is_closed = False

    def open(self) -> None:
        """Looks whether somebody is there; until a ping is answered nobody is asked."""
        if self._probe is None and not self._is_closed:
            self._probe = asyncio.get_running_loop().create_task(self._wait_until_up())

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What is known of each key; nothing while the Redis is down, or when too much is asked already."""
        if not self.is_up or self._asked_keys + len(keys) > MAX_ASKED:
            self.open()
            return [None] * len(keys)
        future: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        self._asked.append((keys, future))
        self._asked_keys += len(keys)
        self._go()
        return await future

    def put(self, keys: Iterable[bytes], pieces: Iterable[bytes]) -> None:
        """Sends answers along, some time; they are dropped while the Redis is down."""
        if self.is_up:
            self._unsent.extend(zip(keys, pieces, strict=True))
            self._go()

    async def close(self) -> None:
        """Sends what is unsent and hangs up."""
        for task in (self._probe, self._exchange):
            if task is not None and not task.done():
                if task is self._probe:
                    task.cancel()
                await asyncio.wait([task], timeout=2 * TIMEOUT_S)
        self.is_up = False
        self._is_closed = True
        await self._hang_up(self._client.aclose)

    def _go(self) -> None:
        if self._exchange is None or self._exchange.done():
            self._exchange = asyncio.get_running_loop().create_task(self._exchanges())

    async def _exchanges(self) -> None:
        """One exchange after the other, while there is something to ask or to send."""
        while self.is_up and (self._asked or self._unsent):
            asked, self._asked, self._asked_keys = self._asked, [], 0
            sent = [self._unsent.popleft() for _ in range(min(len(self._unsent), MAX_ASKED))]
            found: list[bytes | None] = []
            try:
                found = await self._ask([key for keys, _ in asked for key in keys], sent)
            except Exception as error:  # noqa: BLE001  whatever a network and its client do is no matter of the request
                self._shut(error)
            else:
                self._backoff_s = 0.0
            _hand_out(asked, found)

    async def _ask(self, keys: list[bytes], sent: list[tuple[bytes, bytes]]) -> list[bytes | None]:
        pipeline = self._client.pipeline(transaction=False)
        if keys:
            pipeline.mget([_name(key) for key in keys])
        for key, piece in sent:
            pipeline.set(_name(key), piece + self._seal(key, piece), ex=self._ttl_s)
        async with asyncio.timeout(TIMEOUT_S):
            replies = await pipeline.execute(raise_on_error=False)
        # One that is full, or may only be read, still says what it knows.
        failures = sum(isinstance(reply, Exception) for reply in replies)
        if failures:
            self._on_failure(failures)
        if not keys:
            return []
        if isinstance(replies[0], Exception):
            raise replies[0]
        return [self._opened(key, piece) for key, piece in zip(keys, replies[0], strict=True)]

    def _seal(self, key: bytes, piece: bytes) -> bytes:
        one = self._sealer.copy()
        one.update(key + piece)
        return one.digest()

    def _opened(self, key: bytes, sealed: object) -> bytes | None:
        if not isinstance(sealed, bytes) or len(sealed) <= SEAL_BYTES:
            return None
        piece, seal = sealed[:-SEAL_BYTES], sealed[-SEAL_BYTES:]
        return piece if hmac.compare_digest(seal, self._seal(key, piece)) else None

    def _shut(self, error: Exception) -> None:
        """Asks nothing more until a ping is answered; whoever waits goes on without."""
        self._on_failure(1)
        self.is_up = False
        self._unsent.clear()
        waiting, self._asked, self._asked_keys = self._asked, [], 0
        _hand_out(waiting, [])
        _LOG.warning("the shared cache does not answer (%s): going on without it", type(error).__name__)
        self._backoff_s = min(LONGEST_BACKOFF_S, max(FIRST_BACKOFF_S, 2 * self._backoff_s))
        self._probe = asyncio.get_running_loop().create_task(self._wait_until_up())

    async def _wait_until_up(self) -> None:
        """Pings, less and less often, until that is answered."""
        while True:
            # A connection that was left in the middle of an exchange is not used again.
            await self._hang_up(self._client.connection_pool.disconnect)
            await asyncio.sleep(self._backoff_s)
            try:
                async with asyncio.timeout(1.0):
                    await self._client.ping()
            except Exception as error:  # noqa: BLE001  as above
                _LOG.log(
                    logging.DEBUG if self._backoff_s else logging.WARNING, "no shared cache: %s", type(error).__name__
                )
                self._backoff_s = min(LONGEST_BACKOFF_S, max(FIRST_BACKOFF_S, 2 * self._backoff_s))
                continue
            # An exchange that succeeds, and not the ping, is what ends the back-off: a slow one answers pings, too.
            self.is_up = True
            return

    async def _hang_up(self, way: Callable[[], Awaitable[object]]) -> None:
        try:
            async with asyncio.timeout(1.0):
                await way()
        except Exception as error:  # noqa: BLE001  as above
            _LOG.debug("the shared cache was left without good-bye: %s", type(error).__name__)


def _name(key: bytes) -> bytes:
    return PREFIX + urlsafe_b64encode(key).rstrip(b"=")


def _hand_out(
    asked: Iterable[tuple[Sequence[bytes], "asyncio.Future[list[bytes | None]]"]], found: list[bytes | None]
) -> None:
    """Gives everyone what they asked for; with nothing found, nothing."""
    begin = 0
    for keys, future in asked:
        end = begin + len(keys)
        if not future.done():
            future.set_result(found[begin:end] if found else cast("list[bytes | None]", [None] * len(keys)))
        begin = end
