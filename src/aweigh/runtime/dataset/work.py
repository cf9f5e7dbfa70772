"""One partition of a data set scored, as any single file is; here, in another process, or on another machine."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aweigh.bundle.policy import policy_of
from aweigh.bundle.verify import verify
from aweigh.errors import AweighError, DamagedBundle, is_full
from aweigh.runtime.dataset.errors import StoreFailed, WorkerFailed
from aweigh.runtime.dataset.partitions import Partition
from aweigh.runtime.dataset.place import open_place
from aweigh.runtime.dataset.record import Done, Failed, Options, Outcome
from aweigh.runtime.load import load
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.score import ScoreOptions, score

OnShare = Callable[[float], None]
"""Is told which part of a partition's rows is done, from 0 to 1."""
ATTEMPTS = 3
"""How often a partition is tried whose store or whose worker failed."""
MOST_TOLD = 300
"""Characters of what some library says; the record holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What all partitions of a run have in common; it travels to other processes and machines.

    ``digest`` is the bundle's, ``data`` and ``out`` are places (``place.open_place``), ``threads`` are each process's.
    """

    bundle: Path
    digest: str
    data: str
    out: str
    options: Options
    form: str = "auto"
    threads: int = 1

    def score_options(self) -> ScoreOptions:
        """The same for a single file; what is there is written anew, as its record says so."""
        one = self.options
        return ScoreOptions(
            keep=one.keep, ignore_extra=one.ignore_extra, force=True, kind=one.kind, charset=one.encoding,
            delimiter=one.delimiter,
        )  # fmt: skip


class Cannot(msgspec.Struct, frozen=True):
    """Why a process cannot score any partition: an error's facts, as not every error can be sent."""

    message: str
    hint: str | None
    code: str
    exit_code: int

    @classmethod
    def of(cls, error: AweighError | OSError, task: Task) -> "Cannot":
        """The facts of an error."""
        if isinstance(error, AweighError):
            return cls(error.message, error.hint, error.code, error.exit_code)
        hint = "make room, and run the same again: it goes on" if is_full(error) else None
        return cls(f"{error.strerror or error}: {error.filename or task.out}", hint, "system", 1)

    def error(self) -> WorkerFailed:
        """The error that ends the run."""
        return WorkerFailed(self.message, hint=self.hint, code=self.code, exit_code=self.exit_code)


def open_predictor(task: Task) -> Predictor:
    """The task's bundle, verified in this process and loaded.

    Raises:
        DamagedBundle: it is no more the bundle that the run was begun with.
        BundleError, AweighError: see ``verify`` and ``load``.
    """
    bundle = verify(task.bundle, trust=policy_of(os.environ), to_load=True)
    if bundle.digest != task.digest:
        raise DamagedBundle("The bundle was changed while its answers were written.", hint="run the same again")
    return load(bundle, threads=task.threads, form=task.form, domain=task.options.domain)


def score_partition(predictor: Predictor, task: Task, partition: Partition, *, on_share: OnShare) -> Outcome:
    """Scores one partition; what is wrong with it is what comes of it, and ends nothing else.

    Raises:
        OSError: the disk is full.
    """
    for attempt in range(ATTEMPTS):
        try:
            return _score(predictor, task, partition, on_share)
        except StoreFailed as error:
            if attempt + 1 == ATTEMPTS:
                return Failed(error.code, error.message, error.hint or "")
        except AweighError as error:
            return Failed(error.code, error.message, error.hint or "")
        except MemoryError:
            return Failed("out_of_memory", "There was not memory enough for it.", "smaller files, or fewer --workers")
        except OSError as error:
            if is_full(error):
                raise
            return _system(error)
        except Exception as error:  # noqa: BLE001  a fault of ours that one file brings out does not stop the others
            told = f"Something unforeseen happened: {type(error).__name__}: {' '.join(str(error).split())}"
            return Failed("unforeseen", told[:MOST_TOLD], "score it alone with --debug to see where")
    raise AssertionError


def _system(error: OSError) -> Failed:
    named = error.filename if isinstance(error.filename, str) else ""
    may = "let this user read the data, and write where the answers go" if isinstance(error, PermissionError) else ""
    return Failed("system", f"{error.strerror or error}{f': {Path(named).name}' if named else ''}", may)


def _score(predictor: Predictor, task: Task, partition: Partition, on_share: OnShare) -> Done:
    data, out = open_place(task.data), open_place(task.out)

    def told(rows: int, total: int | None) -> None:
        on_share(min(rows / total, 1.0) if total else 0.0)

    with data.reading(partition.name) as source, out.writing(partition.out, partition.bad) as path:
        scored = score(predictor, source, path, options=task.score_options(), on_progress=told)
        size_bytes = path.stat().st_size
    first = scored.first_problem
    return Done(
        input_bytes=partition.size_bytes,
        input_mark=partition.mark,
        output=partition.out,
        output_bytes=size_bytes,
        rows=scored.rows,
        good=scored.good,
        bad=scored.bad,
        seconds=round(scored.seconds, 3),
        problems=dict(scored.problems),
        first_problem="" if first is None else first.message,
        flagged=scored.flagged,
        flags=dict(scored.flags),
        answers=scored.answers,
    )
