"""``/account/two-step``: an authenticator app is set up, recovery codes are shown once, and all of it is turned off."""

from starlette.responses import Response

from aweigh.errors import UsageError
from aweigh.guard.guard import Guard, Refusal
from aweigh.guard.people import Person
from aweigh.guard.totp import is_secret, uri_of
from aweigh.server.access.account import me
from aweigh.server.access.cookies import set_cookie
from aweigh.server.access.fields import (
    Faults,
    code_field,
    faults_notice,
    field,
    form,
    in_groups,
    link,
    shown_once,
)
from aweigh.server.access.frame import ACCOUNT_TABS, Page, see_other
from aweigh.server.access.markup import Child, tag
from aweigh.server.access.once import forget_once, keep_once, kept_once
from aweigh.server.access.passwords import sentence, username_field
from aweigh.server.access.qr import qr_svg
from aweigh.server.access.refusals import NOT_YOURS, retry_header, too_many
from aweigh.server.access.visit import Visit

CODES = "recovery codes"
_HERE = "/account/two-step"


def show(visit: Visit, guard: Guard) -> Page | Response:
    """How to set it up."""
    person = me(visit, guard)
    if person.has_totp:
        return see_other("/account")
    secret, uri = guard.start_totp(person.id)
    return _page(person, secret, uri)


def confirm(visit: Visit, guard: Guard) -> Page | Response:
    """Turns it on for whoever types a code of the secret that the page has shown."""
    person = me(visit, guard)
    if person.has_totp:
        return see_other("/account")
    secret, code = visit.text("secret"), visit.text("code")
    if not code:
        return _again(person, secret, {"code": "Type the six digits that the app shows."})
    if person.has_password:
        refusal = guard.confirm(person.id, visit.text("current", strip=False), client=visit.client)
        if refusal is not None and refusal.kind == "throttled":
            return _again(person, secret, too_many(refusal), refusal=refusal)
        if refusal is not None:
            return _again(person, secret, {"current": NOT_YOURS})
    try:
        made = guard.confirm_totp(person.id, secret, code, by=visit.person)
    except UsageError as error:
        return _again(person, secret, {"code": sentence(error)})
    signed_in = guard.renew(visit.person, client=visit.client, how="two-step sign-in was set up")
    kept = keep_once(visit, CODES, " ".join(made), session=signed_in.cookie.reveal().encode())
    cookie = set_cookie(visit.scope, signed_in.cookie, signed_in.max_age_s, secure=visit.secure)
    return see_other(f"{_HERE}/codes", kept, cookie)


def codes(visit: Visit, guard: Guard) -> Page | Response:
    """The recovery codes, once."""
    del guard
    kept = kept_once(visit, CODES)
    if kept is None:
        return see_other("/account")
    made = tag("span", [tag("span", one) for one in kept.split()], class_="codes")
    return Page(
        title="Keep these recovery codes",
        lead="Two-step sign-in is on. With one of these you get in when your phone is not at hand; each works once.",
        body=[
            shown_once("Recovery codes", "Shown this once. Print them, or keep them with your passwords.", made),
            tag("p", link("I have kept them", "/account", look="button"), class_="act"),
        ],
        script=True,
        headers=[forget_once(visit)],
    )


def ask_off(visit: Visit, guard: Guard, *, faults: Faults | None = None, refusal: Refusal | None = None) -> Page:
    """Asks for the password before it is turned off."""
    person = me(visit, guard)
    asked = None
    if person.has_password:
        asked = field(
            "current", "Password", kind="password", autocomplete="current-password", faults=faults, focus=True
        )
    return Page(
        title="Turn off two-step sign-in?",
        lead="From then on the password alone lets in whoever knows it. Recovery codes end, too.",
        body=[
            faults_notice(faults),
            form(
                f"{_HERE}/off",
                username_field(person.name) if person.has_password else None,
                asked,
                button="Turn off",
                look="button danger sure",
                beside=link("Keep it", "/account"),
            ),
        ],
        script=True,
        wrong=bool(faults),
        status=200 if not faults else 422 if refusal is None else 429,
        headers=() if refusal is None else [retry_header(refusal)],
    )


def off(visit: Visit, guard: Guard) -> Page | Response:
    """Turns it off for whoever knows the password."""
    person = me(visit, guard)
    if person.has_password:
        refusal = guard.confirm(person.id, visit.text("current", strip=False), client=visit.client)
        if refusal is not None and refusal.kind == "throttled":
            return ask_off(visit, guard, faults=too_many(refusal), refusal=refusal)
        if refusal is not None:
            return ask_off(visit, guard, faults={"current": NOT_YOURS})
    guard.remove_totp(person.id, by=visit.person)
    return see_other("/account?done=two-step-off")


def _again(person: Person, secret: str, faults: Faults, *, refusal: Refusal | None = None) -> Page | Response:
    """The same secret once more, which the app has already; another where the form's is none."""
    if not is_secret(secret):
        return see_other(_HERE)
    return _page(person, secret, uri_of(secret, name=person.name), faults=faults, refusal=refusal)


def _page(
    person: Person, secret: str, uri: str, *, faults: Faults | None = None, refusal: Refusal | None = None
) -> Page:
    known: Child = None
    if person.has_password:  # whoever finds a screen unlocked must not lock its owner out
        current = field("current", "Your password", kind="password", autocomplete="current-password", faults=faults)
        known = [username_field(person.name), current]
    steps = [
        tag(
            "li",
            tag("h3", "Scan this with an authenticator app"),
            tag("p", "Any app for one-time codes does.", class_="quiet"),
            qr_svg(uri, label="QR code for an authenticator app; the same as text is below"),
            tag("p", "On this device? ", tag("a", "Open it in the app", href=uri), ", or type the secret there:"),
            tag("p", tag("code", in_groups(secret), class_="groups")),
        ),
        tag(
            "li",
            tag("h3", "Type the code that the app shows now"),
            form(
                _HERE,
                tag("input", type="hidden", name="secret", value=secret),
                code_field(faults),
                known,
                button="Turn on",
                beside=link("Not now", "/account"),
            ),
        ),
    ]
    return Page(
        title="Two-step sign-in",
        lead="From then on you sign in with your password and a code that the app makes anew every 30 seconds.",
        body=[faults_notice(faults), tag("ol", steps, class_="steps")],
        tabs=ACCOUNT_TABS,
        tab="/account",
        script=True,
        wrong=bool(faults),
        status=200 if not faults else 422 if refusal is None else 429,
        headers=() if refusal is None else [retry_header(refusal)],
    )
