"""What the server can be told by the environment, with the defaults that hold when it is told nothing."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from aweigh.errors import ConfigError
from aweigh.schema import Schema
from aweigh.schema.policy import split_policy
from aweigh.secret import Secret
from aweigh.secret.read import read_secret

MAX_CELLS = 10_000_000
"""Rows times columns of one request: 80 MB as numbers."""

PREFIX = "AWEIGH_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits: of a request, a job, what waits, what is kept, a shutdown. Read from ``AWEIGH_`` and the name.

    What is None is settled when the model has been measured: ``batch_rows``, the most rows of several requests that
    are asked together (0: none), of which there are never more than ``max_batch_rows``, the plan's, where nobody says
    how many; ``queue_rows``, how many may wait; ``cache_bytes``, what a process keeps of answers (0: nothing).
    ``redis_url`` is read from ``REDIS_URL``, as everywhere. A secret may be in a file: ``NAME_FILE`` is its path.

    ``drain_delay_s`` is how long the port stays open after SIGTERM, saying "not ready", so that a platform can stop
    sending before it closes; ``drain_s`` is how long requests under way then have to finish. Of several processes one
    whose event loop stands still for ``watchdog_s`` is killed, and one that takes more memory than ``max_process_mb``
    is replaced; 0 is never. ``workers`` and ``threads`` (a call) are as many as the plan says where they are 0.
    ``metrics_token`` opens ``/metrics`` to others than this machine; ``deploy_secret`` is what a deployment's keys are
    made of, by which the golden rows are asked behind a door.

    ``auth`` is who may come in (none, password, oidc). ``hosts`` are the names by which the server is asked,
    ``origins`` the other sites whose pages may ask it, with commas between them; ``proxies`` is how many proxies stand
    in front and are believed. ``csp`` takes the place of the app's own content security policy. ``disclosure`` is how
    much of an answer is told, to all or by role. ``sweeps``: whether rows of people and keys are watched for such as
    are made up to map the model (on, off).

    ``jobs``: who runs what is posted to ``/v1/jobs``: a worker beside the server (``inline``), ``aweigh worker``
    (``worker``), or nobody, and nothing can be posted (``off``). A job is kept for ``jobs_ttl_s`` after its end; a
    worker that is not heard of for ``jobs_lease_s`` has lost it. What is posted is bounded as it is sent, unpacked, by
    its rows, and by the seconds of work on it, its result by its bytes, and by theirs all jobs together that are kept
    on this machine's disk. ``state_dir`` is where this machine keeps things.

    ``domain`` is what becomes of rows outside what the model has seen, over what the bundle's owner said.
    ``log_messages``: whether logs tell what exceptions say, which may quote a client's cells: ``withheld`` or ``kept``.

    ``candidate`` is the path of a second bundle, which is tried as ``release_mode`` says where nobody has begun a trial
    of the two yet: for ``release_percent`` of the requests (``canary``), unseen (``shadow``), or not before somebody
    says so (``off``). The other ``release_`` numbers are when it is given up by itself (``runtime/release/policy.py``),
    unless ``release_auto`` is off. ``release_token`` opens ``/v1/release`` to others than this machine where nobody is
    asked who they are.
    """

    max_body_bytes: int = 16 * 2**20
    max_rows: int = 100_000
    body_timeout_s: float = 30.0
    drain_delay_s: float = 1.0
    drain_s: float = 25.0
    watchdog_s: float = 60.0
    max_process_mb: int = 0
    workers: int = 0
    threads: int = 0
    metrics_token: Secret | None = None
    deploy_secret: Secret | None = None
    batch_rows: int | None = None
    max_batch_rows: int | None = None
    batch_wait_s: float = 0.0
    queue_rows: int | None = None
    cache_bytes: int | None = None
    cache_ttl_s: int = 24 * 3600
    cache_secret: Secret | None = None
    redis_url: Secret | None = None
    auth: str | None = None
    hosts: str | None = None
    origins: str | None = None
    proxies: int = 0
    csp: str | None = None
    disclosure: str | None = None
    sweeps: str = "on"
    jobs: str = "inline"
    jobs_max_bytes: int = 2**30
    jobs_max_unpacked_bytes: int = 16 * 2**30
    jobs_max_rows: int = 100_000_000
    jobs_max_s: float = 6 * 3600.0
    jobs_max_result_bytes: int = 8 * 2**30
    jobs_max_kept_bytes: int = 32 * 2**30
    jobs_max_queued: int = 100
    jobs_ttl_s: float = 86_400.0
    jobs_lease_s: float = 30.0
    state_dir: str | None = None
    domain: str | None = None
    log_messages: str = "withheld"
    candidate: str | None = None
    release_mode: str = "off"
    release_percent: float = 10.0
    release_auto: str = "on"
    release_min_requests: int = 20
    release_max_errors: float = 0.01
    release_max_slower: float = 2.0
    release_slow_floor_s: float = 0.01
    release_max_disagreement: float = 0.05
    release_max_wait_s: float = 10.0
    release_tolerance: float = 0.1
    release_token: Secret | None = None

    def rows_for(self, schema: Schema) -> int:
        """The most rows that one request may hold: fewer where the model has very many columns."""
        return max(1, min(self.max_rows, MAX_CELLS // max(1, len(schema.columns))))


_LEAST: dict[str, int | float] = {
    "max_body_bytes": 1024,
    "max_rows": 1,
    "body_timeout_s": 0.1,
    "drain_delay_s": 0.0,
    "drain_s": 0.0,
    "watchdog_s": 0.0,
    "max_process_mb": 0,
    "workers": 0,
    "threads": 0,
    "batch_rows": 0,
    "max_batch_rows": 1,
    "batch_wait_s": 0.0,
    "queue_rows": 1,
    "cache_bytes": 0,
    "cache_ttl_s": 1,
    "proxies": 0,
    "jobs_max_bytes": 1024,
    "jobs_max_unpacked_bytes": 1024,
    "jobs_max_rows": 1,
    "jobs_max_s": 1.0,
    "jobs_max_result_bytes": 1024,
    "jobs_max_kept_bytes": 1024,
    "jobs_max_queued": 1,
    "jobs_ttl_s": 1.0,
    "jobs_lease_s": 1.0,
    "release_percent": 0.0,
    "release_min_requests": 1,
    "release_max_errors": 0.0,
    "release_max_slower": 0.0,
    "release_slow_floor_s": 0.0,
    "release_max_disagreement": 0.0,
    "release_max_wait_s": 0.0,
    "release_tolerance": 0.0,
}
"""The least that each number may be; a whole one is whole."""

_VARIABLES = {"redis_url": "REDIS_URL"}
_SECRETS = frozenset({"metrics_token", "deploy_secret", "cache_secret", "redis_url", "release_token"})
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_MOST = {
    "workers": 64,
    "threads": 64,
    "proxies": 16,
    "release_percent": 100,
    "release_max_errors": 0.999,
    "release_max_disagreement": 0.999,
}
_WORDS = {
    "jobs": ("inline", "worker", "off"),
    "auth": ("none", "password", "oidc"),
    "log_messages": ("withheld", "kept"),
    "sweeps": ("on", "off"),
    "release_mode": ("off", "canary", "shadow"),
    "release_auto": ("on", "off"),
}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that the environment asks for.

    Raises:
        ConfigError: a variable does not hold a number or a word, or one that cannot be.
    """
    found: dict[str, int | float | str | Secret] = {}
    for one in dataclasses.fields(Settings):
        variable = _VARIABLES.get(one.name, PREFIX + one.name.upper())
        if one.name in _SECRETS:
            secret = read_secret(environ, variable)
            if secret is not None:
                found[one.name] = secret
            continue
        text = environ.get(variable, "").strip()
        if not text:
            continue
        if one.name in _WORDS and text not in _WORDS[one.name]:
            raise ConfigError(f"{variable} is {text[:40]!r}.", hint=f"write one of {', '.join(_WORDS[one.name])}")
        if one.name == "domain":
            split_policy(text)
        if one.name not in _LEAST:
            found[one.name] = text
            continue
        kind = type(_LEAST[one.name])
        try:
            value: int | float = kind(text)
        except ValueError:
            value = -1
        if not _LEAST[one.name] <= value <= _MOST.get(one.name, 2**40):
            whole = "a whole number" if kind is int else "a number"
            raise ConfigError(f"{variable} is {text[:40]!r}.", hint=f"write {whole} from {_LEAST[one.name]:g} on")
        found[one.name] = value
    address = found.get("redis_url")
    if isinstance(address, Secret) and not address.reveal().startswith(_REDIS_SCHEMES):
        raise ConfigError("REDIS_URL is no address of a Redis.", hint="write redis://HOST:6379/0, or rediss:// for TLS")
    return Settings(**found)  # type: ignore[arg-type]  # each was read as its field's own type
