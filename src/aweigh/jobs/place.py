"""Where jobs are kept, found out without opening anything: a server that has none needs to know no more of them."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from aweigh.secret import Secret
from aweigh.secret.read import read_secret

RECORDS = "jobs.sqlite"
QUEUE = ("redis", "saq")
"""What the extra ``jobs`` brings for a Redis."""


def database_of(environ: Mapping[str, str], *, inline: bool = False) -> Secret | None:
    """The PostgreSQL (``DATABASE_URL``) or Redis (``REDIS_URL``) that holds jobs; None: this machine does.

    With both, all of it is in PostgreSQL, which is made to keep things. ``inline``: the jobs are run beside the server,
    so that a Redis which is there for the cache of answers alone need not hold them.

    Raises:
        ConfigError: a file that is to hold the address cannot be read, or may be read by others.
    """
    url = read_secret(environ, "DATABASE_URL")
    if url is not None and url.reveal().startswith(("postgres://", "postgresql://")):
        return url
    url = read_secret(environ, "REDIS_URL")
    return url if url is not None and not (inline and _is_missing(QUEUE)) else None


def kept_here_instead(environ: Mapping[str, str]) -> str | None:
    """What to say where a Redis is named, and jobs are kept on this machine all the same."""
    if database_of(environ, inline=True) is not None or database_of(environ) is None:
        return None
    from aweigh.origin import install_command

    return (
        "jobs are kept on this machine and not in the Redis of REDIS_URL, since the extra 'jobs' is not installed: of "
        f"several replicas each knows only its own; set AWEIGH_JOBS=off, or {install_command('jobs')}"
    )


def _is_missing(modules: Sequence[str]) -> bool:
    return any(find_spec(one) is None for one in modules)
