"""Sessions, uploads and downloads of a Streamlit script on two processes: each on the one that it belongs to."""

import signal
import time
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from tests.streamlit_page import XSRF, StreamlitPage
from websockets.exceptions import ConnectionClosed

pytest.importorskip("streamlit")

SESSIONS = 36

SCRIPT = """
import uuid
import streamlit as st

token = st.session_state.setdefault("token", uuid.uuid4().hex)
given = st.file_uploader("give")
st.download_button("take", data=token.encode())
st.text(token if given is None else given.read().decode())
"""


class Visitor(StreamlitPage):
    """A browser: a page, a session, an upload and a download."""

    @property
    def place(self):
        return next((value for name, value in self.cookies.items() if name.startswith("aweigh_app")), None)

    def open(self):
        """Load the page, open the session, run the script; return what it wrote."""
        assert self.ask("GET", "/", headers={"Accept": "text/html"}).status_code == 200
        return self.connect()

    def upload(self):
        """Upload a file as the page does; return the status."""

        def fill(message):
            asked = message.file_urls_request
            asked.request_id, asked.session_id = "r", self.session
            asked.file_names.append("a.txt")

        self.say(fill)
        path = urlsplit(self.hear("file_urls_response").file_urls_response.file_urls[0].upload_url).path
        cookies = {XSRF: self.xsrf}
        self.cookies |= cookies if self.takes_cookies else {}
        headers = {"X-Xsrftoken": self.xsrf}
        if not self.takes_cookies:  # the token, which has nothing to do with where the request goes
            headers["Cookie"] = f"{XSRF}={self.xsrf}"
        return self.ask("PUT", path, files={"file": ("a.txt", b"given")}, headers=headers).status_code

    def download(self):
        return self.ask("GET", self.media).text


def app_processes(server):
    """Return the processes of the app, which are started after the two in front."""
    return sorted(psutil.Process(server.process.pid).children(), key=lambda one: one.pid)[2:]


@pytest.fixture(scope="module")
def shared(start_server, tmp_path_factory):
    script = tmp_path_factory.mktemp("script") / "page.py"
    script.write_text(SCRIPT)
    env = {"AWEIGH_DRAIN_DELAY_S": "0"}
    return start_server(script, "--workers", 2, "--ui-processes", 2, env=env)


def test_a_script_alone_has_processes_in_front_and_behind(shared):
    assert shared.line("workers") == "2 processes in front, 2 the app"


def test_uploads_and_downloads_go_to_the_process_of_their_session(shared):
    places, right = [], 0
    visitors = []
    for i in range(SESSIONS):
        visitor = Visitor(shared.url, name=f"visitor {i}")
        visitors.append(visitor)
        token = visitor.open()
        places.append(visitor.place)
        right += visitor.upload() == 204 and visitor.download() == token
    assert right == SESSIONS
    assert sorted(set(places)) == ["2", "3"]
    assert abs(places.count("2") - places.count("3")) <= 4
    for one in visitors:
        one.close()


def test_one_that_takes_no_cookies_is_served_as_well(shared):
    for i in range(8):
        visitor = Visitor(shared.url, takes_cookies=False, name=f"stranger {i}")
        token = visitor.open()
        assert visitor.upload() == 204
        assert visitor.download() == token
        visitor.close()


def test_pages_that_one_client_opens_at_once_share_a_process(shared):
    tabs = [Visitor(shared.url, name="two tabs") for _ in range(6)]
    for one in tabs:
        one.ask("GET", "/", headers={"Accept": "text/html"})
    assert len({one.place for one in tabs} - {None}) == 1


@pytest.mark.parametrize("value", ["9", "-1", "x", "", "2; Path=/", "9" * 5000, "\u00b2"])
def test_a_made_up_cookie_leads_to_an_app_as_any_other(shared, value):
    port = urlsplit(shared.url).port
    reply = httpx.get(
        shared.url + "/", headers={"Cookie": f"aweigh_app_{port}={value}".encode()}, trust_env=False, timeout=20
    )
    assert reply.status_code == 200
    if value[:1] != "2":
        assert reply.headers["set-cookie"].split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax"]


def test_when_a_process_is_killed_its_sessions_go_on_in_another(shared):
    visitor = Visitor(shared.url, name="survivor")
    visitor.open()
    place = visitor.place
    victim = app_processes(shared)[int(place) - 2]
    victim.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            visitor.hear()
    assert caught.value.rcvd.code == 1012
    token = visitor.connect()
    live_s = time.monotonic() - killed
    assert visitor.place != place
    assert visitor.upload() == 204
    assert visitor.download() == token
    assert live_s < 5  # 0.1 s on an idle machine; starting another process takes longer than this on a busy one
    visitor.close()
