"""What several replicas share through Redis or Valkey: sessions, and leases of budgets.

A session is a hash, ``aweigh:session:DIGEST``, which Redis itself forgets when it runs out; ``aweigh:sessions:PERSON``
is the set of a person's. Scripts change what must not be half changed.
"""

from collections.abc import Callable
from typing import Any

from aweigh.database.redis import told
from aweigh.guard.sessions import ABSOLUTE_S, EACH, Session

PREFIX = "aweigh:"

# KEYS: session, set. ARGV: digest, lifetime in ms, lifetime of the set in ms, then names and values of the hash.
ADD = """
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
"""

# KEYS: session. ARGV: lifetime in ms, name, value. What has been ended meanwhile is not made anew.
CHANGE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
if ARGV[1] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
"""

# KEYS: a budget's count. ARGV: how much is wanted, the most that may be taken in all, lifetime in s or 0. Answers what
# is granted.
LEASE = """
local spent = tonumber(redis.call('GET', KEYS[1]) or '0')
local granted = math.min(tonumber(ARGV[1]), math.max(tonumber(ARGV[2]) - spent, 0))
if granted > 0 then
  redis.call('INCRBY', KEYS[1], granted)
  if spent == 0 and ARGV[3] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
end
return granted
"""

# KEYS: a budget's count. ARGV: how much comes back.
GIVE = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DECRBY', KEYS[1], ARGV[1]) end
return 1
"""


class RedisSessions:
    """Sessions in Redis; see ``SqlSessions`` for what each call does."""

    def __init__(self, client: Any, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._add = client.register_script(ADD)
        self._change = client.register_script(CHANGE)

    def add(self, session: Session) -> None:
        """Keeps a new one; the oldest of too many is ended."""
        for one in self.all_of(session.person)[EACH - 1 :]:
            self.remove(one.digest)
        facts = {"person": session.person, "epoch": session.epoch, "created": repr(session.created)}
        facts |= {"seen": repr(session.seen), "client": session.client}
        pairs = [part for pair in facts.items() for part in pair]
        with told():
            self._add(
                keys=[_key(session.digest), _set(session.person)],
                args=[session.digest, self._lifetime_ms(session), round(ABSOLUTE_S * 1000), *pairs],
            )

    def get(self, digest: str) -> Session | None:
        """The session of that id, if it has not run out."""
        with told():
            found = self._client.hmget(_key(digest), "person", "epoch", "created", "seen", "client")
        if None in found:
            return None
        person, epoch, created, seen, client = (one.decode() for one in found)
        session = Session(digest, person, int(epoch), float(created), float(seen), client)
        return session if session.expires() > self._clock() else None

    def touch(self, session: Session) -> None:
        """It was used now."""
        now = self._clock()
        later = Session(session.digest, session.person, session.epoch, session.created, now, session.client)
        with told():
            self._change(keys=[_key(session.digest)], args=[self._lifetime_ms(later), "seen", repr(now)])

    def keep(self, digest: str, *, epoch: int) -> None:
        """It goes on in its person's new epoch."""
        with told():
            self._change(keys=[_key(digest)], args=["", "epoch", epoch])

    def remove(self, digest: str) -> None:
        """Ends one."""
        with told():
            person = self._client.hget(_key(digest), "person")
            self._client.unlink(_key(digest))
            if person is not None:
                self._client.srem(_set(person.decode()), digest)

    def remove_all(self, person: str, *, keep: str = "") -> None:
        """Ends all of a person's but one."""
        with told():
            ended = [one for one in self._client.smembers(_set(person)) if one.decode() != keep]
            if ended:
                self._client.unlink(*(_key(one.decode()) for one in ended))
                self._client.srem(_set(person), *ended)

    def all_of(self, person: str) -> list[Session]:
        """A person's, the newest first."""
        with told():
            digests = [one.decode() for one in self._client.smembers(_set(person))]
        found = {digest: self.get(digest) for digest in digests}
        gone = [digest for digest, session in found.items() if session is None]
        if gone:
            with told():
                self._client.srem(_set(person), *gone)
        return sorted((one for one in found.values() if one is not None), key=lambda one: -one.created)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _lifetime_ms(self, session: Session) -> int:
        return max(round((session.expires() - self._clock()) * 1000), 1)


class RedisLeases:
    """What has been spent of budgets, in Redis; see ``SqlLeases``."""

    def __init__(self, client: Any) -> None:
        self._lease = client.register_script(LEASE)
        self._give = client.register_script(GIVE)

    def take(self, bucket: str, wanted: int, *, most: int, lives_s: float | None) -> int:
        """Takes up to so much of a budget; how much was left of it."""
        with told():
            granted = self._lease(
                keys=[f"{PREFIX}spent:{bucket}"], args=[wanted, most, 0 if lives_s is None else round(lives_s)]
            )
        return int(granted)

    def give_back(self, bucket: str, amount: int) -> None:
        """What was taken and not spent; nothing is begun anew that has run out meanwhile."""
        with told():
            self._give(keys=[f"{PREFIX}spent:{bucket}"], args=[amount])


def _key(digest: str) -> str:
    return f"{PREFIX}session:{digest}"


def _set(person: str) -> str:
    return f"{PREFIX}sessions:{person}"
