"""Images of PostgreSQL, Valkey and Caddy, of Debian's packages: what starts in them is what the official ones start."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests.conftest import require_tool

SUITE = "trixie"
PACKAGES = "postgresql,valkey-server,gosu,caddy"
START = {"postgres": ["postgres-start"], "valkey": ["valkey-start"], "proxy": []}
"""By what --NAME-image is for: the entry point."""
MAKE_S = 900

POSTGRES = """#!/bin/sh
# In short what the official entry point does: a cluster is made once, then the server runs as postgres.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"; chown -R postgres "$PGDATA" /run/postgresql; chmod 700 "$PGDATA"
  POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); export POSTGRES_PASSWORD
  exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  file=$(mktemp)
  printf %s "$POSTGRES_PASSWORD" > "$file"
  "$bin/initdb" -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=$file $POSTGRES_INITDB_ARGS >/dev/null
  rm "$file"
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  "$bin/pg_ctl" -D "$PGDATA" -o "-c listen_addresses=''" -w start >/dev/null
  "$bin/createdb" -U "$POSTGRES_USER" "$POSTGRES_DB"
  "$bin/pg_ctl" -D "$PGDATA" -m fast -w stop >/dev/null
fi
unset POSTGRES_PASSWORD
exec "$bin/postgres" -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
"""
VALKEY = """#!/bin/sh
set -eu
if [ "$1" = valkey-server ] && [ "$(id -u)" = 0 ]; then chown -R valkey /data; exec gosu valkey "$0" "$@"; fi
exec "$@"
"""


def store_archive() -> Path:
    """The root of a Debian with all three in it, made once on a machine and kept in the user's cache."""
    mmdebstrap = require_tool("mmdebstrap")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aweigh-tests"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{SUITE}-stores-1.tar"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=folder) as made:
                _make(mmdebstrap, Path(made), path)
    return path


def _make(mmdebstrap: str, made: Path, path: Path) -> None:
    root = made / "root"
    words = [mmdebstrap, "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=MAKE_S)
    if done.returncode:
        pytest.fail(f"mmdebstrap makes no {SUITE}: {done.stderr[-1000:]}", pytrace=False)
    (root / "data").mkdir()
    for name, text in (("postgres-start", POSTGRES), ("valkey-start", VALKEY)):
        program = root / "usr" / "local" / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    part = path.with_suffix(".part")
    subprocess.run(["tar", "-cf", str(part), "--exclude=./dev/*", "-C", str(root), "."], check=True, timeout=MAKE_S)
    shutil.rmtree(root)
    part.rename(path)
