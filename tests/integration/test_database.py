"""SQL, the same in a file and in PostgreSQL: versions of tables, all or nothing, and who opens them at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aweigh.database.opening import open_database
from aweigh.database.part import Part
from aweigh.errors import StorageDown

FIRST = ("CREATE TABLE aweigh_test (name TEXT PRIMARY KEY, amount BIGINT NOT NULL)",)
SECOND = (
    "ALTER TABLE aweigh_test ADD COLUMN note TEXT",
    "INSERT INTO aweigh_test (name, amount, note) VALUES ('from the second step', 0, 'x')",
)
BROKEN = ("INSERT INTO aweigh_test (name, amount) VALUES ('half', 1)", "CREATE NONSENSE")


@pytest.fixture(params=["disk", "postgres"])
def opened(request, tmp_path):
    """Open the one database with a part of so many steps."""
    environ = {"DATABASE_URL": request.getfixturevalue("postgres")} if request.param == "postgres" else {}
    kept = []

    def with_steps(*steps, name="test"):
        found = open_database(environ, file=Path(tmp_path / "state" / "x.sqlite"), parts=(Part(name, steps),))
        kept.append(found)
        return found

    yield with_steps
    for statement in ("DROP TABLE IF EXISTS aweigh_test", "DELETE FROM aweigh_versions WHERE part = 'test'"):
        with_steps(name="none").run(statement)
    for one in kept:
        one.close()


def names(database):
    return [name for (name,) in database.run("SELECT name FROM aweigh_test ORDER BY name")]


def test_each_step_is_made_once_and_keeps_what_is_there(opened):
    opened(FIRST).run("INSERT INTO aweigh_test (name, amount) VALUES (?, ?)", ("a", 1))
    for _ in range(2):
        database = opened(FIRST, SECOND)
        assert names(database) == ["a", "from the second step"]
        database.close()
    assert names(opened(FIRST)) == ["a", "from the second step"], "an older program goes on with newer tables"


def test_many_who_open_it_at_once_make_the_tables_once(opened):
    databases = [opened(FIRST, SECOND) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(names, databases)) == [["from the second step"]] * 6


def test_a_step_that_fails_leaves_nothing_of_it(opened):
    assert names(opened(FIRST)) == []
    with pytest.raises(StorageDown):
        names(opened(FIRST, BROKEN))
    assert names(opened(FIRST)) == []
    assert names(opened(FIRST, SECOND)) == ["from the second step"]


def test_statements_together_happen_all_or_not_at_all(opened):
    database = opened(FIRST)
    with pytest.raises(ZeroDivisionError), database.together() as run:
        run("INSERT INTO aweigh_test (name, amount) VALUES (?, ?)", ("a", 1))
        raise ZeroDivisionError
    with pytest.raises(StorageDown), database.together() as run:
        run("INSERT INTO aweigh_test (name, amount) VALUES (?, ?)", ("b", 1))
        run("INSERT INTO aweigh_test (name, amount) VALUES (?, ?)", ("b", 2))
    assert names(database) == []
    with database.together() as run:
        run("INSERT INTO aweigh_test (name, amount) VALUES (?, ?)", ("c", 1))
    assert names(database) == ["c"]


def test_arguments_are_never_read_as_sql(opened):
    database = opened(FIRST)
    odd = ["'; DROP TABLE aweigh_test; --", "%s", "?", "%(x)s", '"', "\\", "日本"]
    for one in odd:
        database.run("INSERT INTO aweigh_test (name, amount) VALUES (?, ?)", (one, 1))
        assert database.run("SELECT amount FROM aweigh_test WHERE name = ?", (one,)) == [(1,)]
    assert sorted(names(database)) == sorted(odd)


def test_changes_under_a_lock_of_a_row_follow_one_another(opened):
    databases = [opened(FIRST) for _ in range(2)]
    databases[0].run("INSERT INTO aweigh_test (name, amount) VALUES ('sum', 0)")

    def add(at):
        for _ in range(25):
            with databases[at % 2].together() as run:
                run("UPDATE aweigh_test SET amount = amount WHERE name = 'sum'", ())
                ((amount,),) = run("SELECT amount FROM aweigh_test WHERE name = 'sum'", ())
                run("UPDATE aweigh_test SET amount = ? WHERE name = 'sum'", (amount + 1,))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert databases[1].run("SELECT amount FROM aweigh_test") == [(100,)]
