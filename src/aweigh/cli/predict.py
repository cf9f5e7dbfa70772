"""``aweigh predict``: a bundle's answers for every row of a file."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from aweigh.cli.terminal import Progress, Steps, human_size, print_document
from aweigh.cli.trusting import trust_option, trusted
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.runtime.rows_out import OutKind
    from aweigh.runtime.score import Scored

BAD_ROWS = 1
"""The exit code when no row could be answered, or, with ``--strict``, when any could not."""
SHOWN_ANSWERS = 3
LARGE_BYTES = 32 * 2**20
"""Some hundred thousand rows: XGBoost takes a second to import and saves 2 to 5 microseconds a row."""
FORMATS = ("csv", "jsonl", "parquet", "arrow")


@click.command("predict")
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.argument("data", metavar="DATA", type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True))
@click.option("-o", "--output", "out", required=True, metavar="OUT",
              type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
              help="Where the answers go; its suffix says which kind of file; - prints CSV.")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(FORMATS), help="The kind of file, whatever the name says.")
@click.option("--keep", multiple=True, metavar="COLUMN",
              help="Carry only this input column along; may be given several times.")  # fmt: skip
@click.option("--answers-only", is_flag=True, help="Carry no input column along.")
@click.option("--ignore-extra", is_flag=True, help="Let columns pass that the model does not have.")
@click.option("--bad", "bad_path", metavar="FILE", type=click.Path(path_type=Path),
              help="Where the rows without an answer are told of (default: OUT.bad.jsonl).")  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit with 1 when any row has no answer; all is written the same.")
@click.option("--force", is_flag=True, help="Write files anew that are there already.")
@click.option(
    "--encoding", metavar="NAME", help="A CSV's encoding, such as windows-1252 (default: UTF-8, or its mark)."
)
@click.option("--delimiter", metavar="CHARACTER", help="A CSV's delimiter (default: what its first line uses most).")
@click.option(
    "--threads", type=click.IntRange(1), help="How many threads the model may use (default: one a CPU that it may use)."
)
@click.option("--form", envvar="AWEIGH_FORM", metavar="NAME", show_envvar=True,
              help="Which of the bundle's forms answers: auto, fastest, native, onnx, ... (default: fastest for large "
                   "files, else auto).")  # fmt: skip
@click.option("--domain", default="", envvar="AWEIGH_DOMAIN", metavar="POLICY", show_envvar=True,
              help="What becomes of rows outside what the model has seen: flag, reject or ignore, or by column "
                   "(flag,combination=reject), over what the bundle says.")  # fmt: skip
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; progress goes to standard error.")
def predict(
    bundle: Path,
    data: Path,
    out: Path,
    kind: "OutKind | None",
    keep: tuple[str, ...],
    answers_only: bool,
    ignore_extra: bool,
    bad_path: Path | None,
    strict: bool,
    force: bool,
    encoding: str | None,
    delimiter: str | None,
    threads: int | None,
    form: str | None,
    domain: str,
    trust: Path | None,
    as_json: bool,
) -> int:
    """Answer every row of DATA with a BUNDLE's model.

    DATA is CSV, Parquet, Arrow, JSON or JSON lines, of any size, or - for standard input. For each row that comes a
    row goes out, in order: its columns, then the answer. A row that cannot be answered keeps its place, its answer
    empty; OUT.bad.jsonl tells of it.
    """
    from aweigh.bundle.verify import verify
    from aweigh.runtime.load import load
    from aweigh.runtime.score import STDOUT, ScoreOptions, score

    if keep and answers_only:
        raise UsageError("--keep carries columns along and --answers-only none.", hint="give one of them")
    if as_json and out == STDOUT:
        raise UsageError("--json and -o - both print on standard output.", hint="name a file with -o")
    if delimiter is not None and len(delimiter) != 1:
        delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter) or _bad_delimiter(delimiter)
    steps = Steps(json=as_json or out == STDOUT)
    started = time.perf_counter()
    predictor = load(verify(bundle, trust=trusted(trust), to_load=True), threads=threads or _cores(),
                     form=form or _form_for(data), domain=domain)  # fmt: skip
    told = f"{predictor.manifest.name} {predictor.version}, as {predictor.told_forms}"
    steps.line("bundle", told, seconds=time.perf_counter() - started)
    options = ScoreOptions(
        keep=() if answers_only else keep or None,
        ignore_extra=ignore_extra,
        force=force,
        kind=kind or ("csv" if out == STDOUT else None),
        bad_path=bad_path,
        charset=encoding,
        delimiter=delimiter,
    )
    with _Bar(steps) as bar:
        scored = score(predictor, data, out, options=options, on_progress=bar.tell)
    if as_json:
        print_document(document(scored, out))
    else:
        _tell(steps, scored, out, to_stdout=out == STDOUT)
    return BAD_ROWS if scored.bad and (strict or not scored.good) else 0


def _form_for(data: Path) -> str:
    """A large file is worth the second that it takes to import the library whose trees are quicker for many rows."""
    return "fastest" if data.is_file() and data.stat().st_size >= LARGE_BYTES else "auto"


class _Bar:
    """A bar that learns from the first rows how many there are to come."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._stack = ExitStack()
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def tell(self, rows: int, total: int | None) -> None:
        """So many rows are done, of so many."""
        if self._progress is None:
            self._progress = self._stack.enter_context(self._steps.progress("score", total=total, unit="rows"))
        self._progress.add(rows - self._progress.done)


def _bad_delimiter(delimiter: str) -> str:
    raise UsageError(f"The delimiter {delimiter!r} is not one character.", hint="a tab is --delimiter tab")


def _cores() -> int:
    """The whole CPUs that this process may use: those of its container, where it is in one."""
    from aweigh.runtime.machine import read_machine

    return max(1, int(read_machine().cpus))


def _tell(steps: Steps, scored: "Scored", out: Path, *, to_stdout: bool) -> None:
    """A line for what was answered, one for what was not."""
    rate = f" ({scored.rows / scored.seconds:,.0f} a second)" if scored.seconds > 0 else ""
    steps.line("score", f"{scored.good:,} of {scored.rows:,} rows answered{rate}", seconds=scored.seconds)
    if scored.bad:
        counts = ", ".join(f"{count:,} {code}" for code, count in sorted(scored.problems.items()))
        steps.line("bad", f"{scored.bad:,} rows without an answer ({counts})")
        if scored.first_problem is not None:
            steps.more(f"the first: {scored.first_problem.message}")
        steps.line("told in", str(scored.bad_path))
    if scored.flagged:
        counts = ", ".join(f"{count:,} {code}" for code, count in sorted(scored.flags.items()))
        steps.line("flagged", f"{scored.flagged:,} answered rows lie outside what the model has seen ({counts})")
    if not to_stdout:
        names = ", ".join(scored.answers[:SHOWN_ANSWERS])
        more = len(scored.answers) - SHOWN_ANSWERS
        steps.line("answers", f"{names}{f' and {more} more' if more > 0 else ''}")
        steps.line("file", str(out), figure=human_size(out.stat().st_size))


def document(scored: "Scored", out: Path) -> dict[str, object]:
    """What ``--json`` prints."""
    first = scored.first_problem
    return {
        "path": str(out),
        "rows": scored.rows,
        "good": scored.good,
        "bad": scored.bad,
        "bad_path": None if scored.bad_path is None else str(scored.bad_path),
        "problems": dict(scored.problems),
        "first_problem": None if first is None else first.document(),
        "flagged": scored.flagged,
        "flags": dict(scored.flags),
        "answers": list(scored.answers),
        "seconds": round(scored.seconds, 3),
    }
