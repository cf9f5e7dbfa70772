"""The stand-in for a cluster, how somebody reaches it, and a client of it: for the tests that name these fixtures."""

import pytest
from tests.kubernetes.stand_in import connection_to, standing_in

from aweigh.targets.kubernetes.client import open_client

__all__ = ["api", "client", "connection"]


@pytest.fixture
def api():
    with standing_in() as found:
        yield found


@pytest.fixture
def connection(api):
    return connection_to(api)


@pytest.fixture
def client(connection):
    with open_client(connection, pause=lambda _: None) as found:
        yield found
