"""``/v1/release``: how a release stands, and what is to become of it, for admins."""

import logging
import secrets
import time
from functools import partial
from typing import Literal

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from aweigh.errors import AweighError, MalformedBody
from aweigh.runtime.release import state as states
from aweigh.runtime.release.state import Change, State, WrongState
from aweigh.secret import Secret
from aweigh.server.access.asked import LOOPBACK_NAMES, header, name_of
from aweigh.server.access.door import CLIENT, IDENTITY, Door
from aweigh.server.metrics import has_token, may_read
from aweigh.server.problems import Refused, encode, method_not_allowed
from aweigh.server.release.told import audited, release_document
from aweigh.server.release.trial import Trial

MOST_BYTES = 4096

_LOG = logging.getLogger(__name__)


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to become of a release. ``candidate``: the version that is meant, where somebody wants to be sure."""

    action: Literal["start", "set", "promote", "abort"]
    mode: Literal["canary", "shadow"] = "canary"
    percent: float | None = None
    reason: str = ""
    candidate: str | None = None


class Release:
    """The address of one server's release, as a raw ASGI endpoint."""

    def __init__(self, trial: Trial, *, door: Door, token: Secret | None, proxies: int = 0) -> None:
        self._proxies = proxies
        self._trial = trial
        self._door = door
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            Refused: not for this caller (403), or another method (405).
            MalformedBody, WrongState: what is asked for cannot be read, or cannot be.
            StorageDown, StorageFull, Busy: the state cannot be changed now.
        """
        if scope["method"] not in {"GET", "HEAD", "POST"}:
            raise method_not_allowed(["GET", "HEAD", "POST"])
        if not self._door.is_closed and not self._is_admins(scope):
            raise Refused(
                "forbidden",
                "The release is not for everybody.",
                hint="ask from the machine itself, or send AWEIGH_RELEASE_TOKEN as a bearer token",
            )
        if scope["method"] == "POST":
            asked = _read(await _body(Request(scope, receive)))
            await anyio.to_thread.run_sync(partial(self._change, asked, scope))
        document = await anyio.to_thread.run_sync(self._document)
        await Response(encode(document), media_type="application/json")(scope, receive, send)

    def _is_admins(self, scope: Scope) -> bool:
        """Whether it has the token, or is of this machine, which is asked by its own name and by no proxy.

        A page of another site whose name leads here (DNS rebinding) asks by that name.
        """
        is_here = self._proxies == 0 and name_of(header(scope, b"host").decode("latin-1")) in LOOPBACK_NAMES
        return may_read(scope, token=self._token) if is_here else has_token(scope, token=self._token)

    def _document(self) -> dict[str, object]:
        tally = self._trial.refresh()
        return release_document(self._trial, tally)

    def _change(self, asked: Asked, scope: Scope) -> None:
        trial, identity = self._trial, scope.get(IDENTITY)
        predictor = trial.candidate.predictor
        if asked.candidate is not None and asked.candidate not in {predictor.version, predictor.digest}:
            raise WrongState(
                f"The candidate of this server is {predictor.version}, and not {asked.candidate[:64]}.",
                hint="see aweigh release status",
            )
        if not trial.is_fit and asked.action in {"start", "promote"}:
            raise WrongState("The candidate does not answer its golden rows: it cannot be tried.", hint="see the log")
        by = "this machine, or who has the token" if identity is None else identity.name
        change = Change(by=by, at=time.time(), salt=secrets.token_hex(8), reason=asked.reason)

        def make(state: State) -> State:
            match asked.action:
                case "start":
                    return states.started(state, asked.mode, _percent(asked, default=10.0), change)
                case "set":
                    return states.resized(state, _percent(asked), change)
                case "promote":
                    return states.promoted(state, change)
                case "abort":
                    return states.aborted(state, change)

        new = trial.change(make)
        _LOG.warning("release: %s by %s", _words(asked.action, new), by)
        event = "changed" if asked.action == "set" else ""
        try:
            audited(self._door, new, predictor, by=identity, client=scope.get(CLIENT, ""), event=event)
        except AweighError as error:  # it has happened: whoever asked is told so
            _LOG.error("the audit log could not be written: %s", error.message)


def _words(action: str, state: State) -> str:
    share = f", {state.percent:g} %" if state.mode == "canary" else ""
    return f"{action}, now {state.mode}{share}"


async def _body(request: Request) -> bytes:
    found = b""
    async for piece in request.stream():
        found += piece
        if len(found) > MOST_BYTES:
            raise Refused("too_large", "That is more than a change of a release takes.")
    return found


def _read(body: bytes) -> Asked:
    try:
        asked = msgspec.json.decode(body, type=Asked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(
            f"The change cannot be read: {error}.",
            hint='send {"action": "start", "mode": "canary", "percent": 10}; set, promote and abort are the others',
        ) from error
    if asked.percent is not None and not 0 <= asked.percent <= 100:
        raise MalformedBody(f"A share of {asked.percent:g} % cannot be.", hint="write a number from 0 to 100")
    return asked


def _percent(asked: Asked, *, default: float | None = None) -> float:
    percent = asked.percent if asked.percent is not None else default
    if percent is None:
        raise MalformedBody("Nobody says which share it is to be.", hint='send {"action": "set", "percent": 25}')
    return percent
