"""A door of the test's own, in a file, with a clock that stands still until it is moved."""

import pytest
from tests.conftest import require_package

from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role

PASSWORD = "otter gravel ninety"
"""Of everybody here."""


@pytest.fixture(autouse=True)
def argon2():
    require_package("argon2", called="argon2-cffi (extra auth)")


class Clock:
    """A clock that stands still."""

    def __init__(self, now=1_800_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def environ():
    return {}


@pytest.fixture
def guard(environ, tmp_path, clock):
    tmp_path.chmod(0o700)
    opened = open_guard(environ, state_dir=str(tmp_path / "state"), clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def admin(guard):
    person = guard.add_person("root", Role.ADMIN, by=None)
    guard.set_password(person.id, PASSWORD, by=None)
    return person


@pytest.fixture
def ana(guard):
    person = guard.add_person("Ana", Role.PREDICTOR, by=None)
    guard.set_password(person.id, PASSWORD, by=None)
    return person


@pytest.fixture
def enter(guard):
    """Sign somebody in who knows the password: the session and its cookie."""

    def sign_in(name, *, client="192.0.2.1", code=""):
        signed_in = guard.sign_in(name, PASSWORD, code, client=client)
        return signed_in, signed_in.cookie.reveal().encode()

    return sign_in
