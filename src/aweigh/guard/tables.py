"""The tables of the door, the same in SQLite and in PostgreSQL.

No secret is in them but digests and, of necessity, the secrets of authenticator apps, which have to be computed with.
"""

from aweigh.database.part import Part

GUARD = Part(
    "guard",
    (
        (
            (
                "CREATE TABLE aweigh_people (id TEXT PRIMARY KEY, name TEXT NOT NULL, same TEXT NOT NULL UNIQUE, "
                "role INTEGER NOT NULL, disabled INTEGER NOT NULL, password TEXT, legacy INTEGER NOT NULL, totp TEXT, "
                "counter BIGINT NOT NULL, issuer TEXT, subject TEXT, epoch BIGINT NOT NULL, "
                "created DOUBLE PRECISION NOT NULL, seen DOUBLE PRECISION, UNIQUE (issuer, subject))"
            ),
            "CREATE TABLE aweigh_recovery (digest TEXT PRIMARY KEY, person TEXT NOT NULL)",
            (
                "CREATE TABLE aweigh_invites (digest TEXT PRIMARY KEY, person TEXT NOT NULL, "
                "expires DOUBLE PRECISION NOT NULL)"
            ),
            (
                "CREATE TABLE aweigh_sessions (digest TEXT PRIMARY KEY, person TEXT NOT NULL, epoch BIGINT NOT NULL, "
                "created DOUBLE PRECISION NOT NULL, seen DOUBLE PRECISION NOT NULL, client TEXT NOT NULL)"
            ),
            "CREATE INDEX aweigh_sessions_person ON aweigh_sessions (person)",
            (
                "CREATE TABLE aweigh_keys (id TEXT PRIMARY KEY, owner TEXT NOT NULL, label TEXT NOT NULL, "
                "scopes TEXT NOT NULL, digest TEXT NOT NULL, created DOUBLE PRECISION NOT NULL, "
                "expires DOUBLE PRECISION, revoked DOUBLE PRECISION, used DOUBLE PRECISION)"
            ),
            "CREATE INDEX aweigh_keys_owner ON aweigh_keys (owner)",
            "CREATE TABLE aweigh_audit (number BIGINT PRIMARY KEY, document TEXT NOT NULL, hash TEXT NOT NULL)",
            "CREATE TABLE aweigh_audit_head (name TEXT PRIMARY KEY, number BIGINT NOT NULL, hash TEXT NOT NULL)",
            "INSERT INTO aweigh_audit_head (name, number, hash) VALUES ('head', 0, '')",
            (
                "CREATE TABLE aweigh_failures (bucket TEXT PRIMARY KEY, failures INTEGER NOT NULL, "
                "closed DOUBLE PRECISION NOT NULL, latest DOUBLE PRECISION NOT NULL)"
            ),
            "CREATE INDEX aweigh_failures_latest ON aweigh_failures (latest)",
            "CREATE TABLE aweigh_known (pair TEXT PRIMARY KEY, name TEXT NOT NULL, seen DOUBLE PRECISION NOT NULL)",
            "CREATE INDEX aweigh_known_name ON aweigh_known (name, seen)",
            "CREATE TABLE aweigh_spent (bucket TEXT PRIMARY KEY, amount BIGINT NOT NULL, expires DOUBLE PRECISION)",
        ),
    ),
)
"""Never change a step: add another."""
