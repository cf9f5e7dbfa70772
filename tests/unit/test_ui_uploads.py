"""What all uploads of a process may take together, held by Streamlit's own store of them."""

import asyncio

import pytest

pytest.importorskip("streamlit")

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from aweigh.ui.uploads import BoundedUploads


def asked(bounded, *, method="PUT", path="/_stcore/upload_file/s/f", length=b"40"):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [] if length is None else [(b"content-length", length)]
    asyncio.run(bounded({"type": "http", "method": method, "path": path, "headers": headers}, receive, send))
    return sent[0]["status"]


def test_uploads_have_a_bound_together():
    kept = MemoryUploadedFileManager("/_stcore/upload_file")
    for session, name in (("a", "one"), ("b", "two")):
        kept.add_file(session, UploadedFileRec(name, name, "text/csv", bytes(30)))

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})

    bounded = BoundedUploads(app, most_bytes=100, files=lambda: kept)
    assert asked(bounded) == 204
    assert asked(bounded, length=b"41") == 507
    assert asked(bounded, length=None) == 204, "it is told by what is there already"
    assert asked(bounded, method="DELETE", length=b"99") == 204
    assert asked(bounded, path="/_stcore/health", length=b"99") == 204
    kept.remove_session_files("a")
    assert asked(bounded, length=b"70") == 204
