"""A page of a browser as far as the server sees it: requests with cookies, and a Streamlit session over a WebSocket."""

import contextlib
import ssl

import httpx
from websockets.sync.client import connect

TLS = ssl.create_default_context()  # never used, but made anew for every request if not given
XSRF = "_streamlit_xsrf"


class StreamlitPage:
    """Every request takes a connection of its own, so that any process in front may get it.

    ``session`` is the id of the session that was begun last, ``media`` the address of what can be downloaded in it, and
    ``later`` the name of what is made when it is wanted.
    """

    def __init__(self, url, *, cookies=(), takes_cookies=True, name="visitor"):
        self.url = url
        self.cookies = dict(cookies)
        self.takes_cookies = takes_cookies
        self.session = self.media = self.later = self.xsrf = None
        self._name = name
        self._open = contextlib.ExitStack()

    def ask(self, method, path, **more):
        headers = {"User-Agent": self._name} | more.pop("headers", {})
        reply = httpx.request(
            method,
            self.url + path,
            cookies=self.cookies,
            headers=headers,
            verify=TLS,
            trust_env=False,
            timeout=20,
            **more,
        )
        if self.takes_cookies:
            self.cookies |= dict(reply.cookies)
        return reply

    def connect(self, *session):
        """Open the WebSocket, with the session to go on with if one is named; return what the script wrote."""
        health = self.ask("GET", "/_stcore/health")
        assert health.text == "ok"
        self.xsrf = self.cookies.get(XSRF) or health.cookies.get(XSRF)
        self.close()
        self.socket = self._open.enter_context(
            connect(
                self.url.replace("http", "ws") + "/_stcore/stream",
                subprotocols=["streamlit", self.xsrf, *session],
                origin=self.url,
                additional_headers={
                    "Cookie": "; ".join(f"{name}={value}" for name, value in (self.cookies | {XSRF: self.xsrf}).items())
                },
                user_agent_header=self._name,
                open_timeout=20,
            )
        )
        return self.run()

    def close(self):
        self._open.close()

    def run(self):
        """Run the script; return the last text that it wrote."""
        self.say(lambda message: setattr(message.rerun_script, "query_string", ""))
        text = None
        while (found := self.hear()).WhichOneof("type") != "script_finished":
            if found.WhichOneof("type") == "new_session":
                self.session = found.new_session.initialize.session_id
            element = found.delta.new_element
            if element.WhichOneof("type") == "text":
                text = element.text.body
            elif element.WhichOneof("type") == "download_button":
                button = element.download_button
                self.media, self.later = button.url or self.media, button.deferred_file_id or self.later
        return text

    def say(self, fill):
        """Send a message that the function fills in."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        fill(message)
        self.socket.send(message.SerializeToString())

    def hear(self, kind=None):
        """Return the next message, or the next one of a kind."""
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        while True:
            message = ForwardMsg()
            message.ParseFromString(self.socket.recv(timeout=20))
            if kind in {None, message.WhichOneof("type")}:
                return message
