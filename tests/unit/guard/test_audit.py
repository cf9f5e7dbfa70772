"""The audit log: what is in it, that every kind of edit is found, and that no crowd floods it."""

import sqlite3
from contextlib import closing

import msgspec
import pytest

from aweigh.errors import DamagedLog, StorageDown
from aweigh.guard.audit import FACTS, LOOSE_PER_MINUTE, TEXT_CHARACTERS
from aweigh.guard.identity import Role

PASSWORD = "otter gravel ninety"


@pytest.fixture
def written(guard, admin, ana, enter):
    signed_in, _ = enter("root", client="192.0.2.7")
    guard.set_role(ana.id, Role.OPERATOR, by=signed_in.identity)
    guard.audit("model.loaded", by=signed_in.identity, what={"model": "penguins"})
    guard.sign_out(signed_in.identity)
    return guard


@pytest.fixture
def edit(tmp_path):
    """Change the file behind the program's back."""

    def run(*statements):
        with closing(sqlite3.connect(tmp_path / "state/guard.sqlite")) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return run


def test_every_change_is_an_entry_with_who_did_it(written, ana):
    told = [(one.event, one.by_name, one.client) for one in written.audit_log()]
    assert told == [
        ("person.added", "", ""),
        ("person.password", "", ""),
        ("person.added", "", ""),
        ("person.password", "", ""),
        ("session.begun", "root", "192.0.2.7"),
        ("person.role", "root", ""),
        ("model.loaded", "root", ""),
        ("session.ended", "root", ""),
    ]
    assert dict(written.audit_log(after=5, limit=1)[0].what) == {
        "person": ana.id,
        "name": "Ana",
        "was": "predictor",
        "role": "operator",
    }
    assert [one.number for one in written.latest_audit(2)] == [8, 7]
    assert written.audit_log()[0].at == "2027-01-15T08:00:00.000000+00:00"


def test_a_change_that_failed_is_no_entry_and_an_entry_that_failed_no_change(written, edit):
    before = len(written.audit_log())
    with pytest.raises(Exception, match="last admin"):
        written.remove_person(written.person("root").id, by=None)
    assert len(written.audit_log()) == before
    edit("DELETE FROM aweigh_audit_head")
    with pytest.raises(StorageDown, match="audit log"):
        written.add_person("unlogged", Role.ADMIN, by=None)
    assert written.person("unlogged") is None


def test_a_log_that_nobody_touched_is_whole_from_the_first_entry_on(guard, written):
    verdict = guard.verify_audit_log()
    assert (verdict.entries, verdict.first_bad, verdict.head) == (8, None, guard.audit_log()[-1].hash)
    for entry in guard.audit_log():
        assert guard.verify_audit_log(head=entry.hash).first_bad is None
    assert guard.verify_audit_log(head="0" * 64).first_bad == 9


def test_an_empty_log_is_whole(guard):
    assert (guard.verify_audit_log().entries, guard.verify_audit_log().first_bad) == (0, None)
    assert guard.verify_audit_log(head="a" * 64).first_bad == 1


SWAP = (
    "UPDATE aweigh_audit SET number = -1 WHERE number = 3",
    "UPDATE aweigh_audit SET number = 3 WHERE number = 4",
    "UPDATE aweigh_audit SET number = 4 WHERE number = -1",
)
EDITS = {
    "text": ("UPDATE aweigh_audit SET document = replace(document, 'operator', 'viewer') WHERE number = 6",),
    "who": ("UPDATE aweigh_audit SET document = replace(document, 'root', 'rood') WHERE number = 7",),
    "a space": ("UPDATE aweigh_audit SET document = document || ' ' WHERE number = 5",),
    "hash": ("UPDATE aweigh_audit SET hash = 'a' || substr(hash, 2) WHERE number = 2 AND substr(hash, 1, 1) <> 'a'",
             "UPDATE aweigh_audit SET hash = 'b' || substr(hash, 2) WHERE number = 3"),
    "first removed": ("DELETE FROM aweigh_audit WHERE number = 1",),
    "middle removed": ("DELETE FROM aweigh_audit WHERE number = 4",),
    "middle removed and renumbered": (
        "DELETE FROM aweigh_audit WHERE number = 4", "UPDATE aweigh_audit SET number = -number WHERE number > 4",
        "UPDATE aweigh_audit SET number = -number - 1 WHERE number < 0"),
    "swapped": SWAP,
    "doubled": ("INSERT INTO aweigh_audit SELECT 9, document, hash FROM aweigh_audit WHERE number = 8",),
    "before the first": ("INSERT INTO aweigh_audit SELECT 0, document, hash FROM aweigh_audit WHERE number = 1",),
    "tail cut": ("DELETE FROM aweigh_audit WHERE number > 6",),
    "tail cut, its record kept up": (
        "DELETE FROM aweigh_audit WHERE number > 6",
        "UPDATE aweigh_audit_head SET number = 6, hash = 'f'"),
    "all removed": ("DELETE FROM aweigh_audit",),
    "the record of the end set back": ("UPDATE aweigh_audit_head SET number = 3",),
    "the record of the end removed": ("DELETE FROM aweigh_audit_head",),
    "last changed": ("UPDATE aweigh_audit SET document = replace(document, 'ended', 'begun') WHERE number = 8",),
}  # fmt: skip


@pytest.mark.parametrize("kind", EDITS)
def test_every_kind_of_edit_is_found(written, edit, kind):
    assert written.verify_audit_log().first_bad is None
    edit(*EDITS[kind])
    verdict = written.verify_audit_log()
    assert verdict.first_bad is not None
    assert verdict.reason


@pytest.mark.parametrize("document", ["{}", "[]", "no JSON", '{"number":3,"x":1}'])
def test_an_entry_beyond_recognition_is_told_of(written, edit, document):
    edit(f"UPDATE aweigh_audit SET document = '{document}' WHERE number = 3")
    for read in (written.audit_log, written.latest_audit):
        with pytest.raises(DamagedLog):
            read()
    assert written.verify_audit_log().first_bad == 3


def test_where_it_begins_is_told(written, edit):
    edit(*EDITS["text"])
    assert (written.verify_audit_log().entries, written.verify_audit_log().first_bad) == (5, 6)


def rewritten(written, edit, *, upto):
    """What somebody does who knows how the hashes are made: a chain that is whole, with another content."""
    from aweigh.guard.audit import START, _hash

    before, statements = START, []
    for entry in written.audit_log(limit=upto):
        ((document,),) = written._desk.database.run(
            "SELECT document FROM aweigh_audit WHERE number = ?", (entry.number,)
        )
        document = document.replace("operator", "predictor")
        before = _hash(before, document)
        statements.append(
            f"UPDATE aweigh_audit SET document = '{document}', hash = '{before}' WHERE number = {entry.number}"
        )
    edit(
        *statements,
        f"DELETE FROM aweigh_audit WHERE number > {upto}",
        f"UPDATE aweigh_audit_head SET number = {upto}, hash = '{before}'",
    )


@pytest.mark.parametrize("upto", [8, 5])
def test_a_chain_made_anew_or_cut_with_its_record_is_found_by_a_head_that_was_kept(written, edit, upto):
    head = written.verify_audit_log().head
    rewritten(written, edit, upto=upto)
    assert written.verify_audit_log().first_bad is None, "nothing within the database can tell"
    assert written.verify_audit_log(head=head).first_bad is not None


def test_a_crowd_that_is_not_signed_in_does_not_flood_it_and_is_counted(guard, clock):
    for at in range(LOOSE_PER_MINUTE + 40):
        guard.audit("request.refused", by=None, what={"at": str(at)}, client="192.0.2.1")
    assert len(guard.audit_log()) == LOOSE_PER_MINUTE
    clock.now += 60
    guard.audit("request.refused", by=None, client="192.0.2.1")
    assert dict(guard.audit_log()[-1].what) == {"left_out": "40"}
    guard.audit("server.started", by=None)
    assert guard.audit_log()[-1].event == "server.started"


def test_what_is_told_is_bounded_and_survives_any_text(guard):
    odd = {"nul": "a\0b", "half": "\ud800", "long": "x" * 10_000, "quote": "\"\\'\n", "script": "<script>", "é": "日本"}
    guard.audit("x" * 1000, by=None, what=odd | {f"key {at}": "v" for at in range(100)})
    (entry,) = guard.audit_log()
    assert len(entry.what) == FACTS
    assert len(entry.what["long"]) == len(entry.event) == TEXT_CHARACTERS
    assert entry.what["nul"] == "a\ufffdb"
    assert entry.what["é"] == "日本"
    assert guard.verify_audit_log().first_bad is None
    msgspec.json.encode(entry)


def test_a_long_log_is_read_in_pages(guard, monkeypatch):
    monkeypatch.setattr("aweigh.guard.audit.PAGE", 3)
    for at in range(10):
        guard.audit("event", by=None, what={"at": str(at)})
        assert guard.verify_audit_log().entries == at + 1
