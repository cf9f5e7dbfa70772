"""The API as the pages see it: what the model is, what it takes, and what it says of rows.

One HTTP client and one copy of the documents a process; a reply from another version of the model drops the copy.
"""

import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from aweigh.bundle.manifest import Presentation, Proof
from aweigh.errors import DataError, InvalidRows, NotReady, Problem, RemoteError, TooLarge
from aweigh.profile import Profile
from aweigh.schema import Column, Output, Schema
from aweigh.schema.domain import Domain
from aweigh.schema.policy import Policy, Word
from aweigh.ui.host import API_URL_VARIABLE
from aweigh.ui.line import Line, Response

_T = TypeVar("_T")

USER, ROLE, SESSION = "X-Aweigh-User", "X-Aweigh-Role", "X-Aweigh-Session"
"""Headers by which the server's door says who the visitor is, and what the API takes in the visitor's name."""

TIMEOUT_S = 60.0
REMEMBERED_TIMES = 5
DOCUMENTS_LAST_S = 2.0
"""The model is not asked about more often, whatever version an answer comes from."""


class Examples(msgspec.Struct, frozen=True):
    """Golden rows, the original model's answers, and what makes each row different."""

    rows: tuple[dict[str, Any], ...] = ()
    predictions: tuple[dict[str, Any], ...] = ()
    titles: tuple[str, ...] = ()


class Signer(msgspec.Struct, frozen=True):
    """Who has signed the bundle, in the words of the server's trust policy."""

    name: str = ""
    keyid: str = ""


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of rows outside what the model has seen."""

    columns: Word = "flag"
    combination: Word = "flag"
    named: dict[str, Word] = {}


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /v1/model``, as much of it as the pages show."""

    name: str
    version: str
    digest: str = ""
    signers: tuple[Signer, ...] = ()
    family: str = ""
    model: str = ""
    runtime: str = ""
    runtime_reason: str = ""
    task: str = ""
    python: str = ""
    made_with: dict[str, str] = {}
    proof: Proof | None = None
    presentation: Presentation = Presentation()
    domain: Outside = Outside()
    card: str = ""
    examples: Examples = Examples()
    profile: Profile | None = None


class _Input(msgspec.Struct, frozen=True):
    columns: tuple[Column, ...]


class _SchemaDocument(msgspec.Struct, frozen=True):
    input: _Input
    output: Output


class Warned(msgspec.Struct, frozen=True):
    """One thing that the API says about a row that it answered all the same."""

    code: str
    row: int | None = None
    column: str | None = None
    message: str = ""


class _ModelName(msgspec.Struct, frozen=True):
    name: str = ""
    version: str = ""


class _ReplyDocument(msgspec.Struct, frozen=True):
    predictions: tuple[dict[str, Any], ...]
    warnings: tuple[Warned, ...] = ()
    model: _ModelName = _ModelName()


class _ProblemDocument(msgspec.Struct, frozen=True):
    title: str = ""
    detail: str = ""
    code: str = ""
    problems: tuple[dict[str, Any], ...] = ()
    total: int | None = None


@dataclass(frozen=True)
class Documents:
    """What the pages are made from."""

    model: Model
    schema: Schema

    @cached_property
    def domain(self) -> Domain:
        """What the model has seen, and what the API does with what lies beyond."""
        said, profile = self.model.domain, self.model.profile
        policy = Policy(columns=said.columns, combination=said.combination, named=said.named)
        return Domain(self.schema, policy, None if profile is None else profile.combinations)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers to some rows, in their order; ``seconds`` is what the asking took."""

    predictions: tuple[dict[str, Any], ...]
    warnings: tuple[Warned, ...]
    version: str
    seconds: float


class Api:
    """The API at one address, asked in the name of whoever looks at the page."""

    def __init__(self, url: str) -> None:
        self._line = Line(url, timeout_s=TIMEOUT_S)
        self._documents: Documents | None = None
        self._asked_s = 0.0
        self._lock = threading.Lock()
        self._times_s: deque[float] = deque(maxlen=REMEMBERED_TIMES)

    def documents(self) -> Documents:
        """The model and its schema, asked for once.

        Raises:
            NotReady: the model is still being checked.
            RemoteError: the API cannot be reached, or does not speak as expected.
        """
        with self._lock:
            if self._documents is None:
                model = self._decode(self._send("GET", "/v1/model"), Model)
                schema = self._decode(self._send("GET", "/v1/schema"), _SchemaDocument)
                self._asked_s = time.monotonic()
                self._documents = Documents(model, Schema(columns=schema.input.columns, output=schema.output))
            return self._documents

    def predict(self, rows: Sequence[Mapping[str, object]]) -> Reply:
        """The model's answers to rows of JSON values.

        Raises:
            InvalidRows: the API refused cells, columns or rows.
            TooLarge: more at once than it takes.
            NotReady, RemoteError: as for ``documents``.
        """
        started = time.perf_counter()
        response = self._send("POST", "/v1/predict", content=msgspec.json.encode({"rows": rows}))
        document = self._decode(response, _ReplyDocument)
        seconds = time.perf_counter() - started
        if len(rows) == 1:
            self._times_s.append(seconds)
        # While a candidate is tried, some are answered by another model than the one that is shown.
        is_other = self._documents is not None and document.model.version not in {"", self._documents.model.version}
        if is_other and time.monotonic() - self._asked_s > DOCUMENTS_LAST_S:
            self._documents = None
        return Reply(document.predictions, document.warnings, document.model.version, seconds)

    def close(self) -> None:
        """Close the kept connections."""
        self._line.close()

    def usual_s(self) -> float:
        """How long one row has usually taken of late; 0 before the first."""
        return statistics.median(self._times_s) if self._times_s else 0.0

    def _send(self, method: str, path: str, *, content: bytes | None = None) -> Response:
        context = get_script_run_ctx(suppress_warning=True)
        visit = None if context is None else context.session_id
        response = self._line.ask(method, path, content=content, session=_said().get(SESSION), visit=visit)
        if 200 <= response.status < 300:
            return response
        raise self._refusal(response)

    def _refusal(self, response: Response) -> Exception:
        try:
            document = msgspec.json.decode(response.content, type=_ProblemDocument)
        except msgspec.DecodeError:
            document = _ProblemDocument()
        said = document.detail or document.title
        if response.status == 503:
            return NotReady(said or "The model is not ready.")
        if response.status == 401:
            return NotReady("You are not signed in any more.", hint="open this page again and sign in")
        if response.status == 413:
            return TooLarge(said or "That is more than the model takes at once.")
        if response.status == 422:
            problems = tuple(
                Problem(
                    code=str(one.get("code", "")),
                    message=str(one.get("message", "")),
                    row=one.get("row"),
                    column=one.get("column"),
                )
                for one in document.problems
            )
            return InvalidRows(problems, total=document.total)
        if 400 <= response.status < 500:
            return DataError(said or f"The model refused the request ({response.status}).")
        return RemoteError(f"The model failed to answer ({response.status}).")

    def _decode(self, response: Response, kind: type[_T]) -> _T:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise RemoteError("The model's answer could not be read.") from error


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at the page, where the server asks: a name and a role."""

    name: str
    role: str


def visitor() -> Visitor | None:
    """Who looks at the page that this thread draws; None where nobody is asked who they are."""
    said = _said()
    name, role = said.get(USER), said.get(ROLE)
    return Visitor(unquote(name), role) if name and role else None


def _said() -> Mapping[str, str]:
    """What the server says of the visitor, in the headers of the page's WebSocket; nothing to a thread of no page."""
    return {} if get_script_run_ctx(suppress_warning=True) is None else st.context.headers


_apis: dict[str, Api] = {}
_lock = threading.Lock()


def api() -> Api:
    """The API that this process was told of by ``AWEIGH_API_URL``; one client for all sessions."""
    url = os.environ.get(API_URL_VARIABLE, "http://127.0.0.1:8000")
    with _lock:
        if url not in _apis:
            _apis[url] = Api(url)
        return _apis[url]


def close_all() -> None:
    """Close every client of this process; who asks again gets a new one."""
    while _apis:
        _apis.popitem()[1].close()
