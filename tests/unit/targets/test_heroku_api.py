"""The Platform API's client, against a real server of a few lines: what it sends where, repeats, and waits for."""

import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from aweigh.errors import ConfigError, RemoteError
from aweigh.secret import Secret
from aweigh.targets.heroku.api import ENDPOINT, FEW_LEFT, LONGEST_PAUSE_S, SLOWLY_S, TRIES, open_api
from aweigh.targets.heroku.errors import HerokuRefused, HerokuSilent
from aweigh.targets.heroku.requests import Request, create_app, find_app, set_config

LIST = Request("GET", "/apps", "to list the apps")


@dataclass
class Said:
    """An answer: status, headers and body; ``cut`` ends the connection instead."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


class Platform:
    """Says what it was told to, one answer after another, the last one for ever; and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.pauses = []
        self.url = ""

    def answer(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def api(self, token="HRKU-token"):
        return open_api({"HEROKU_API_KEY": token}, endpoint=self.url, pause=self.pauses.append)


@contextmanager
def platform(*answers):
    found = Platform(*answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.asked.append((self.command, self.path, {key.lower(): one for key, one in self.headers.items()}, body))
            said = found.answer()
            if said.cut:
                return self.close_connection
            content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for key, value in {**said.headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            return self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield found
        server.shutdown()


def test_a_list_goes_on_until_nothing_is_left_of_it():
    pages = [Said(206, [{"n": n}], {"Next-Range": f"id ]{n}..; max=1"}) for n in (1, 2)]
    with platform(*pages, Said(200, [{"n": 3}])) as heroku:
        assert heroku.api().send(LIST) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert [headers.get("range") for _, _, headers, _ in heroku.asked] == [None, "id ]1..; max=1", "id ]2..; max=1"]


def test_a_list_without_an_end_is_left():
    with platform(Said(206, [1], {"Next-Range": "id ]1.."})) as heroku, pytest.raises(RemoteError, match="no end"):
        heroku.api().send(LIST)


def test_one_part_of_a_list_is_asked_for_alone():
    with platform(Said(206, [1], {"Next-Range": "id ]1.."})) as heroku:
        assert heroku.api().send(Request("GET", "/apps", "to list", part="id ..; max=1")) == [1]
        assert len(heroku.asked) == 1


def test_it_waits_as_long_as_it_is_told_to_and_no_longer_than_a_minute():
    busy = [Said(429, {"id": "rate_limit"}, {"Retry-After": after}) for after in ("7", "86400", "soon")]
    with platform(*busy, Said(201, {"id": "1", "name": "penguins"})) as heroku:
        heroku.api().send(create_app("penguins"))
        assert len(heroku.asked) == 4
        assert heroku.pauses[:2] == [7.0, LONGEST_PAUSE_S]
        assert 1 <= heroku.pauses[2] <= 3


def test_near_the_limit_each_call_waits_a_moment():
    with platform(Said(headers={"RateLimit-Remaining": str(FEW_LEFT - 1)})) as heroku:
        heroku.api().send(find_app("penguins"))
        assert heroku.pauses == [SLOWLY_S]


@pytest.mark.parametrize("failure", [Said(503), Said(cut=True)])
def test_what_changes_nothing_is_asked_again_and_what_creates_is_not(failure):
    with platform(failure) as heroku:
        with pytest.raises((HerokuRefused, HerokuSilent)):
            heroku.api().send(find_app("penguins"))
        assert len(heroku.asked) == TRIES
        heroku.asked.clear()
        with pytest.raises((HerokuRefused, HerokuSilent)):
            heroku.api().send(create_app("penguins"))
        assert len(heroku.asked) == 1


@pytest.mark.parametrize("body", [b"<html>", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_told(body):
    with platform(Said(200, body)) as heroku, pytest.raises(RemoteError, match="no JSON"):
        heroku.api().send(find_app("penguins"))


def test_a_document_of_another_kind_is_told():
    with platform(Said(200, {"id": None})) as heroku, pytest.raises(RemoteError, match="not understood"):
        from aweigh.targets.heroku.documents import App

        heroku.api().ask(find_app("penguins"), App)


def test_the_token_and_secrets_go_to_the_endpoint_and_are_shown_nowhere():
    with platform(Said()) as heroku:
        request = set_config("penguins", {"A": Secret("hush"), "B": None})
        api = heroku.api()
        api.send(request)
        _, _, headers, body = heroku.asked[0]
        assert headers["authorization"] == "Bearer HRKU-token"
        assert json.loads(body) == {"A": "hush", "B": None}
        assert "hush" not in repr(request)
        assert "HRKU-token" not in repr(api)


def test_a_source_goes_up_without_token_and_type_and_again_where_that_failed():
    with platform(Said(503), Said()) as heroku:
        heroku.api().upload(f"{heroku.url}/put?signature=1", b"source")
        assert [one[3] for one in heroku.asked] == [b"source", b"source"]
        for _, _, headers, _ in heroku.asked:
            assert headers.keys().isdisjoint({"authorization", "content-type", "transfer-encoding"})
    with platform(Said(403)) as heroku, pytest.raises(HerokuRefused, match="does not take the source"):
        heroku.api().upload(f"{heroku.url}/put", b"source")


@pytest.mark.parametrize("url", ["http://elsewhere.example/put", "ftp://127.0.0.1/put", "", "//127.0.0.1/put"])
def test_an_address_that_is_not_encrypted_is_not_used(url):
    with platform(Said()) as heroku, pytest.raises(RemoteError, match="not encrypted"):
        heroku.api().upload(url, b"source")


def test_a_real_endpoint_sends_nothing_to_this_machine():
    api = open_api({"HEROKU_API_KEY": "x"})
    assert api.endpoint == ENDPOINT
    with pytest.raises(RemoteError, match="not encrypted"):
        api.upload("http://127.0.0.1:1/put", b"source")
    api.close()


@pytest.mark.parametrize(
    "endpoint", ["http://api.heroku.com", "api.heroku.com", "https://", "file:///etc", "http://127.0.0.1.example"]
)
def test_no_token_goes_to_an_address_that_is_not_encrypted(endpoint):
    with pytest.raises(ConfigError, match="no address to send a token to"):
        open_api({"HEROKU_API_KEY": "x", "AWEIGH_HEROKU_ENDPOINT": endpoint})


@pytest.mark.parametrize("token", ["a b", "a\nb", "ü", '"x"\t'])
def test_what_is_no_token_is_refused_without_showing_it(token):
    with pytest.raises(ConfigError, match="no token") as caught:
        open_api({"HEROKU_API_KEY": token})
    assert token not in str(caught.value)


def test_the_token_may_be_in_a_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("HRKU-file\n")
    path.chmod(0o600)
    api = open_api({"HEROKU_API_KEY_FILE": str(path)})
    assert api.token == Secret("HRKU-file")
    api.close()
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="read or changed by others"):
        open_api({"HEROKU_API_KEY_FILE": str(path)})
