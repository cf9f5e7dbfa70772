"""What every place tells alike of an app that is deployed: its status, releases, settings and replicas, and its end.

A place's own module asks the place and hands over values; the words, the keys of ``--json``, the exit codes are here.
"""

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from aweigh.cli.terminal import Steps, aligned, clean, paint, print_document
from aweigh.errors import UsageError
from aweigh.secret import Secret

if TYPE_CHECKING:
    from aweigh.targets.target import Status
    from aweigh.targets.telling import Telling

F = TypeVar("F", bound=Callable[..., Any])

WITHHELD = "(withheld; --reveal shows it)"
WELL = frozenset({"up", "starting", "deploying"})
"""The states that ``aweigh status`` leaves with 0."""
ABSENT = 1

tail_option = click.option("--tail", is_flag=True, help="Go on reading, until Ctrl-C.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for the app's name.")
quantities_argument = click.argument("quantities", nargs=-1, metavar="[NUMBER|TYPE=NUMBER]...")


def lines_option(most: int, *, of: str = "") -> Callable[[F], F]:
    """``--lines``: how many of the last lines of a log, up to what the place keeps."""
    told = f"How many of the last{of}."
    return click.option("--lines", type=click.IntRange(1, most), default=100, show_default=True, help=told)


def most_option(most: int) -> Callable[[F], F]:
    """``--most``: how many of the newest releases."""
    return click.option(
        "--most", type=click.IntRange(1, most), default=15, show_default=True, help="How many of the newest."
    )


def change_options(command: F) -> F:
    """What is to become of settings: ``NAME=VALUE``, ``--secret`` and ``--unset``."""
    for option in (
        click.option("--unset", multiple=True, metavar="NAME", help="Take a setting away."),
        click.option("--secret", "hidden", multiple=True, metavar="NAME",
                     help="Ask for this one's value at the terminal, or read it from standard input."),
        click.argument("changes", nargs=-1, metavar="[NAME=VALUE]..."),
    ):  # fmt: skip
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class App:
    """An app at a place, and how it is typed; ``host`` where the place has one, ``more`` what else says which it is."""

    place: str
    name: str
    host: str | None = None
    more: tuple[str, ...] = ()

    def command(self, verb: str, *words: str) -> str:
        """What to type for a verb: ``aweigh status ssh --app penguins --host root@203.0.113.5``."""
        host = [] if self.host is None else ["--host", self.host]
        return shlex.join(["aweigh", verb, self.place, *words, "--app", self.name, *host, *self.more])

    def absent(self, where: str) -> UsageError:
        """What is said where there is no such app."""
        return UsageError(f"There is no app {self.name!r} {where}.", hint=f"{self.command('deploy', 'PATH')} makes one")


@dataclass(frozen=True, slots=True)
class Listed:
    """A release as every place lists it.

    ``created`` is UTC in ISO 8601, ``source`` what the place itself calls what runs (a slug, an image, files), and
    ``eligible_for_rollback`` None where the place is not asked whether it still has it.
    """

    version: int
    status: Literal["live", "failed", "pending", "expired"]
    current: bool
    created: str
    bundle: str | None
    source: str
    description: str
    eligible_for_rollback: bool | None


def moment(at_s: float) -> str:
    """Seconds since 1970 as they are listed.

    >>> moment(0.0)
    '1970-01-01T00:00:00Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))


def tell_status(app: App, found: "Status", *, as_json: bool) -> None:
    """Says what runs.

    Raises:
        SystemExit: with 1 where it is not up.
    """
    if as_json:
        print_document(asdict(found))
    else:
        steps = Steps()
        steps.line("app", f"{found.name}: {found.state}")
        replicas = ", ".join(f"{kind} {count}" for kind, count in (found.replicas or {}).items())
        for name, text in (
            ("release", found.release), ("bundle", found.bundle), ("replicas", replicas or None), ("address", found.url)
        ):  # fmt: skip
            if text is not None:
                steps.line(name, text)
        for note in found.notes:
            steps.line("note", note)
        if found.state in {"crashed", "down"}:
            steps.next(app.command("logs"))
        elif found.state == "absent":
            steps.next(app.command("deploy", "PATH"))
    if found.state not in WELL:
        raise SystemExit(ABSENT)


def tell_releases(found: Sequence[Listed], *, as_json: bool) -> None:
    """Lists releases, the newest first."""
    if as_json:
        print_document({"releases": [asdict(one) for one in found]})
        return
    rows = [("release", "status", "created (UTC)", "bundle", "source", "")]
    rows += [
        (
            f"v{one.version}",
            "current" if one.current else one.status,
            one.created[:16].replace("T", " "),
            one.bundle or "",
            one.source.removeprefix("sha256:")[:12],
            one.description,
        )
        for one in found
    ]
    click.echo("\n".join(aligned(rows)) if found else "  no releases")


def tell_rollback(app: App, steps: Steps, *, to: int, now: int) -> None:
    """Says what is live again, and as which release."""
    if steps.json:
        print_document({"to": to, "as": now})
        return
    steps.line("rollback", f"to v{to}, as v{now}: up")
    steps.next(app.command("status"))


def tell_scale(
    steps: Steps, replicas: Mapping[str, int], *, size: Mapping[str, str] | None = None, changed: bool
) -> None:
    """Says how many replicas there are to be of each process type, and what each may take, where that is known."""
    size = size or {}
    if steps.json:
        print_document({"replicas": dict(replicas), "size": {kind: size.get(kind) for kind in replicas},
                        "changed": changed})  # fmt: skip
        return
    for kind, count in replicas.items():
        steps.line(kind, f"{count} x {size[kind]}" if size.get(kind) else str(count))


def tell_config(
    steps: Steps,
    there: Mapping[str, str | Secret | None],
    changed: Sequence[str] | None,
    *,
    reveal: bool = False,
    withheld: str = WITHHELD,
) -> None:
    """Says which settings changed (None: none were to), or shows those that there are.

    A secret's value is shown only where that was asked for, and one that is None never was here.
    """
    shown = {
        name: value.reveal() if isinstance(value, Secret) and reveal else value if isinstance(value, str) else None
        for name, value in there.items()
    }
    if steps.json:
        print_document({"config": shown, "changed": list(changed or ())})
    elif changed is not None:
        steps.line("config", f"set: {', '.join(changed)}" if changed else "as it was")
    else:
        rows = [(name, withheld if value is None else value) for name, value in shown.items()]
        click.echo("\n".join(aligned(rows)) if rows else "  no settings")


def ask_to_destroy(app: App, *, yes: bool, included: str) -> None:
    """Has the app's name typed, unless ``--yes`` was.

    Raises:
        UsageError: nobody is there to ask, or what was typed is not the name.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "Nobody is at a terminal to be asked: nothing was destroyed.", hint=app.command("destroy", "--yes")
        )
    typed = click.prompt(f"type the app's name to destroy it, {included} included ({app.name})", err=True)
    if typed.strip() != app.name:
        raise UsageError(
            "That is not the app's name: nothing was destroyed.", hint=f"type {app.name}, or leave it as it is"
        )


def tell_destroyed(app: App, steps: Steps) -> None:
    """Says that it is gone."""
    if steps.json:
        print_document({"destroyed": app.name})
    else:
        steps.line("destroyed", app.name)


def telling_of(steps: Steps) -> "Telling":
    """What is told of a deployment: a line a step, and what is run says a line at a time, as it comes."""
    from aweigh.targets.invitations import discreet
    from aweigh.targets.telling import Telling

    def hear(line: str) -> None:
        if line.strip():
            click.echo(f"    {paint(clean(discreet(line)), 'dim', stream=steps.stream)}", file=steps.stream)

    return Telling(line=lambda name, text, seconds: steps.line(name, text, seconds=seconds), hear=hear)


def deployed_document(
    app: str,
    *,
    url: str | None,
    release: str | None,
    bundle: str | None,
    created: bool,
    changed: bool,
    golden_rows: int,
    **own: Any,
) -> dict[str, Any]:
    """What ``aweigh deploy ... --json`` prints everywhere; ``own`` is what the place adds, ``notes`` among it.

    An invitation is not in it: such documents are kept by whoever runs the command.
    """
    return {
        "app": app,
        "url": url,
        "release": release,
        "bundle": bundle,
        "created": created,
        "changed": changed,
        "golden_rows": golden_rows,
        "notes": [],
        "has_invite": False,
        **own,
    }


def told_live(url: str, release: str, *, changed: bool) -> str:
    """What stands behind ``live`` at the end of a deployment."""
    return f"{url}, {release}{'' if changed else ', as it was'}"


def tell_invite(steps: Steps, url: str | None, invite: Secret | None) -> None:
    """Says the first administrator's link where there is one; ``invite`` is its path."""
    if invite is not None:
        steps.line("admin", "this link, once and within a day, makes the first administrator:")
        steps.more(f"{url or ''}{invite.reveal()}")
