"""All uploads of a process together: Streamlit holds them in memory, each within a bound, as many as are sent."""

from collections.abc import Callable
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_BYTES = 2**30
_UPLOADS = "_stcore/upload_file/"


class BoundedUploads:
    """Streamlit's ASGI app. A file that would make them more than ``most_bytes`` is refused (507) before it is read."""

    def __init__(self, app: ASGIApp, *, most_bytes: int = MOST_BYTES, files: Callable[[], Any] | None = None) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._files = files or _files

    def lifespan(self) -> Any:
        """What starts and stops the app inside."""
        return self._app.lifespan()  # type: ignore[attr-defined]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on all but what is too much."""
        is_upload = scope["type"] == "http" and scope["method"] == "PUT" and _UPLOADS in scope["path"]
        if is_upload and self._held() + _announced(scope) > self._most_bytes:
            told = "There is no room for another file here. Close a page that has one open, and try again."
            await PlainTextResponse(told, status_code=507)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _held(self) -> int:
        kept = self._files().file_storage
        return sum(len(one.data) for session in list(kept.values()) for one in list(session.values()))


def _announced(scope: Scope) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() else 0


def _files() -> Any:
    from streamlit import runtime

    return runtime.get_instance().uploaded_file_mgr
