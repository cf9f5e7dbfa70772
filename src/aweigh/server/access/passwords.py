"""The fields of a new password, and what is wrong with what was typed into them before the guard is asked."""

from aweigh.errors import AweighError
from aweigh.server.access.fields import Faults, field
from aweigh.server.access.markup import Html, joined, tag
from aweigh.server.access.visit import Visit

RULES = "At least 12 characters. A few words are easier to keep in mind than odd letters."


def password_fields(faults: Faults | None, *, focus: bool = False) -> Html:
    """The new password, twice: without a script it cannot be looked at."""
    return joined(
        field(
            "password",
            "New password",
            kind="password",
            autocomplete="new-password",
            hint=RULES,
            faults=faults,
            focus=focus,
        ),
        field("again", "New password, again", kind="password", autocomplete="new-password", faults=faults),
    )


def username_field(name: str) -> Html:
    """Whose password a form is about, for password managers alone: people have it at the top of the page."""
    return tag("input", type="text", name="username", value=name, autocomplete="username", readonly=True, hidden=True)


def new_password(visit: Visit) -> tuple[str, dict[str, str]]:
    """The password that was typed, and what is wrong with how."""
    password, again = visit.text("password", strip=False), visit.text("again", strip=False)
    if not password:
        return "", {"password": "Type a new password."}
    if not again:
        return "", {"again": "Type the new password here, too."}
    if password != again:
        return "", {"again": "The two are not the same. Type both again."}
    return password, {}


def sentence(error: AweighError) -> str:
    """An error as a field tells it: what is wrong, and what to do."""
    hint = error.hint or ""
    return f"{error.message} {hint[:1].upper()}{hint[1:]}".strip() + ("." if hint and hint[-1] not in ".?!" else "")
