"""``/login`` and ``/logout``: a name, a password and, where the person has set it up, a code in a second step."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as kept
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import ASGIApp

from aweigh.guard.guard import Guard, Refusal, SignedIn
from aweigh.server.access.cookies import clear_cookie, set_cookie
from aweigh.server.access.fields import Faults, code_field, faults_notice, field, form, link, notice
from aweigh.server.access.frame import Page, see_other
from aweigh.server.access.markup import Child, tag
from aweigh.server.access.next_path import START, next_path
from aweigh.server.access.refusals import TOO_LATE, WRONG, WRONG_CODE, WRONG_RECOVERY, retry_header, too_many
from aweigh.server.access.visit import Visit

_DONE = {
    "out": "You are signed out.",
    "password": "Your password is saved. Sign in with it and with a code.",
}


@dataclass(frozen=True, slots=True)
class Provider:
    """Who else may vouch for people: its name, the app that answers below ``/oauth``, and what its ``?problem=`` means.

    Words that are not in ``problems`` are not told: anybody can make up an address.
    """

    name: str
    app: ASGIApp
    problems: Mapping[str, str] = kept(default_factory=dict)


class SignIn:
    """The two addresses, in an app that has this title; ``provider`` is who else may vouch for people."""

    def __init__(self, *, title: str, provider: Provider | None) -> None:
        self._title = title
        self._provider = provider

    def show(self, visit: Visit, guard: Guard) -> Page | Response:
        """The form; whoever is signed in already goes on."""
        del guard
        goal = next_path(visit.query.get("next"))
        if visit.identity is not None:
            return see_other(goal)
        problems = {} if self._provider is None else self._provider.problems
        problem = problems.get(visit.query.get("problem", ""))
        faults = None if problem is None else {"": problem}
        return self._page(goal, told=_DONE.get(visit.done), faults=faults)

    def send(self, visit: Visit, guard: Guard) -> Page | Response:
        """Takes the form of either step."""
        goal = next_path(visit.text("next"))
        ticket = visit.text("ticket")
        if ticket:
            return self._second(visit, guard, ticket=ticket, goal=goal)
        name, password = visit.text("name"), visit.text("password", strip=False)
        faults: dict[str, str] = {}
        if not name:
            faults["name"] = "Type your name."
        if not password:
            faults["password"] = "Type your password."  # noqa: S105  a sentence
        if faults:
            return self._page(goal, name=name, faults=faults, status=422)
        found = guard.sign_in(name, password, "", client=visit.client)
        if isinstance(found, SignedIn):
            return _in(visit, guard, found, goal)
        if found.kind == "code_needed":
            return _code_page(found.ticket.reveal(), goal)
        if found.kind == "throttled":
            return self._page(goal, name=name, faults=too_many(found), status=429, refusal=found)
        return self._page(goal, name=name, faults={"": WRONG}, status=403)

    def ask_out(self, visit: Visit, guard: Guard) -> Page | Response:
        """Asks before signing out: a link alone must change nothing."""
        del guard
        if visit.identity is None:
            return see_other("/login")
        return Page(
            title="Sign out?",
            lead=f"You are signed in to {self._title} as {visit.identity.name}. Other devices stay signed in.",
            body=form("/logout", button="Sign out", beside=link("Stay", START)),
            width="narrow",
        )

    def out(self, visit: Visit, guard: Guard) -> Response:
        """Ends the session, here and on the server."""
        if visit.identity is not None:
            guard.sign_out(visit.identity, client=visit.client)
        return see_other("/login?done=out", clear_cookie(visit.scope, secure=visit.secure))

    def _second(self, visit: Visit, guard: Guard, *, ticket: str, goal: str) -> Page | Response:
        code = visit.text("code") or visit.text("recovery")
        if not code:
            return _code_page(ticket, goal, faults={"code": "Type the six digits that your app shows."})
        found = guard.sign_in_code(ticket, code, client=visit.client)
        if isinstance(found, SignedIn):
            return _in(visit, guard, found, goal)
        if found.kind == "throttled":
            return _code_page(ticket, goal, faults=too_many(found), status=429, refusal=found)
        if found.kind == "too_late":
            return self._page(goal, faults={"": TOO_LATE}, status=403)
        faults = {"code": WRONG_CODE} if visit.text("code") else {"recovery": WRONG_RECOVERY}
        return _code_page(ticket, goal, faults=faults, status=403)

    def _page(
        self,
        goal: str,
        *,
        name: str = "",
        told: str | None = None,
        faults: Faults | None = None,
        status: int = 200,
        refusal: Refusal | None = None,
    ) -> Page:
        provider: Child = None
        if self._provider is not None:
            go = link(f"Sign in with {self._provider.name}", f"/oauth/start?next={quote(goal, safe='')}", look="button")
            provider = [tag("div", go, class_="act"), tag("p", "or with a password", class_="or")]
        # The name is kept, so the password is what is typed anew.
        again = bool(name) and not (faults or {}).get("name")
        return Page(
            title="Sign in",
            body=[
                notice(told) if told and not faults else None,
                faults_notice(faults),
                provider,
                form(
                    "/login",
                    _goal(goal),
                    field(
                        "name",
                        "Name",
                        value=name,
                        autocomplete="username",
                        faults=faults,
                        focus=not again,
                        maxlength=128,
                        invalid=_is_wrong(faults),
                    ),
                    field(
                        "password",
                        "Password",
                        kind="password",
                        autocomplete="current-password",
                        faults=faults,
                        focus=again,
                        invalid=_is_wrong(faults),
                    ),
                    button="Sign in",
                    look="button" if self._provider is None else "button plain",
                ),
            ],
            width="narrow",
            script=True,
            wrong=bool(faults),
            status=status,
            headers=() if refusal is None else [retry_header(refusal)],
        )


def _code_page(
    ticket: str, goal: str, *, faults: Faults | None = None, status: int = 0, refusal: Refusal | None = None
) -> Page:
    recovery = field(
        "recovery",
        "Recovery code",
        faults=faults,
        required=False,
        hint="One of those that you kept when you set this up. Each works once.",
        maxlength=64,
    )
    other = tag(
        "details",
        tag("summary", "My phone is not at hand"),
        form("/login", _goal(goal), _ticket(ticket), recovery, button="Use recovery code", look="button plain"),
        open="recovery" in (faults or {}),
    )
    return Page(
        title="Type your code",
        lead="Your password is right. Now the six digits that your authenticator app shows.",
        body=[
            faults_notice(faults),
            form("/login", _goal(goal), _ticket(ticket), code_field(faults, focus=True), button="Sign in"),
            other,
        ],
        width="narrow",
        wrong=bool(faults),
        status=status or (422 if faults else 200),
        headers=() if refusal is None else [retry_header(refusal)],
    )


def _in(visit: Visit, guard: Guard, found: SignedIn, goal: str) -> Response:
    if visit.identity is not None and visit.identity.session:
        guard.sign_out(visit.identity, client=visit.client)  # a browser has one session, and the old one's cookie goes
    cookie = set_cookie(visit.scope, found.cookie, found.max_age_s, secure=visit.secure)
    return see_other("/account/two-step" if found.must_enrol else goal, cookie)


def _is_wrong(faults: Faults | None) -> bool:
    return (faults or {}).get("") == WRONG


def _goal(goal: str) -> Child:
    return tag("input", type="hidden", name="next", value=goal) if goal != START else None


def _ticket(ticket: str) -> Child:
    return tag("input", type="hidden", name="ticket", value=ticket)
