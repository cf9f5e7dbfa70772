"""SQL, the same in a file of this machine (SQLite) and in PostgreSQL.

A statement has ``?`` for its arguments. ``run`` is one statement, in a transaction of its own; ``together`` is several
in one. A *part* of the program owns tables and the statements that lead from each version of them to the next.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aweigh.database.part import Part, Run
from aweigh.database.place import postgres_url, private_folder, state_folder
from aweigh.database.postgres import Postgres
from aweigh.database.sqlite import Sqlite

__all__ = ["Database", "Part", "Postgres", "Run", "Sqlite", "open_database", "private_folder", "state_folder"]

Database = Sqlite | Postgres
"""What ``open_database`` opens: both have ``run``, ``together``, ``place`` and ``close``."""


def open_database(environ: Mapping[str, str], *, file: Path, parts: Sequence[Part]) -> Database:
    """The PostgreSQL of ``DATABASE_URL``, or without one the file; nothing is opened before it is first asked.

    Raises:
        ConfigError: ``DATABASE_URL`` is of a database that is neither.
        MissingExtra: it is PostgreSQL, whose packages are not installed.
    """
    url = postgres_url(environ)
    return Sqlite(file, parts=parts) if url is None else Postgres(url, parts=parts)
