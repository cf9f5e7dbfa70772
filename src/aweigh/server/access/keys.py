"""``/account/keys`` and ``/admin/keys``: keys of programs are made, shown once, rotated and revoked.

Under ``/account`` somebody sees their own, under ``/admin`` everybody's; ``Shelf`` says which.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from aweigh.errors import UsageError
from aweigh.guard.guard import Guard
from aweigh.guard.identity import SCOPES, SCOPES_OF, Scope
from aweigh.guard.keys import Key
from aweigh.guard.people import Person
from aweigh.server.access.account import me
from aweigh.server.access.fields import (
    Faults,
    badge,
    cell,
    checks,
    choice,
    facts,
    faults_notice,
    field,
    form,
    link,
    notice,
    shown_once,
    table,
)
from aweigh.server.access.frame import ACCOUNT_TABS, ADMIN_TABS, Page, see_other
from aweigh.server.access.markup import Child, Html, tag
from aweigh.server.access.nothing import NotThere
from aweigh.server.access.once import forget_once, keep_once, kept_once
from aweigh.server.access.passwords import sentence
from aweigh.server.access.suspicion import suspected
from aweigh.server.access.visit import Visit
from aweigh.server.access.when import ago

OVERLAP_HOURS = 24
"""How long a key still works after it was rotated."""

SOON_S = 14 * 86_400.0
"""A key that ends within this is marked."""

MEANS: Mapping[Scope, str] = {
    "read": "see what the model is and how it does",
    "predict": "ask for predictions and run jobs",
    "feedback": "send what really happened",
    "operate": "read metrics and look after the service",
    "admin": "manage people and keys",
}
LASTS = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("never", "Until it is revoked"))
_DONE = {"revoked": "The key is revoked. Whatever still sends it is refused."}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Whose keys: ``at`` is the path of their list."""

    at: str
    everybodys: bool
    tabs: Sequence[tuple[str, str]]

    def find(self, visit: Visit, guard: Guard) -> Key:
        """The key that the path names.

        Raises:
            NotThere: there is none of that id here.
        """
        name = visit.parts[2]
        owner = None if self.everybodys else visit.person.id
        for key in guard.keys(owner):
            if key.id == name:
                return key
        raise NotThere

    def owner(self, visit: Visit, guard: Guard) -> Person | None:
        """The person that a new key is for."""
        if not self.everybodys:
            return me(visit, guard)
        name = visit.text("owner")
        return guard.person(name) if name else None


OWN = Shelf("/account/keys", everybodys=False, tabs=ACCOUNT_TABS)
ALL = Shelf("/admin/keys", everybodys=True, tabs=ADMIN_TABS)


def show(visit: Visit, guard: Guard, shelf: Shelf, *, faults: Faults | None = None) -> Page:
    """The list, and the form of a new one."""
    now = time.time()
    people = {one.id: one for one in guard.people()} if shelf.everybodys else {}
    found = guard.keys(None if shelf.everybodys else visit.person.id)
    keys = sorted(found, key=lambda one: (_ended(one, now), -one.created))
    told = _DONE.get(visit.done)
    lead = "Keys of all programs." if shelf.everybodys else "For your programs: each sends one in place of a password."
    return Page(
        title="API keys",
        lead=lead,
        body=[
            notice(told) if told and not faults else None,
            _list(keys, people, shelf, now=now),
            _new(visit, guard, shelf, people, faults),
        ],
        width="wide" if shelf.everybodys else "middle",
        tabs=shelf.tabs,
        tab=shelf.at,
        wrong=bool(faults),
        status=422 if faults else 200,
    )


def add(visit: Visit, guard: Guard, shelf: Shelf) -> Page | Response:
    """Makes a key."""
    owner, label, lasts = shelf.owner(visit, guard), visit.text("label"), visit.text("lasts")
    asked = frozenset(visit.form.get("scopes", ()))
    scopes = frozenset(one for one in SCOPES if one in asked)
    faults: dict[str, str] = {}
    if owner is None:
        faults["owner"] = "Choose whose key it is."
    if not label:
        faults["label"] = "Type what the key is for, so that it can be told from others."
    if not scopes or len(scopes) != len(asked):
        faults["scopes"] = "Tick what the key may do."
    elif owner is not None and not scopes <= SCOPES_OF[owner.role]:
        faults["scopes"] = f"A key may do no more than its owner, who is {owner.role.label}. Tick fewer."
    if lasts not in dict(LASTS):
        faults["lasts"] = "Choose how long it lasts."
    if owner is not None and not faults:
        days = None if lasts == "never" else int(lasts)
        try:
            key, secret = guard.add_key(owner, label, scopes, expires_days=days, by=visit.person)
        except UsageError as error:
            faults["label"] = sentence(error)
        else:
            return see_other(f"{shelf.at}/{key.id}", keep_once(visit, key.id, secret.reveal()))
    return show(visit, guard, shelf, faults=faults)


def one(visit: Visit, guard: Guard, shelf: Shelf) -> Page:
    """One key; its text when it was made a moment ago."""
    key, now = shelf.find(visit, guard), time.time()
    kept = kept_once(visit, key.id)
    fresh: Child = None
    if kept is not None:
        fresh = shown_once(
            "Your new key",
            "Shown this once and kept nowhere. Copy it to where your program finds it.",
            kept,
            more=tag("p", "Send it as ", tag("code", "Authorization: Bearer …"), " with every request."),
        )
    act = None
    if not _ended(key, now):
        act = tag(
            "div",
            link("Rotate", f"{shelf.at}/{key.id}/rotate"),
            link("Revoke", f"{shelf.at}/{key.id}/revoke", look="button danger"),
            class_="act",
        )
    owner = guard.person(key.owner) if shelf.everybodys else None
    told: list[tuple[str, Child]] = [("State", _state(key, now))]
    if owner is not None:
        told.append(("Owner", tag("a", owner.name, href=f"/admin/people/{owner.id}")))
    told += [
        ("May", _scopes(key)),
        ("Text begins", tag("code", f"aw_{key.id.removeprefix('k_')}_")),
        ("In logs", tag("code", key.id)),
        ("Made", ago(key.created, now=now)),
        ("Last used", ago(key.last_used, now=now)),
        ("Ends", ago(key.expires, now=now, never="when it is revoked")),
    ]
    if shelf.everybodys:
        told += suspected(guard, key.id, now=now)
    return Page(
        title=key.label,
        body=[fresh, tag("section", facts(*told), act, class_="first")],
        tabs=shelf.tabs,
        tab=shelf.at,
        script=kept is not None,
        headers=[forget_once(visit)] if kept is not None else (),
    )


def ask(visit: Visit, guard: Guard, shelf: Shelf) -> Page:
    """Asks once more before a key is rotated or revoked.

    Raises:
        NotThere: it has ended already.
    """
    key, what = shelf.find(visit, guard), visit.parts[3]
    if _ended(key, time.time()):
        raise NotThere
    rotate = what == "rotate"
    lead = (
        f"A new key takes its place and is shown once. The old one works for {OVERLAP_HOURS} more hours, "
        "so that you can change it where it is used."
        if rotate
        else "Whatever still sends it is refused from now on. This cannot be undone."
    )
    back = link("Back", f"{shelf.at}/{key.id}")
    look = "button" if rotate else "button danger sure"
    return Page(
        title=f"{'Rotate' if rotate else 'Revoke'} {key.label}?",
        lead=lead,
        body=form(f"{shelf.at}/{key.id}/{what}", button="Rotate" if rotate else "Revoke", look=look, beside=back),
    )


def act(visit: Visit, guard: Guard, shelf: Shelf) -> Response:
    """Rotates or revokes.

    Raises:
        NotThere: it has ended already.
    """
    key = shelf.find(visit, guard)
    if _ended(key, time.time()):
        raise NotThere
    if visit.parts[3] == "revoke":
        guard.revoke_key(key.id, by=visit.person)
        return see_other(f"{shelf.at}?done=revoked")
    made, secret = guard.rotate_key(key.id, overlap_hours=OVERLAP_HOURS, by=visit.person)
    return see_other(f"{shelf.at}/{made.id}", keep_once(visit, made.id, secret.reveal()))


def _list(keys: list[Key], people: Mapping[str, Person], shelf: Shelf, *, now: float) -> Html:
    if not keys:
        return tag("section", tag("p", "There is no key yet.", class_="empty"), class_="first")
    heads = ["Label", *(["Owner"] if shelf.everybodys else []), "May", "Last used", "Ends", "State"]
    rows = []
    for key in keys:
        owner = people.get(key.owner)
        whose = [cell("Owner", "removed" if owner is None else owner.name)] if shelf.everybodys else []
        rows.append(
            tag(
                "tr",
                tag("th", tag("a", key.label, href=f"{shelf.at}/{key.id}"), scope="row"),
                whose,
                cell("May", _scopes(key)),
                cell("Last used", ago(key.last_used, now=now)),
                cell("Ends", ago(key.expires, now=now, never="when revoked")),
                cell("State", _state(key, now)),
                class_="off" if _ended(key, now) else None,
            )
        )
    return tag("section", table("API keys", heads, rows), class_="first")


def _new(visit: Visit, guard: Guard, shelf: Shelf, people: Mapping[str, Person], faults: Faults | None) -> Html:
    allowed = SCOPES if shelf.everybodys else [one for one in SCOPES if one in SCOPES_OF[me(visit, guard).role]]
    offered = [(one, one, MEANS[one]) for one in allowed]
    chosen = visit.form.get("scopes") or [one for one in ("read", "predict") if one in allowed]
    whose = None
    if shelf.everybodys:
        options = [("", "Choose a person"), *((one.id, f"{one.name} ({one.role.label})") for one in people.values())]
        whose = choice("owner", "Owner", options, value=visit.text("owner"), faults=faults)
    made = form(
        shelf.at,
        whose,
        field(
            "label",
            "Label",
            value=visit.text("label"),
            hint="Where it is used, such as “nightly scoring”.",
            faults=faults,
            maxlength=128,
        ),
        checks("scopes", "It may", offered, chosen=chosen, faults=faults),
        choice("lasts", "It lasts", LASTS, value=visit.text("lasts") or "90", faults=faults),
        button="Make key",
    )
    about = tag("p", "It is shown once. A key can do no more than its owner.", class_="quiet")
    return tag(
        "section", tag("div", tag("h2", "New key"), about), tag("div", faults_notice(faults), made), class_="pair"
    )


def _ended(key: Key, now: float) -> bool:
    return not key.is_alive(now)


def _state(key: Key, now: float) -> Html:
    if key.revoked is not None:
        return badge("revoked", "bad")
    if key.expires is not None and key.expires <= now:
        return badge("expired", "bad")
    if key.expires is not None and key.expires <= now + SOON_S:
        return badge("ends soon", "soon")
    return badge("works")


def _scopes(key: Key) -> Html:
    return tag("span", [badge(one) for one in SCOPES if one in key.scopes], class_="tags")
