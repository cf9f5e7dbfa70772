"""What Heroku refuses, and what goes wrong there, each as one sentence and a fix.

The platform answers an error with ``{"id": "...", "message": "..."}`` and a status. Its ``id`` is for programs and is
taken where it is known; its message is quoted, never relied on.
"""

from collections.abc import Sequence

import msgspec

from aweigh.errors import RemoteError
from aweigh.targets.errors import AGAIN, quote

TOKENS = "make a token with 'heroku authorizations:create' and put it into HEROKU_API_KEY"


class HerokuRefused(RemoteError):
    """Heroku answered a request with an error; ``status`` is that of HTTP, ``id`` the platform's own word for it."""

    code = "heroku_refused"

    def __init__(self, message: str, *, status: int, id: str = "", hint: str | None = None) -> None:  # noqa: A002
        super().__init__(message, hint=hint)
        self.status = status
        self.id = id


class HerokuSilent(RemoteError):
    """Heroku could not be asked, or its answer broke off. Whether the request was carried out is not known."""

    code = "heroku_silent"


class BuildFailed(RemoteError):
    """The build failed; what ran before runs on. ``ended`` is False where it goes on at Heroku, and was left alone."""

    code = "build_failed"

    def __init__(self, message: str, *, hint: str | None = None, ended: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.ended = ended


class ReleaseFailed(RemoteError):
    """The release phase failed, or did not end (``ended``); what ran before runs on."""

    code = "release_failed"

    def __init__(self, message: str, *, hint: str | None = None, ended: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.ended = ended


class _Said(msgspec.Struct, frozen=True):
    id: str = ""
    message: str = ""


def refusal(status: int, body: bytes, *, what: str) -> HerokuRefused:
    """The error of an answer; ``what`` is what was asked for, as in ``to create the app penguins``."""
    try:
        said = msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = _Said()
    quoted = quote(said.message)
    told = f": {quoted}" if quoted else "."
    sentence, hint = _words(status, said.id, what=what, told=told)
    return HerokuRefused(sentence, status=status, id=said.id, hint=hint)


def _words(status: int, word: str, *, what: str, told: str) -> tuple[str, str]:
    if word == "two_factor":
        return (
            "Heroku asks for a second factor, which this token does not carry.",
            f"{TOKENS}: such a token needs no second factor",
        )
    if word == "delinquent":
        return f"Heroku holds this account to be in arrears{told}", "settle the account's invoices, then run it again"
    if status == 402 or word in {"verification_required", "payment_required"}:
        return (
            f"Heroku wants a verified account with a way to pay {what}{told}",
            "add a payment method to the account (Account settings, Billing) and run the same command again",
        )
    if status == 401:
        return "Heroku does not accept the token.", TOKENS
    if status == 403:
        return (
            f"This account may not {what.removeprefix('to ')}{told}",
            "ask the app's owner for access, or take another name with --app",
        )
    if status == 404:
        return (
            f"Heroku found nothing when it was asked {what}{told}",
            "check the name of the app; 'aweigh deploy heroku PATH --app NAME' makes one",
        )
    if status == 409:
        return (
            f"Heroku cannot do two things at once, and was asked {what}{told}",
            f"wait until the other is done; {AGAIN}",
        )
    if status == 422:
        return f"Heroku refuses {what}{told}", _fix_of_invalid(told)
    if status == 429:
        return f"Heroku lets this account ask no more for now: it was asked {what}.", f"wait some minutes; {AGAIN}"
    if status >= 500:
        return (
            f"Heroku failed with the status {status} when it was asked {what}{told}",
            f"see status.heroku.com; {AGAIN}",
        )
    return f"Heroku answers with the status {status} when it is asked {what}{told}", AGAIN


def _fix_of_invalid(told: str) -> str:
    text = told.lower()
    if "taken" in text:
        return "take another name with --app: they are shared by everybody at Heroku"
    if "size" in text or "dyno" in text:
        return "choose another size with --size, or fewer replicas; 'aweigh doctor PATH --target heroku' says what fits"
    if "plan" in text or "add-on" in text:
        return "write --addon as Heroku names it: heroku-postgresql:essential-0"
    if "stack" in text:
        return "leave --stack out, or take heroku-24 or heroku-26"
    return "change what it names and run the same command again"


def silent(what: str, *, why: str, sent: bool) -> HerokuSilent:
    """The error of a connection that failed; ``sent``: the request may have been carried out."""
    if sent:
        return HerokuSilent(
            f"The connection broke off when Heroku was asked {what} ({why}): whether it was done is not known.",
            hint=f"{AGAIN}, and looks first at what is there",
        )
    return HerokuSilent(
        f"Heroku cannot be reached {what} ({why}).",
        hint="check the network and AWEIGH_HEROKU_ENDPOINT, then run it again",
    )


_BUILD_FIXES = (
    ("is too large (max", "what is served does not fit into 500 MB: see 'aweigh doctor PATH --target heroku'"),
    ("No 'Procfile'", "deploy with aweigh, which writes one, or add a Procfile with a line 'web: ...'"),
    ("Multiple Python package manager files", "keep one of requirements.txt, Pipfile.lock, poetry.lock and uv.lock"),
    ("Couldn't find any supported Python package manager", "write a lock: aweigh lock PATH"),
    ("No Python version was specified", "write .python-version with one line, such as 3.12"),
    ("Existing '.venv/' directory", "leave .venv out of the folder"),
    ("Invalid Python version", "write .python-version with one line, such as 3.12"),
    ("No matching distribution", "a version is pinned that this Python cannot install: aweigh lock PATH"),
    ("THESE PACKAGES DO NOT MATCH THE HASHES", "a package is not what its lock says: aweigh lock PATH"),
)


def build_failed(lines: Sequence[str]) -> BuildFailed:
    """The error of a build, from the last lines of its log."""
    text = "\n".join(lines)
    fix = next((fix for mark, fix in _BUILD_FIXES if mark in text), None)
    marked = [line.strip().removeprefix("!").strip() for line in lines if line.lstrip().startswith("!")]
    said = next((line for line in marked if line and not line.startswith("Push")), "")
    said = said.removeprefix("Error:").strip() or next((one.strip() for one in reversed(lines) if one.strip()), "")
    told = f": {quote(said)}" if said else ""
    return BuildFailed(
        f"The build failed{told}{'' if told.endswith('.') else '.'}",
        hint=fix or "the build's log above says where; what ran before runs on",
    )
