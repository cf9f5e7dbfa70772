"""``/invite/TOKEN``: somebody who was invited chooses a password, and is signed in."""

from starlette.responses import Response

from aweigh.errors import UsageError
from aweigh.guard.guard import Guard, Refusal
from aweigh.guard.people import Person
from aweigh.server.access.cookies import set_cookie
from aweigh.server.access.fields import Faults, faults_notice, field, form
from aweigh.server.access.frame import Page, see_other
from aweigh.server.access.markup import tag
from aweigh.server.access.passwords import new_password, password_fields, sentence
from aweigh.server.access.refusals import retry_header, too_many
from aweigh.server.access.visit import Visit


def show(visit: Visit, guard: Guard) -> Page:
    """The form, for whoever holds the link."""
    person = guard.invited(visit.parts[1])
    return _gone() if person is None else _page(visit, person)


def accept(visit: Visit, guard: Guard) -> Page | Response:
    """Takes the password, and lets the person in."""
    token = visit.parts[1]
    person = guard.invited(token)
    if person is None:
        return _gone()
    password, faults = new_password(visit)
    if faults:
        return _page(visit, person, faults=faults)
    try:
        found = guard.accept_invite(token, password, client=visit.client)
    except UsageError as error:
        return _page(visit, person, faults={"password": sentence(error)})
    if isinstance(found, Refusal):
        if found.kind == "code_needed":  # whoever has a second factor is asked for it at the door
            return see_other("/login?done=password")
        if found.kind != "throttled":
            return _gone()
        return _page(visit, person, faults=too_many(found), status=429, headers=[retry_header(found)])
    if visit.identity is not None and visit.identity.session:
        guard.sign_out(visit.identity, client=visit.client)
    cookie = set_cookie(visit.scope, found.cookie, found.max_age_s, secure=visit.secure)
    return see_other("/account/two-step" if found.must_enrol else "/", cookie)


def _page(
    visit: Visit,
    person: Person,
    *,
    faults: Faults | None = None,
    status: int = 422,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> Page:
    again = "" if not person.has_password else " Your old one ends with it."
    return Page(
        title="Choose a password",
        lead=f"This link is for {person.name}.{again}",
        body=[
            faults_notice(faults),
            form(
                f"/invite/{visit.parts[1]}",
                field("username", "Name", value=person.name, autocomplete="username", readonly=True),
                password_fields(faults, focus=True),
                button="Save and sign in",
            ),
        ],
        width="narrow",
        script=True,
        wrong=bool(faults),
        status=status if faults else 200,
        headers=headers or (),
    )


def _gone() -> Page:
    return Page(
        title="This link does not work any more",
        lead="It works once and for a limited time. Ask whoever sent it for a new one.",
        body=tag("p", tag("a", "Sign in", href="/login"), class_="act"),
        width="narrow",
        status=404,
    )
