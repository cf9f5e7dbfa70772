"""The first page as a visitor sees it who is none: the WebSocket's messages, and what goes wrong on the other side."""

import asyncio

import pytest

from aweigh.ui import first_page
from aweigh.ui.first_page import show_first_page

streamlit = pytest.importorskip("streamlit")


async def whole(scope, receive, send):
    """Act as Streamlit does: accept, read what is wanted, send a page, wait until the browser goes."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    assert (scope["type"], scope["path"]) == ("websocket", "/_stcore/stream")
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": "streamlit"})
    asked = BackMsg()
    asked.ParseFromString((await receive())["bytes"])
    assert asked.WhichOneof("type") == "rerun_script"
    for kind in ("new_session", "script_finished"):
        told = ForwardMsg()
        if kind == "new_session":
            told.new_session.page_script_hash = "x"
        else:
            told.script_finished = ForwardMsg.ScriptFinishedStatus.FINISHED_SUCCESSFULLY
        await send({"type": "websocket.send", "bytes": told.SerializeToString()})
    assert (await receive())["type"] == "websocket.disconnect"


async def refusing(scope, receive, send):
    await receive()
    await send({"type": "websocket.close", "code": 1008})


async def failing(scope, receive, send):
    await receive()
    raise ConnectionResetError


async def silent(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    await asyncio.sleep(60)


def test_a_page_is_seen_and_left():
    assert asyncio.run(show_first_page(whole)) is True


@pytest.mark.parametrize("app", [refusing, failing, silent])
def test_a_page_that_does_not_come_stops_nothing(app, monkeypatch):
    monkeypatch.setattr(first_page, "WARM_S", 0.1)
    assert asyncio.run(show_first_page(app)) is False
