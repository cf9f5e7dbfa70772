"""Why nobody was signed in. The reason is a word of a short list: pages tell by it, and show no text of a stranger."""

from typing import Literal

from aweigh.errors import AweighError

Reason = Literal["provider_down", "sign_in_refused", "sign_in_stale", "sign_in_cancelled", "not_on_the_list"]
"""``provider_down``: it cannot be asked. ``sign_in_refused``: what it answered cannot be believed. ``sign_in_stale``:
this browser has not begun this sign-in, or too long ago, or it was used. ``sign_in_cancelled``: the provider or the
person said no. ``not_on_the_list``: known to the provider, and not let in here."""


class SignInFailed(AweighError):  # noqa: N818  named as those of errors.py
    """A sign-in with a provider that came to nothing; the message is for the log.

    ``subject`` is who the provider vouches for, where it does.
    """

    code = "sign_in_failed"

    def __init__(self, reason: Reason, message: str, *, hint: str | None = None, subject: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.subject = subject


def down(message: str, *, hint: str | None = None) -> SignInFailed:
    """The provider cannot be asked just now, or answers with what is no answer."""
    return SignInFailed("provider_down", message, hint=hint)


def refused(message: str, *, hint: str | None = None) -> SignInFailed:
    """What came back cannot be believed."""
    return SignInFailed("sign_in_refused", message, hint=hint)


def stale(message: str) -> SignInFailed:
    """This browser has begun no such sign-in, or not lately, or has ended it."""
    return SignInFailed("sign_in_stale", message)
