"""Which function answers which request of the API."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from tests.heroku import api, api_more, api_setups
from tests.heroku.errors import ApiError
from tests.heroku.platform import Platform

DEFAULT_PAGE = 200
MOST_PAGE = 1000

_TABLE: list[tuple[str, re.Pattern[str], Callable[..., Any], int]] = []
for _module in (api, api_more, api_setups):
    for (_method, _path), (_function, _status) in _module.ROUTES.items():
        _TABLE.append((_method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", _path) + r"\Z"), _function, _status))


async def answer(platform: Platform, request: Request, body: Any) -> Response:
    """Answer a request that was let in."""
    for method, pattern, function, status in _TABLE:
        found = pattern.match(request.url.path)
        if found is None or method != request.method:
            continue
        given = {**found.groupdict(), "body": body if isinstance(body, dict) else {}}
        wanted = {name: given[name] for name in inspect.signature(function).parameters if name in given}
        try:
            result = function(platform, **wanted)
            if inspect.isawaitable(result):
                result = await result
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if platform.options.strict:
                raise
            raise ApiError(422, "invalid_params", f"Invalid parameters: {error}") from error
        if isinstance(result, list):
            return _page(request, result)
        return JSONResponse(result, status)
    raise ApiError(
        404,
        "not_found",
        "The requested API endpoint was not found. Are you using the right HTTP verb "
        "(i.e. `GET` vs. `POST`), and did you specify your intended version with the `Accept` header?",
    )


def _page(request: Request, items: list[dict]) -> Response:
    """Answer a list, or the part of it that ``Range: version ]4..; max=2, order=desc`` asks for."""
    header = request.headers.get("range", "")
    found = re.match(r"(\w+)\s+(\]?)([^.;]*)\.\.([^;]*)(?:;\s*(.*))?$", header)
    key, after, first, last, more = found.groups() if found else ("id", "", "", "", "")
    settings = dict(part.strip().split("=", 1) for part in (more or "").replace(";", ",").split(",") if "=" in part)
    if items and key not in items[0]:
        raise ApiError(416, "requested_range_not_satisfiable", f"Cannot sort by {key}")
    size = min(int(settings.get("max", DEFAULT_PAGE)), MOST_PAGE)
    items = sorted(items, key=lambda one: one[key]) if found and items else items
    descending = settings.get("order") == "desc"
    if descending:
        items = items[::-1]
    kind: Callable[[str], Any] = int if items and isinstance(items[0].get(key), int) else str
    if first.strip():
        start = kind(first.strip())
        items = [one for one in items if (one[key] <= start if descending else one[key] >= start)]
        if after:
            items = [one for one in items if one[key] != start]
    if last.strip():
        end = kind(last.strip())
        items = [one for one in items if (one[key] >= end if descending else one[key] <= end)]
    shown = items[:size]
    headers = {"Accept-Ranges": "id, version, name"}
    if shown and key in shown[0]:
        headers["Content-Range"] = f"{key} {shown[0][key]}..{shown[-1][key]}"
    if len(shown) == len(items):
        return JSONResponse(shown, 200, headers=headers)
    order = ", order=desc" if descending else ""
    headers["Next-Range"] = f"{key} ]{shown[-1][key]}..; max={size}{order}"
    return JSONResponse(shown, 206, headers=headers)
