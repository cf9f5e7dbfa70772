"""The door on real stores: two replicas on the same PostgreSQL and Valkey, or on one file, behave as one."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

import pytest
import redis
from tests.conftest import require_package
from tests.partly import partly_slow

from aweigh.errors import StorageDown, UsageError
from aweigh.guard import totp
from aweigh.guard.fresh import FRESH_S
from aweigh.guard.guard import Refusal, SignedIn, open_guard
from aweigh.guard.identity import NOBODY, UNKNOWN, Role
from aweigh.guard.sweep import Verdict
from aweigh.guard.throttle import FREE

PASSWORD = "otter gravel ninety"
TABLES = ("people", "recovery", "invites", "sessions", "keys", "audit", "audit_head", "failures", "known", "spent")


@pytest.fixture(autouse=True)
def argon2():
    require_package("argon2", called="argon2-cffi (extra auth)")


class Clock:
    """A clock that both replicas have, and that the test moves."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=partly_slow("postgres and valkey", slow=["disk", "postgres", "disk and valkey"]))
def environ(request):
    found = {}
    if "postgres" in request.param:
        found["DATABASE_URL"] = request.getfixturevalue("postgres")
        empty(found["DATABASE_URL"])
    if "valkey" in request.param:
        found["REDIS_URL"] = request.getfixturevalue("valkey").url
        with redis.Redis.from_url(found["REDIS_URL"]) as client:
            client.flushdb()
    return found


def empty(url):
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"DROP TABLE IF EXISTS aweigh_{table}")
        if connection.execute("SELECT to_regclass('aweigh_versions')").fetchone()[0]:
            connection.execute("DELETE FROM aweigh_versions WHERE part = 'guard'")


@pytest.fixture
def replicas(environ, tmp_path, clock):
    opened = [open_guard(environ, state_dir=str(tmp_path / "state"), clock=clock) for _ in range(2)]
    yield opened
    for one in opened:
        one.close()


@pytest.fixture
def ana(replicas):
    person = replicas[0].add_person("Ana", Role.ADMIN, by=None)
    replicas[0].set_password(person.id, PASSWORD, by=None)
    other = replicas[0].add_person("other admin", Role.ADMIN, by=None)
    replicas[0].set_password(other.id, PASSWORD, by=None)
    return person


def enter(guard, *, client="192.0.2.1", code=""):
    signed_in = guard.sign_in("ana", PASSWORD, code, client=client)
    assert isinstance(signed_in, SignedIn)
    return signed_in, signed_in.cookie.reveal().encode()


def test_who_signed_in_at_one_is_known_at_the_other_until_signing_out_at_either(replicas, ana, clock):
    one, other = replicas
    signed_in, cookie = enter(one)
    assert other.known(cookie) is UNKNOWN
    assert other.identify(cookie, "session") == signed_in.identity
    one.sign_out(signed_in.identity)
    assert one.identify(cookie, "session") is None
    assert not other.is_current(signed_in.identity.session)
    clock.now += FRESH_S
    assert other.known(cookie) is UNKNOWN
    assert other.identify(cookie, "session") is None
    assert other.known(cookie) is None


@pytest.mark.parametrize("change", ["role", "disable", "remove", "password", "everywhere"])
def test_what_ends_a_persons_sessions_at_one_ends_them_at_the_other(replicas, ana, clock, change):
    one, other = replicas
    _, cookie = enter(other)
    assert other.identify(cookie, "session") is not None
    {
        "role": lambda: one.set_role(ana.id, Role.VIEWER, by=None),
        "disable": lambda: one.set_disabled(ana.id, True, by=None),
        "remove": lambda: one.remove_person(ana.id, by=None),
        "password": lambda: one.set_password(ana.id, "walrus lantern", by=None),
        "everywhere": lambda: one.sign_out_everywhere(ana.id, by=None),
    }[change]()
    clock.now += FRESH_S
    assert other.known(cookie) is UNKNOWN
    assert other.identify(cookie, "session") is None
    assert other.sessions(ana.id) == []


def test_a_session_that_is_kept_goes_on_at_both(replicas, ana, clock):
    one, other = replicas
    kept, cookie = enter(one)
    enter(other)
    other.set_password(ana.id, "walrus lantern", by=kept.identity, keep_session=kept.identity.session)
    clock.now += FRESH_S
    for guard in replicas:
        assert guard.identify(cookie, "session") == kept.identity
        assert [found.id for found in guard.sessions(ana.id)] == [kept.identity.session]


def test_a_session_that_ended_is_not_made_anew_by_its_last_use(replicas, ana, environ):
    one, other = (guard._desk.sessions for guard in replicas)
    signed_in, _ = enter(replicas[0])
    session = one.get(signed_in.identity.session)
    other.remove(session.digest)
    one.touch(session)
    one.keep(session.digest, epoch=1)
    assert one.get(session.digest) is other.get(session.digest) is None
    assert one.all_of(ana.id) == []
    if "REDIS_URL" in environ:
        with redis.Redis.from_url(environ["REDIS_URL"]) as client:
            assert list(client.scan_iter("aweigh:session*")) == []


def test_sessions_run_out_as_on_one_machine(replicas, ana, clock):
    one, other = replicas
    _, cookie = enter(one)
    for _ in range(3):
        clock.now += 12 * 3600 - 1
        assert other.identify(cookie, "session") is not None
    clock.now += 12 * 3600
    assert one.identify(cookie, "session") is None
    _, cookie = enter(one)
    for _ in range(13):
        clock.now += 12 * 3600 - 1
        assert one.identify(cookie, "session") is not None
    clock.now += 12 * 3600
    assert other.identify(cookie, "session") is None


@pytest.mark.slow
def test_so_many_sessions_each(replicas, ana, clock):
    for at in range(52):
        clock.now += 1
        replicas[at % 2].sign_in("ana", PASSWORD, "", client="192.0.2.1")
    assert [len(one.sessions(ana.id)) for one in replicas] == [50, 50]


def test_a_key_made_at_one_opens_the_other_until_revoked(replicas, ana, clock):
    one, other = replicas
    key, text = one.add_key(ana, "ci", ["predict"], by=None)
    credential = text.reveal().encode()
    assert other.identify(credential, "key").id == key.id
    one.revoke_key(key.id, by=None)
    clock.now += FRESH_S
    assert other.known(credential) is UNKNOWN
    assert other.identify(credential, "key") is None


def at_both(replicas, times, ask):
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(lambda at: ask(replicas[at % 2], at), range(times)))


def test_what_is_good_once_is_good_once_at_both_together(replicas, ana, clock):
    one, other = replicas
    secret, _ = one.start_totp(ana.id)
    codes = other.confirm_totp(ana.id, secret, totp.code_at(secret, int(clock.now // 30)))
    clock.now += 30
    now = totp.code_at(secret, int(clock.now // 30))
    came = at_both(replicas, 4, lambda guard, at: guard.sign_in("ana", PASSWORD, now, client=f"192.0.2.{at}"))
    assert sum(isinstance(found, SignedIn) for found in came) == 1
    came = at_both(replicas, 4, lambda guard, at: guard.sign_in("ana", PASSWORD, codes[0], client=f"198.51.100.{at}"))
    assert sum(isinstance(found, SignedIn) for found in came) == 1
    one.remove_totp(ana.id, by=None)
    token = one.invite(ana.id, by=None)
    came = at_both(replicas, 4, lambda guard, at: guard.accept_invite(token, f"walrus {at} lantern", client=""))
    assert sum(isinstance(found, SignedIn) for found in came) == 1


def test_guesses_are_counted_together(replicas, ana):
    before = sum(one.hashes for one in replicas)
    kinds = at_both(
        replicas, 24, lambda guard, at: guard.sign_in("ana", "wrong wrong wrong", "", client="192.0.2.1").kind
    )
    assert kinds.count("wrong") == FREE
    assert sum(one.hashes for one in replicas) - before == FREE
    assert isinstance(replicas[1].sign_in("other admin", "x", "", client="198.51.100.1"), Refusal)


def test_the_first_run_of_replicas_that_start_at_once_makes_one_admin(environ, tmp_path, clock):
    guards = [open_guard(environ, state_dir=str(tmp_path / "state"), clock=clock) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        tokens = [one for one in pool.map(lambda one: one.first_run(), guards) if one]
    assert len(tokens) == 1
    assert [one.name for one in guards[3].people()] == ["admin"]
    assert isinstance(guards[2].accept_invite(tokens[0], PASSWORD, client=""), SignedIn)
    for one in guards:
        one.close()


def test_two_admins_who_remove_each_other_at_once_leave_one(replicas, ana):
    ids = [ana.id, replicas[0].person("other admin").id]

    def remove(guard, at):
        try:
            guard.remove_person(ids[at], by=None)
        except UsageError:
            return False
        return True

    assert sorted(at_both(replicas, 2, remove)) == [False, True]


def test_one_name_is_taken_once(replicas):
    def add(guard, at):
        try:
            return guard.add_person("twin", Role.VIEWER, by=None)
        except UsageError:
            return None

    assert sum(one is not None for one in at_both(replicas, 8, add)) == 1


def test_two_who_write_the_audit_log_at_once_write_one_chain(replicas, ana):
    before = replicas[0].verify_audit_log().entries
    at_both(replicas, 8, lambda guard, at: [guard.audit("event", by=None, what={"at": str(at)}) for _ in range(15)])
    for one in replicas:
        verdict = one.verify_audit_log()
        assert (verdict.entries, verdict.first_bad) == (before + 120, None)
    numbers = [one.number for one in replicas[1].audit_log()]
    assert numbers == list(range(1, before + 121))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE aweigh_audit SET document = replace(document, 'Ana', 'Eve') WHERE number = 2",
        "UPDATE aweigh_audit SET hash = 'x' WHERE number = 2",
        "DELETE FROM aweigh_audit WHERE number = 1",
        "DELETE FROM aweigh_audit WHERE number = 2",
        "DELETE FROM aweigh_audit WHERE number = 3",
        "UPDATE aweigh_audit SET number = 99 WHERE number = 2",
        "UPDATE aweigh_audit_head SET number = 1",
    ],
)
def test_an_edit_of_the_table_is_found(replicas, ana, statement):
    assert replicas[1].verify_audit_log().first_bad is None
    with replicas[0]._desk.database.together() as run:
        run(f"{statement} RETURNING number", ())
    assert replicas[1].verify_audit_log().first_bad is not None


def test_budgets_are_shared_and_nobody_gets_more(environ, tmp_path, clock):
    bounded = environ | {"AWEIGH_ROWS_PER_MINUTE": "200", "AWEIGH_ROWS_TOTAL": "300"}
    guards = [open_guard(bounded, state_dir=str(tmp_path / "state"), clock=clock) for _ in range(2)]

    def ask(guard, at):
        return sum(guard.limits.spend(NOBODY, rows=2) == 0.0 for _ in range(60))

    given = 2 * sum(at_both(guards, 6, ask))
    assert 200 - 2 * 10 <= given <= 200
    clock.now += 60
    given += 2 * sum(at_both(guards, 6, ask))
    assert 300 - 2 * 15 <= given <= 300
    for one in guards:
        one.close()
    again = open_guard(bounded, state_dir=str(tmp_path / "state"), clock=clock)
    clock.now += 60
    rest = sum(again.limits.spend(NOBODY) == 0.0 for _ in range(200))
    assert given + rest == 300
    again.close()


def test_threads_of_a_server_share_one_guard(replicas, ana):
    guard = replicas[0]
    _, cookie = enter(guard)

    def ask(at):
        guard.identify(cookie, "session")
        key, text = guard.add_key(ana, f"key {at}", ["read"], by=None)
        assert guard.identify(text.reveal().encode(), "key").id == key.id
        guard.revoke_key(key.id, by=None)
        return guard.is_current(guard.known(cookie).session) if guard.known(cookie) is not UNKNOWN else True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(24)))


def test_no_secret_is_in_any_store(replicas, ana, environ, tmp_path):
    signed_in, cookie = enter(replicas[0])
    token = replicas[0].invite(ana.id, by=None)
    _, text = replicas[0].add_key(ana, "ci", ["predict"], by=signed_in.identity)
    held = "\n".join(repr(replicas[0]._desk.database.run(f"SELECT * FROM aweigh_{table}", ())) for table in TABLES)
    if "REDIS_URL" in environ:
        with redis.Redis.from_url(environ["REDIS_URL"]) as client:
            for key in client.scan_iter("*"):
                held += repr((key, client.dump(key)))
    for secret in (PASSWORD, cookie.decode(), token, text.reveal(), text.reveal()[16:59]):
        assert secret not in held


# -- stores that fail --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ",
    [{"DATABASE_URL": "postgresql://user:hunter2@127.0.0.1:1/x?connect_timeout=1"}, {"REDIS_URL": "redis://:hunter2@127.0.0.1:1"}],
)  # fmt: skip
def test_a_store_that_is_down_lets_nobody_in_and_tells_no_password(environ, tmp_path):
    guard = open_guard(environ, state_dir=str(tmp_path / "state"))
    with pytest.raises(StorageDown) as caught:
        guard.identify(b"x" * 43, "session")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    assert guard.known(b"x" * 43) is UNKNOWN, "that is no answer to be remembered"
    if "DATABASE_URL" in environ:
        with pytest.raises(StorageDown):
            guard.sign_in("ana", PASSWORD, "", client="")
    guard.close()


@pytest.mark.parametrize("change", partly_slow("disable", slow=["everywhere", "role", "password", "invite"]))
def test_sessions_end_though_the_store_of_sessions_is_down_at_that_moment(valkey, tmp_path, change):
    """Whoever is disabled while Valkey is away is out when it is back, with the session still in it."""
    guard = open_guard({"REDIS_URL": valkey.url}, state_dir=str(tmp_path / "state"))
    person = guard.add_person("ana", Role.VIEWER, by=None)
    guard.set_password(person.id, PASSWORD, by=None)
    signed_in, cookie = enter(guard)
    token = guard.invite(person.id, by=None)
    assert guard.identify(cookie, "session") is not None
    with redis.Redis.from_url(valkey.url) as client:
        client.execute_command("WAITAOF", 1, 0, 5000)  # on its disk, or there is nothing to come back
    valkey.stop()
    try:
        with suppress(StorageDown) if change == "invite" else nullcontext():  # which has no place for a new session
            {
                "everywhere": lambda: guard.sign_out_everywhere(person.id, by=None),
                "role": lambda: guard.set_role(person.id, Role.PREDICTOR, by=None),
                "disable": lambda: guard.set_disabled(person.id, True, by=None),
                "password": lambda: guard.set_password(person.id, "walrus lantern", by=None),
                "invite": lambda: guard.accept_invite(token, "walrus lantern", client=""),
            }[change]()
    finally:
        valkey.start()
    assert guard._desk.sessions.get(signed_in.identity.session) is not None, "the test's premise"
    if change == "disable":
        guard.set_disabled(person.id, False, by=None)
    assert guard.identify(cookie, "session") is None
    guard.close()


def test_a_child_of_a_process_opens_its_own_connection(postgres, tmp_path):
    """A server of several processes forks after its parent has asked for the first run."""
    script = """if True:
        import os, sys
        from aweigh.guard.guard import open_guard
        from aweigh.guard.identity import Role
        guard = open_guard(os.environ, state_dir=sys.argv[1])
        guard.people()
        children = []
        for at in range(3):
            child = os.fork()
            if not child:
                for number in range(10):
                    guard.add_person(f"{at} {number}", Role.VIEWER, by=None)
                os._exit(0)
            children.append(child)
        for number in range(10):
            guard.add_person(f"parent {number}", Role.VIEWER, by=None)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        verdict = guard.verify_audit_log()
        print(len(guard.people()), verdict.entries, verdict.first_bad)
        guard.close()
    """
    empty(postgres)
    for environ in ({}, {"DATABASE_URL": postgres}):
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, str(tmp_path / "state")],
            env=os.environ | environ, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.stdout, done.returncode) == ("40 40 None\n", 0), done.stderr


def test_a_database_that_was_away_is_asked_again(postgres, tmp_path):
    import psycopg

    empty(postgres)
    guard = open_guard({"DATABASE_URL": postgres}, state_dir=str(tmp_path))
    guard.add_person("ana", Role.VIEWER, by=None)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = "
            "'client backend'"
        )
    begun = time.monotonic()
    assert guard.person("ana") is not None
    assert time.monotonic() - begun < 5
    guard.close()


def test_a_suspected_sweep_is_written_once_a_day_whichever_sees_it(replicas, ana, clock):
    identity = enter(replicas[0])[0].identity
    verdict = Verdict(120, 0.6, 0.2)
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda i: replicas[i % 2].suspect(identity, verdict), range(12)))
    assert told.count(True) == 1
    first = replicas[1].suspected(identity.id)
    assert dict(first.what) == {"rows": "120", "unlikely rows": "60%", "cells too far out": "20%"}
    clock.now += 86_400
    assert replicas[1].suspect(identity, verdict)
    assert replicas[0].suspected(identity.id).number > first.number
    assert replicas[0].suspected("p_nobody") is None
    assert replicas[0].verify_audit_log().first_bad is None
