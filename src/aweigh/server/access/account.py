"""``/account``: who one is here, one's password, second step and the places where one is signed in."""

import time

from starlette.responses import Response

from aweigh.errors import UsageError
from aweigh.guard.guard import Guard, Refusal
from aweigh.guard.identity import Role
from aweigh.guard.people import Person
from aweigh.guard.sessions import SessionInfo
from aweigh.server.access.cookies import set_cookie
from aweigh.server.access.fields import Faults, badge, cell, faults_notice, field, form, link, notice, table
from aweigh.server.access.frame import ACCOUNT_TABS, Page, see_other
from aweigh.server.access.markup import Child, Html, joined, tag
from aweigh.server.access.nothing import NotThere
from aweigh.server.access.passwords import new_password, password_fields, sentence, username_field
from aweigh.server.access.refusals import NOT_YOURS, retry_header, too_many
from aweigh.server.access.visit import Visit
from aweigh.server.access.when import ago

ROLES = {
    Role.VIEWER: "sees what the model is",
    Role.PREDICTOR: "asks for predictions, too",
    Role.OPERATOR: "also gives feedback and looks after the service",
    Role.ADMIN: "also decides who may come in",
}
"""What each role may do, in a few words."""

FEW_CODES = 3
"""Of fewer recovery codes it is said how to get new ones."""

_DONE = {
    "password": "Your password is changed. You are signed out everywhere else.",
    "session": "You are signed out there.",
    "sessions": "You are signed out everywhere else.",
    "two-step-off": "Two-step sign-in is off.",
}


def me(visit: Visit, guard: Guard) -> Person:
    """The person who is signed in, as the store knows them now.

    Raises:
        NotThere: they were removed a moment ago.
    """
    person = guard.person(visit.person.id)
    if person is None:
        raise NotThere
    return person


def show(visit: Visit, guard: Guard, *, faults: Faults | None = None, refusal: Refusal | None = None) -> Page:
    """The page."""
    person = me(visit, guard)
    told = _DONE.get(visit.done)
    return Page(
        title=person.name,
        lead=f"{person.role.label.capitalize()}: {ROLES[person.role]}.",
        body=[
            notice(told) if told and not faults else None,
            _password(person, faults),
            _two_step(person, codes=guard.recovery_codes_left(person.id) if person.has_totp else 0),
            _sessions(guard.sessions(person.id), visit),
        ],
        tabs=ACCOUNT_TABS,
        tab="/account",
        script=True,
        wrong=bool(faults),
        status=200 if not faults else 422 if refusal is None else 429,
        headers=() if refusal is None else [retry_header(refusal)],
    )


def change_password(visit: Visit, guard: Guard) -> Page | Response:
    """Takes a new password from whoever knows the old one; every other session ends."""
    person = me(visit, guard)
    password, faults = new_password(visit)
    current = visit.text("current", strip=False)
    if person.has_password and not current:
        faults = {"current": "Type the password that you have now."} | faults
    if not faults and person.has_password:
        refusal = guard.confirm(person.id, current, client=visit.client)
        if refusal is not None and refusal.kind == "throttled":
            return show(visit, guard, faults=too_many(refusal), refusal=refusal)
        if refusal is not None:
            faults = {"current": NOT_YOURS}
    if not faults:
        try:
            guard.set_password(person.id, password, by=visit.person, keep_session=visit.person.session)
        except UsageError as error:
            faults = {"password": sentence(error)}
    if faults:
        return show(visit, guard, faults=faults)
    signed_in = guard.renew(visit.person, client=visit.client, how="the password was changed")
    cookie = set_cookie(visit.scope, signed_in.cookie, signed_in.max_age_s, secure=visit.secure)
    return see_other("/account?done=password", cookie)


def end_sessions(visit: Visit, guard: Guard) -> Response:
    """Signs the person out at one place, or everywhere but here."""
    named = visit.text("session")
    if named:
        guard.end_session(visit.person.id, named, by=visit.person)
        return see_other("/account?done=session")
    guard.sign_out_everywhere(visit.person.id, by=visit.person, keep_session=visit.person.session)
    return see_other("/account?done=sessions")


def _password(person: Person, faults: Faults | None) -> Html:
    if not person.has_password and person.oidc is not None:
        about = tag("p", "You sign in with your organisation’s account. There is no password here.", class_="quiet")
        return tag("section", tag("h2", "Password"), about, class_="first")
    current: Child = None
    if person.has_password:
        current = field("current", "Current password", kind="password", autocomplete="current-password", faults=faults)
    made = form(
        "/account/password",
        username_field(person.name),
        current,
        password_fields(faults),
        button="Change password",
    )
    return tag(
        "section",
        tag("div", tag("h2", "Password"), tag("p", "A new one signs you out everywhere else.", class_="quiet")),
        tag("div", faults_notice(faults), made),
        class_="first pair",
    )


def _two_step(person: Person, *, codes: int) -> Html:
    if person.has_totp:
        left = f"{codes or 'no'} recovery code{'' if codes == 1 else 's'} left"
        few = tag("p", "Turn it off and on again for new ones.", class_="hint") if codes < FEW_CODES else None
        state = joined(tag("p", badge("on"), f" {left}"), few)
        act = link("Turn off", "/account/two-step/off", look="button danger")
    else:
        state, act = Html(), link("Set up", "/account/two-step")
    about = "A code from an app on your phone, besides the password. Whoever learns the password alone stays out."
    return tag(
        "section",
        tag("div", tag("h2", "Two-step sign-in"), tag("p", about, class_="quiet")),
        tag("div", state, tag("div", act, class_="act")),
        class_="pair",
    )


def _sessions(sessions: list[SessionInfo], visit: Visit) -> Html:
    now = time.time()
    rows = [_session(one, now=now, here=one.id == visit.person.session) for one in sessions]
    others = any(one.id != visit.person.session for one in sessions)
    act = form("/account/sessions/end", button="Sign out everywhere else", look="button plain") if others else None
    return tag(
        "section",
        tag("h2", "Where you are signed in"),
        table("Where you are signed in", ["Address", "Since", "Last seen", ""], rows),
        act,
    )


def _session(one: SessionInfo, *, now: float, here: bool) -> Html:
    out: Child = None
    if not here:
        named = tag("input", type="hidden", name="session", value=one.id)
        out = form("/account/sessions/end", named, button="Sign out there", look="small")
    place = joined(one.client or "unknown", " ", badge("this one") if here else None)
    return tag(
        "tr",
        tag("th", place, scope="row"),
        cell("Since", ago(one.created, now=now)),
        cell("Last seen", ago(one.last_seen, now=now)),
        tag("td", out, class_="end"),
    )
