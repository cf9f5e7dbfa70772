"""Redis or Valkey, for what several processes share beside SQL: a client, and what it says in our own words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aweigh.errors import ConfigError, StorageDown, StorageFull
from aweigh.registry import require
from aweigh.secret import Secret

UNVERIFIED = "AWEIGH_REDIS_UNVERIFIED"
"""At 1 the certificate of a ``rediss://`` is not looked at: some platforms sell Redis with one that they signed."""
PATIENCE_S = 5.0
"""How long a call waits for an answer before it says that there is none."""


def connect(url: Secret, *, extra: str) -> Any:
    """A client, whose connections are opened when they are first needed; ``extra`` brings its package.

    Raises:
        ConfigError: the address cannot be read.
        MissingExtra: its package is not installed.
    """
    redis = require("redis", what="Redis", extra=extra)
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    unverified = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    more = unverified if os.environ.get(UNVERIFIED) == "1" and url.reveal().startswith("rediss:") else {}
    try:
        # Tried once more at once, since a kept connection may have been cut; who waits decides about anything longer.
        return redis.Redis.from_url(
            url.reveal(),
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 1),
            **more,
        )
    except ValueError:  # which may quote a part of the address
        raise ConfigError(
            "REDIS_URL cannot be read.", hint="redis://:PASSWORD@HOST:PORT/0, or rediss:// for TLS"
        ) from None


@contextmanager
def told() -> Iterator[None]:
    """Turns what Redis says into our own words.

    Raises:
        StorageFull: there is no room left.
        StorageDown: anything else.
    """
    from redis.exceptions import OutOfMemoryError, RedisError

    try:
        yield
    except OutOfMemoryError as error:
        raise StorageFull("Redis has no room left.") from error
    except RedisError as error:
        raise StorageDown("The Redis cannot be reached, or fails.") from error
