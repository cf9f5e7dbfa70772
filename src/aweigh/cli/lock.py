"""``aweigh lock``: exact, hash-locked requirements of a script, a folder, loose requirements or a model file."""

import datetime as dt
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.terminal import TEXT_WIDTH, Steps, print_document
from aweigh.errors import CannotInstall, ConfigError

if TYPE_CHECKING:
    from aweigh.locking.ask import Ask
    from aweigh.locking.lock import Locked
    from aweigh.locking.proof import Proof

FAILED = 1
MOST_SHOWN = 12


@click.command("lock")
@click.argument("path", metavar="[PATH]", type=click.Path(path_type=Path), default=".")
@click.option(
    "--python",
    metavar="VERSION",
    help="The Python to lock for, as 3.12 (default: .python-version beside it, else this Python).",
)
@click.option(
    "--as-of",
    metavar="DATE",
    help="Take nothing that was released after this day (2022-09-01), or 'today' for the newest.",
)
@click.option("--prove/--no-prove", default=True, show_default=True,
              help="Install the lock into a fresh environment and import what the script imports.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Where to write it (default: requirements.txt beside PATH).")  # fmt: skip
@click.option("--force", is_flag=True, help="Write over a file that aweigh did not write.")
@click.option("--dry-run", is_flag=True, help="Print the lock and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def lock(
    path: Path,
    python: str | None,
    as_of: str | None,
    prove: bool,
    output: Path | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Write exact, hash-locked requirements of PATH: a Streamlit script, a folder, a requirements.txt or a model file.

    Without PATH it is the folder that you are in. A requirements.txt in the folder is what is locked, and kept as
    requirements.in; without one, what the scripts import and their models need. Where most lines are old pins, all the
    rest is taken as of the day after the newest of them was released. A pin that this Python cannot install is
    explained. Exits with 1, and writes nothing, when the proof fails. The proof runs code of the packages.
    """
    from aweigh.locking.ask import read_ask
    from aweigh.locking.lock import day_of_pins
    from aweigh.locking.writing import plan_files, write_files

    day = _day(as_of)
    steps = Steps(json=as_json or dry_run)
    with steps.step("read") as step:
        ask = read_ask(path)
        step.says(f"{len(ask.needs)} {'package' if len(ask.needs) == 1 else 'packages'} from {ask.source}")
    _tell_needs(ask, steps)
    plan = plan_files(ask.loose, ask.folder, output=output, force=force)
    locked = _locked(ask, python, day, steps)
    proof = _proven(locked, steps) if prove else None
    failed = proof is not None and bool(proof.failures)
    instead = day_of_pins(locked) if failed and locked.resolved.setting.as_of is None else None
    if instead is not None:
        _wrapped("", f"its pins are old: --as-of {instead} takes for all the rest what there was then", steps)
    written = () if dry_run or failed else write_files(locked, plan)
    for one in written:
        steps.line("wrote", str(one))
    then = _again(path, locked, instead, proof) if failed else _next(path, locked, output=plan.output)
    if as_json:
        print_document(document(locked, proof, [str(one) for one in written], then))
    elif dry_run and not failed:
        sys.stdout.write(locked.text)
    steps.next(then)
    return FAILED if failed else 0


def _locked(ask: "Ask", python: str | None, day: dt.date | str | None, steps: Steps) -> "Locked":
    """The lock, with what is to be told of it; each pin that cannot be installed is told before the error ends it."""
    from aweigh.locking.interpreter import FILE, wanted_python
    from aweigh.locking.lock import lock_ask, resolve_ask

    chosen, source = wanted_python(python, ask.folder)
    try:
        with steps.step("lock") as step:
            resolved = resolve_ask(ask, python=chosen, as_of=day)
            by = "" if source == "--python" else f" ({source})"
            step.says(f"{len(resolved.packages)} packages, Python {chosen}{by}, hashed")
    except CannotInstall as error:
        for sentence in error.sentences:
            _wrapped("pin", sentence, steps)
        raise
    steps.more(resolved.why)
    if python is not None and (ask.folder / FILE).is_file():
        beside, _ = wanted_python(None, ask.folder)
        if beside != chosen:
            _wrapped("note", f"{FILE} says {beside}, and this lock is for {chosen}: change one of the two", steps)
    locked = lock_ask(ask, resolved)
    for note in (*locked.notes, *locked.missing):
        _wrapped("note", note, steps)
    return locked


def _proven(locked: "Locked", steps: Steps) -> "Proof":
    """The proof, told."""
    from aweigh.locking.lock import prove_lock
    from aweigh.locking.proof import runs_here

    with steps.step("proof") as step:
        proof = prove_lock(locked)
        step.says(_proof_words(proof))
    for one in proof.failures:
        _wrapped("", f"import {one.module}: {one.error}", steps)
    if proof.hint is not None:
        _wrapped("", proof.hint, steps)
    if proof.untried is None and not runs_here():
        _wrapped("", "proven on this machine, which is not Linux on x86-64 as the lock is for", steps)
    return proof


def _day(text: str | None) -> dt.date | str | None:
    """A day, "today", or None.

    Raises:
        ConfigError: it is neither.
    """
    if text is None or text == "today":
        return text
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--as-of says {text[:40]!r}.", hint="write a day as 2022-09-01, or 'today'") from error


def _tell_needs(ask: "Ask", steps: Steps) -> None:
    """What was taken from which line, where it is not the lines of a file that say so themselves."""
    if ask.kind == "requirements":
        return
    for need in ask.needs[:MOST_SHOWN]:
        steps.line("", f"{need.requirement}  {need.origin}" + (f", {need.note}" if need.note else ""))
    if len(ask.needs) > MOST_SHOWN:
        steps.line("", f"and {len(ask.needs) - MOST_SHOWN} more; --json tells all")


def _proof_words(proof: "Proof") -> str:
    if proof.untried is not None:
        return f"not tried: {proof.untried}"
    total = len(proof.imported) + len(proof.failures)
    if proof.failures:
        return f"{len(proof.failures)} of {total} imports fail"
    shown = ", ".join(proof.imported[:4]) + (f" and {total - 4} more" if total > 4 else "")
    return f"installed by its hashes, imports {shown}"


def _wrapped(name: str, text: str, steps: Steps) -> None:
    for i, line in enumerate(textwrap.wrap(text, TEXT_WIDTH + 20, break_on_hyphens=False)):
        steps.line("" if i else name, line)


def _again(path: Path, locked: "Locked", instead: dt.date | None, proof: "Proof | None") -> str:
    """What to type after a failed proof: lock as of another day, or put right what the lock is made from."""
    where, python = shlex.quote(str(path)), locked.resolved.setting.python
    if instead is not None:
        return f"aweigh lock {where} --python {python} --as-of {instead}"
    if locked.missing and locked.ask.loose is not None:
        return f"$EDITOR {shlex.quote(str(locked.ask.loose))}"
    first = proof.failures[0].module.partition(".")[0] if proof is not None else ""
    return f"grep -rn {shlex.quote(first)} {where}"


def _next(path: Path, locked: "Locked", *, output: Path) -> str:
    """What to type next: try it for the platform, or install it."""
    from aweigh.cli import COMMANDS

    where = shlex.quote(str(path))
    python = locked.resolved.setting.python
    if "doctor" in COMMANDS and locked.ask.kind != "model":
        return f"aweigh doctor {where} --target heroku"
    return f"python{python} -m venv .venv && .venv/bin/pip install --require-hashes -r {shlex.quote(str(output))}"


def document(locked: "Locked", proof: "Proof | None", written: list[str], then: str) -> dict[str, object]:
    """What ``--json`` prints."""
    ask, resolved = locked.ask, locked.resolved
    told: dict[str, object] = {
        "source": ask.source,
        "python": resolved.setting.python,
        "as_of": None if resolved.setting.as_of is None else str(resolved.setting.as_of),
        "as_of_reason": resolved.why,
        "requirements": [
            {"requirement": one.requirement, "origin": one.origin} | ({"note": one.note} if one.note else {})
            for one in ask.needs
        ],
        "packages": [
            {"name": one.name, "version": one.version, "hashes": len(one.hashes)} for one in resolved.packages
        ],
        "built_from_source": list(resolved.setting.built),
        "notes": list(locked.notes),
        "missing": list(locked.missing),
        "proof": None,
        "lock": locked.text,
        "written": written,
        "next": then,
    }
    if proof is not None:
        told["proof"] = {
            "holds": proof.holds,
            "imported": list(proof.imported),
            "failures": [{"module": one.module, "error": one.error} for one in proof.failures],
            "untried": proof.untried,
            "hint": proof.hint,
        }
    return told
