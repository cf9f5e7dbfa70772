"""One file, several connections of one process, and other processes that come and go."""

import subprocess
import sys
from contextlib import closing

from aweigh.database.part import Part
from aweigh.database.sqlite import Sqlite

PART = Part("things", (("CREATE TABLE things (name TEXT NOT NULL)",),))
ASK = """
import sys
from pathlib import Path
from aweigh.database.sqlite import Sqlite
database = Sqlite(Path(sys.argv[1]), parts=())
print(database.run("SELECT name FROM things"))
database.close()
"""


def seen_elsewhere(path):
    """What another process finds, which closes the file again."""
    return subprocess.run(
        [sys.executable, "-c", ASK, str(path)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_second_connection_of_the_process_does_not_give_up_the_locks_of_the_first(tmp_path):
    """Else the process that comes and goes removes the log, and what is written from then on is written to nowhere."""
    path = tmp_path / "state" / "things.sqlite"
    with closing(Sqlite(path, parts=(PART,))) as first, closing(Sqlite(path, parts=(PART,))) as second:
        first.run("INSERT INTO things (name) VALUES (?)", ("one",))
        second.run("SELECT name FROM things")
        assert seen_elsewhere(path) == "[('one',)]"
        first.run("INSERT INTO things (name) VALUES (?)", ("two",))
        assert seen_elsewhere(path) == "[('one',), ('two',)]"
        assert second.run("SELECT name FROM things") == [("one",), ("two",)]
