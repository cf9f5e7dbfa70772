"""Jobs in Redis or Valkey, for servers and workers that share neither disk nor database.

A job is a hash, ``aweigh:job:ID``; what there is to do, what runs out and what is in which state are sets of ids. One
script changes all of them at once, and only if the job is still at the revision that is to be changed.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from aweigh.database.redis import told
from aweigh.jobs.job import STATES, Job
from aweigh.jobs.pieces import gather, pieces, within

_LOG = logging.getLogger(__name__)
PREFIX = "aweigh:"

# KEYS: the job. ARGV: prefix, id, revision that it must be at (0: none), state, digest, created, expires or '', key or
# '', document. Answers 1, 0 (another revision), or the id of the job that has the key.
PUT = """
local prefix, id, expected = ARGV[1], ARGV[2], tonumber(ARGV[3])
if tonumber(redis.call('HGET', KEYS[1], 'revision') or '0') ~= expected then return 0 end
if expected == 0 and ARGV[8] ~= '' then
  local other = redis.call('GET', prefix .. 'key:' .. ARGV[8])
  if other then return other end
end
local old = redis.call('HMGET', KEYS[1], 'state', 'key')
if old[1] then redis.call('SREM', prefix .. 'state:' .. old[1], id) end
if old[2] and old[2] ~= '' and old[2] ~= ARGV[8] then redis.call('DEL', prefix .. 'key:' .. old[2]) end
redis.call('HSET', KEYS[1], 'revision', expected + 1, 'state', ARGV[4], 'key', ARGV[8], 'document', ARGV[9],
  'digest', ARGV[5])
redis.call('SADD', prefix .. 'state:' .. ARGV[4], id)
if ARGV[8] ~= '' then redis.call('SET', prefix .. 'key:' .. ARGV[8], id) end
if ARGV[4] == 'queued' or ARGV[4] == 'running' then
  redis.call('ZADD', prefix .. 'open:' .. ARGV[5], ARGV[6], id)
else
  redis.call('ZREM', prefix .. 'open:' .. ARGV[5], id)
end
if ARGV[7] ~= '' then redis.call('ZADD', prefix .. 'expires', ARGV[7], id)
else redis.call('ZREM', prefix .. 'expires', id) end
return 1
"""

# KEYS: the job. ARGV: prefix, id.
REMOVE = """
local old = redis.call('HMGET', KEYS[1], 'state', 'key', 'digest')
if not old[1] then return 0 end
redis.call('SREM', ARGV[1] .. 'state:' .. old[1], ARGV[2])
if old[2] ~= '' then redis.call('DEL', ARGV[1] .. 'key:' .. old[2]) end
redis.call('ZREM', ARGV[1] .. 'open:' .. old[3], ARGV[2])
redis.call('ZREM', ARGV[1] .. 'expires', ARGV[2])
redis.call('DEL', KEYS[1])
return 1
"""


def _warn_of_eviction(client: Any) -> None:
    """Says so where the Redis would throw jobs away to make room: a cache's usual setting, and the end of a result."""
    with told():
        memory = client.info("memory")
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        _LOG.warning(
            "the Redis that holds the jobs throws away what it has no room for (maxmemory-policy %s), and results with "
            "it: set noeviction, or keep jobs in PostgreSQL (DATABASE_URL)",
            policy,
        )


def scrub(client: Any) -> str | None:
    """Writes the Redis's own files anew, which hold what is deleted until then; what is left to say."""
    from redis.exceptions import RedisError

    try:
        found = client.info("persistence")
        if found.get("aof_enabled"):
            client.bgrewriteaof()
        if found.get("rdb_last_save_time"):
            client.bgsave(schedule=True)
    except RedisError:
        return "the Redis does not write its files anew when it is asked: they hold what is deleted until they are"
    return "the Redis writes its files anew in the background; its replicas and backups are its owner's"


class RedisRecords:
    """Jobs as hashes; see ``SqlRecords`` for what each call does."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._looked = False
        self._put = client.register_script(PUT)
        self._remove = client.register_script(REMOVE)

    def now(self) -> float:
        """The time by the server's clock."""
        with told():
            seconds, microseconds = self._client.time()
        return float(seconds) + float(microseconds) / 1e6

    def add(self, job: Job) -> Job:
        """Records a job, or finds the one that has its key already."""
        if not self._looked:
            self._looked = True
            _warn_of_eviction(self._client)
        answer = self._store(job, 0)
        if isinstance(answer, bytes):
            found = self.get(answer.decode())
            # Removed between the two: then the key is free again.
            return found[0] if found is not None else self.add(job)
        return job

    def get(self, job_id: str) -> tuple[Job, int] | None:
        """A job and its revision."""
        with told():
            document, revision = self._client.hmget(f"{PREFIX}job:{job_id}", "document", "revision")
        return None if document is None else (msgspec.json.decode(document, type=Job), int(revision))

    def replace(self, job: Job, revision: int) -> bool:
        """Records what became of a job, if it is still at that revision; whether it was."""
        return bool(self._store(job, revision) == 1)

    def remove(self, job_id: str) -> None:
        """Forgets a job."""
        with told():
            self._remove(keys=[f"{PREFIX}job:{job_id}"], args=[PREFIX, job_id])

    def to_do(self, digest: str) -> Iterator[tuple[Job, int]]:
        """The bundle's jobs that are queued or running, the oldest first."""
        with told():
            ids = self._client.zrange(f"{PREFIX}open:{digest}", 0, -1)
        return self._all(ids)

    def all(self) -> list[tuple[Job, int]]:
        """Every job."""
        with told():
            ids = [one for state in STATES for one in self._client.smembers(f"{PREFIX}state:{state}")]
        return list(self._all(ids))

    def overdue(self, now: float) -> list[tuple[Job, int]]:
        """Jobs whose time is up."""
        with told():
            ids = self._client.zrangebyscore(f"{PREFIX}expires", "-inf", now)
        return list(self._all(ids))

    def known(self, ids: Sequence[str]) -> set[str]:
        """Which of these ids are recorded."""
        with told():
            return {one for one in ids if self._client.exists(f"{PREFIX}job:{one}")}

    def counts(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        with told():
            found = {state: int(self._client.scard(f"{PREFIX}state:{state}")) for state in STATES}
        return {state: count for state, count in found.items() if count}

    def tally(self, name: str, amount: float) -> None:
        """Adds to a sum that outlives the jobs."""
        with told():
            self._client.hincrbyfloat(f"{PREFIX}tallies", name, amount)

    def tallies(self) -> dict[str, float]:
        """The sums."""
        with told():
            return {name.decode(): float(amount) for name, amount in self._client.hgetall(f"{PREFIX}tallies").items()}

    def _store(self, job: Job, revision: int) -> Any:
        expires = "" if job.expires is None else repr(job.expires)
        arguments = [PREFIX, job.id, revision, job.state, job.digest, repr(job.created), expires, job.key or ""]
        with told():
            return self._put(keys=[f"{PREFIX}job:{job.id}"], args=[*arguments, msgspec.json.encode(job)])

    def _all(self, ids: Sequence[bytes]) -> Iterator[tuple[Job, int]]:
        for one in ids:
            found = self.get(one.decode())
            if found is not None:
                yield found


class RedisFiles:
    """A job's files as hashes of pieces of at most ``PIECE_BYTES``."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def adopt(self, job_id: str, name: str, path: Path) -> None:
        """Takes a whole file over, under a name."""
        with path.open("rb") as file:
            self.keep(job_id, name, file)
        path.unlink()

    def grow(self, job_id: str, name: str, folder: Path) -> Path:
        """Where a file that grows is to be written: in a folder of this machine."""
        return folder / f"{job_id}.{name}"

    def keep(self, job_id: str, name: str, file: BinaryIO, *, start: int = 0) -> None:
        """Stores what an open file holds from a place on, all before it having been stored."""
        if not start:
            with told():
                self._client.sadd(f"{PREFIX}files:{job_id}", name)
                self._client.zadd(f"{PREFIX}stored", {job_id: time.time()})
        for place, piece in pieces(file, start=start):
            with told():
                self._client.hset(f"{PREFIX}file:{job_id}:{name}", str(place), piece)

    def fetch(self, job_id: str, name: str, folder: Path) -> Path:
        """A copy of the file in a folder of this machine."""
        return gather(partial(self._piece, job_id, name), folder / f"{job_id}.{name}")

    def read(self, job_id: str, name: str, start: int, size: int) -> bytes:
        """Some bytes of a file, perhaps fewer than asked for; none when there is no such file any more."""
        return within(partial(self._piece, job_id, name), start, size)

    def remove(self, job_id: str, name: str) -> None:
        """Removes a file."""
        with told():
            self._client.unlink(f"{PREFIX}file:{job_id}:{name}")

    def drop(self, job_id: str) -> None:
        """Removes all files of a job."""
        with told():
            names = self._client.smembers(f"{PREFIX}files:{job_id}")
            keys = [f"{PREFIX}file:{job_id}:{name.decode()}" for name in names]
            self._client.unlink(*keys, f"{PREFIX}files:{job_id}")
            self._client.zrem(f"{PREFIX}stored", job_id)

    def orphans(self, older_s: float) -> list[str]:
        """Jobs that have files so old, for somebody to look whether they are known."""
        with told():
            found = self._client.zrangebyscore(f"{PREFIX}stored", "-inf", time.time() - older_s)
        return [one.decode() for one in found]

    def ids(self) -> list[str]:
        """Every job that has files."""
        with told():
            return [one.decode() for one in self._client.zrange(f"{PREFIX}stored", 0, -1)]

    def names(self, job_id: str) -> list[str]:
        """The files of a job."""
        with told():
            found = [one.decode() for one in self._client.smembers(f"{PREFIX}files:{job_id}")]
            return [name for name in sorted(found) if self._client.exists(f"{PREFIX}file:{job_id}:{name}")]

    def _piece(self, job_id: str, name: str, place: int) -> bytes:
        with told():
            piece: bytes | None = self._client.hget(f"{PREFIX}file:{job_id}:{name}", str(place))
        return piece or b""
