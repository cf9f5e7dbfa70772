"""``/admin``: people are invited, given a role, disabled, signed out and removed."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from aweigh.errors import UsageError
from aweigh.guard.guard import Guard
from aweigh.guard.identity import Identity, Role, role_of
from aweigh.guard.people import Person
from aweigh.server.access.account import ROLES
from aweigh.server.access.fields import (
    Faults,
    badge,
    cell,
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
from aweigh.server.access.frame import ADMIN_TABS, Page, see_other
from aweigh.server.access.markup import Child, Html, tag
from aweigh.server.access.nothing import NotThere
from aweigh.server.access.once import forget_once, keep_once, kept_once
from aweigh.server.access.passwords import sentence
from aweigh.server.access.suspicion import suspected
from aweigh.server.access.visit import Visit
from aweigh.server.access.when import ago

INVITE_HOURS = 24
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_ROLES = tuple((role.label, f"{role.label.capitalize()}: {about}") for role, about in ROLES.items())
_HEADS = ("Name", "Role", "Signs in with", "Last seen", "State")
_NAMES = "Such as an e-mail address."
_DONE = {
    "role": "The role is changed. They are signed out, and have it when they sign in again.",
    "disable": "Disabled: signed out everywhere, and every key refused.",
    "enable": "Enabled again.",
    "sign-out": "Signed out everywhere.",
    "reset": "Two-step sign-in is off. The password alone is asked for until it is set up again.",
    "remove": "Removed.",
}


@dataclass(frozen=True, slots=True)
class Deed:
    """What is done to a person after asking once more."""

    title: str
    lead: str
    button: str
    do: Callable[[Guard, Person, Identity], object]


DEEDS = {
    "disable": Deed(
        "Disable {}?",
        "Signs them out everywhere and refuses their keys until they are enabled again. Nothing is deleted.",
        "Disable",
        lambda guard, person, by: guard.set_disabled(person.id, True, by=by),
    ),
    "sign-out": Deed(
        "Sign {} out everywhere?",
        "Ends every session at once, on all devices. Keys keep working.",
        "Sign out everywhere",
        lambda guard, person, by: guard.sign_out_everywhere(person.id, by=by),
    ),
    "reset": Deed(
        "Turn off two-step sign-in for {}?",
        "For a phone that is lost. Make sure that it is them who ask: from now on the password alone lets them in.",
        "Turn off two-step sign-in",
        lambda guard, person, by: guard.remove_totp(person.id, by=by),
    ),
    "remove": Deed(
        "Remove {}?",
        "Their account and keys are deleted and they are signed out. The audit log keeps what they did. "
        "This cannot be undone.",
        "Remove",
        lambda guard, person, by: guard.remove_person(person.id, by=by),
    ),
}


def show(visit: Visit, guard: Guard, *, faults: Faults | None = None) -> Page:
    """Everybody, and the form to add somebody."""
    people, now = guard.people(), time.time()
    told = _DONE.get(visit.done)
    rows = [_row(one, now=now, me=one.id == visit.person.id) for one in people]
    added = form(
        "/admin",
        field("name", "Name", value=visit.text("name"), hint=_NAMES, faults=faults, maxlength=128),
        choice("role", "Role", _ROLES, value=visit.text("role") or Role.PREDICTOR.label, faults=faults),
        button="Add and make a link",
    )
    about = "They get a link to choose a password with. It works once, within a day."
    return Page(
        title="People",
        body=[
            notice(told) if told and not faults else None,
            tag("section", table("People", _HEADS, rows), class_="first"),
            tag(
                "section",
                tag("div", tag("h2", "Add somebody"), tag("p", about, class_="quiet")),
                tag("div", faults_notice(faults), added),
                class_="pair",
            ),
        ],
        width="wide",
        tabs=ADMIN_TABS,
        tab="/admin",
        wrong=bool(faults),
        status=422 if faults else 200,
    )


def add(visit: Visit, guard: Guard) -> Page | Response:
    """Adds somebody, and makes the link."""
    name, role = visit.text("name"), role_of(visit.text("role"))
    faults: dict[str, str] = {}
    if not name:
        faults["name"] = "Type the name that they sign in with."
    if role is None:
        faults["role"] = "Choose what they may do."
    if role is not None and not faults:
        try:
            person = guard.add_person(name, role, by=visit.person)
        except UsageError as error:
            faults["name"] = sentence(error)
        else:
            return _invited(visit, guard, person)
    return show(visit, guard, faults=faults)


def one(visit: Visit, guard: Guard, *, faults: Faults | None = None) -> Page:
    """One person, and what can be done."""
    person, now = find(visit, guard), time.time()
    kept = kept_once(visit, person.id)
    told = _DONE.get(visit.done)
    me = person.id == visit.person.id
    return Page(
        title=person.name,
        body=[
            notice(told) if told and not faults else None,
            _link(visit, kept) if kept is not None else None,
            tag("section", _facts(guard, person, now=now, me=me), class_="first"),
            _role(person, faults),
            _acts(person),
        ],
        tabs=ADMIN_TABS,
        tab="/admin",
        script=kept is not None,
        wrong=bool(faults),
        status=422 if faults else 200,
        headers=[forget_once(visit)] if kept is not None else (),
    )


def set_role(visit: Visit, guard: Guard) -> Page | Response:
    """Gives another role."""
    person, role = find(visit, guard), role_of(visit.text("role"))
    if role is None:
        return one(visit, guard, faults={"role": "Choose what they may do."})
    try:
        guard.set_role(person.id, role, by=visit.person)
    except UsageError as error:
        return one(visit, guard, faults={"role": sentence(error)})
    return see_other(f"/admin/people/{person.id}?done=role")


def invite(visit: Visit, guard: Guard) -> Response:
    """Makes a new link; the person goes on as before until it is used."""
    return _invited(visit, guard, find(visit, guard))


def enable(visit: Visit, guard: Guard) -> Response:
    """Lets somebody in again."""
    person = find(visit, guard)
    guard.set_disabled(person.id, False, by=visit.person)
    return see_other(f"/admin/people/{person.id}?done=enable")


def ask(visit: Visit, guard: Guard, *, faults: Faults | None = None) -> Page:
    """Asks once more."""
    person, what = find(visit, guard), visit.parts[3]
    deed = DEEDS[what]
    return Page(
        title=deed.title.format(person.name),
        lead=deed.lead,
        body=[
            faults_notice(faults),
            form(
                f"/admin/people/{person.id}/{what}",
                button=deed.button,
                look="button danger sure",
                beside=link("Back", f"/admin/people/{person.id}"),
            ),
        ],
        wrong=bool(faults),
        status=422 if faults else 200,
    )


def act(visit: Visit, guard: Guard) -> Page | Response:
    """Does it."""
    person, what = find(visit, guard), visit.parts[3]
    try:
        DEEDS[what].do(guard, person, visit.person)
    except UsageError as error:
        return ask(visit, guard, faults={"": sentence(error)})
    return see_other(f"/admin?done={what}" if what == "remove" else f"/admin/people/{person.id}?done={what}")


def find(visit: Visit, guard: Guard) -> Person:
    """The person that the path names by id.

    Raises:
        NotThere: there is none.
    """
    for person in guard.people():
        if person.id == visit.parts[2]:
            return person
    raise NotThere


def _invited(visit: Visit, guard: Guard, person: Person) -> Response:
    token = guard.invite(person.id, by=visit.person, hours=INVITE_HOURS)
    return see_other(f"/admin/people/{person.id}", keep_once(visit, person.id, token))


def _link(visit: Visit, token: str) -> Html:
    scheme = "https" if visit.secure else "http"
    origin = f"{scheme}://{visit.host}" if _HOST.fullmatch(visit.host) else ""
    return shown_once(
        "Link to choose a password",
        "Shown this once. Send it to them alone: whoever opens it first gets in. "
        f"It works once, within {INVITE_HOURS} hours.",
        f"{origin}/invite/{token}",
    )


def _row(person: Person, *, now: float, me: bool) -> Html:
    you = badge("you") if me else None
    return tag(
        "tr",
        tag("th", tag("a", person.name, href=f"/admin/people/{person.id}"), " " if me else None, you, scope="row"),
        cell("Role", person.role.label),
        cell("Signs in with", _means(person)),
        cell("Last seen", ago(person.last_seen, now=now)),
        cell("State", _state(person)),
        class_="off" if person.disabled else None,
    )


def _means(person: Person) -> str:
    found = [word for word, has in (("password", person.has_password), ("organisation", person.oidc)) if has]
    return (" or ".join(found) or "nothing yet") + (", two-step" if person.has_totp else "")


def _state(person: Person) -> Html:
    if person.disabled:
        return badge("disabled", "bad")
    return badge("active") if person.has_password or person.oidc else badge("invited", "soon")


def _facts(guard: Guard, person: Person, *, now: float, me: bool) -> Html:
    sessions, keys = guard.sessions(person.id), guard.keys(person.id)
    alive = sum(one.is_alive(now) for one in keys)
    told: list[tuple[str, Child]] = [
        ("State", [_state(person), " ", badge("you") if me else None]),
        ("Signs in with", _means(person)),
        ("Signed in", "nowhere" if not sessions else f"{len(sessions)} place{'' if len(sessions) == 1 else 's'}"),
        ("Keys", f"{alive} that work{'s' if alive == 1 else ''}" if alive else "none that works"),
        ("Last seen", ago(person.last_seen, now=now)),
        ("Added", ago(person.created, now=now)),
        ("In logs", tag("code", person.id)),
    ]
    told += suspected(guard, person.id, now=now)
    if person.oidc is not None:
        told.insert(2, ("Account there", f"{person.oidc[1]} at {person.oidc[0]}"))
    return facts(*told)


def _role(person: Person, faults: Faults | None) -> Html:
    made = form(
        f"/admin/people/{person.id}/role",
        choice("role", "Role", _ROLES, value=person.role.label, faults=faults),
        button="Change role",
        look="button plain",
    )
    about = tag("p", "Each may do all that those before it may.", class_="quiet")
    return tag("section", tag("div", tag("h2", "Role"), about), tag("div", faults_notice(faults), made), class_="pair")


def _acts(person: Person) -> Html:
    at = f"/admin/people/{person.id}"
    word = "New password link" if person.has_password else "New invitation link"
    danger = "button danger"
    return tag(
        "section",
        tag("h2", "Access"),
        tag(
            "div",
            form(f"{at}/invite", button=word, look="button plain") if not person.disabled else None,
            link("Sign out everywhere", f"{at}/sign-out"),
            link("Turn off two-step sign-in", f"{at}/reset") if person.has_totp else None,
            form(f"{at}/enable", button="Enable", look="button plain")
            if person.disabled
            else link("Disable", f"{at}/disable", look=danger),
            link("Remove", f"{at}/remove", look=danger),
            class_="act",
        ),
    )
