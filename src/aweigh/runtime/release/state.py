"""State: what a release of two bundles is doing, and what may become of it."""

from typing import Literal

import msgspec

from aweigh.errors import AweighError

Mode = Literal["off", "canary", "shadow", "promoted", "aborted"]
"""``off``: nothing was begun. ``canary``: so many in a hundred are answered by the candidate. ``shadow``: it is asked,
too, and nobody sees what it says. ``promoted``: it answers everybody. ``aborted``: it answers nobody any more."""

TRIED: frozenset[Mode] = frozenset({"canary", "shadow"})
REASON_CHARACTERS = 300


class WrongState(AweighError):  # noqa: N818  named as those of errors.py
    """What is asked for does not follow on what a release is doing."""

    code = "wrong_state"
    http_status = 409


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a release is doing.

    ``number`` counts its changes. ``salt`` is that of the trial: another one picks other people and counts anew.
    ``percent`` is of a canary. ``at`` is when it was changed, in seconds since 1970, ``by`` who did it, ``reason`` why,
    and ``limit`` which limit it was where it was given up by itself.
    """

    mode: Mode = "off"
    percent: float = 0.0
    salt: str = ""
    number: int = 0
    at: float = 0.0
    begun: float = 0.0
    by: str = ""
    reason: str = ""
    limit: str = ""

    @property
    def is_tried(self) -> bool:
        """Whether the candidate is being tried."""
        return self.mode in TRIED


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes something, when (seconds since 1970), and what a new trial is salted with."""

    by: str
    at: float
    salt: str = ""
    reason: str = ""
    limit: str = ""


def started(state: State, mode: Literal["canary", "shadow"], percent: float, change: Change) -> State:
    """A new trial, whatever was before."""
    share = percent if mode == "canary" else 0.0
    return _next(state, change, mode=mode, percent=share, salt=change.salt, begun=change.at)


def resized(state: State, percent: float, change: Change) -> State:
    """The same canary for more or fewer; who had the candidate keeps it when there are more.

    Raises:
        WrongState: there is none.
    """
    if state.mode != "canary":
        raise WrongState(
            f"There is no canary to be given another share: the release is {state.mode}.",
            hint="aweigh release start --canary PERCENT begins one",
        )
    return _next(state, change, percent=percent)


def promoted(state: State, change: Change) -> State:
    """The candidate answers everybody.

    Raises:
        WrongState: it is not being tried.
    """
    if not state.is_tried:
        raise WrongState(
            f"Only what is being tried can be promoted: the release is {state.mode}.",
            hint="aweigh release start tries the candidate",
        )
    return _next(state, change, mode="promoted")


def aborted(state: State, change: Change) -> State:
    """The candidate answers nobody any more; also one that was promoted.

    Raises:
        WrongState: it answers nobody as it is.
    """
    if state.mode in {"off", "aborted"}:
        raise WrongState(f"There is nothing to abort: the release is {state.mode}.", hint="see aweigh release status")
    return _next(state, change, mode="aborted", percent=0.0)


def _next(state: State, change: Change, **fields: object) -> State:
    told = {"number": state.number + 1, "at": change.at, "by": change.by, "reason": change.reason[:REASON_CHARACTERS]}
    return msgspec.structs.replace(state, **told, limit=change.limit, **fields)
