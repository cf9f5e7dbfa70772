"""``aweigh migrate``: makes the tables of whatever the environment names, before the servers that use them start."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from aweigh.cli.terminal import Steps
from aweigh.errors import MissingExtra, RemoteError, StorageDown, StorageFull

if TYPE_CHECKING:
    from aweigh.jobs.store import Store
    from aweigh.secret import Secret
    from aweigh.server.settings import Settings

PLACES = {"postgresql": "in PostgreSQL", "sqlite": "in a file of this machine"}


@click.command("migrate")
def migrate() -> None:
    """Make or update the tables of the door and of jobs, where DATABASE_URL or REDIS_URL says, or on this machine.

    For a platform's release phase; with AWEIGH_CANDIDATE set, also those of 'aweigh release'. What is there stays;
    tables that a newer aweigh made are left alone. A Redis has none: it is asked whether it answers.
    """
    from aweigh.server.settings import read_settings

    settings = read_settings(os.environ)
    steps = Steps()
    _door(settings, steps=steps)
    _jobs(settings, steps=steps)
    if settings.candidate is not None:
        _release(settings, steps=steps)
    if settings.redis_url is not None:
        _redis(settings.redis_url, steps=steps)


def _door(settings: "Settings", *, steps: Steps) -> None:
    from aweigh.guard.guard import open_guard

    try:
        guard = open_guard(os.environ, state_dir=settings.state_dir)
    except MissingExtra as error:
        if error.extra != "auth":
            raise
        steps.line("door", "nobody can be asked to sign in here: the extra 'auth' is not installed")
        return
    try:
        with steps.step("door") as step, _reached():
            guard.latest_audit(1)
            step.says(f"people, keys and the audit log are {PLACES[guard.place]}")
    finally:
        guard.close()


def _jobs(settings: "Settings", *, steps: Steps) -> None:
    from aweigh.jobs.store import open_store

    if settings.jobs == "off":
        return
    store = open_store(os.environ, state_dir=settings.state_dir, inline=settings.jobs == "inline")
    try:
        with steps.step("jobs") as step, _reached():
            store.records.known([""])
            step.says(f"jobs are {_place(store)}")
    finally:
        store.close()


def _release(settings: "Settings", *, steps: Steps) -> None:
    from aweigh.server.release.store import open_store

    store = open_store(os.environ, pair="", state_dir=settings.state_dir)
    try:
        with steps.step("release") as step, _reached():
            store.read()
            step.says(f"what becomes of a candidate is {PLACES[store.place]}")
    finally:
        store.close()


def _redis(url: "Secret", *, steps: Steps) -> None:
    from aweigh.database.redis import connect, told

    client = connect(url, extra="redis")
    try:
        with steps.step("redis") as step, _reached(), told():
            client.ping()
            step.says("sessions, budgets and shared answers have a Redis that answers")
    finally:
        client.close()


@contextmanager
def _reached() -> Iterator[None]:
    """What cannot be reached or used is the other side's failure here, and stops a release.

    Raises:
        RemoteError: a store is down, or full.
    """
    try:
        yield
    except (StorageDown, StorageFull) as error:
        raise RemoteError(error.message, hint="is it there, and does the address still hold? then try again") from error


def _place(store: "Store") -> str:
    if store.news_url is None:
        return "on this machine"
    return "in PostgreSQL" if store.news_url.reveal().startswith("postgres") else "in Redis"
