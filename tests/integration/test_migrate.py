"""`aweigh migrate`: the tables are there before the first server is, wherever the environment says."""

import os
import subprocess
import sys

import pytest


def migrate(tmp_path, **environ):
    keep = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    return subprocess.run(
        [sys.executable, "-m", "aweigh", "migrate"],
        env=keep | {"AWEIGH_STATE_DIR": str(tmp_path / "state")} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def lines(done):
    assert done.returncode == 0, done.stderr
    return [line.split(maxsplit=1) for line in done.stdout.splitlines()]


def test_in_postgresql_the_tables_are_there_afterwards_and_again(tmp_path, postgres):
    import psycopg

    for _ in range(2):
        told = lines(migrate(tmp_path, DATABASE_URL=postgres))
        assert [name for name, _ in told] == ["door", "jobs"]
        assert "in PostgreSQL" in told[0][1]
        assert "jobs are in PostgreSQL" in told[1][1]
    with psycopg.connect(postgres) as connection:
        found = dict(connection.execute("SELECT part, version FROM aweigh_versions").fetchall())
    assert {"guard", "jobs", "files"} <= found.keys()
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
def test_with_a_redis_both_are_asked(tmp_path, postgres, valkey):
    told = lines(migrate(tmp_path, DATABASE_URL=postgres, REDIS_URL=valkey.url))
    assert [name for name, _ in told] == ["door", "jobs", "redis"]
    told = lines(migrate(tmp_path, REDIS_URL=valkey.url))
    assert "jobs are in Redis" in told[1][1]


def test_without_a_name_it_is_this_machine(tmp_path):
    told = lines(migrate(tmp_path))
    assert "a file of this machine" in told[0][1]
    assert told[1][1].startswith("jobs are on this machine")
    assert {path.name for path in (tmp_path / "state").iterdir()} >= {"guard.sqlite", "jobs.sqlite"}


@pytest.mark.parametrize(
    "environ",
    [
        {"DATABASE_URL": "postgres://someone:hidden@127.0.0.1:9/db"},
        {"REDIS_URL": "redis://:hidden@127.0.0.1:9/0"},
    ],
    ids=["postgresql", "redis"],
)
def test_what_cannot_be_reached_stops_a_release(tmp_path, environ):
    done = migrate(tmp_path, **environ)
    assert done.returncode == 4
    assert "cannot be reached" in done.stderr
    assert len(done.stderr.splitlines()) <= 4
    assert "hidden" not in done.stdout + done.stderr


@pytest.mark.parametrize("url", ["mysql://x", "postgres://", "nonsense"])
def test_an_address_that_is_none_is_a_matter_of_settings(tmp_path, url):
    done = migrate(tmp_path, DATABASE_URL=url)
    assert done.returncode in {2, 4}
    assert done.stderr.startswith("error: ")
