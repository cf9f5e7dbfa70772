"""``aweigh predict`` for many files: a folder, a pattern or an address, into a folder or an address."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aweigh.cli.terminal import Progress, Steps, human_size, print_document
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.runtime.dataset.partitions import DataSet
    from aweigh.runtime.dataset.record import Options
    from aweigh.runtime.dataset.run import Progress as Far
    from aweigh.runtime.dataset.run import Runner, ScoredSet
    from aweigh.runtime.predictor import Predictor

FAILED = 1
LARGE_BYTES = 32 * 2**20
"""Some hundred thousand rows: XGBoost takes a second to import and saves 2 to 5 microseconds a row."""
SHOWN = 3
"""So many names, or failures, are told one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for on the command line; ``on`` is a Ray to do it on, None is this machine."""

    bundle: Path
    data: str
    out: str
    options: "Options"
    form: str | None
    threads: int | None
    workers: int | None
    on: str | None
    strict: bool
    force: bool
    json: bool


@dataclass(frozen=True, slots=True)
class _Crew:
    """Who is to score: in words, on how many threads each, and what does it."""

    told: str
    threads: int
    runner: "Callable[[Predictor], Runner]"


def predict_set(asked: Asked) -> int:
    """Scores a data set and tells of it; the exit code."""
    from aweigh.bundle.policy import policy_of
    from aweigh.bundle.verify import verify
    from aweigh.runtime.dataset.partitions import find_partitions
    from aweigh.runtime.dataset.place import open_place
    from aweigh.runtime.dataset.run import score_set
    from aweigh.runtime.dataset.work import Task
    from aweigh.runtime.load import load

    _check(asked.data, asked.out)
    steps = Steps(json=asked.json)
    started = time.perf_counter()
    data = find_partitions(asked.data, kind=asked.options.kind)
    crew = _ray(asked) if asked.on is not None else _here(asked, data)
    form = asked.form or form_for(data.size_bytes)
    bundle = verify(asked.bundle, trust=policy_of(os.environ), to_load=True)
    predictor = load(bundle, threads=crew.threads, form=form, domain=asked.options.domain)
    told = f"{predictor.manifest.name} {predictor.version}, as {predictor.told_forms}"
    steps.line("bundle", told, seconds=time.perf_counter() - started)
    steps.line("data", f"{_count(len(data.partitions), 'file')}, {crew.told}", figure=human_size(data.size_bytes))
    if data.ignored:
        steps.line("ignored", f"{_count(len(data.ignored), 'file')} of other kinds ({_some(data.ignored)})")
    task = Task(
        bundle=asked.bundle.resolve(), digest=bundle.digest, data=data.place.address,
        out=open_place(asked.out).address, options=asked.options, form=form, threads=crew.threads,
    )  # fmt: skip
    with steps.progress("score", total=data.size_bytes, unit="bytes") as bar:
        scored = score_set(
            data, task, name=predictor.manifest.name, runner=crew.runner(predictor), force=asked.force,
            on_progress=lambda far: _show(bar, far),
        )  # fmt: skip
    if asked.json:
        print_document(document(scored, asked.out))
    else:
        _tell(steps, scored, asked.out)
    lacking = scored.failed or scored.rest or (scored.bad and (asked.strict or not scored.good))
    return FAILED if lacking else 0


def form_for(size_bytes: int) -> str:
    """Much data is worth the second that it takes to import the library whose trees are quicker for many rows."""
    return "fastest" if size_bytes >= LARGE_BYTES else "auto"


def cores() -> int:
    """The whole CPUs that this process may use: those of its container, where it is in one."""
    from aweigh.runtime.machine import read_machine

    return max(1, int(read_machine().cpus))


def _check(data: str, out: str) -> None:
    from aweigh.bundle.atomic import require_writable_below
    from aweigh.runtime.dataset.place import is_address
    from aweigh.runtime.rows_out import out_kind

    if data == "-":
        raise UsageError("Standard input is none of the files that others see.", hint="name a file, or a folder")
    if out == "-":
        raise UsageError("Many files do not fit on standard output.", hint="name a folder with -o")
    here = not is_address(out)
    is_folder = here and Path(out).is_dir()
    if not is_folder and ((here and Path(out).exists()) or out_kind(out) is not None):
        raise UsageError(f"{out} is no folder, and each file of the data becomes a file of its own.",
                         hint="name a folder with -o, or an address")  # fmt: skip
    if here:
        require_writable_below(Path(out))


def _here(asked: Asked, data: "DataSet") -> _Crew:
    """The processes of this machine; one alone is this process itself."""
    from aweigh.runtime.dataset.place import open_place
    from aweigh.runtime.dataset.pool import score_inline, score_pool, workers_for

    shared = data.place.is_shared and open_place(asked.out).is_shared
    held = asked.workers or workers_for(len(data.partitions), bundle_bytes=_size_bytes(asked.bundle))
    workers = min(held, len(data.partitions)) if shared else 1
    threads = asked.threads or max(1, cores() // workers)

    def runner(predictor: "Predictor") -> "Runner":
        if workers == 1:
            return lambda task, todo, on_share: score_inline(predictor, task, todo, on_share=on_share)
        return lambda task, todo, on_share: score_pool(task, todo, workers=workers, on_share=on_share)

    return _Crew(f"in {_count(workers, 'process', 'es')}", threads, runner)


def _size_bytes(bundle: Path) -> int:
    """The size of a bundle, a file or a folder; 0 where none is."""
    files = bundle.rglob("*") if bundle.is_dir() else [bundle]
    return sum(one.stat().st_size for one in files if one.is_file())


def _ray(asked: Asked) -> _Crew:
    """The actors of a Ray."""
    from aweigh.targets.ray.dataset import ray_runner

    runner = ray_runner(str(asked.on), workers=asked.workers)
    return _Crew(f"on Ray ({asked.on})", asked.threads or 1, lambda _: runner)


def _show(bar: Progress, far: "Far") -> None:
    bar.total = far.bytes_total
    bar.note = f"{far.partitions:,} files, {far.rows:,} rows"
    bar.add(far.bytes_done - bar.done)


def _tell(steps: Steps, scored: "ScoredSet", out: str) -> None:
    """A line for what was answered, one for what was not."""
    rows = sum(one.rows for one in scored.done.values())
    if scored.skipped:
        steps.line("finished", f"{_count(scored.skipped, 'file')} as before: same bundle, options and input")
    steps.line("score", f"{scored.good:,} of {rows:,} rows answered", seconds=scored.seconds)
    if scored.bad:
        counts = ", ".join(f"{count:,} {code}" for code, count in scored.counted("problems").items())
        steps.line("bad", f"{scored.bad:,} rows without an answer ({counts})")
        first = next(one.first_problem for one in scored.done.values() if one.bad)
        steps.more(f"the first: {first}")
        steps.line("told in", f"{_count(sum(one.bad > 0 for one in scored.done.values()), 'file')} *.bad.jsonl")
    if scored.flagged:
        counts = ", ".join(f"{count:,} {code}" for code, count in scored.counted("flags").items())
        steps.line("flagged", f"{scored.flagged:,} answered rows lie outside what the model has seen ({counts})")
    if scored.failed:
        steps.line("failed", f"{_count(len(scored.failed), 'file')} could not be scored")
        for name, failed in list(scored.failed.items())[:SHOWN]:
            steps.more(f"{name}: {failed.message}{f' ({failed.hint})' if failed.hint else ''}")
    if scored.rest:
        steps.line("left", f"{_count(scored.rest, 'file')} not begun, as all before them failed")
    if scored.gone:
        steps.line("kept", f"the answers of {_count(len(scored.gone), 'file')} that are no more ({_some(scored.gone)})")
    if scored.stale:
        steps.line("old", f"{_count(len(scored.stale), 'file')} of an earlier run ({_some(scored.stale)})")
        steps.more("they are no answers for what was asked, and go once every file is scored")
    steps.line("files", f"{len(scored.done):,} in {out}, told of in _aweigh.json")


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{number:,} {what}{'' if number == 1 else plural}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def document(scored: "ScoredSet", out: str) -> dict[str, object]:
    """What ``--json`` prints."""
    answers = next((list(one.answers) for one in scored.done.values()), [])
    return {
        "path": out,
        "record": f"{out.rstrip('/')}/_aweigh.json",
        "partitions": scored.partitions,
        "finished_before": scored.skipped,
        "failed": {
            name: {"code": one.code, "message": one.message, "hint": one.hint or None}
            for name, one in scored.failed.items()
        },
        "not_begun": scored.rest,
        "gone": list(scored.gone),
        "old": list(scored.stale),
        "ignored": list(scored.ignored),
        "rows": scored.rows,
        "good": scored.good,
        "bad": scored.bad,
        "problems": scored.counted("problems"),
        "flagged": scored.flagged,
        "flags": scored.counted("flags"),
        "answers": answers,
        "seconds": round(scored.seconds, 3),
    }
