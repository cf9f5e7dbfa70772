"""Part: tables that one part of the program owns, and how each version of them becomes the next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Run = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs one statement with ``?`` for its arguments; its rows."""

VERSIONS = "CREATE TABLE IF NOT EXISTS aweigh_versions (part TEXT PRIMARY KEY, version INTEGER NOT NULL)"
"""Which version the tables of each part have."""


@dataclass(frozen=True, slots=True)
class Part:
    """A name, and the statements that lead from each version to the next. Never change one: add another."""

    name: str
    migrations: tuple[tuple[str, ...], ...]


def migrate(parts: Sequence[Part], run: Run) -> None:
    """Brings the tables of all parts to their newest version; nobody else must be at it.

    Tables that a newer version of the program made stay as they are.
    """
    run(VERSIONS, ())
    for part in parts:
        found = run("SELECT version FROM aweigh_versions WHERE part = ?", (part.name,))
        version = found[0][0] if found else 0
        for statements in part.migrations[version:]:
            for statement in statements:
                run(statement, ())
        if len(part.migrations) > version:
            run(
                "INSERT INTO aweigh_versions (part, version) VALUES (?, ?) "
                "ON CONFLICT (part) DO UPDATE SET version = excluded.version",
                (part.name, len(part.migrations)),
            )
