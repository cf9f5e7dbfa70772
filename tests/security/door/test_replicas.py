"""Two real servers on one PostgreSQL and one Valkey, asked in turn as a proxy would: they behave as one."""

import itertools
import time

import httpx
import pytest
from tests.integration.conftest import postgres, start_server, valkey

from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role

__all__ = ["postgres", "start_server", "valkey"]

PASSWORD = "otter gravel ninety"
HOST = "models.example.org"
FRESH_S = 5.0


@pytest.fixture(scope="module")
def environ(postgres, valkey):
    return {
        "DATABASE_URL": postgres,
        "REDIS_URL": valkey.url,
        "AWEIGH_HOSTS": HOST,
        "AWEIGH_ROWS_PER_DAY": "1000",
        "AWEIGH_JOBS": "off",
    }


@pytest.fixture(scope="module")
def replicas(start_server, penguins, environ):
    return [start_server(penguins.path, "--no-ui", "--auth", "password", env=environ) for _ in range(2)]


@pytest.fixture(scope="module")
def guard(environ, replicas):
    opened = open_guard(environ)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def ana(guard):
    person = guard.add_person("ana", Role.PREDICTOR, by=None)
    guard.set_password(person.id, PASSWORD, by=None)
    return person


class RoundRobin(httpx.BaseTransport):
    """A proxy in front of several servers: the next request goes to the next one, under one name."""

    def __init__(self, servers):
        self.there = [(httpx.HTTPTransport(), httpx.URL(one.url)) for one in servers]
        self.turn = itertools.cycle(self.there)

    def handle_request(self, request):
        transport, url = next(self.turn)
        there = request.url.copy_with(scheme=url.scheme, host=url.host, port=url.port)
        sent = httpx.Request(request.method, there, headers=request.headers, content=request.read())
        return transport.handle_request(sent)

    def close(self):
        for transport, _ in self.there:
            transport.close()


def client_of(replicas, **headers):
    return httpx.Client(transport=RoundRobin(replicas), base_url=f"http://{HOST}", headers=headers, timeout=20)


def sign_in(client, name="ana"):
    answer = client.post("/login", data={"name": name, "password": PASSWORD, "next": "/v1/me"})
    assert answer.status_code == 303, answer.text


def statuses(client, path, *, times=6):
    return {client.get(path).status_code for _ in range(times)}


def test_the_first_run_of_two_made_one_administrator(replicas, guard):
    links = [line for server in replicas if server.url for line in server.told if "/invite/" in line]
    assert len(links) == 1
    assert [one.name for one in guard.people() if one.role is Role.ADMIN] == ["admin"]


def test_who_signs_in_at_one_is_in_at_both_until_signing_out_at_either(replicas, ana):
    with client_of(replicas) as client:
        assert statuses(client, "/v1/me") == {401}
        sign_in(client)
        assert statuses(client, "/v1/me") == {200}
        cookie = dict(client.cookies)
        assert client.post("/logout").status_code == 303
        client.cookies.update(cookie)
        end = time.monotonic() + FRESH_S + 2
        while statuses(client, "/v1/me") != {401}:
            assert time.monotonic() < end
            time.sleep(0.2)


@pytest.mark.slow
def test_a_key_opens_both_and_neither_once_it_is_revoked(replicas, guard, ana):
    key, text = guard.add_key(ana, "nightly", ["read"], by=None)
    with client_of(replicas, Authorization=f"Bearer {text.reveal()}") as client:
        assert statuses(client, "/v1/schema") == {200}
        guard.revoke_key(key.id, by=None)
        end = time.monotonic() + FRESH_S + 2
        while statuses(client, "/v1/schema") != {401}:
            assert time.monotonic() < end
            time.sleep(0.2)


def test_a_budget_is_one_budget(replicas, guard, ana):
    _, text = guard.add_key(ana, "greedy", ["read", "predict"], by=None)
    with client_of(replicas, Authorization=f"Bearer {text.reveal()}") as client:
        row = client.get("/v1/model").json()["examples"]["rows"][0]
        answered = sum(
            10 * (client.post("/v1/predict", json={"rows": [row] * 10}).status_code == 200) for _ in range(130)
        )
    assert 900 <= answered <= 1000, "a lease of a twentieth may be left with the other"


def test_guesses_at_either_count_for_both(replicas, guard):
    person = guard.add_person("eve", Role.VIEWER, by=None)
    guard.set_password(person.id, PASSWORD, by=None)
    with client_of(replicas) as client:
        wrong = {"name": "eve", "password": "no, not this one"}
        tries = [client.post("/login", data=wrong).status_code for _ in range(12)]
    assert tries[:4] == [403] * 4
    assert 429 in tries


def test_the_log_of_both_is_one_chain(guard):
    verdict = guard.verify_audit_log()
    assert verdict.first_bad is None
    assert verdict.entries > 5
