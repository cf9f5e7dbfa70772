"""A client of the local Heroku of a test, and what types commands at it: for the tests that name these fixtures."""

from functools import partial

import pytest
from tests.heroku.releases import short

from aweigh.targets.heroku.api import open_api

__all__ = ["api", "run"]


@pytest.fixture(scope="module")
def api(heroku):
    found = open_api({"HEROKU_API_KEY": heroku.token}, endpoint=heroku.url, pause=short)
    yield found
    found.close()


@pytest.fixture
def run(heroku, typed):
    """Return a function that types a command: its exit code, and what it printed to both."""
    return partial(typed, HEROKU_API_KEY=heroku.token, AWEIGH_HEROKU_ENDPOINT=heroku.url)
