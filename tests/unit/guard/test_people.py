"""People: names, roles, invites, who may be removed; and what a database holds of all this."""

import sqlite3
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from aweigh.errors import ConfigError, StorageDown, StorageFull, UsageError
from aweigh.guard.guard import Refusal, SignedIn, open_guard
from aweigh.guard.identity import NOBODY, SCOPES_OF, Role, role_within
from aweigh.guard.names import readable, same

PASSWORD = "otter gravel ninety"


@pytest.mark.parametrize(
    "name",
    ["", " ", "\t", "a\nb", "a\0b", "a\x1bb", "a\u202eb", "a\u200bb", "a\u2066b", "a\u00adb", "\ufeffa",
     "\ud800", "a\u2028b",
     "\ue000", "p_0123456789abcdef", "x" * 129, "\ufdfa" * 8],
)  # fmt: skip
def test_what_hides_reorders_or_is_too_long_is_no_name(guard, name):
    with pytest.raises(UsageError, match="no name"):
        guard.add_person(name, Role.VIEWER, by=None)


@pytest.mark.parametrize(
    "name", ["Ana", "ana@example.com", "Ærøskøbing", "山田 太郎", "José", "Ωmega", "x" * 128, "🦉"]
)
def test_names_of_any_script_are_names(guard, name):
    assert guard.add_person(name, Role.VIEWER, by=None).name == name
    assert guard.person(name).name == name


@pytest.mark.parametrize(
    ("one", "other"), [("Ana", "ANA"), ("José", "Jose\u0301"), ("ﬁn", "fin"), ("Straße", "STRASSE"), ("Ana", " Ana ")]
)
def test_names_that_read_alike_are_one(guard, one, other):
    guard.add_person(one, Role.VIEWER, by=None)
    with pytest.raises(UsageError, match="that name already"):
        guard.add_person(other, Role.ADMIN, by=None)
    assert same(readable(one)) == same(readable(other))


def test_two_who_add_one_name_at_once_make_one_person(guard):
    def add(_):
        try:
            return guard.add_person("twin", Role.VIEWER, by=None)
        except UsageError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [one for one in pool.map(add, range(16)) if one is not None]
    assert len(made) == len(guard.people()) == 1


def test_each_role_may_do_all_that_the_one_below_it_may():
    scopes = [SCOPES_OF[role] for role in sorted(Role)]
    assert all(one < other for one, other in pairwise(scopes))
    assert "admin" not in NOBODY.scopes
    assert [role_within(frozenset(one)) for one in ({"predict"}, {"read", "predict"}, SCOPES_OF[Role.ADMIN])] == [
        Role.PREDICTOR,  # told no more than a predictor is
        Role.PREDICTOR,
        Role.ADMIN,
    ]


@pytest.mark.parametrize("change", ["remove", "disable", "demote"])
def test_the_last_admin_stays(guard, admin, change):
    do = {
        "remove": lambda: guard.remove_person(admin.id, by=None),
        "disable": lambda: guard.set_disabled(admin.id, True, by=None),
        "demote": lambda: guard.set_role(admin.id, Role.OPERATOR, by=None),
    }[change]
    other = guard.add_person("other", Role.ADMIN, by=None)
    guard.set_disabled(other.id, True, by=None)
    with pytest.raises(UsageError, match="last admin"):
        do()
    guard.set_disabled(other.id, False, by=None)
    with pytest.raises(UsageError, match="have not come yet"):
        do()  # who has only been invited could not take over
    guard.set_password(other.id, PASSWORD, by=None)
    do()
    assert guard.person("other").role is Role.ADMIN


def test_two_admins_who_demote_each_other_at_once_leave_one(guard):
    pair = [guard.add_person(name, Role.ADMIN, by=None) for name in ("a", "b")]

    def demote(person):
        try:
            guard.set_role(person.id, Role.VIEWER, by=None)
        except UsageError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(demote, pair)) == [False, True]


def test_a_new_role_holds_at_once_and_ends_the_old_sessions(guard, admin, ana, enter):
    _, cookie = enter("ana")
    assert guard.identify(cookie, "session").scopes == SCOPES_OF[Role.PREDICTOR]
    guard.set_role(ana.id, Role.VIEWER, by=None)
    assert guard.known(cookie) is not None  # not remembered any more
    assert guard.identify(cookie, "session") is None
    _, cookie = enter("ana")
    assert guard.identify(cookie, "session").scopes == SCOPES_OF[Role.VIEWER]


def test_who_is_removed_is_gone_with_sessions_and_keys(guard, admin, ana, enter):
    signed_in, cookie = enter("ana")
    _, key = guard.add_key(ana, "ci", ["predict"], by=signed_in.identity)
    assert guard.identify(key.reveal().encode(), "key") is not None
    guard.remove_person(ana.id, by=None)
    assert guard.identify(cookie, "session") is None
    assert guard.identify(key.reveal().encode(), "key") is None
    assert guard.keys() == []
    assert guard.person("ana") is None


# -- invites ----------------------------------------------------------------------------------------------------------


def test_an_invite_is_good_once(guard, ana):
    token = guard.invite(ana.id, by=None)
    assert guard.invited(token).id == ana.id
    with ThreadPoolExecutor(4) as pool:
        came = list(pool.map(lambda i: guard.accept_invite(token, f"walrus {i} lantern", client=""), range(4)))
    assert sorted(type(one).__name__ for one in came) == ["Refusal"] * 3 + ["SignedIn"]
    assert guard.invited(token) is None
    assert guard.accept_invite(token, "walrus 9 lantern", client="") == Refusal("wrong")


def test_an_invite_runs_out_and_a_bad_password_does_not_use_it_up(guard, ana, clock):
    token = guard.invite(ana.id, by=None, hours=2)
    with pytest.raises(UsageError):
        guard.accept_invite(token, "password1234", client="")
    clock.now += 2 * 3600 - 1
    assert guard.invited(token) is not None
    clock.now += 1
    assert guard.invited(token) is None
    assert guard.accept_invite(token, "walrus lantern", client="") == Refusal("wrong")


def test_an_invite_of_somebody_who_is_disabled_opens_nothing(guard, admin, ana):
    token = guard.invite(ana.id, by=None)
    guard.set_disabled(ana.id, True, by=None)
    assert guard.accept_invite(token, "walrus lantern", client="") == Refusal("wrong")
    guard.set_disabled(ana.id, False, by=None)
    assert guard.invited(token) is None
    guard.set_disabled(ana.id, True, by=None)
    with pytest.raises(UsageError, match="disabled"):
        guard.invite(ana.id, by=None)


def test_a_new_password_ends_invites_and_other_sessions(guard, ana, enter):
    kept, kept_cookie = enter("ana")
    _, other_cookie = enter("ana")
    token = guard.invite(ana.id, by=None)
    guard.set_password(ana.id, "walrus lantern", by=None, keep_session=kept.identity.session)
    assert guard.invited(token) is None
    assert guard.identify(other_cookie, "session") is None
    assert guard.identify(kept_cookie, "session") is not None
    assert [one.id for one in guard.sessions(ana.id)] == [kept.identity.session]


def test_the_first_run_makes_one_admin_whoever_starts_at_once(environ, tmp_path, clock, guard):
    guards = [open_guard(environ, state_dir=str(tmp_path / "state"), clock=clock) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        tokens = [one for one in pool.map(lambda one: one.first_run(), guards) if one is not None]
    assert len(tokens) == 1
    assert [(one.name, one.role) for one in guard.people()] == [("admin", Role.ADMIN)]
    assert isinstance(guard.accept_invite(tokens[0], PASSWORD, client=""), SignedIn)
    assert guard.first_run() is None
    for one in guards:
        one.close()


def test_the_first_admins_invite_is_given_again_when_it_ran_out_unused(guard, clock):
    first = guard.first_run()
    assert guard.first_run() is None
    clock.now += 25 * 3600
    again = guard.first_run()
    assert guard.invited(first) is None
    assert guard.invited(again).name == "admin"
    assert len(guard.people()) == 1


def test_nobody_is_made_admin_where_somebody_is_known(guard):
    guard.add_person("viewer", Role.VIEWER, by=None)
    guard.set_disabled(guard.person("viewer").id, True, by=None)
    assert guard.first_run() is None


# -- providers --------------------------------------------------------------------------------------------------------

ISSUER = "https://id.example.org"


def test_who_a_provider_vouches_for_is_known_by_its_subject_and_not_by_name(guard):
    first = guard.sign_in_oidc(ISSUER, "s1", "ana@example.org", True, role=Role.VIEWER, client="")
    again = guard.sign_in_oidc(ISSUER, "s1", "other@example.org", True, role=None, client="")
    assert first.identity.id == again.identity.id
    assert guard.sign_in_oidc(ISSUER, "s2", "ana@example.org", True, role=Role.ADMIN, client="") == Refusal("wrong")
    assert guard.sign_in_oidc("https://evil.example", "s1", "ana@example.org", True, role=Role.ADMIN, client="") == (
        Refusal("wrong")
    )
    assert [one.name for one in guard.people()] == ["ana@example.org"]


def test_a_provider_cannot_take_over_somebody_with_a_password(guard, admin):
    assert guard.sign_in_oidc(ISSUER, "s1", "root", True, role=Role.VIEWER, client="") == Refusal("wrong")
    assert guard.person("root").role is Role.ADMIN
    assert guard.person("root").oidc is None


def test_who_was_added_beforehand_is_met_by_a_verified_address_only(guard):
    person = guard.add_person("ana@example.org", Role.OPERATOR, by=None)
    assert guard.sign_in_oidc(ISSUER, "s1", "ana@example.org", False, role=None, client="") == Refusal("wrong")
    came = guard.sign_in_oidc(ISSUER, "s1", "Ana@example.org", True, role=None, client="")
    assert (came.identity.id, came.identity.role) == (person.id, Role.OPERATOR)
    assert guard.person(person.id).oidc == (ISSUER, "s1")


def test_nobody_new_comes_in_without_a_role_and_nobody_disabled_at_all(guard, admin):
    assert guard.sign_in_oidc(ISSUER, "s1", "new", True, role=None, client="") == Refusal("wrong")
    assert guard.person("new") is None
    came = guard.sign_in_oidc(ISSUER, "s1", "new", True, role=Role.VIEWER, client="")
    guard.set_disabled(came.identity.id, True, by=None)
    assert guard.sign_in_oidc(ISSUER, "s1", "new", True, role=Role.VIEWER, client="") == Refusal("wrong")


def test_the_providers_role_holds_but_does_not_demote_the_last_admin(guard):
    came = guard.sign_in_oidc(ISSUER, "s1", "ana", role=Role.ADMIN, client="")
    assert guard.sign_in_oidc(ISSUER, "s1", "ana", role=Role.VIEWER, client="").identity.role is Role.ADMIN
    other = guard.add_person("other", Role.ADMIN, by=None)
    assert guard.sign_in_oidc(ISSUER, "s1", "ana", role=Role.VIEWER, client="").identity.role is Role.ADMIN
    guard.set_password(other.id, PASSWORD, by=None)
    came = guard.sign_in_oidc(ISSUER, "s1", "ana", role=Role.VIEWER, client="")
    assert came.identity.role is Role.VIEWER
    assert guard.identify(came.cookie.reveal().encode(), "session").role is Role.VIEWER


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_no_secret_is_in_the_database_and_nobody_else_may_read_it(guard, ana, enter, tmp_path):
    signed_in, cookie = enter("ana")
    token = guard.invite(ana.id, by=None)
    _, key = guard.add_key(ana, "ci", ["predict"], by=signed_in.identity)
    held = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    for secret in (PASSWORD.encode(), cookie, token.encode(), key.reveal().encode(), key.reveal()[16:59].encode()):
        assert secret not in held
    for path in (tmp_path / "state", *(tmp_path / "state").iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


def test_nothing_prints_a_secret(guard, ana, enter):
    signed_in, cookie = enter("ana")
    _, key = guard.add_key(ana, "ci", ["predict"], by=signed_in.identity)
    shown = f"{signed_in!r} {signed_in} {guard.keys()!r} {key} {guard.person('ana')!r} {guard.audit_log()!r}"
    assert cookie.decode() not in shown
    assert key.reveal() not in shown
    assert "argon2" not in shown


def test_another_kind_of_database_is_refused_and_a_broken_file_is_told_of(tmp_path):
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        open_guard({"DATABASE_URL": "mysql://user:hunter2@host/x"})
    (tmp_path / "guard.sqlite").write_bytes(b"no database at all" * 100)
    tmp_path.chmod(0o700)
    with pytest.raises(StorageDown):
        open_guard({}, state_dir=str(tmp_path)).people()


def test_an_address_that_cannot_be_read_is_told_without_its_password():
    for environ in (
        {"DATABASE_URL": "postgresql://user:hunter2%zz@host/x"},
        {"REDIS_URL": "redis://:hunter2@host:hunter2/0"},
        {"REDIS_URL": "hunter2"},
    ):
        with pytest.raises(ConfigError) as caught:
            open_guard(environ)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value, chain=True))


def test_a_file_that_was_copied_here_is_closed_to_others(guard, ana, tmp_path, environ):
    (tmp_path / "state/guard.sqlite").chmod(0o644)
    again = open_guard(environ, state_dir=str(tmp_path / "state"))
    assert again.person("ana") is not None
    assert (tmp_path / "state/guard.sqlite").stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_folder_that_others_write_to_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="others may write"):
        open_guard({}, state_dir=str(tmp_path)).people()


def test_a_full_disk_is_told_as_such(guard, ana):
    run = guard._desk.database.run
    ((pages,),) = run("PRAGMA page_count")
    run(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFull):
        for at in range(500):
            guard.add_person(f"person {at}", Role.VIEWER, by=None)


def test_tables_of_a_newer_version_are_left_alone(guard, ana, tmp_path, environ):
    with sqlite3.connect(tmp_path / "state/guard.sqlite") as other:
        other.execute("UPDATE aweigh_versions SET version = 99 WHERE part = 'guard'")
    other.close()
    again = open_guard(environ, state_dir=str(tmp_path / "state"))
    assert again.person("ana").id == ana.id
    again.close()
    with sqlite3.connect(tmp_path / "state/guard.sqlite") as other:
        assert other.execute("SELECT version FROM aweigh_versions").fetchall() == [(99,)]
    other.close()
