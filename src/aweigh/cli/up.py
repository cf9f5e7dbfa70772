"""``aweigh up``: the processes of a Procfile, run here as Heroku would run them."""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.terminal import Steps, is_terminal
from aweigh.errors import ConfigError, UsageError
from aweigh.targets.heroku.dynos import BOOT_S, DYNOS, STOP_S

if TYPE_CHECKING:
    from aweigh.targets.heroku.dynos import Dyno
    from aweigh.targets.local.lines import Lines
    from aweigh.targets.local.run import Command, Rules

FIRST_PORT = 5000
RELEASE, WEB = "release", "web"
EVERYWHERE = "0.0.0.0"  # noqa: S104  looked for in what others wrote
KEEPS_ACCOUNTS = ("DATABASE_URL", "DATABASE_URL_FILE", "AWEIGH_STATE_DIR", "XDG_STATE_HOME")
"""Each of them has accounts kept elsewhere than in the home of a process, which ends with it."""
_DOOR = re.compile(r"\baweigh serve\b.*--auth[ =](?:password|oidc)\b")
MOST_ENV_BYTES = 1_000_000


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--port", type=click.IntRange(1, 65000), help=f"The first process type's port, {FIRST_PORT} by default; "
              "each further one's is 100 higher.")  # fmt: skip
@click.option("--size", type=click.Choice(list(DYNOS)), default="basic", show_default=True,
              help="The dyno whose memory each process is held to.")  # fmt: skip
@click.option("--env", "env_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Settings as KEY=VALUE lines; by default .env in the folder, where there is one.")  # fmt: skip
@click.option("--only", multiple=True, metavar="TYPE", help="Run this process type alone; may be said several times.")
@click.option("--auth", type=click.Choice(["none", "password", "oidc"]), default="password", show_default=True,
              help="Who may come in, where there is no Procfile and the line is deploy's.")  # fmt: skip
@click.option("--boot-timeout", "boot_s", type=click.FloatRange(0.1, 3600), default=float(BOOT_S), show_default=True,
              metavar="SECONDS", help="Within it the web process has to listen on $PORT.")  # fmt: skip
@click.option("--stop-timeout", "stop_s", type=click.FloatRange(0.1, 3600), default=float(STOP_S), show_default=True,
              metavar="SECONDS", help="From SIGTERM to SIGKILL.")  # fmt: skip
def up(
    path: Path,
    port: int | None,
    size: str,
    env_file: Path | None,
    only: tuple[str, ...],
    auth: str,
    boot_s: float,
    stop_s: float,
) -> None:
    """Run the processes of PATH (a folder, a bundle or a Streamlit script) here as Heroku would run them.

    The release process first, alone: where it fails, nothing else starts. Then all others, each with its own $PORT, the
    memory of a dyno (R14 is told, R15 ends it) and 60 s to listen (R10). The first that ends ends the others, with
    SIGTERM and after 30 s with SIGKILL; its exit code is this command's. Without a Procfile the lines are those that
    deploy would write.
    """
    from aweigh.registry import require
    from aweigh.targets.local.lines import lines_of
    from aweigh.targets.local.run import Rules

    lines = lines_of(path, auth=auth)
    require("honcho", what="Running a Procfile", extra="up")
    dyno = DYNOS[size]
    rules = Rules(boot_s, stop_s, quota_bytes=dyno.quota_bytes, kill_bytes=dyno.kill_bytes)
    with tempfile.TemporaryDirectory(prefix="aweigh-home-", ignore_cleanup_errors=True) as home:
        commands = _commands(lines, Path(home), port=port, env_file=env_file, only=only, dyno=dyno)
        _tell(lines, commands, dyno=dyno)
        _run(commands, rules)


def _run(commands: "list[Command]", rules: "Rules") -> None:
    """The release process, and then all others; ends with their exit code where that is not 0."""
    from aweigh.targets.local.run import run_commands

    colour = is_terminal(sys.stdout) and not os.environ.get("NO_COLOR")
    first = [one for one in commands if one.name.startswith(f"{RELEASE}.")]
    rest = [one for one in commands if one not in first]
    for these in (first, rest):
        code = run_commands(these, rules=rules, output=sys.stdout, colour=colour) if these else 0
        if code:
            if these is first:
                click.echo("error: the release process failed, so nothing else was started", err=True)
            raise SystemExit(code)


def _commands(
    lines: "Lines", home: Path, *, port: int | None, env_file: Path | None, only: tuple[str, ...], dyno: "Dyno"
) -> "list[Command]":
    """What is run, in the Procfile's order.

    Raises:
        UsageError: a type that is not there, or a port that somebody has.
        ConfigError: settings that cannot be read.
    """
    from aweigh.targets.local.environ import environ_of, port_of
    from aweigh.targets.local.run import Command, listens

    unknown = [one for one in only if one not in lines.processes]
    if unknown:
        known = ", ".join(lines.processes)
        raise UsageError(f"No process type is called {unknown[0][:60]!r}.", hint=f"there are: {known}")
    own = _own_settings(lines.folder, env_file)
    first = port if port is not None else _port_in(own)
    # A setup.sh writes into the home, which on a dyno is nobody's own.
    base = {**os.environ, "HOME": str(home)}
    environ = environ_of(lines.folder, base=base, own=own, web_concurrency=dyno.web_concurrency)
    chosen = [name for name in lines.processes if not only or name in only]
    served = [name for name in chosen if name != RELEASE]
    found = []
    for name in chosen:
        number = port_of(served.index(name) if name in served else 0, first=first)
        told = environ | {"PORT": str(number), "DYNO": f"{name}.1"}
        needs = number if name == WEB else None
        if needs is not None and listens(needs):
            raise UsageError(f"Port {needs} is taken on this machine.", hint="choose another: --port")
        found.append(Command(f"{name}.1", lines.processes[name], lines.folder, told, port=needs))
    return found


def _own_settings(folder: Path, env_file: Path | None) -> dict[str, str]:
    from aweigh.targets.local.dotenv import read_dotenv

    path = folder / ".env" if env_file is None else env_file
    if env_file is None and not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            content = file.read(MOST_ENV_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is no text in UTF-8.") from error
    if len(content) > MOST_ENV_BYTES:
        raise ConfigError(f"{path.name} is larger than settings are.", hint="name the right file: --env FILE")
    return read_dotenv(text, name=path.name)


def _port_in(own: dict[str, str]) -> int:
    said = own.get("PORT", str(FIRST_PORT))
    if not (said.isdecimal() and said.isascii() and len(said) < 6 and 0 < int(said) < 65001):
        raise ConfigError("PORT in the settings is no port.", hint="write a number, or say --port")
    return int(said)


def _tell(lines: "Lines", commands: "list[Command]", *, dyno: "Dyno") -> None:
    steps = Steps()
    for name, line in lines.processes.items():
        steps.line(name, line if lines.own else f"{line}  (no Procfile: as deploy would write it)")
    for note in lines.notes:
        steps.line("note", note)
    quota = dyno.quota_bytes // 2**20
    steps.line(
        "size", f"{dyno.name}: {quota:,} MB for each process (R14), {dyno.kill_bytes // 2**20:,} MB end it (R15)"
    )
    web = next((one for one in commands if one.port is not None), None)
    if web is not None:
        more = f", and at this machine's other addresses: its line says {EVERYWHERE}" if EVERYWHERE in web.line else ""
        steps.line("url", f"http://127.0.0.1:{web.port}{more}")
        if _DOOR.search(web.line) and not any(web.environ.get(name) for name in KEEPS_ACCOUNTS):
            steps.line("accounts", "they are kept in the temporary HOME, where no other command looks: make people at")
            steps.more("/admin and keys at /account/keys; at the end they are gone, unless DATABASE_URL is set")
    steps.line("stop", "Ctrl-C")
