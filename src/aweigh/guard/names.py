"""Names of people and labels of keys: any script, but nothing that hides, reorders or fakes what is read."""

import unicodedata

from aweigh.errors import UsageError

NAME_CHARACTERS = 128
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control and formatting characters (zero width and bidirectional ones among them), halves of surrogate pairs, what has
no meaning (yet), and what breaks a line."""


def readable(text: str) -> str | None:
    """The text in its compatibility form (NFKC), spaces at the ends left off; None when it is no name."""
    if len(text) > NAME_CHARACTERS:
        return None
    name = unicodedata.normalize("NFKC", text).strip()
    if not 1 <= len(name) <= NAME_CHARACTERS or any(unicodedata.category(one) in HIDDEN for one in name):
        return None
    return name


def same(name: str) -> str:
    """What is equal for names that count as one: "ANA" and "ana", "ﬁn" and "fin"."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def key_of(text: str) -> str | None:
    """What a name as typed is looked up by; None when it is no name."""
    name = readable(text)
    return None if name is None else same(name)


def check_name(text: str, *, what: str) -> str:
    """The name as it is kept.

    Raises:
        UsageError: it is none.
    """
    name = readable(text)
    if name is None:
        raise UsageError(
            f"That is no {what}.",
            hint=f"1 to {NAME_CHARACTERS} characters that can be seen: no control, zero-width or direction marks",
        )
    return name
