"""A predictor as the server uses it: what a request holds becomes a table, the table answers, the answers a reply.

The three stages are ``read`` (body to table), ``predict`` (table to answers) and ``write`` (answers to bytes); ``ask``
puts them together for one request, at once on the event loop when the body is small and the model quick, else in one of
a few threads.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import Generic, TypeVar

import anyio
import anyio.to_thread
from starlette.types import Receive

from aweigh.errors import AweighError, Busy, InvalidRows, Problem
from aweigh.runtime.predictor import Predictor
from aweigh.schema.answers import Answers
from aweigh.schema.check import check
from aweigh.schema.decode import Decode, compile_decoder
from aweigh.schema.layout import layout_of
from aweigh.server.access.meter import Meter
from aweigh.server.body import ClientGone
from aweigh.server.desk import Desk, open_desk
from aweigh.server.finish import coded, finish
from aweigh.server.lane import INLINE_BYTES
from aweigh.server.media import Kind
from aweigh.server.metrics import Counters
from aweigh.server.pace import NotHere, Pace
from aweigh.server.problems import encode
from aweigh.server.reply import JSON_OUT, Replies, Reply
from aweigh.server.settings import Settings
from aweigh.server.timing import MODEL, QUEUE, READ, WARNINGS, Timing, plain_timing
from aweigh.table import Table, read_csv
from aweigh.wire.coding import WORTH_BYTES, coding_for

INLINE_S = 0.005
"""A model that takes longer than this for one row always answers in a thread."""

THREADS = 4
"""How many requests are worked on in threads at once; the others wait."""

HELD_BODIES = 8
"""Bodies of the largest size that may wait for a thread; what is more is turned away."""

REPLAYED_EVERY_S = 5.0
"""Rows on which a model fails cost a replay of the golden rows; who sends nothing else does not get one each."""

MAX_WARNINGS = 100
ASKED_ALONE = 100
"""When the model fails on a table of up to so many rows, each is asked alone, to say which it was."""

T = TypeVar("T")

Read = Callable[[], Table]
"""What a request holds, as a table that fits the schema; raises what is wrong with it."""

Write = Callable[[Answers, list[Problem]], T]
"""The reply of the answers and of what is unusual about the rows."""

_LOG = logging.getLogger(__name__)


Seen = Callable[[Answers], None]
"""Is told all of the answers to a request, before whoever asked is told as much as they may know."""


def _say_nothing(_: Table) -> list[Problem]:
    return []


def _refusing(decode: Decode, refuse: Callable[[Table], None]) -> Decode:
    def decode_within(body: bytes) -> Table:
        table = decode(body)
        refuse(table)
        return table

    return decode_within


class NoAnswer(InvalidRows):
    """Rows that the schema takes and the model itself refuses."""

    code = "no_answer"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for predictions: the body and what its headers say of it."""

    kind: Kind
    charset: str | None
    wanted: Kind
    body: bytes
    accepted: bytes = b""
    """Its ``Accept-Encoding``."""
    meter: Meter | None = None
    """What its rows are charged to."""
    seen: Seen | None = None
    here: bool = False
    """Whether it is answered on the event loop whatever its size, so that its rows must not take long."""


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """What is to be done for one request."""

    read: Read
    write: Write[T]
    size_bytes: int
    timing: Timing


class Service:
    """A predictor as the server uses it: bodies of any kind in, answers out, counted.

    A ``discreet`` one tells nobody which rows were known already.
    """

    def __init__(self, predictor: Predictor, *, settings: Settings, counters: Counters, discreet: bool = False) -> None:
        self.predictor = predictor
        self._discreet = discreet
        self.schema = predictor.schema
        self.max_rows = settings.rows_for(predictor.schema)
        self.inline = True
        self.warnings = predictor.domain.compile("flag", limit=MAX_WARNINGS) or _say_nothing
        self._refuse = predictor.domain.compile_refusal()
        self._answer = predictor.answer
        self._layout = layout_of(predictor.schema)
        self._decode: Decode = compile_decoder(predictor.schema, max_rows=self.max_rows, layout=self._layout)
        if self._refuse is not None:
            self._decode = _refusing(self._decode, self._refuse)
        self._decode_arrow: Decode | None = None
        self._replies = Replies(predictor.schema.output, name=predictor.manifest.name, version=predictor.version)
        self._counters = counters
        self._settings = settings
        self._limiter: anyio.CapacityLimiter | None = None
        self._desk: Desk | None = None
        self._pace = Pace()
        self._held_bytes = 0
        self._replayed = (-math.inf, False)

    async def reply(self, asked: Asked, *, receive: Receive | None = None) -> Reply:
        """The reply to one request of ``/v1/predict``; ``receive`` tells when its client has gone.

        Raises:
            DataError: see ``read`` and ``predict``.
        """
        read, write, timing = self._steps(asked)
        return await self.ask(read, write, size_bytes=len(asked.body), timing=timing, receive=receive)

    def reply_here(self, asked: Asked) -> tuple[bytes, bytes]:
        """The same on the event loop, to a body that ``is_quick``, as header lines and body.

        Raises:
            AweighError: what is wrong with the request; it is not to be asked again.
            Exception: there is none; ``reply`` says why, or does it.
        """
        read, write, timing = self._steps(asked)
        begun_s = time.perf_counter()
        try:
            headers, text = self._ask(read, write, timing)
        except Exception as error:  # what is refused takes its time as well
            seconds = error.expected_s if isinstance(error, NotHere) else time.perf_counter() - begun_s
            self._learn(asked, seconds)
            raise
        return b"".join([b"%b: %b\r\n" % one for one in headers]), text

    def _steps(self, asked: Asked) -> tuple[Read, Write[Reply], Timing]:
        """How a request of ``/v1/predict`` is read and its reply written; what that took is learned."""
        timing, begun_s = Timing(), 0.0

        def read() -> Table:
            nonlocal begun_s
            begun_s = time.perf_counter()
            return self.read(asked)

        def write(answers: Answers, warnings: list[Problem]) -> Reply:
            if asked.seen is not None:
                asked.seen(answers)
            if asked.meter is not None:
                answers = asked.meter.told(answers)
            found = self._replies.write(asked.wanted, answers, warnings)
            reply = finish(found, accepted=asked.accepted, timing=timing)
            self._learn(asked, time.perf_counter() - begun_s, rows=answers.rows)
            return reply

        return read, write, timing

    def _learn(self, asked: Asked, seconds: float, *, rows: int = 0) -> None:
        """A request took so long. What small ones take is mostly the same whatever their size."""
        if len(asked.body) > INLINE_BYTES:
            self._pace.learn(asked.kind, len(asked.body), seconds, rows=rows)

    def is_quick(self, kind: Kind, size_bytes: int) -> bool:
        """Whether the event loop may answer who asks alone: the body is small, or such were quick."""
        return self.inline and (size_bytes <= INLINE_BYTES or self._pace.is_quick(kind, size_bytes))

    def reply_at_once(self, body: bytes, *, accepted: bytes, meter: Meter | None = None) -> tuple[bytes, bytes]:
        """The reply to a small JSON body, here and now, as header lines and body; only while ``inline``.

        Raises:
            Exception: there is none; ``reply`` says why.
        """
        begun = perf_counter_ns()
        table = self._decode(body)
        read = perf_counter_ns()
        answers = self._answer(table) if table.rows else Answers.empty(self.schema.output)
        answered = perf_counter_ns()
        if meter is not None:
            meter(table, len(body))  # not before: rows that the model fails on are charged by the ordinary way
        warnings = self.warnings(table)
        warned = perf_counter_ns()
        if meter is not None:
            answers = meter.told(answers)
        text = self._replies.json(answers, warnings)
        written = perf_counter_ns()
        # Nothing is counted before all is done: what fails goes the ordinary way and is counted there.
        if len(text) < WORTH_BYTES and (not accepted or coding_for(accepted, worth=False) == "identity"):
            timing = plain_timing(begun, read, answered, warned, written)
            lines = b"content-type: application/json\r\ncontent-length: %d\r\n%b" % (len(text), timing)
        else:
            plain = text
            headers, text = coded([JSON_OUT, (b"content-length", b"%d" % len(text))], plain, accepted=accepted)
            compressed = 0 if text is plain else perf_counter_ns()
            timing = plain_timing(begun, read, answered, warned, written, compressed)
            lines = b"".join([*(b"%b: %b\r\n" % one for one in headers), timing])
        self._counters.predicted(rows=table.rows, seconds=(answered - read) * 1e-9)
        self._counters.warned(len(warnings))
        return lines, text

    async def ask(
        self, read: Read, write: Write[T], *, size_bytes: int, timing: Timing, receive: Receive | None = None
    ) -> T:
        """Reads a request of that size, asks the model and writes the reply: here and now, or in a thread.

        ``timing`` is told when each stage has ended.

        Raises:
            DataError: the request cannot be read, does not fit, or the model has no answer.
            Busy: too much waits already.
            ClientGone: the client left while its rows waited.
        """
        if self.inline and size_bytes <= INLINE_BYTES:
            return self._ask(read, write, timing)
        try:
            if self._desk is None:
                return await self._in_thread(partial(self._ask_later, read, write, timing), size_bytes=size_bytes)
            return await self._ask_desk(self._desk, Work(read, write, size_bytes, timing), receive)
        except Busy:
            self._counters.refused()
            raise

    async def _ask_desk(self, desk: Desk, work: Work[T], receive: Receive | None) -> T:
        """The same for a model in front of which requests wait."""
        desk.require_room()
        is_small = work.size_bytes <= INLINE_BYTES
        table = work.read() if is_small else await self._in_thread(work.read, size_bytes=work.size_bytes)
        work.timing.mark(READ)
        if table.rows:
            try:
                answers = await desk.ask(table, timing=work.timing, receive=receive)
            except (AweighError, ClientGone, MemoryError):
                raise
            except Exception as error:
                raise await self._in_thread(partial(self._blame, table, error), size_bytes=0) from error
        else:
            answers = Answers.empty(self.schema.output)
        finish = partial(self._finish, work.write, table, answers, work.timing)
        return finish() if is_small else await self._in_thread(finish, size_bytes=0)

    async def _in_thread(self, work: Callable[[], T], *, size_bytes: int) -> T:
        """Works in one of a few threads.

        Raises:
            Busy: the bodies that wait for one are larger together than is good.
        """
        if self._held_bytes and self._held_bytes + size_bytes > HELD_BODIES * self._settings.max_body_bytes:
            raise Busy(retry_after_s=1)
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(THREADS)
        self._held_bytes += size_bytes
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._held_bytes -= size_bytes

    def _ask_later(self, read: Read, write: Write[T], timing: Timing) -> T:
        timing.mark(QUEUE)
        return self._ask(read, write, timing)

    def _ask(self, read: Read, write: Write[T], timing: Timing) -> T:
        table = read()
        timing.mark(READ)
        answers = self.predict(table)
        timing.mark(MODEL)
        return self._finish(write, table, answers, timing)

    def _finish(self, write: Write[T], table: Table, answers: Answers, timing: Timing) -> T:
        warnings = self.warnings(table)
        self._counters.warned(len(warnings))
        timing.mark(WARNINGS)
        return write(answers, warnings)

    def warm(self) -> None:
        """Answers a golden row as a request would, twice, and learns what the model costs."""
        asked = Asked("json", None, "json", encode({"rows": self.predictor.examples.rows[:1]}))
        for _ in range(2):
            self._ask(partial(self.read, asked), partial(self._replies.write, "json"), Timing())
        rows = self._decode(encode({"rows": self.predictor.examples.rows[: self.max_rows]}))
        self._desk = open_desk(
            self.predictor,
            rows,
            settings=self._settings,
            counters=self._counters,
            inline_s=INLINE_S,
            lanes=THREADS,
            discreet=self._discreet,
        )
        self.inline = self._desk is None

    def show(self, seen: Seen) -> None:
        """From now on this is told all of the answers that ``reply_at_once`` gives."""
        answer = self._answer

        def answer_and_tell(table: Table) -> Answers:
            answers = answer(table)
            seen(answers)
            return answers

        self._answer = answer_and_tell

    def open(self) -> None:
        """Looks for what others know, on the event loop."""
        if self._desk is not None:
            self._desk.open()

    async def close(self) -> None:
        """Leaves what was opened."""
        if self._desk is not None:
            await self._desk.close()

    def read(self, asked: Asked) -> Table:
        """The body as a table that fits the schema, its rows charged to whoever asks.

        Raises:
            DataError: it cannot be read, is too large, or does not fit.
            OverBudget: whoever asks has asked for as much as they may.
            NotHere: its rows would keep the event loop for too long; they are not charged.
        """
        table = self._read(asked)
        if asked.here and len(asked.body) > INLINE_BYTES:
            self._pace.require_quick(table.rows)
        if asked.meter is not None:
            asked.meter(table, len(asked.body))
        return table

    def _read(self, asked: Asked) -> Table:
        if asked.kind == "json":
            return self._decode(asked.body)
        if asked.kind == "csv":
            given = read_csv(asked.body, charset=asked.charset, max_rows=self.max_rows)
            return self.within(check(self.schema, given))
        if self._decode_arrow is None:  # most servers are never asked for it
            from aweigh.schema.decode_arrow import compile_arrow

            self._decode_arrow = compile_arrow(self.schema, max_rows=self.max_rows, layout=self._layout)
        return self.within(self._decode_arrow(asked.body))

    def within(self, table: Table) -> Table:
        """The table, when the policy lets all of it be answered.

        Raises:
            OutsideDomain: a row lies outside what the model has seen, and such are refused.
        """
        if self._refuse is not None:
            self._refuse(table)
        return table

    def predict(self, table: Table) -> Answers:
        """The model's answers, counted.

        Raises:
            NoAnswer: the model fails on these rows though it still answers a golden one.
        """
        if not table.rows:
            return Answers.empty(self.schema.output)
        begun = time.perf_counter()
        try:
            answers = self.predictor.predict(table)
        except (AweighError, MemoryError):
            raise
        except Exception as error:
            raise self._blame(table, error) from error
        self._counters.predicted(rows=table.rows, seconds=time.perf_counter() - begun)
        return answers

    def _blame(self, table: Table, error: Exception) -> Exception:
        """The rows' fault or the model's: it is the rows' when the golden rows are answered as ever."""
        if not self._still_right():
            return error
        _LOG.warning("the model fails on rows that its schema takes: %s", type(error).__name__)
        problems = []
        for i in range(table.rows if table.rows <= ASKED_ALONE else 0):
            try:
                self.predictor.predict(table.take(slice(i, i + 1)))
            except Exception:  # noqa: BLE001  whatever a model raises is the answer to the question asked here
                problems.append(Problem("no_answer", f"the model has no answer for row {i}", row=i))
        return NoAnswer(tuple(problems) or (Problem("no_answer", "the model has no answer for these rows"),))

    def _still_right(self) -> bool:
        """Whether the golden rows are answered as ever; asked at most every few seconds, whatever a client sends."""
        now = time.monotonic()
        asked_s, right = self._replayed
        if now - asked_s > REPLAYED_EVERY_S:
            right = self.predictor.replay().ok
            self._replayed = (time.monotonic(), right)
        return right
