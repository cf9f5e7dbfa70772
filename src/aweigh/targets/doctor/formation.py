"""How many processes there would be: dynos without affinity, and workers that each hold the model."""

import json
import re
from collections.abc import Iterator, Mapping

from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder
from aweigh.targets.doctor.procfile import NAME, read

APP_JSON = "app.json"
_MANY = re.compile(r"\b(gunicorn|uvicorn|aweigh\s+serve(?=\s+\S+\.aweigh))\b")
_SAID = re.compile(r"(?:--workers|-w)[ =]?(?:\d+|auto)|WEB_CONCURRENCY=\d+")
AFFINITY = "heroku features:enable http-session-affinity"


def check(folder: Folder, *, web_concurrency: int, streamlit: bool) -> Iterator[Finding]:
    """``app.json`` and the web line; ``web_concurrency`` is what the platform sets for the size that is asked about."""
    text = folder.text(APP_JSON)
    document = _document(text)
    if text is not None and document is None:
        yield Finding(
            "app_json", "fail", "it is no JSON object", "write it anew: aweigh deploy heroku --output-dir", APP_JSON
        )
    web = web_formation(document or {})
    quantity = web.get("quantity")
    if streamlit and isinstance(quantity, int) and quantity > 1:
        what = (
            f"{quantity} web dynos and no session affinity: uploads and reconnections reach a dyno "
            "that does not know the session (400 Invalid session_id)"
        )
        yield Finding("no_affinity", "fail", what, f"{AFFINITY} (aweigh deploy does), or one dyno", APP_JSON)
    yield from _workers(folder, document or {}, web_concurrency)


def web_formation(document: Mapping[str, object]) -> Mapping[str, object]:
    """What ``app.json`` says of the web dynos; nothing where it says nothing that can be read."""
    formation = document.get("formation")
    web = formation.get("web") if isinstance(formation, dict) else None
    return web if isinstance(web, dict) else {}


def concurrency_of(folder: Folder, *, default: int) -> int:
    """WEB_CONCURRENCY as ``app.json`` has it, else the platform's."""
    env = (_document(folder.text(APP_JSON)) or {}).get("env")
    said = env.get("WEB_CONCURRENCY") if isinstance(env, dict) else None
    value = said.get("value") if isinstance(said, dict) else said
    return int(value) if isinstance(value, str) and value.isdecimal() and value.isascii() else default


def reads_concurrency(line: str) -> bool:
    """Whether a web line starts as many workers as WEB_CONCURRENCY says."""
    return _MANY.search(line) is not None and _SAID.search(line) is None


def _workers(folder: Folder, document: Mapping[str, object], default: int) -> Iterator[Finding]:
    procfile = read(folder)
    web = procfile.processes.get("web", "") if procfile is not None else ""
    server = _MANY.search(web)
    env = document.get("env")
    said = isinstance(env, dict) and "WEB_CONCURRENCY" in env
    if server is not None and reads_concurrency(web) and not said and default > 1:
        what = (
            f"{server[1]} starts as many workers as WEB_CONCURRENCY says, which the buildpack sets to {default} "
            f"for this size: {default} copies of the model"
        )
        yield Finding("web_concurrency", "warn", what, "heroku config:set WEB_CONCURRENCY=1", NAME)


def _document(text: str | None) -> dict[str, object] | None:
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
