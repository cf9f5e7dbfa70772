"""``create_ui``: the ASGI app that shows the pages, or a Streamlit script of the user's own, beside the API.

Streamlit runs one app a process, takes its options once and before it starts, and answers every path it does not know
with its own page: so the options are set here, the page's head is ours, and paths that no page has are 404.
"""

import os
import sys
import tomllib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send

from aweigh.errors import ConfigError, MissingExtra
from aweigh.ui.component_scan import look_for_no_components
from aweigh.ui.kept_theme import keep_theme
from aweigh.ui.own_sessions import OwnSessions
from aweigh.ui.shell import Shell
from aweigh.ui.static_files import StaticFiles
from aweigh.ui.uploads import BoundedUploads
from aweigh.wire import palette

API_URL_VARIABLE = "AWEIGH_API_URL"
"""Where the pages, and a user's own script, find the API."""

TITLE_VARIABLE = "AWEIGH_UI_TITLE"
DEFAULT_UPLOAD_MB = 200
PAGES = ("batch", "model")
STREAMLIT_PATHS = frozenset(
    {"_stcore", "static", "media", "component", "app", "auth", "oauth2callback", "favicon.png", "manifest.json"}
)
"""First parts of paths that Streamlit serves itself."""
PRELOADED = (
    "streamlit",
    "streamlit.web.bootstrap",
    "streamlit.web.server.starlette.starlette_app",
    # What these import when they start, in functions.
    "streamlit.web.server.starlette.starlette_agent_routes",
    "streamlit.components.v2.manifest_scanner",
    "starlette.middleware.sessions",
    "starlette.staticfiles",
    "itsdangerous",
    "anyio._backends._asyncio",
    "aweigh.ui.frame",
)
"""What the app's first page needs, half a second's work. Imported, none of it starts a thread."""


class UI(Protocol):
    """An ASGI app whose lifespan the app around it must enter: ``async with ui.lifespan()(app): ...``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or one WebSocket."""
        ...

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """What starts and stops Streamlit's runtime."""
        ...


def create_ui(
    *,
    api_url: str,
    script: Path | None = None,
    title: str | None = None,
    accent: str | None = None,
    max_upload_mb: int = DEFAULT_UPLOAD_MB,
    token: str | None = None,
) -> UI:
    """The UI as an ASGI app, to be mounted last, at ``/``: one a process, which is Streamlit's own limit.

    ``api_url`` is where this process reaches the API (``http://127.0.0.1:8000``). ``script`` is a Streamlit script to
    show in place of the generated pages, unchanged: its folder is importable, its ``.streamlit/config.toml`` and its
    secrets hold, the working directory stays. ``title`` and ``accent`` (``#rrggbb``) are the owner's. ``token`` is what
    the API takes from the app before anybody has come, where not everybody may ask it.

    Raises:
        MissingExtra: Streamlit is not installed.
        ConfigError: there is no such script, or the accent is no colour.
    """
    try:
        import streamlit
    except ModuleNotFoundError as error:
        raise MissingExtra("The app in the browser", extra="ui") from error
    os.environ[API_URL_VARIABLE] = api_url.rstrip("/")
    if script is not None:
        return _own(streamlit.App, script, max_upload_mb=max_upload_mb)
    os.environ[TITLE_VARIABLE] = title or ""
    light, dark = palette.light(accent), palette.dark(accent)
    app: UI = streamlit.App(Path(__file__).with_name("app.py"), on_script_error=_on_script_error)
    _load(_options(max_upload_mb) | _look(light, dark))
    keep_theme()
    look_for_no_components()
    return Shell(
        StaticFiles(BoundedUploads(OwnSessions(app))),
        title=title or "aweigh",
        light=light,
        dark=dark,
        pages=PAGES,
        streamlit_paths=STREAMLIT_PATHS,
        token=token,
    )


def _own(app_class: Callable[[Path], UI], script: Path, *, max_upload_mb: int) -> UI:
    """A script of the user's own, as ``streamlit run`` would run it; its config.toml wins over our options."""
    if not script.is_file():
        raise ConfigError(f"There is no Streamlit script {script}.", hint="name a .py file that is there")
    path = script.resolve()
    from streamlit import config

    app = app_class(path)
    theirs = _said_in_files(config.get_config_files("config.toml"))
    _load({name: value for name, value in _options(max_upload_mb).items() if name not in theirs})
    # As `streamlit run` does: the script's folder is importable and its arguments are its own, not this command's.
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path)]
    return StaticFiles(BoundedUploads(OwnSessions(app)))


def _said_in_files(files: list[str]) -> set[str]:
    """The options that the user's own config.toml files set, as ``section.name``."""
    said: set[str] = set()
    for file in map(Path, files):
        if file.is_file():
            try:
                document = tomllib.loads(file.read_text(encoding="utf-8"))
            except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise ConfigError(f".streamlit/{file.name} cannot be read: {error}.") from error
            said |= {f"{section}.{name}" for section, names in document.items() for name in dict(names)}
    return said


def _load(options: dict[str, object]) -> None:
    from streamlit.web import bootstrap

    bootstrap.load_config_options(options)


def _options(max_upload_mb: int) -> dict[str, object]:
    """What holds for pages and scripts alike: quiet, no calls to other hosts, nothing but the browser let in."""
    return {
        "browser.gatherUsageStats": False,
        "logger.level": "warning",
        "logger.enableRich": False,
        "logger.hideWelcomeMessage": True,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.enableXsrfProtection": True,
        "server.enableAgentApi": False,
        "server.maxUploadSize": max_upload_mb,
    }


def _look(light: palette.Theme, dark: palette.Theme) -> dict[str, object]:
    """The generated pages' own: one accent and greys, no developer's tools, no collection after every rerun."""
    options: dict[str, object] = {
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.disableDataExport": True,
        "client.showSidebarNavigation": False,
        "runner.magicEnabled": False,
        # 110 ms of CPU a rerun with the usual libraries loaded; reference counts and the ordinary collector do.
        "runner.postScriptGC": False,
        "theme.baseRadius": "6px",
        "theme.showWidgetBorder": True,
        "theme.linkUnderline": True,
    }
    for name, theme in (("light", light), ("dark", dark)):
        options |= {
            f"theme.{name}.primaryColor": theme.accent,
            f"theme.{name}.backgroundColor": theme.ground,
            f"theme.{name}.secondaryBackgroundColor": theme.panel,
            f"theme.{name}.textColor": theme.text,
            f"theme.{name}.linkColor": theme.accent,
            f"theme.{name}.borderColor": theme.line,
            f"theme.{name}.redColor": theme.red,
        }
    return options


def _on_script_error(_error: Exception) -> bool:
    """An error that no page expected: Streamlit's log has all of it, the reader what to do."""
    from aweigh.ui.states import unexpected

    unexpected()
    return True
