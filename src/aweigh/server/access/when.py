"""Points in time as people read them: how long ago, with the exact moment in UTC beside it."""

from datetime import UTC, datetime

from aweigh.server.access.markup import Html, tag

_STEPS = ((86_400 * 365, "year"), (86_400, "day"), (3600, "hour"), (60, "minute"))


def moment(at: float) -> str:
    """Such as ``22 Nov 2026, 14:05:09 UTC``."""
    return f"{datetime.fromtimestamp(at, UTC):%-d %b %Y, %H:%M:%S} UTC"


def exactly(at: float) -> Html:
    """The moment itself."""
    return tag("time", moment(at), datetime=_iso(at))


def ago(at: float | None, *, now: float, never: str = "never") -> Html | str:
    """How long ago it was, or how long it is to come; the moment itself is its title."""
    if at is None:
        return never
    return tag("time", _words(now - at), datetime=_iso(at), title=moment(at))


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _words(past_s: float) -> str:
    size = abs(past_s)
    for step, name in _STEPS:
        if size >= step:
            count = int(size // step) if past_s > 0 else round(size / step)
            words = f"{count} {name}{'' if count == 1 else 's'}"
            return f"{words} ago" if past_s > 0 else f"in {words}"
    return "just now" if past_s >= 0 else "in under a minute"
