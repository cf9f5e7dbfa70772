"""``aweigh predict``: a bundle's answers for every row of a file, or of many."""

import shlex
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from aweigh.cli.predict_set import Asked, cores, form_for, predict_set
from aweigh.cli.terminal import Progress, Steps, human_size, print_document
from aweigh.cli.trusting import trust_option, trusted
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.bundle.trust import Trust
    from aweigh.runtime.rows_out import OutKind
    from aweigh.runtime.score import Scored, ScoreOptions

BAD_ROWS = 1
"""The exit code when no row could be answered, or, with ``--strict``, when any could not."""
SHOWN_ANSWERS = 3
FORMATS = ("csv", "jsonl", "parquet", "arrow")


class _Data(click.Path):
    """A file that is there as a path; what names many files (a folder, a pattern, an address) as its text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Click's interface."""
        from aweigh.runtime.dataset.partitions import names_a_set

        return value if names_a_set(str(value)) else super().convert(value, param, ctx)


ONE_OUT = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


@click.command("predict")
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.argument("data", metavar="DATA", type=_Data(exists=True, dir_okay=False, path_type=Path, allow_dash=True))
@click.option("-o", "--output", "out", required=True, metavar="OUT",
              help="Where the answers go; its suffix says which kind of file; - prints CSV. A folder or an address "
                   "for many files.")  # fmt: skip
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
@click.option("--workers", type=click.IntRange(1),
              help="How many processes score many files (default: one a CPU, as far as the memory goes).")  # fmt: skip
@click.option("--on", metavar="RAY",
              help="Score on a Ray: ray starts one here, auto takes the one that runs, HOST:6379 or ray://HOST:10001 "
                   "one elsewhere. OUT is a folder that all its nodes see, or an address.")  # fmt: skip
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
    data: Path | str,
    out: str,
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
    workers: int | None,
    on: str | None,
    form: str | None,
    domain: str,
    trust: Path | None,
    as_json: bool,
) -> int:
    """Answer every row of DATA with a BUNDLE's model.

    DATA is CSV, Parquet, Arrow, JSON or JSON lines, of any size, or - for standard input. For each row that comes a
    row goes out, in order: its columns, then the answer. A row that cannot be answered keeps its place, its answer
    empty; OUT.bad.jsonl tells of it.

    DATA may be many files: a folder, a quoted pattern ('data/**/*.parquet') or an address (s3://, gs://, file://). OUT
    is a folder or an address then, with a file for each that came; _aweigh.json there tells of all. The same command
    goes on where one before it was stopped.
    """
    from aweigh.runtime.dataset.place import is_address
    from aweigh.runtime.dataset.record import Options
    from aweigh.runtime.score import STDOUT, ScoreOptions

    if keep and answers_only:
        raise UsageError("--keep carries columns along and --answers-only none.", hint="give one of them")
    if as_json and out == str(STDOUT):
        raise UsageError("--json and -o - both print on standard output.", hint="name a file with -o")
    if delimiter is not None and len(delimiter) != 1:
        delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter) or _bad_delimiter(delimiter)
    _refuse_swapped(bundle, str(data), out)
    carried = () if answers_only else keep or None
    policy = trusted(trust)
    if isinstance(data, str) or on is not None or is_address(out):
        if bad_path is not None:
            raise UsageError("--bad names one file, and each file of many has its own.", hint="leave it out")
        options = Options(kind, carried, ignore_extra, encoding, delimiter, domain)
        return predict_set(
            Asked(
                bundle=bundle, data=str(data), out=out, options=options, form=form, threads=threads, workers=workers,
                on=on, strict=strict, force=force, json=as_json,
            )
        )  # fmt: skip
    if workers is not None:
        raise UsageError("--workers is for many files, and this is one.", hint="--threads says how many threads")
    path = _one_out(out)
    how = ScoreOptions(
        keep=carried,
        ignore_extra=ignore_extra,
        force=force,
        kind=kind or ("csv" if path == STDOUT else None),
        bad_path=bad_path,
        charset=encoding,
        delimiter=delimiter,
    )
    form = form or form_for(data.stat().st_size if data.is_file() else 0)
    scored = _predict_file(
        bundle, data, path, how, policy=policy, threads=threads or cores(), form=form, domain=domain, as_json=as_json
    )
    return BAD_ROWS if scored.bad and (strict or not scored.good) else 0


def _predict_file(
    bundle: Path, data: Path, out: Path, how: "ScoreOptions", *, policy: "Trust | None", threads: int, form: str,
    domain: str, as_json: bool,
) -> "Scored":  # fmt: skip
    """Score one file, and tell what came of it."""
    from aweigh.bundle.verify import verify
    from aweigh.runtime.load import load
    from aweigh.runtime.score import STDOUT, check_out, score

    check_out(data, out, how)
    steps = Steps(json=as_json or out == STDOUT)
    started = time.perf_counter()
    predictor = load(verify(bundle, trust=policy, to_load=True), threads=threads, form=form, domain=domain)
    told = f"{predictor.manifest.name} {predictor.version}, as {predictor.told_forms}"
    steps.line("bundle", told, seconds=time.perf_counter() - started)
    with _Bar(steps) as bar:
        scored = score(predictor, data, out, options=how, on_progress=bar.tell)
    if as_json:
        print_document(document(scored, out))
    else:
        _tell(steps, scored, out, to_stdout=out == STDOUT)
    return scored


def _refuse_swapped(bundle: Path, data: str, out: str) -> None:
    """Passes unless, by their names, what should be the bundle is a table and what should be the data a bundle.

    Raises:
        UsageError: they are.
    """
    from aweigh.table.files import suffix_kind

    if data.endswith(".aweigh") and suffix_kind(bundle) is not None:
        raise UsageError(
            f"{bundle.name!r} is a table, and the bundle comes first.",
            hint=f"aweigh predict {shlex.quote(data)} {shlex.quote(str(bundle))} -o {shlex.quote(out)}",
        )


def _one_out(out: str) -> Path:
    """The path of the answers of one file, refused as click refuses a folder."""
    ctx = click.get_current_context()
    param = next(one for one in ctx.command.params if one.name == "out")
    path: Path = ONE_OUT.convert(out, param, ctx)
    return path


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
