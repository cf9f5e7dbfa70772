"""Who may ask what: for every path what whoever asks must be allowed. What no rule names is for those who may look.

Rules are about paths and not about methods: a method that an address does not take is refused by the address itself, to
those who may come that far. So no method of an address is ever guarded less than another.
"""

from dataclasses import dataclass
from typing import Literal

from aweigh.guard.identity import Scope

Kind = Literal["open", "person", "scope"]


@dataclass(frozen=True, slots=True)
class Need:
    """What it takes: nothing (``open``), to be signed in as a person, or a scope, which people and keys have."""

    kind: Kind
    scope: Scope | None = None


OPEN = Need("open")
PERSON = Need("person")
READ = Need("scope", "read")
PREDICT = Need("scope", "predict")
FEEDBACK = Need("scope", "feedback")
OPERATE = Need("scope", "operate")
ADMIN = Need("scope", "admin")

_EXACT: dict[str, Need] = {
    "/": PREDICT,
    "/predict": PREDICT,
    "/batch": PREDICT,
    "/v1/predict": PREDICT,
    "/v1/explain": PREDICT,
    "/v1/feedback": FEEDBACK,
    "/health/live": OPEN,
    "/health/ready": OPEN,
    "/v2/health/live": OPEN,
    "/v2/health/ready": OPEN,
    "/login": OPEN,
    "/logout": OPEN,
}
_BELOW: dict[str, Need] = {
    "/v1/jobs": PREDICT,
    "/v1/release": ADMIN,
    "/_stcore/upload_file": PREDICT,
    "/_stcore/metrics": OPERATE,
    "/v2/models": PREDICT,
    "/v2/repository": ADMIN,
    "/metrics": OPERATE,
    "/invite": OPEN,
    "/oauth": OPEN,
    "/account": PERSON,
    "/admin": ADMIN,
}
ACCESS_PAGES = ("/login", "/logout", "/invite", "/oauth", "/account", "/admin")
"""The addresses of the door's own pages, and everything below them."""


def need_of(path: str) -> Need:
    """What it takes to ask for a path, as the server has decoded it.

    >>> need_of("/health/live").kind, need_of("/v1/predict").scope, need_of("/some/page").scope
    ('open', 'predict', 'read')
    """
    found = _EXACT.get(path)
    if found is not None:
        return found
    for first, need in _BELOW.items():
        if path == first or path.startswith(first + "/"):
            return need
    return READ


def is_access_page(path: str) -> bool:
    """Whether the door itself answers at the path."""
    return any(path == one or path.startswith(one + "/") for one in ACCESS_PAGES)
