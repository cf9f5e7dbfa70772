"""Where a lock is written, and what is written beside it; what a person wrote is kept, or is not touched at all."""

from dataclasses import dataclass
from pathlib import Path

from aweigh.bundle.atomic import whole_file
from aweigh.errors import UsageError
from aweigh.locking.ask import KEPT, LOCK
from aweigh.locking.interpreter import FILE
from aweigh.locking.lock import Locked
from aweigh.locking.loose import is_own


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write, in this order: ``kept`` is where the loose requirements go that stood in the lock's place."""

    output: Path
    kept: Path | None
    python_version: Path | None


def plan_files(locked_loose: Path | None, folder: Path, *, output: Path | None, force: bool) -> Plan:
    """Where things go, by what is there now.

    Raises:
        UsageError: a file that a person wrote is in the way, and ``force`` is not set.
    """
    target = output if output is not None else folder / LOCK
    if target.is_dir():
        raise UsageError(f"{target} is a folder.", hint=f"name a file in it: -o {target / LOCK}")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no folder.", hint="make it, or name another file with -o")
    kept = None
    if target.exists() and target.is_file() and not is_own(target):
        if locked_loose is not None and target.resolve() == locked_loose.resolve():
            kept = target.with_name(KEPT) if target.name == LOCK else target.with_suffix(".in")
            if kept == target:
                raise UsageError(f"{target.name} would be written over by its own lock.", hint="name another with -o")
            if kept.exists() and kept.read_bytes() != target.read_bytes() and not force:
                raise UsageError(
                    f"{target.name} would be kept as {kept.name}, and there is another one already.",
                    hint=f"remove one of the two, or write over {kept.name} with --force",
                )
        elif not force:
            raise UsageError(
                f"{target.name} was not written by aweigh lock.",
                hint="name another file with -o, or write over it with --force",
            )
    version = folder / FILE
    return Plan(target, kept, None if version.exists() else version)


def write_files(locked: Locked, plan: Plan) -> tuple[Path, ...]:
    """Write them, each whole or not at all; the loose requirements are kept before the lock takes their place.

    Raises:
        OSError: a folder cannot be written to, or the disk is full.
    """
    written = []
    if plan.kept is not None:
        _write(plan.kept, plan.output.read_bytes())
        written.append(plan.kept)
    _write(plan.output, locked.text.encode())
    written.append(plan.output)
    if plan.python_version is not None:
        _write(plan.python_version, f"{locked.resolved.setting.python}\n".encode())
        written.append(plan.python_version)
    return tuple(written)


def _write(path: Path, content: bytes) -> None:
    like = path if path.is_file() else None
    with whole_file(path, like=like) as stream:
        stream.write(content)
