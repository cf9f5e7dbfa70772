"""A job: one file to be answered, and everything that may become of it, each change a pure function.

queued ──▶ running ──▶ done ──▶ expired
   ▲          │ ├────▶ failed ──▶ expired
   └──────────┘ └────▶ cancelled ──▶ expired
"""

import secrets
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from aweigh.errors import AweighError, InvalidRows
from aweigh.runtime.rows_out import OutKind

State = Literal["queued", "running", "done", "failed", "cancelled", "expired"]
STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "cancelled", "expired")
OPEN: frozenset[State] = frozenset({"queued", "running"})

MAX_ATTEMPTS = 3
"""A job that has taken so many workers with it, and came no further, is given up: the next would go the same way."""

ID_BYTES = 16
"""Who knows a job's id may see its result, so that it must not be guessed: 128 random bits."""
ID_LENGTH = 2 * ID_BYTES

LISTED_PROBLEMS = 100


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How the file is to be read and what is to be written, as ``aweigh predict`` has it."""

    output: OutKind
    keep: tuple[str, ...] | None = None
    ignore_extra: bool = False
    charset: str | None = None
    delimiter: str | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job failed, in the words of the error that ended it."""

    code: str
    message: str
    hint: str | None = None
    problems: tuple[dict[str, Any], ...] = ()
    total: int = 0


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job is, and what of its files is safely stored: whoever takes it up goes on behind that.

    ``kept`` names the file of the answers (of a kind that has a footer: the log of them) and ``told`` that of the bad
    rows, of which so many bytes are what ``rows`` rows gave. ``by`` is the program that cut the file into parts,
    ``attempt`` the one that came so far.
    """

    by: str
    attempt: int
    rows: int
    bad: int
    problems: Mapping[str, int]
    seconds: float
    kept: str
    kept_bytes: int
    told: str
    told_bytes: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is recorded. Times are seconds since 1970 by the clock of the store.

    ``digest`` is that of the bundle it was posted for: no other may run it. ``client`` is the id of who posted it,
    where the server asks. ``source``, ``result`` and ``told`` (of the bad rows) name stored files. ``until`` is when
    the lease of ``owner``, a worker, ends, ``expires`` when the job does.
    A field that an older or newer program has written does no harm here: both may run for a while.
    """

    id: str
    state: State
    model: str
    digest: str
    source: str
    size_bytes: int
    wish: Wish
    created: float
    expires: float | None
    client: str = ""
    key: str | None = None
    started: float | None = None
    finished: float | None = None
    seconds: float = 0.0
    attempts: int = 0
    owner: str | None = None
    until: float | None = None
    rows: int = 0
    total: int | None = None
    bad: int | None = None
    problems: Mapping[str, int] = {}
    result: str | None = None
    result_bytes: int = 0
    told: str | None = None
    told_bytes: int = 0
    failure: Failure | None = None
    mark: Mark | None = None

    @property
    def open(self) -> bool:
        """Whether there is still something to be done."""
        return self.state in OPEN

    @property
    def worn(self) -> bool:
        """Whether too many workers have had it that were not heard of again and did nothing that lasts."""
        lasting = 0 if self.mark is None else self.mark.attempt
        return self.state == "running" and self.attempts - lasting >= MAX_ATTEMPTS

    def claimable(self, now: float) -> bool:
        """Whether a worker may take it: nobody has it, or who had it has not been heard of since its lease ended."""
        return self.state == "queued" or (self.state == "running" and (self.until or 0.0) <= now)


def new_id() -> str:
    """A job's id, which nobody guesses."""
    return secrets.token_hex(ID_BYTES)


def is_id(text: str) -> bool:
    """Whether the text could be an id, so that nothing else is ever looked for."""
    return len(text) == ID_LENGTH and text.isascii() and all(one in "0123456789abcdef" for one in text)


def failure_of(error: AweighError) -> Failure:
    """The error as it is recorded."""
    if not isinstance(error, InvalidRows):
        return Failure(code=error.code, message=error.message, hint=error.hint)
    problems = tuple(one.document() for one in error.problems[:LISTED_PROBLEMS])
    return Failure(code=error.code, message=error.message, hint=error.hint, problems=problems, total=error.total)


# -- what may become of a job ----------------------------------------------------------------------------------------


def claimed(job: Job, *, owner: str, now: float, lease_s: float) -> Job:
    """The job in the hands of a worker, from the last mark of one before it on."""
    return msgspec.structs.replace(
        job,
        state="running",
        owner=owner,
        until=now + lease_s,
        attempts=job.attempts + 1,
        started=job.started or now,
        expires=None,
        **_at_mark(job),
    )


def renewed(job: Job, *, until: float, rows: int, total: int | None, bad: int | None, mark: Mark | None) -> Job:
    """The job still in the same hands, and how far it is."""
    return msgspec.structs.replace(job, until=until, rows=rows, total=total, bad=bad, mark=mark)


def given_back(job: Job, *, now: float, ttl_s: float) -> Job:
    """The job without its worker, who stops: that it was tried does not count against it."""
    return msgspec.structs.replace(
        job, state="queued", owner=None, until=None, attempts=job.attempts - 1, expires=now + ttl_s, **_at_mark(job)
    )


def _at_mark(job: Job) -> dict[str, Any]:
    """What is known of a job's rows when only what is stored of them counts."""
    if job.mark is None:
        return {"rows": 0, "total": None, "bad": None}
    return {"rows": job.mark.rows, "total": job.total, "bad": job.mark.bad}


def ended(job: Job, state: State, *, now: float, ttl_s: float, **more: Any) -> Job:
    """The job when nothing will change it any more but its end; ``more`` is what came of it."""
    return msgspec.structs.replace(
        job, state=state, owner=None, until=None, finished=now, expires=now + ttl_s, mark=None, **more
    )


def worn_out(job: Job, *, now: float, ttl_s: float) -> Job:
    """The job given up, since workers do not survive it."""
    failure = Failure(
        code="worker_lost",
        message=f"{job.attempts} workers took the job and were not heard of again.",
        hint="the file or the model may need more memory than a worker has; try a part of the file",
    )
    return ended(job, "failed", now=now, ttl_s=ttl_s, failure=failure)


def expired(job: Job, *, now: float, ttl_s: float) -> Job:
    """What is left of a job whose files are gone: for as long again it is known that it was there."""
    return msgspec.structs.replace(
        job,
        state="expired",
        expires=now + ttl_s,
        key=None,
        result=None,
        told=None,
        mark=None,
        failure=None,
        finished=job.finished or now,
    )
