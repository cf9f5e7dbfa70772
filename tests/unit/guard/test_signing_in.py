"""Signing in: every refusal is alike and costs alike, codes count once, guessing is slow, and nobody is locked out."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from aweigh.errors import UsageError
from aweigh.guard import totp
from aweigh.guard.guard import Refusal, SignedIn, open_guard
from aweigh.guard.identity import Role
from aweigh.guard.passwords import AT_ONCE, LONGEST, QUEUE, Passwords, TooManyAtOnce, check_password
from aweigh.guard.throttle import FREE, LONGEST_S, Throttle, delay_s, network_of

PASSWORD = "otter gravel ninety"
WRONG = Refusal("wrong")


def cost(guard, *arguments, **more):
    """How many hashes an answer took, and the answer."""
    before = guard.hashes
    answer = guard.sign_in(*arguments, **more)
    return guard.hashes - before, answer


# -- passwords --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    ["", "short", "elevenchars", "password1234", "Password1234!", "passwordpassword", "qwertyqwerty", "123456789012",
     "aaaaaaaaaaaa", "abcabcabcabc", "qwertyuiopas", "iloveyou2026", "839201748263", "lkjhgfdsapoiuytrewq", "x" * 1025,
     "alexander.smith", "ALEXANDER.SMITH", "alexander.smith123", "manchesterunited", "thisismypassword",
     "administrator1", "abcd1234abcd", "michaeljordan", "January2024!", "aweighaweigh1"],
)  # fmt: skip
def test_what_is_guessed_first_is_refused(password):
    with pytest.raises(UsageError):
        check_password(password, name="Alexander.Smith")


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "correct horse battery staple",
        "Zw0lf Boxkämpfer",
        "山田太郎は今日も元気です" * 2,
        "x7#" + "kq!Wm-" * 100,
    ],
)
def test_what_is_not_is_taken(password):
    check_password(password, name="alexander")


def test_every_common_password_of_that_length_is_refused():
    """Of the 30,000 that its estimator lists: it may change, and they must stay refused."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    long = [one for one in FREQUENCY_LISTS["passwords"] if len(one) >= 12]
    assert len(long) > 200
    for one in long:
        with pytest.raises(UsageError):
            check_password(one, name="ana")


def test_no_byte_of_a_password_is_left_out_of_account(guard):
    """bcrypt stops at 72 bytes, and C at a NUL."""
    person = guard.add_person("long", Role.VIEWER, by=None)
    password = PASSWORD + "ab\0c " * 100 + "Zürich"
    guard.set_password(person.id, password, by=None)
    assert guard.sign_in("long", password[:-1], "", client="") == WRONG
    assert guard.sign_in("long", password.replace("\0", "", 1), "", client="") == WRONG
    assert isinstance(guard.sign_in("long", password, "", client=""), SignedIn)


def test_a_password_is_one_whatever_keyboard_it_came_from(guard):
    person = guard.add_person("x", Role.VIEWER, by=None)
    guard.set_password(person.id, "Zu\u0308rich gravel ninety", by=None)
    assert isinstance(guard.sign_in("x", "Zürich gravel ninety", "", client=""), SignedIn)


def test_two_hashes_of_one_password_differ_and_name_the_parameters():
    passwords = Passwords()
    one, other = passwords.hash(PASSWORD), passwords.hash(PASSWORD)
    assert one != other
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.is_of_today(one)
    assert passwords.matches(one, PASSWORD)
    assert not passwords.matches("$argon2id$damaged", PASSWORD)


def test_only_so_many_are_hashed_at_once_and_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr("aweigh.guard.passwords.PATIENCE_S", 0.05)
    passwords = Passwords()
    turns = [passwords._turn() for _ in range(AT_ONCE)]
    for turn in turns:
        turn.__enter__()
    with pytest.raises(TooManyAtOnce):
        passwords.matches(None, PASSWORD)
    for turn in turns:
        turn.__exit__(None, None, None)
    assert not passwords.matches(None, PASSWORD)


def test_only_so_many_wait(monkeypatch):
    """Each holds a thread, and a crowd of them would hold all."""
    monkeypatch.setattr("aweigh.guard.passwords.PATIENCE_S", 2.0)
    passwords = Passwords()
    turns = [passwords._turn() for _ in range(AT_ONCE)]
    for turn in turns:
        turn.__enter__()

    def ask(_):
        begun = time.monotonic()
        with pytest.raises(TooManyAtOnce):
            passwords.matches(None, PASSWORD)
        return time.monotonic() - begun

    with ThreadPoolExecutor(QUEUE + 8) as pool:
        waited = list(pool.map(ask, range(QUEUE + 8)))
    for turn in turns:
        turn.__exit__(None, None, None)
    assert sum(one < 1.0 for one in waited) == 8
    assert not passwords.matches(None, PASSWORD)
    assert passwords.done == AT_ONCE + 1


def test_whoever_finds_the_door_crowded_is_asked_to_come_again_and_it_is_no_failure(guard, ana, monkeypatch):
    monkeypatch.setattr("aweigh.guard.passwords.PATIENCE_S", 0.01)
    turns = [guard._desk.passwords._turn() for _ in range(AT_ONCE)]
    for turn in turns:
        turn.__enter__()
    for _ in range(FREE + 2):
        assert guard.sign_in("ana", PASSWORD, "", client="").kind == "throttled"
    for turn in turns:
        turn.__exit__(None, None, None)
    assert isinstance(guard.sign_in("ana", PASSWORD, "", client=""), SignedIn)


# -- one answer -------------------------------------------------------------------------------------------------------


def test_unknown_disabled_passwordless_and_wrong_get_one_answer_for_one_hash(guard, admin, ana):
    legacy = guard.import_legacy("old", Role.VIEWER, hashlib.sha256(b"old password").hexdigest())
    disabled = guard.add_person("disabled", Role.VIEWER, by=None)
    guard.set_password(disabled.id, PASSWORD, by=None)
    guard.set_disabled(disabled.id, True, by=None)
    guard.add_person("invited", Role.VIEWER, by=None)
    tries = {
        "wrong": ("ana", "wrong wrong wrong"),
        "unknown": ("nobody here", PASSWORD),
        "disabled": ("disabled", PASSWORD),
        "no password": ("invited", PASSWORD),
        "imported": (legacy.name, "wrong wrong wrong"),
        "no name": ("a\u202eb", PASSWORD),
        "no name at all": ("", ""),
        "too long": ("ana", "x" * (LONGEST + 1)),
        "surrogates": ("ana", "\ud800" * 20),
    }
    found = {kind: cost(guard, *one, "", client=f"192.0.2.{at}") for at, (kind, one) in enumerate(tries.items())}
    assert found == dict.fromkeys(tries, (1, WRONG))


def test_that_a_code_is_needed_is_told_only_after_the_right_password(guard, ana):
    secret, _ = guard.start_totp(ana.id)
    guard.confirm_totp(ana.id, secret, totp.code_at(secret, int(guard._desk.clock() // 30)))
    assert cost(guard, "ana", "wrong wrong wrong", "", client="") == (1, WRONG)
    assert cost(guard, "ana", "wrong wrong wrong", "123456", client="") == (1, WRONG)
    hashed, refusal = cost(guard, "ana", PASSWORD, "", client="")
    assert (hashed, refusal.kind, refusal.ticket is not None) == (1, "code_needed", True)


def test_what_was_typed_in_vain_is_in_no_log(guard, ana):
    guard.sign_in(PASSWORD, "oops, I typed it as my name", "", client="192.0.2.9")
    guard.sign_in("ana", "a wrong password", "", client="192.0.2.9")
    told = [one for one in guard.audit_log() if one.event == "session.refused"]
    assert [one.what.get("person") for one in told] == [None, ana.id]
    assert PASSWORD not in str(told)
    assert "wrong password" not in str(told)


# -- a second factor --------------------------------------------------------------------------------------------------


def test_codes_are_those_of_rfc_6238():
    import base64

    secret = base64.b32encode(b"12345678901234567890").decode()
    table = {59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 20000000000: "353130"}
    assert {at: totp.code_at(secret, at // 30) for at in table} == table
    assert totp.counter_of(secret, "287082", now=59 + 30) == 1
    assert totp.counter_of(secret, "287082", now=59 + 61) is None
    assert totp.counter_of(secret, "２８７０８２", now=59) is None


@pytest.fixture
def secret(guard, ana, clock):
    made, uri = guard.start_totp(ana.id)
    assert made in uri
    assert guard.person(ana.id).has_totp is False
    guard.codes = guard.confirm_totp(ana.id, made, totp.code_at(made, int(clock.now // 30)))
    clock.now += 30
    return made


def code(secret, clock, *, steps=0):
    return totp.code_at(secret, int(clock.now // 30) + steps)


def test_a_code_counts_once_whoever_is_first(guard, secret, clock):
    now = code(secret, clock)
    with ThreadPoolExecutor(4) as pool:
        came = list(pool.map(lambda i: guard.sign_in("ana", PASSWORD, now, client=f"192.0.2.{i}"), range(4)))
    assert sorted(type(one).__name__ for one in came) == ["Refusal"] * 3 + ["SignedIn"]


def test_a_code_of_before_the_last_one_does_not_count_either(guard, secret, clock):
    assert isinstance(guard.sign_in("ana", PASSWORD, code(secret, clock, steps=1), client="1"), SignedIn)
    assert guard.sign_in("ana", PASSWORD, code(secret, clock), client="2") == WRONG
    clock.now += 60
    assert isinstance(guard.sign_in("ana", PASSWORD, f" {code(secret, clock)} ", client="3"), SignedIn)


def test_the_code_that_turned_it_on_opens_nothing(guard, ana, clock):
    secret, _ = guard.start_totp(ana.id)
    now = code(secret, clock)
    guard.confirm_totp(ana.id, secret, now)
    assert guard.sign_in("ana", PASSWORD, now, client="") == WRONG


@pytest.mark.parametrize("typed", ["", "000000", "abcdef", "1" * 300])
def test_it_is_not_turned_on_without_a_code_of_it(guard, ana, typed):
    secret, _ = guard.start_totp(ana.id)
    with pytest.raises(UsageError, match="code"):
        guard.confirm_totp(ana.id, secret, typed)
    with pytest.raises(UsageError):
        guard.confirm_totp(ana.id, "A", typed)
    assert not guard.person(ana.id).has_totp


def test_a_code_for_a_lost_app_is_good_once_and_only_for_its_owner(guard, secret, admin, clock):
    codes = guard.codes
    assert len(set(codes)) == 10
    other, _ = guard.start_totp(admin.id)
    guard.confirm_totp(admin.id, other, code(other, clock))
    assert guard.sign_in("root", PASSWORD, codes[0], client="1") == WRONG
    with ThreadPoolExecutor(4) as pool:
        typed = codes[0].lower().replace("-", " ")
        came = list(pool.map(lambda i: guard.sign_in("ana", PASSWORD, typed, client=f"192.0.2.{i}"), range(4)))
    assert sorted(type(one).__name__ for one in came) == ["Refusal"] * 3 + ["SignedIn"]
    assert guard.recovery_codes_left(guard.person("ana").id) == 9


def test_an_invite_does_not_go_around_the_second_factor(guard, ana, secret, clock):
    assert guard.accept_invite(guard.invite(ana.id, by=None), "walrus lantern", client="") == Refusal("code_needed")
    assert isinstance(guard.sign_in("ana", "walrus lantern", code(secret, clock), client=""), SignedIn)
    guard.remove_totp(ana.id, by=None)
    assert guard.recovery_codes_left(ana.id) == 0
    assert isinstance(guard.sign_in("ana", "walrus lantern", "", client=""), SignedIn)


def test_where_a_role_needs_a_second_factor_there_is_nothing_without_it(tmp_path, clock):
    guard = open_guard({"AWEIGH_TOTP_FROM": "operator"}, state_dir=str(tmp_path / "s"), clock=clock)
    token = guard.first_run()
    came = guard.accept_invite(token, PASSWORD, client="")
    cookie = came.cookie.reveal().encode()
    assert came.must_enrol
    assert came.identity.scopes == guard.identify(cookie, "session").scopes == frozenset()
    secret, _ = guard.start_totp(came.identity.id)
    guard.confirm_totp(came.identity.id, secret, code(secret, clock))
    assert guard.identify(cookie, "session").role is Role.ADMIN
    below = guard.add_person("below", Role.PREDICTOR, by=None)
    guard.set_password(below.id, PASSWORD, by=None)
    assert not guard.sign_in("below", PASSWORD, "", client="").must_enrol
    guard.close()


# -- imported from elsewhere ------------------------------------------------------------------------------------------


def test_an_imported_hash_is_wrapped_at_once_and_replaced_at_the_first_sign_in(guard, tmp_path):
    digest = hashlib.sha256("Pässword".encode()).hexdigest()
    person = guard.import_legacy("old", Role.VIEWER, f" {digest.upper()}\n")
    held = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert digest.encode() not in held

    def kept():
        return guard._desk.database.run("SELECT password, legacy FROM aweigh_people WHERE id = ?", (person.id,))[0]

    wrapped = kept()
    assert wrapped[1] == 1
    assert guard.sign_in("old", digest, "", client="1") == WRONG, "the hash is no password"
    assert cost(guard, "old", "Pässword", "", client="2")[0] == 2
    assert kept()[1] == 0
    assert kept()[0] != wrapped[0]
    assert cost(guard, "old", "Pässword", "", client="2")[0] == 1
    assert guard.sign_in("old", "password", "", client="3") == WRONG


@pytest.mark.parametrize("text", ["", "a" * 63, "g" * 64, "a" * 65, PASSWORD])
def test_what_is_no_sha_256_is_not_imported(guard, text):
    with pytest.raises(UsageError, match="SHA-256"):
        guard.import_legacy("old", Role.VIEWER, text)
    assert guard.people() == []


def test_a_hash_of_other_parameters_is_replaced_at_sign_in(guard, ana):
    import argon2

    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    guard._desk.database.run("UPDATE aweigh_people SET password = ? WHERE id = ? RETURNING id", (weak, ana.id))
    assert isinstance(guard.sign_in("ana", PASSWORD, "", client=""), SignedIn)
    ((kept,),) = guard._desk.database.run("SELECT password FROM aweigh_people WHERE id = ?", (ana.id,))
    assert guard._desk.passwords.is_of_today(kept)


# -- guessing ---------------------------------------------------------------------------------------------------------


def fail(guard, name, client, times):
    return [guard.sign_in(name, "wrong wrong wrong", "", client=client).kind for _ in range(times)]


def test_the_wait_grows_to_a_bound():
    assert [delay_s(at) for at in range(FREE + 4)] == [0.0] * FREE + [1.0, 2.0, 4.0, 8.0]
    assert delay_s(10_000) == LONGEST_S


def test_after_five_failures_a_guess_has_to_wait_and_costs_nothing(guard, ana, clock):
    assert fail(guard, "ana", "192.0.2.1", FREE) == ["wrong"] * FREE
    assert cost(guard, "ana", PASSWORD, "", client="192.0.2.1") == (0, Refusal("throttled", 1))
    clock.now += 1
    assert fail(guard, "ana", "192.0.2.1", 2) == ["wrong", "throttled"]
    clock.now += 1
    assert guard.sign_in("ana", PASSWORD, "", client="192.0.2.1") == Refusal("throttled", 1)
    clock.now += 1
    assert isinstance(guard.sign_in("ana", PASSWORD, "", client="192.0.2.1"), SignedIn)


def test_a_name_that_nobody_has_is_throttled_as_one_that_somebody_has(guard, ana):
    for name in ("ana", "nobody"):
        found = [guard.sign_in(name, "wrong wrong wrong", "", client=f"192.0.2.{at}") for at in range(FREE + 3)]
        assert found == [WRONG] * FREE + [Refusal("throttled", 1)] * 3, name


def test_an_address_that_tries_many_names_has_to_wait(guard, ana):
    for at in range(FREE):
        fail(guard, f"name {at}", "192.0.2.1", 1)
    assert guard.sign_in("ana", PASSWORD, "", client="192.0.2.1").kind == "throttled"
    assert isinstance(guard.sign_in("ana", PASSWORD, "", client="192.0.2.2"), SignedIn)


def test_an_own_account_does_not_buy_guesses_at_others(guard, admin, ana, clock):
    """Signing in between guesses must not set the count of the address back."""
    assert isinstance(guard.sign_in("ana", PASSWORD, "", client="192.0.2.1"), SignedIn)
    kinds = []
    for at in range(FREE + 2):
        kinds += fail(guard, f"victim {at}", "192.0.2.1", 1)
        assert isinstance(guard.sign_in("ana", PASSWORD, "", client="192.0.2.1"), SignedIn)
    assert kinds == ["wrong"] * FREE + ["throttled"] * 2


def test_guesses_from_elsewhere_do_not_lock_out_who_signed_in_here_before(guard, ana, clock):
    assert isinstance(guard.sign_in("ana", PASSWORD, "", client="198.51.100.7"), SignedIn)
    for at in range(40):
        fail(guard, "ana", f"192.0.2.{at}", 1)
    assert guard.sign_in("ana", PASSWORD, "", client="203.0.113.1").kind == "throttled"
    assert isinstance(guard.sign_in("ana", PASSWORD, "", client="198.51.100.7"), SignedIn)
    clock.now += 91 * 86_400
    fail(guard, "ana", "192.0.2.1", FREE)
    assert guard.sign_in("ana", PASSWORD, "", client="198.51.100.7").kind == "throttled", "not known any more"


def test_a_known_address_has_its_own_count(guard, ana):
    assert isinstance(guard.sign_in("ana", PASSWORD, "", client="198.51.100.7"), SignedIn)
    assert fail(guard, "ana", "198.51.100.7", FREE + 1) == ["wrong"] * FREE + ["throttled"]


def test_a_hundred_guesses_at_once_are_no_more_than_one_after_the_other(guard, ana):
    with ThreadPoolExecutor(16) as pool:
        kinds = list(pool.map(lambda _: fail(guard, "ana", "192.0.2.1", 1)[0], range(60)))
    assert kinds.count("wrong") == FREE
    assert guard.hashes <= FREE + 1
    assert guard.sign_in("ana", PASSWORD, "", client="192.0.2.1") == Refusal("throttled", 1)


def test_a_guess_that_finds_the_door_closed_between_two_looks_is_not_counted(guard, clock):
    """Another one was quicker: what is counted then is theirs alone."""
    throttle = Throttle(guard._desk.database, clock=clock)
    for _ in range(FREE):
        buckets = throttle.charge("name", "192.0.2.1").buckets
    before = guard._desk.database.run("SELECT * FROM aweigh_failures ORDER BY bucket")
    assert throttle._count([*buckets, "another"], clock.now) == 1.0
    assert guard._desk.database.run("SELECT * FROM aweigh_failures ORDER BY bucket") == before


def test_codes_are_throttled_as_passwords_are(guard, secret):
    kinds = [guard.sign_in("ana", PASSWORD, f"{at:06}", client="192.0.2.1").kind for at in range(FREE + 1)]
    assert kinds == ["wrong"] * FREE + ["throttled"]


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1%eth0", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix", "unix", True),
    ],
)
def test_a_household_of_ipv6_addresses_counts_as_one(one, other, are_one):
    assert (network_of(one) == network_of(other)) is are_one


def test_a_clock_that_was_set_back_closes_no_door_for_longer(guard, ana, clock):
    fail(guard, "ana", "192.0.2.1", FREE)
    clock.now -= 10 * 86_400
    assert guard.sign_in("ana", PASSWORD, "", client="192.0.2.1").retry_after_s <= LONGEST_S


def test_counts_are_forgotten_and_never_fill_the_table(guard, clock, monkeypatch):
    monkeypatch.setattr("aweigh.guard.throttle.MOST", 50)
    monkeypatch.setattr("aweigh.guard.throttle.SWEEP_EVERY", 10)
    throttle = Throttle(guard._desk.database, clock=clock)
    for at in range(100):
        clock.now += 1
        throttle.charge(f"name {at}", f"192.0.2.{at}")
    ((count,),) = guard._desk.database.run("SELECT count(*) FROM aweigh_failures")
    assert count <= 50 + 3 * 10
    for at in range(40):
        assert throttle.charge("name 99", f"198.51.100.{at}").retry_after_s == 0 or at >= FREE - 1
    ((refused,),) = guard._desk.database.run("SELECT count(*) FROM aweigh_failures")
    assert refused <= count + 3 * FREE, "who has to wait leaves nothing behind"
    clock.now += 2 * 86_400
    for at in range(10):
        throttle.charge(f"later {at}", f"192.0.2.{at}")
    ((count,),) = guard._desk.database.run("SELECT count(*) FROM aweigh_failures")
    assert count <= 3 * 10


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_every_sign_in_is_a_new_session_and_one_is_ended_alone(guard, ana, enter):
    first, first_cookie = enter("ana")
    second, second_cookie = enter("ana")
    assert first.identity.session != second.identity.session
    assert guard.identify(first_cookie, "session") == first.identity
    assert guard.known(first_cookie) == first.identity
    guard.sign_out(first.identity)
    assert guard.known(first_cookie) is not first.identity
    assert guard.identify(first_cookie, "session") is None
    assert guard.known(first_cookie) is None
    assert not guard.is_current(first.identity.session)
    assert guard.identify(second_cookie, "session") == second.identity
    assert guard.is_current(second.identity.session)
    guard.end_session(ana.id, second.identity.session, by=None)
    assert guard.identify(second_cookie, "session") is None


def test_nobody_ends_a_session_of_somebody_else_by_its_id(guard, admin, ana, enter):
    signed_in, cookie = enter("root")
    guard.end_session(ana.id, signed_in.identity.session, by=None)
    assert guard.identify(cookie, "session") is not None


def test_a_session_ends_when_idle_and_in_any_case(guard, ana, enter, clock):
    signed_in, cookie = enter("ana")
    clock.now += 12 * 3600 - 1
    assert guard.identify(cookie, "session") is not None, "and that is a use of it"
    assert guard.person(ana.id).last_seen == clock.now
    clock.now += 12 * 3600 - 1
    assert guard.is_current(signed_in.identity.session)
    clock.now += 1
    assert guard.identify(cookie, "session") is None
    signed_in, cookie = enter("ana")
    for _ in range(13):
        clock.now += 12 * 3600 - 1
        assert guard.identify(cookie, "session") is not None
    clock.now += 12 * 3600
    assert guard.identify(cookie, "session") is None, "seven days are over"
    assert guard.sessions(ana.id) == []


def test_what_stays_open_keeps_a_session_only_when_it_is_used(guard, ana, enter, clock):
    signed_in, _ = enter("ana")
    clock.now += 11 * 3600
    assert guard.is_current(signed_in.identity.session, touch=True)
    clock.now += 11 * 3600
    assert guard.is_current(signed_in.identity.session)
    clock.now += 3600
    assert not guard.is_current(signed_in.identity.session)


def test_one_person_has_so_many_sessions_and_no_more(guard, ana, clock):
    cookies = []
    for _ in range(52):
        clock.now += 1
        cookies.append(guard.sign_in("ana", PASSWORD, "", client="192.0.2.1").cookie.reveal().encode())
    assert len(guard.sessions(ana.id)) == 50
    assert guard.identify(cookies[0], "session") is None
    assert guard.identify(cookies[-1], "session") is not None


def test_signing_out_everywhere_ends_all_but_the_one_that_asks(guard, ana, enter):
    kept, kept_cookie = enter("ana")
    _, cookie = enter("ana")
    guard.sign_out_everywhere(ana.id, by=kept.identity, keep_session=kept.identity.session)
    assert guard.identify(cookie, "session") is None
    assert guard.identify(kept_cookie, "session") is not None
    guard.sign_out_everywhere(ana.id, by=None)
    assert guard.identify(kept_cookie, "session") is None


def test_a_password_is_asked_for_again_at_the_same_price(guard, ana):
    assert guard.confirm(ana.id, PASSWORD, client="192.0.2.1") is None
    assert [guard.confirm(ana.id, "wrong wrong wrong", client="192.0.2.1").kind for _ in range(FREE + 1)] == (
        ["wrong"] * FREE + ["throttled"]
    )


def test_the_real_clock_is_used_where_none_is_given(tmp_path):
    guard = open_guard({}, state_dir=str(tmp_path / "s"))
    assert abs(guard.add_person("x", Role.VIEWER, by=None).created - time.time()) < 60
    guard.close()
