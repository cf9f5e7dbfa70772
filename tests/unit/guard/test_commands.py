"""`aweigh users`, `keys` and `audit-log`, as somebody types them."""

import hashlib
import json
import sqlite3
from contextlib import closing

import pytest

from aweigh.__main__ import main
from aweigh.guard.guard import SignedIn, open_guard
from aweigh.guard.identity import Role

PASSWORD = "otter gravel ninety"


@pytest.fixture
def state(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.setenv("AWEIGH_STATE_DIR", str(tmp_path / "state"))
    return str(tmp_path / "state")


@pytest.fixture
def aweigh(state, capsys):
    def run(*arguments, exit_code=0):
        assert main(list(arguments)) == exit_code
        out, err = capsys.readouterr()
        return out if exit_code == 0 else err

    return run


@pytest.fixture
def aweigh_json(aweigh):
    return lambda *arguments: json.loads(aweigh(*arguments, "--json"))


@pytest.fixture
def guard(state):
    opened = open_guard({}, state_dir=state)
    yield opened
    opened.close()


def test_whoever_is_added_comes_in_by_the_link_that_is_printed(aweigh, guard):
    assert "nobody yet" in aweigh("users", "list")
    told = aweigh("users", "add", "Ana", "--role", "operator", "--url", "https://m.example/")
    link = next(word for word in told.split() if word.startswith("https://m.example/invite/"))
    came = guard.accept_invite(link.rpartition("/")[2], PASSWORD, client="")
    assert isinstance(came, SignedIn)
    assert came.identity.role is Role.OPERATOR
    listed = aweigh("users", "list")
    assert [word for word in ("Ana", "operator", "password") if word not in listed] == []


def test_documents_hold_all_that_a_program_needs(aweigh_json):
    added = aweigh_json("users", "add", "ana", "--role", "admin")
    assert added["invite"].startswith("/invite/")
    assert aweigh_json("users", "add", "oidc@example.org", "--no-invite")["invite"] is None
    people = aweigh_json("users", "list")["people"]
    assert [(one["name"], one["role"], one["password"], one["oidc"]) for one in people] == [
        ("ana", "admin", False, None),
        ("oidc@example.org", "viewer", False, None),
    ]
    made = aweigh_json("keys", "add", "ci", "--owner", "ana", "--no-expiry")
    assert made["secret"].startswith("aw_")
    assert (made["key"]["expires"], made["key"]["scopes"]) == (None, ["predict", "read"])
    (key,) = aweigh_json("keys", "list", "--owner", "ana")["keys"]
    assert (key["owner_name"], "secret" in key) == ("ana", False)
    entries = aweigh_json("audit-log", "show")["entries"]
    assert [one["event"] for one in entries] == ["person.added", "person.invited", "person.added", "key.added"]
    assert made["secret"] not in json.dumps(entries)
    assert aweigh_json("audit-log", "verify") == {"entries": 4, "head": entries[-1]["hash"]}


def test_what_is_done_to_somebody_is_done(aweigh, aweigh_json, guard):
    for name in ("ana", "bob"):
        aweigh("users", "add", name, "--role", "admin")
    bob = guard.person("bob")
    for person in (guard.person("ana"), bob):
        guard.set_password(person.id, PASSWORD, by=None)
    secret, _ = guard.start_totp(bob.id)
    from aweigh.guard import totp

    guard.confirm_totp(bob.id, secret, totp.code_at(secret, int(guard._desk.clock() // 30)))
    assert aweigh_json("users", "reset-totp", "bob")["person"]["totp"] is False
    signed_in = guard.sign_in("bob", PASSWORD, "", client="")
    aweigh("users", "sign-out", "bob")
    assert not guard.is_current(signed_in.identity.session)
    assert aweigh_json("users", "role", "bob", "viewer")["person"]["role"] == "viewer"
    assert "disabled" in aweigh("users", "disable", "BOB")
    assert aweigh_json("users", "enable", bob.id)["person"]["disabled"] is False
    assert "/invite/" in aweigh("users", "invite", "bob", "--hours", "1")
    aweigh("users", "remove", "bob")
    assert "see 'aweigh users list'" in aweigh("users", "invite", "bob", exit_code=2)
    assert "last admin" in aweigh("users", "remove", "ana", exit_code=2)
    events = [one for one in guard.audit_log() if one.event == "person.removed"]
    assert [one.by_name.partition(" ")[2] for one in events] == ["at a terminal"]


def test_keys_are_replaced_and_revoked(aweigh, aweigh_json, guard):
    aweigh("users", "add", "ana", "--role", "predictor")
    key = aweigh_json("keys", "add", "ci", "--owner", "ana", "--scope", "predict")["key"]
    other = aweigh_json("keys", "rotate", key["id"], "--overlap-hours", "0")
    assert guard.identify(other["secret"].encode(), "key").scopes == {"predict"}
    assert "revoked" in aweigh("keys", "revoke", other["key"]["id"])
    assert guard.identify(other["secret"].encode(), "key") is None
    assert "revoked 20" in aweigh("keys", "list")
    assert "its owner's role is predictor" in aweigh(
        "keys", "add", "x", "--owner", "ana", "--scope", "admin", exit_code=2
    )


def userstable(path):
    """The file of the sample that most Streamlit logins are copied from."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE userstable(username TEXT,password TEXT)")
        for name, password in (("ana", "ana's password"), ("bob", "bob")):
            digest = hashlib.sha256(str.encode(password)).hexdigest()
            connection.execute("INSERT INTO userstable(username,password) VALUES (?,?)", (name, digest))
        connection.execute("INSERT INTO userstable(username,password) VALUES ('eve', 'in the clear')")


def as_csv(path):
    digests = {
        name: hashlib.sha256(word.encode()).hexdigest() for name, word in (("ana", "ana's password"), ("bob", "bob"))
    }
    rows = [f"{name},{digest}" for name, digest in digests.items()]
    path.write_text("\ufeffusername,password\n" + "\n".join([*rows, "eve,in the clear"]) + "\n", encoding="utf-8")


@pytest.mark.parametrize("write", [userstable, as_csv])
def test_people_of_a_common_sample_are_taken_over(aweigh_json, aweigh, guard, tmp_path, write):
    write(tmp_path / "data.db")
    before = (tmp_path / "data.db").read_bytes()
    told = aweigh_json("users", "import", str(tmp_path / "data.db"), "--role", "predictor")
    assert [one["name"] for one in told["imported"]] == ["ana", "bob"]
    assert [one["name"] for one in told["left"]] == ["eve"]
    assert isinstance(guard.sign_in("ana", "ana's password", "", client=""), SignedIn)
    assert (tmp_path / "data.db").read_bytes() == before
    assert "Nobody was imported" in aweigh("users", "import", str(tmp_path / "data.db"), exit_code=2)
    assert len(guard.people()) == 2


@pytest.mark.parametrize("content", [b"name,hash\na,b\n", b"\xff\xfe\x00", b"SQLite format 3\x00 and no more"])
def test_a_file_of_another_kind_is_refused(aweigh, tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert aweigh("users", "import", str(tmp_path / "x"), exit_code=2).startswith("error: The file")


def test_a_log_that_was_changed_is_told_of_with_its_own_exit_code(aweigh, aweigh_json, state):
    for name in ("ana", "bob"):
        aweigh("users", "add", name)
    head = aweigh_json("audit-log", "verify")["head"]
    assert "the kept one among them" in aweigh("audit-log", "verify", "--head", head)
    assert "bob" in aweigh("audit-log", "show", "--after", "2", "--limit", "1")
    assert "entry 5" in aweigh("audit-log", "verify", "--head", "0" * 64, exit_code=3)
    assert "no hash" in aweigh("audit-log", "verify", "--head", "x", exit_code=2)
    with closing(sqlite3.connect(f"{state}/guard.sqlite")) as connection, connection:
        connection.execute("UPDATE aweigh_audit SET document = replace(document, 'bob', 'eve')")
    assert "entry 3" in aweigh("audit-log", "verify", exit_code=3)


def test_a_name_cannot_write_on_the_terminal(aweigh, guard):
    guard.audit("x", by=None, what={"text": "\x1b[2Jgone"})
    assert "\x1b" not in aweigh("audit-log", "show")


@pytest.mark.parametrize("group", ["users", "keys", "audit-log"])
def test_a_group_alone_says_what_there_is(aweigh, group):
    assert "Commands:" in aweigh(group)
    assert aweigh(group, "nothing", exit_code=2).startswith("error: No such command")


def test_every_command_below_takes_debug(aweigh):
    aweigh("users", "list", "--debug")
    assert "Traceback" in aweigh("users", "remove", "nobody", "--debug", exit_code=2)


def test_an_empty_head_is_no_head(aweigh):
    assert "no hash" in aweigh("audit-log", "verify", "--head", "", exit_code=2)
