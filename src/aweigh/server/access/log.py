"""``/admin/log``: who did what when, the newest first."""

import re
from urllib.parse import urlencode

from aweigh.guard.audit import Entry
from aweigh.guard.guard import Guard
from aweigh.server.access.fields import cell, field, link, table
from aweigh.server.access.frame import ADMIN_TABS, Page
from aweigh.server.access.markup import Html, joined, tag
from aweigh.server.access.visit import Visit

ROWS = 50
"""How many entries a page shows."""

LOOKED_AT = 5000
"""How many entries are looked through for a page at most; its last line says where to go on."""

_STEP = 500
_WHOLE = re.compile(r"[0-9]{1,15}")


def show(visit: Visit, guard: Guard) -> Page:
    """One page of the log, filtered by what was done, by whom, or any word in an entry."""
    before = int(visit.query["before"]) if _WHOLE.fullmatch(visit.query.get("before", "")) else None
    wanted = {name: visit.query.get(name, "").strip()[:128] for name in ("event", "who", "text")}
    found, looked_to = _search(guard, before, wanted)
    rows = [_row(one) for one in found]
    told = "Nothing has been written yet." if before is None and not any(wanted.values()) else "Nothing here fits."
    kept = {name: value for name, value in wanted.items() if value}
    filters = tag(
        "form",
        field("event", "What", value=wanted["event"], required=False, maxlength=128),
        field("who", "Who", value=wanted["who"], required=False, maxlength=128),
        field("text", "Any words", value=wanted["text"], required=False, maxlength=128),
        tag("button", "Filter", class_="button plain", type="submit"),
        link("Clear", "/admin/log") if kept else None,
        class_="filters",
        method="get",
        action="/admin/log",
        role="search",
    )
    newest = tag("a", "Newest", href=_at(kept)) if before is not None else tag("span")
    older = tag("a", "Older", href=_at(kept, before=looked_to)) if looked_to > 1 else tag("span")
    return Page(
        title="Audit log",
        lead="Each entry seals the one before it: “aweigh audit-log verify” finds any that was changed or taken out.",
        body=[
            filters,
            table("Audit log", ["No.", "When", "What", "Who", "From", "About"], rows)
            if rows
            else tag("p", told, class_="empty"),
            tag("nav", newest, older, class_="pager", aria_label="Pages"),
        ],
        width="wide",
        tabs=ADMIN_TABS,
        tab="/admin/log",
    )


def _search(guard: Guard, before: int | None, wanted: dict[str, str]) -> tuple[list[Entry], int]:
    """Entries that fit, the newest first; and the number from which on older ones have not been looked at."""
    if before is None:
        newest = guard.latest_audit(1)
        before = newest[0].number + 1 if newest else 1
    found: list[Entry] = []
    least = max(1, before - LOOKED_AT)
    while before > least and len(found) < ROWS:
        after = max(least, before - _STEP) - 1
        for entry in reversed(guard.audit_log(after=after, limit=before - 1 - after)):
            if entry.number >= before:
                continue
            if len(found) == ROWS:
                return found, before
            before = entry.number
            if _fits(entry, wanted):
                found.append(entry)
        before = min(before, after + 1)
    return found, before


def _fits(entry: Entry, wanted: dict[str, str]) -> bool:
    event, who, text = (wanted[name].casefold() for name in ("event", "who", "text"))
    if event and event not in entry.event.casefold():
        return False
    if who and who not in f"{entry.by_name}\n{entry.by}".casefold():
        return False
    everything = "\n".join([entry.event, entry.by, entry.by_name, entry.client, *entry.what, *entry.what.values()])
    return not text or text in everything.casefold()


def _row(entry: Entry) -> Html:
    who = joined(entry.by_name, tag("br"), tag("code", entry.by, class_="quiet")) if entry.by else "nobody signed in"
    about = joined([[tag("span", f"{name}: ", class_="quiet"), value, tag("br")] for name, value in entry.what.items()])
    return tag(
        "tr",
        cell("No.", entry.number),
        cell("When", tag("time", entry.at[:19].replace("T", " "), " UTC", datetime=entry.at), look="whole"),
        cell("What", entry.event, look="whole"),
        cell("Who", who),
        cell("From", entry.client, look="whole"),
        cell("About", about),
    )


def _at(kept: dict[str, str], **more: int) -> str:
    query = urlencode(kept | {name: str(value) for name, value in more.items()})
    return f"/admin/log?{query}" if query else "/admin/log"
