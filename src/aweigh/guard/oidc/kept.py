"""What sign-in with a provider keeps: the key that seals what is under way, and which sign-ins were used.

All servers of one database have the same key, so a browser that began at one may come back to another.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path

from aweigh.database.opening import Database, open_database
from aweigh.database.part import Part
from aweigh.database.place import state_folder

FILE = "oidc.sqlite"
PART = Part(
    "oidc",
    (
        (
            "CREATE TABLE oidc_keys (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
            "CREATE TABLE oidc_used (state TEXT PRIMARY KEY, until BIGINT NOT NULL)",
        ),
    ),
)
_NAME = "sign-in"
_KEY_BYTES = 32


class KeptSignIns:
    """One database's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def key(self) -> bytes:
        """The key: made by whichever server asks first.

        Raises:
            StorageDown: the database cannot be used.
        """
        made = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        with self._database.together() as run:
            run("INSERT INTO oidc_keys (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (_NAME, made))
            found = run("SELECT value FROM oidc_keys WHERE name = ?", (_NAME,))
        return base64.b64decode(found[0][0])

    def use(self, state: str, *, now: float, until: float) -> bool:
        """Whether nobody has used this sign-in before; after it somebody has. It is remembered until that time.

        Raises:
            StorageDown: the database cannot be used.
        """
        digest = hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()
        with self._database.together() as run:
            run("DELETE FROM oidc_used WHERE until < ?", (int(now),))
            found = run(
                "INSERT INTO oidc_used (state, until) VALUES (?, ?) ON CONFLICT (state) DO NOTHING RETURNING state",
                (digest, int(until) + 1),
            )
        return bool(found)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


def open_kept(environ: Mapping[str, str], *, state_dir: str | None) -> KeptSignIns:
    """The database that people are kept in, or the file of this machine; nothing is opened before it is first asked."""
    file = state_folder(environ, named=state_dir) / Path(FILE)
    return KeptSignIns(open_database(environ, file=file, parts=(PART,)))
