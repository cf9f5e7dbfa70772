"""Which database: the PostgreSQL that the environment names, or a file of this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aweigh.database.part import Part
from aweigh.database.place import postgres_url
from aweigh.database.postgres import Postgres
from aweigh.database.sqlite import Sqlite

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
