"""What is told to administrators of somebody whose rows looked made up: when it was, and where it is written."""

from datetime import datetime
from urllib.parse import urlencode

from aweigh.errors import DamagedLog
from aweigh.guard.guard import SUSPECTED, Guard
from aweigh.server.access.markup import Child, tag
from aweigh.server.access.when import ago


def suspected(guard: Guard, identity_id: str, *, now: float) -> list[tuple[str, Child]]:
    """The line about a person or a key; none where nothing was suspected of late."""
    try:
        entry = guard.suspected(identity_id)
    except DamagedLog:  # "aweigh audit-log verify" tells of it, and /admin/log
        return []
    if entry is None:
        return []
    at = datetime.fromisoformat(entry.at).timestamp()
    query = urlencode({"event": SUSPECTED, "who": identity_id})
    return [("Rows looked made up", [tag("a", ago(at, now=now), href=f"/admin/log?{query}"), "; that may be wrong"])]
