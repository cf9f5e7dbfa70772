"""Those whom a door knows: one look-up for all who ask at once, and the next one before it is missed."""

import asyncio
import threading

import pytest

from aweigh.errors import StorageDown
from aweigh.guard.fresh import AGES_S, FRESH_S
from aweigh.server.access.known import Known
from aweigh.server.problems import Refused

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def key(guard, ana):
    return guard.add_key(ana, "ci", ["read", "predict"], by=None)


@pytest.fixture
def said(key):
    return b"Bearer " + key[1].reveal().encode()


class Looks:
    """Counts the look-ups of keys in the store; each of them waits while ``gate`` is shut, or fails with ``fails``."""

    def __init__(self, guard):
        self.count, self.gate, self.fails = 0, threading.Event(), None
        self.gate.set()
        self._identify = guard._keyring.identify

    def __call__(self, text):
        self.count += 1
        found = self._identify(text)
        assert self.gate.wait(10)
        if self.fails is not None:
            raise self.fails
        return found


@pytest.fixture
def looks(guard, monkeypatch):
    found = Looks(guard)
    monkeypatch.setattr(guard._keyring, "identify", found)
    return found


def ask(known, said):
    return known.identify({"headers": [(b"authorization", said)], "path": "/v1/predict"})


async def until(holds):
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  a thread does it
            await asyncio.sleep(0.002)


async def test_all_who_ask_at_once_are_one_look_up_and_who_leaves_takes_it_from_nobody(guard, looks, said):
    known = Known(guard)
    looks.gate.clear()
    asking = [asyncio.create_task(ask(known, said)) for _ in range(32)]
    await until(lambda: looks.count)
    asking[0].cancel()
    await asyncio.sleep(0.01)
    looks.gate.set()
    identities = {(await one)[0].name for one in asking[1:]}
    assert asking[0].cancelled()
    assert (identities, looks.count) == ({"ci"}, 1)


async def test_who_goes_on_asking_never_waits_again(guard, looks, said, clock):
    known = Known(guard)
    await ask(known, said)
    clock.now += AGES_S - 0.1
    assert known.remembered(said) is not None
    assert looks.count == 1
    for _ in range(3):
        clock.now += 0.2
        looks.gate.clear()
        before = known.remembered(said)
        assert all(known.remembered(said) is before for _ in range(10)), "known while the store is asked"
        looks.gate.set()
        await until(lambda before=before: known.remembered(said) is not before)
        clock.now += AGES_S - 0.2
    assert looks.count == 4


async def test_a_key_that_was_revoked_elsewhere_opens_nothing_once_it_is_looked_up_anew(guard, looks, key, said, clock):
    known = Known(guard)
    await ask(known, said)
    guard._desk.database.run("UPDATE aweigh_keys SET revoked = 1 WHERE id = ? RETURNING id", (key[0].id,))
    clock.now += AGES_S
    assert known.remembered(said) is not None
    await until(lambda: known.remembered(said) is None)
    with pytest.raises(Refused):
        await ask(known, said)
    assert looks.count == 2


async def test_where_the_store_is_down_it_is_asked_once_and_what_is_remembered_holds_as_long_as_ever(
    guard, looks, said, clock
):
    known = Known(guard)
    await ask(known, said)
    looks.fails = StorageDown("The database is down.", hint="wait")
    clock.now += AGES_S
    for _ in range(20):
        assert known.remembered(said) is not None
        await asyncio.sleep(0.002)
    assert looks.count == 2
    clock.now += FRESH_S - AGES_S
    assert known.remembered(said) is None
    with pytest.raises(StorageDown):
        await ask(known, said)


async def test_after_a_revocation_nobody_joins_a_look_up_that_began_before_it(guard, looks, key, said):
    known = Known(guard)
    looks.gate.clear()
    early = asyncio.create_task(ask(known, said))
    await until(lambda: looks.count == 1)
    guard.revoke_key(key[0].id, by=None)
    late = asyncio.create_task(ask(known, said))
    await until(lambda: looks.count == 2)
    looks.gate.set()
    await early
    with pytest.raises(Refused):
        await late
    assert known.remembered(said) is None
