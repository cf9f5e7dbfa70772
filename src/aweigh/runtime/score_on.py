"""Scoring a file in several runs: each goes on where the one before it had come to, and all of them write one file.

The rows that are done are read again and nothing is asked of the model for them. What comes of it is byte for byte
what ``score`` writes at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from aweigh.errors import MalformedBody
from aweigh.runtime.arrow_log import ArrowLog
from aweigh.runtime.bad_rows import BadRows
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.rows_in import open_rows
from aweigh.runtime.rows_out import OutKind
from aweigh.runtime.score import ScoreOptions
from aweigh.runtime.score_plan import Wish
from aweigh.runtime.score_run import Run

HAS_FOOTER: frozenset[OutKind] = frozenset({"parquet", "arrow"})
"""Kinds of files that are written anew from a log of their rows: see ``arrow_log``."""


class NotTheSame(Exception):  # noqa: N818  control flow: begin at row one
    """What an earlier run has left does not fit what is read now."""


@dataclass(frozen=True, slots=True)
class Sofar:
    """How far a file is: rows done, those of them without an answer, and the problems counted by their code."""

    rows: int = 0
    bad: int = 0
    problems: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Streams:
    """Files that are open to be written on, each at its end: ``out`` of the answers, ``bad`` of rows without one.

    For a kind that has a footer, ``out`` is empty and ``log`` is what an earlier run has left, open to be read as well.
    """

    out: BinaryIO
    bad: BinaryIO
    log: BinaryIO | None = None


def score_on(
    predictor: Predictor,
    source: Path,
    streams: Streams,
    *,
    options: ScoreOptions,
    done: Sofar,
    on_part: Callable[[Sofar, int | None], None],
) -> Sofar:
    """Answers the rows of ``source`` behind those that are done; ``options.kind`` says what is written.

    ``on_part`` is told after each part how far the file is, and of how many rows as far as anybody knows. What was
    written up to there is all that a later run needs.

    Raises:
        NotTheSame: the streams do not hold what is said to be done.
        DataError: see ``score``.
    """
    kind = options.kind or "csv"
    with open_rows(
        source,
        chunk_rows=options.chunk_rows,
        charset=options.charset,
        delimiter=options.delimiter,
        most_bytes=options.most_bytes,
    ) as rows_in:
        bad_rows = BadRows(lambda: streams.bad, count=done.bad, codes=done.problems)
        begun = done.rows > 0
        wish = Wish(options.keep, options.ignore_extra)
        run = Run(predictor, rows_in, streams.out, kind, bad_rows, wish, begun=begun)
        try:
            if streams.log is not None:
                if begun:
                    _replay(run, streams.log)
                else:
                    run.log = ArrowLog(streams.log)
            _go_on(run, done, on_part)
            run.end()
        except BaseException:
            run.abandon()
            raise
        return _sofar(run)


def _go_on(run: Run, done: Sofar, on_part: Callable[[Sofar, int | None], None]) -> None:
    for part in run.rows_in.parts:
        if part.first >= done.rows:
            run.part(part)
            on_part(_sofar(run), run.total())
            continue
        if part.first + part.rows > done.rows:
            raise NotTheSame
        run.skip(part)
    if run.rows < done.rows:
        raise NotTheSame


def _sofar(run: Run) -> Sofar:
    return Sofar(run.rows, run.bad_rows.count, dict(run.bad_rows.codes))


def _replay(run: Run, log: BinaryIO) -> None:
    try:
        run.replay(log)
    except MalformedBody as error:
        raise NotTheSame from error
