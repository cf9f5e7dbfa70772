"""Keys of programs, and what is remembered of any credential."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from aweigh.errors import UsageError
from aweigh.guard.fresh import FRESH_S, Fresh
from aweigh.guard.identity import NOBODY, UNKNOWN, Role
from aweigh.guard.keys import SHAPE, digest_of, id_of, new_text

DAY_S = 86_400


@pytest.fixture
def made(guard, ana):
    return guard.add_key(ana, "ci", ["read", "predict"], by=None)


def opens(guard, text):
    return guard.identify(text.reveal().encode(), "key")


def test_a_key_says_whose_it_is_and_what_for(guard, made):
    key, text = made
    identity = opens(guard, text)
    assert (identity.kind, identity.id, identity.name) == ("key", key.id, "ci")
    assert identity.scopes == {"read", "predict"}
    assert identity.role is Role.PREDICTOR
    assert guard.keys()[0].last_used is not None


def test_a_key_that_was_cut_short_mistyped_or_made_up_is_asked_of_no_database(guard, made):
    _, text = made
    right = text.reveal()
    guard.close()  # whatever asks opens it anew
    cut = [right[:-1], right + "x", right.upper(), right.replace("aw_", "ab_"), right[:20] + "AAAA" + right[24:]]
    wrong = ["", "aw_", *cut, "ü" * 65, "aw_" + "0" * 62]
    for one in wrong:
        assert id_of(one) is None, one
        assert guard.identify(one.encode(), "key") is None
    assert guard._desk.database._connection is None
    assert guard.identify(right.encode(), "session") is None


def test_who_knows_the_id_alone_does_not_get_in(guard, made):
    key, text = made
    _, other = new_text()
    forged = text.reveal()[:16] + other.reveal()[16:59]
    body_only = next(f"{forged}{tail}" for tail in (other.reveal()[59:],))
    assert id_of(body_only) is None
    import aweigh.guard.keys as module

    whole = forged + module._checksum(forged)
    assert id_of(whole) == key.id
    assert guard.identify(whole.encode(), "key") is None


def test_keys_are_all_of_one_shape_and_kept_as_a_digest(guard, made):
    key, text = made
    assert all(SHAPE.match(new_text()[1].reveal()) for _ in range(200))
    ((digest,),) = guard._desk.database.run("SELECT digest FROM aweigh_keys WHERE id = ?", (key.id,))
    assert digest == digest_of(text.reveal())


def test_a_key_ends_when_its_time_is_over_and_when_revoked(guard, ana, clock):
    key, text = guard.add_key(ana, "short", ["predict"], expires_days=1, by=None)
    clock.now += DAY_S - 1
    assert opens(guard, text) is not None
    clock.now += 1
    assert guard.known(text.reveal().encode()) is UNKNOWN, "an answer is not remembered beyond the key's end"
    assert opens(guard, text) is None
    key, text = guard.add_key(ana, "long", ["predict"], expires_days=None, by=None)
    clock.now += 3000 * DAY_S
    assert opens(guard, text) is not None
    assert guard.revoke_key(key.id, by=None).revoked == clock.now
    assert guard.known(text.reveal().encode()) is UNKNOWN
    assert opens(guard, text) is None


def test_a_key_does_no_more_than_its_owner_may_now(guard, admin, ana, made):
    _, text = made
    with pytest.raises(UsageError, match="not admin, operate"):
        guard.add_key(ana, "greedy", ["predict", "operate", "admin"], by=None)
    guard.set_role(ana.id, Role.VIEWER, by=None)
    assert opens(guard, text).scopes == {"read"}
    guard.set_disabled(ana.id, True, by=None)
    assert opens(guard, text) is None
    guard.set_disabled(ana.id, False, by=None)
    assert opens(guard, text).scopes == {"read"}


@pytest.mark.parametrize(
    ("label", "scopes", "days"),
    [("ci", [], 1), ("ci", ["everything"], 1), ("", ["read"], 1), ("a\u202eb", ["read"], 1), ("ci", ["read"], 0),
     ("ci", ["read"], 3651)],
)  # fmt: skip
def test_what_is_no_key_is_not_made(guard, ana, label, scopes, days):
    with pytest.raises(UsageError):
        guard.add_key(ana, label, scopes, expires_days=days, by=None)
    assert guard.keys() == []


def test_a_key_is_replaced_with_an_overlap(guard, made, clock):
    key, text = made
    clock.now += 10 * DAY_S
    other, other_text = guard.rotate_key(key.id, overlap_hours=24, by=None)
    assert (other.label, other.scopes, other.owner) == (key.label, key.scopes, key.owner)
    assert other.expires == clock.now + 90 * DAY_S
    assert opens(guard, text) is not None
    assert opens(guard, other_text) is not None
    clock.now += DAY_S
    assert opens(guard, text) is None
    assert opens(guard, other_text) is not None
    with pytest.raises(UsageError, match="has ended"):
        guard.rotate_key(key.id, by=None)
    last, _ = guard.rotate_key(other.id, overlap_hours=0, by=None)
    assert opens(guard, other_text) is None
    with pytest.raises(UsageError, match="no such key"):
        guard.rotate_key("k_nothing", by=None)
    with pytest.raises(UsageError):
        guard.rotate_key(last.id, overlap_hours=-1, by=None)


def test_rotation_does_not_make_a_key_last_longer_than_it_did(guard, ana, clock):
    key, text = guard.add_key(ana, "x", ["read"], expires_days=1, by=None)
    clock.now += DAY_S - 3600
    guard.rotate_key(key.id, overlap_hours=48, by=None)
    clock.now += 3600
    assert opens(guard, text) is None


def test_one_person_has_so_many_keys_and_no_more(guard, ana):
    for _ in range(100):
        key, _ = guard.add_key(ana, "x", ["read"], by=None)
    with pytest.raises(UsageError, match="100 keys"):
        guard.add_key(ana, "x", ["read"], by=None)
    guard.revoke_key(key.id, by=None)
    guard.add_key(ana, "x", ["read"], by=None)


# -- what is remembered -----------------------------------------------------------------------------------------------


def test_what_is_known_is_told_from_memory(guard, made):
    _, text = made
    credential = text.reveal().encode()
    identity = guard.identify(credential, "key")
    guard.close()
    assert guard.known(credential) is identity
    assert guard._desk.database._connection is None


def test_an_answer_holds_for_five_seconds_a_no_as_well(guard, made, clock):
    key, text = made
    credential, junk = text.reveal().encode(), b"x" * 43
    assert guard.known(credential) is UNKNOWN
    guard.identify(credential, "key")
    assert guard.identify(junk, "session") is None
    assert guard.known(junk) is None
    guard._desk.database.run("UPDATE aweigh_keys SET revoked = 1 WHERE id = ? RETURNING id", (key.id,))
    clock.now += FRESH_S - 0.1
    assert guard.known(credential).id == key.id, "revoked behind our back, on another replica"
    clock.now += 0.1
    assert guard.known(credential) is UNKNOWN
    assert guard.known(junk) is UNKNOWN
    assert guard.identify(credential, "key") is None


def test_whoever_sends_junk_fills_no_memory_and_drives_nobody_out(clock):
    fresh = Fresh(clock=clock, most=100)
    fresh.remember(b"good", NOBODY, turn=0)
    for at in range(1000):
        fresh.remember(b"junk %d" % at, None, turn=0)
    fresh.remember(b"x" * 10_000, None, turn=0)
    assert len(fresh) == 101
    assert fresh.known(b"good") is NOBODY
    assert fresh.known(b"junk 0") is UNKNOWN
    for at in range(1000):
        fresh.remember(b"key %d" % at, NOBODY, turn=0)
    assert len(fresh) == 200


def test_what_was_looked_up_before_a_revocation_is_not_remembered_after_it(clock):
    fresh = Fresh(clock=clock)
    turn = fresh.turn
    fresh.forget(lambda _: True)
    fresh.remember(b"late", NOBODY, turn=turn)
    assert fresh.known(b"late") is UNKNOWN


def test_threads_remember_and_forget_at_once(clock):
    fresh = Fresh(clock=clock, most=50)

    def use(at):
        for number in range(300):
            fresh.remember(b"%d" % (number % 80), NOBODY if at % 2 else None, turn=fresh.turn)
            fresh.known(b"%d" % (number % 80))
            if not number % 50:
                fresh.forget(lambda _: True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert len(fresh) <= 100
