"""Two people behind one door, over the wire: neither goes on with the other's session, nor has the other's files."""

import httpx
import pytest
from tests.partly import partly_slow
from tests.streamlit_page import TLS, XSRF, StreamlitPage
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role

pytest.importorskip("streamlit")

PASSWORD = "otter gravel ninety"

SCRIPT = """
import uuid
import streamlit as st

token = st.session_state.setdefault("token", uuid.uuid4().hex)
given = st.file_uploader("give")
st.download_button("take", data=token.encode())
st.download_button("later", data=lambda: token.encode() + b" later")
st.text(token if given is None else given.read().decode())
"""


class House:
    """A script behind a door, and the guard of the same people."""

    def __init__(self, start_server, folder, *arguments):
        script = folder / "page.py"
        script.write_text(SCRIPT)
        state = folder / "state"
        state.mkdir(mode=0o700)
        self.guard = open_guard({}, state_dir=str(state))
        for name in ("pru", "pip"):
            self.guard.set_password(self.guard.add_person(name, Role.PREDICTOR, by=None).id, PASSWORD, by=None)
        env = {"AWEIGH_STATE_DIR": str(state), "AWEIGH_DRAIN_DELAY_S": "0"}
        self.server = start_server(script, "--auth", "password", *arguments, env=env)
        self.url = self.server.url

    def tab(self, name):
        cookie = self.guard.sign_in(name, PASSWORD, "", client="192.0.2.1").cookie.reveal()
        return Tab(self.url, {f"aweigh_{self.url.rpartition(':')[2]}": cookie})

    def key(self):
        _, text = self.guard.add_key(self.guard.person("pip"), "notebook", ["read", "predict"], by=None)
        return text.reveal()


class Tab(StreamlitPage):
    """A page that somebody has opened who is signed in."""

    def __init__(self, url, cookies):
        super().__init__(url, cookies=cookies)
        assert self.ask("GET", "/", headers={"Accept": "text/html"}).status_code == 200

    def connect(self, *session):
        text = super().connect(*session)
        for _ in range(5):  # a run that the server began is broken off by the page's own, and on a busy machine again
            text = self.run() if text is None else text
        return text

    def make_later(self):
        """Press the button whose file is made when it is wanted; return the file's address."""

        def fill(message):
            asked = message.backend_operation_request
            asked.request_id, asked.session_id, asked.deferred_file.file_id = "r", self.session, self.later

        self.say(fill)
        return self.hear("backend_operation_response").backend_operation_response.deferred_file.url

    def upload(self, session):
        headers = {"X-Xsrftoken": self.cookies[XSRF], "Origin": self.url}
        path = f"/_stcore/upload_file/{session}/a"
        return self.ask("PUT", path, files={"file": ("a.txt", b"given")}, headers=headers).status_code


@pytest.fixture(scope="module", params=partly_slow("one", slow=["several"]))
def house(request, start_server, tmp_path_factory):
    arguments = ("--workers", 2, "--ui-processes", 1) if request.param == "several" else ()
    return House(start_server, tmp_path_factory.mktemp("house"), *arguments)


@pytest.fixture
def pru(house):
    tab = house.tab("pru")
    yield tab
    tab.close()


@pytest.fixture
def pip(house):
    tab = house.tab("pip")
    yield tab
    tab.close()


def test_a_session_goes_on_for_who_began_it(pru):
    token = pru.connect()
    session = pru.session
    pru.close()
    assert pru.connect(session) == token
    assert pru.session == session
    assert pru.connect(session) == token, "while it is still connected as well"


@pytest.mark.parametrize("live", [True, False])
def test_a_session_does_not_go_on_for_anybody_else(pru, pip, live):
    token = pru.connect()
    if not live:
        pru.close()
    found = pip.connect(pru.session)
    assert found not in {None, token}
    assert pip.session != pru.session
    if live:
        assert pru.run() == token, "and nobody is thrown out by it"


def test_nor_for_the_same_person_in_another_sign_in(house, pru):
    token = pru.connect()
    other = house.tab("pru")
    assert other.connect(pru.session) != token
    other.close()


def test_nor_when_another_signs_in_in_the_same_browser(house, pru):
    """What the browser does whose tab is left open: the same page, and another cookie."""
    token = pru.connect()
    session = pru.session
    pru.cookies |= house.tab("pip").cookies
    assert pru.connect(session) != token


def test_a_file_is_given_to_whose_session_it_was_made_for(house, pru, pip):
    token = pru.connect()
    pip.connect()
    later = pru.make_later()
    assert pru.ask("GET", pru.media).text == token
    assert pru.ask("GET", later).text == token + " later"
    for address in (
        pru.media,
        later,
        "/" + pru.media,
        pru.media.replace("media", "media/."),
        pru.media.rpartition(".")[0],
    ):
        reply = pip.ask("GET", address)
        assert token not in reply.text, address
    assert pip.ask("GET", pru.media).status_code == pip.ask("HEAD", later).status_code == 404
    key = {"Authorization": f"Bearer {house.key()}"}
    assert httpx.get(house.url + pru.media, headers=key, trust_env=False, verify=TLS).status_code == 404


def test_a_file_is_uploaded_to_ones_own_session_only(pru, pip):
    pru.connect()
    pip.connect()
    assert pip.upload(pru.session) == 404
    assert pru.upload(pru.session) == 204


def test_a_key_opens_no_session(house, pru):
    pru.connect()
    with pytest.raises(InvalidStatus):
        connect(
            house.url.replace("http", "ws") + "/_stcore/stream",
            subprotocols=["streamlit", "x", pru.session],
            additional_headers={"Authorization": f"Bearer {house.key()}"},
        )


@pytest.mark.slow
def test_without_a_door_nothing_changes(start_server, tmp_path):
    script = tmp_path / "page.py"
    script.write_text(SCRIPT)
    url = start_server(script, env={"AWEIGH_DRAIN_DELAY_S": "0"}).url
    one, other = Tab(url, {}), Tab(url, {})
    token = one.connect()
    assert other.connect(one.session) == token
    assert other.ask("GET", one.media).text == token
    assert other.upload(one.session) == 204
    one.close()
    other.close()
