"""Scoring a file: a row with its answer for each row that comes, in order, however many there are.

A row that cannot be answered keeps its place, its answer empty; what is wrong with it is written into a file beside.
Nothing is kept of a part when it has been written, so that a file of any size needs the memory of one part.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from aweigh.bundle.atomic import require_writable, whole_file
from aweigh.errors import Problem, UsageError
from aweigh.runtime.bad_rows import BadRows
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.rows_in import STDIN, open_rows
from aweigh.runtime.rows_out import OutKind, out_kind, packed
from aweigh.runtime.score_plan import Wish
from aweigh.runtime.score_run import Run

STDOUT = Path("-")
CHUNK_ROWS = 8_192

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """How a file is read and what is written.

    ``keep`` names the input columns to carry along, None means all; to name a column that the model does not have is
    to consent to it, and ``ignore_extra`` consents to any. ``charset`` and ``delimiter`` of a CSV are found out when
    None, ``kind`` is what the output's suffix says.
    """

    keep: tuple[str, ...] | None = None
    ignore_extra: bool = False
    force: bool = False
    kind: OutKind | None = None
    bad_path: Path | None = None
    charset: str | None = None
    delimiter: str | None = None
    chunk_rows: int = CHUNK_ROWS
    most_bytes: int | None = None
    """What the rows of the file may unpack to; None where it is not a stranger's."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What came of it: rows read, how many were answered and how many not, and the problems counted by their code.

    ``bad_path`` is the file that tells of the bad rows, None when there are none. ``flagged`` of the answered rows lie
    outside what the model has seen, ``flags`` counts why.
    """

    rows: int
    good: int
    bad: int
    seconds: float
    bad_path: Path | None
    problems: Mapping[str, int]
    first_problem: Problem | None
    answers: tuple[str, ...]
    flagged: int = 0
    flags: Mapping[str, int] = field(default_factory=dict)


def score(
    predictor: Predictor,
    source: Path,
    out: Path,
    *,
    options: ScoreOptions | None = None,
    on_progress: Progress = lambda _rows, _total: None,
) -> Scored:
    """Answers every row of ``source`` into ``out``; ``-`` is standard input and output.

    ``on_progress`` is told after each part how many rows are done, and of how many as far as anybody knows.

    Raises:
        UsageError: a file is there already, the output is the input, nobody knows which kind of file to write.
        InvalidRows: the file's columns are not the model's.
        DataError: the file cannot be read.
        MissingExtra: Parquet or Arrow without pyarrow.
        OSError: a file cannot be opened or written; nothing is left half-written.
    """
    options = options or ScoreOptions()
    kind, bad_path = check_out(source, out, options)
    started = time.perf_counter()
    with ExitStack() as stack:
        rows_in = stack.enter_context(
            open_rows(source, chunk_rows=options.chunk_rows, charset=options.charset, delimiter=options.delimiter)
        )
        stream = stack.enter_context(_open_out(out))
        bad_rows = BadRows(lambda: stack.enter_context(whole_file(bad_path)))
        wish = Wish(options.keep, options.ignore_extra)
        run = Run(predictor, rows_in, stream, kind, bad_rows, wish, tabs=".tsv" in out.name.lower())
        for part in rows_in.parts:
            run.part(part)
            on_progress(run.rows, run.total())
        heads = run.end()
    if bad_rows.count == 0:
        bad_path.unlink(missing_ok=True)  # what an earlier run told there is true no more
    return Scored(
        rows=run.rows,
        good=run.rows - bad_rows.count,
        bad=bad_rows.count,
        seconds=time.perf_counter() - started,
        bad_path=bad_path if bad_rows.count else None,
        problems=dict(bad_rows.codes),
        first_problem=bad_rows.first,
        answers=heads,
        flagged=run.flagged,
        flags=dict(run.flags),
    )


def check_out(source: Path, out: Path, options: ScoreOptions) -> tuple[OutKind, Path]:
    """The kind of the output and where bad rows are told of, which can both be written; no model is needed to know.

    Raises:
        UsageError: a file is there already, the output is the input, nobody knows which kind of file to write, or
            nothing can be written there.
    """
    kind = options.kind or out_kind(out.name)
    if kind is None:
        raise UsageError(
            f"Nobody knows which kind of file {out.name!r} is to be.",
            hint="end its name in .csv, .parquet, .arrow or .jsonl, or say --format",
        )
    bad_path = options.bad_path or bad_path_for(source, out)
    _refuse_overwriting(source, out, bad_path, force=options.force)
    if out != STDOUT:
        require_writable(out)
    if options.bad_path is not None:
        require_writable(bad_path, hint="name another place with --bad")
    return kind, bad_path


def bad_path_for(source: Path, out: Path) -> Path:
    """Where bad rows are told of: beside the output, or in the working folder when that is standard output."""
    if out != STDOUT:
        return out.with_name(out.name + ".bad.jsonl")
    return Path(("stdin" if source == STDIN else source.name) + ".bad.jsonl")


def _refuse_overwriting(source: Path, out: Path, bad_path: Path, *, force: bool) -> None:
    for path in (out, bad_path):
        if path == STDOUT or not path.exists():
            continue
        if source != STDIN and source.exists() and path.samefile(source):
            raise UsageError("The output would overwrite the input.", hint="name another file with -o")
        if not force and path.is_file():
            raise UsageError(f"{path} is there already.", hint="--force writes it anew, or name another file with -o")
    if out.resolve() == bad_path.resolve():
        raise UsageError("The answers and the bad rows cannot go into one file.", hint="name another with --bad")


@contextmanager
def _open_out(out: Path) -> Iterator[BinaryIO]:
    """The output's stream: a file that is there whole or not at all, or standard output."""
    if out == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with whole_file(out) as stream:
        if out.suffix.lower() == ".gz":
            with packed(stream) as gz:
                yield cast("BinaryIO", gz)
        else:
            yield stream
