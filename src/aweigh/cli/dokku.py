"""``aweigh deploy dokku`` and what comes after it: status, logs, scale, destroy."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aweigh.cli.door import json_option
from aweigh.cli.serve import AUTHS
from aweigh.cli.terminal import Steps, clean, print_document
from aweigh.cli.trusting import trust_option
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.targets.dokku.client import Dokku

F = TypeVar("F", bound=Callable[..., Any])


def _app(_: click.Context, __: click.Parameter, name: str) -> str:
    from aweigh.targets.dokku.client import check_app

    return check_app(name)


app_option = click.option("--app", required=True, metavar="NAME", callback=_app, help="The app's name at Dokku.")


def host_options(command: F) -> F:
    """The host, and how ssh finds it."""
    for option in (
        click.option("--ssh-config", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
                     envvar="AWEIGH_SSH_CONFIG", show_envvar=True,
                     help="Another configuration for ssh than your own (ssh -F)."),
        click.option("--host", required=True, metavar="dokku@HOST[:PORT]", envvar="AWEIGH_DOKKU_HOST",
                     show_envvar=True, help="The host, as ssh knows it."),
    ):  # fmt: skip
        command = option(command)
    return command


def _dokku(host: str, ssh_config: Path | None) -> "Dokku":
    from aweigh.targets.dokku.client import Dokku
    from aweigh.targets.ssh.place import read_address

    return Dokku(read_address(host), ssh_config)


@click.command("dokku")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@app_option
@host_options
@click.option("--replicas", type=click.IntRange(1, 100), default=1, show_default=True, help="How many web replicas.")
@click.option("--auth", type=click.Choice(AUTHS), default="password", show_default=True,
              help="Who may come in: people who sign in (password, oidc) and keys, or anybody (none).")  # fmt: skip
@click.option("--no-ui", is_flag=True, help="Deploy the API alone.")
@click.option("--worker", is_flag=True, help="Run jobs in processes of their own.")
@trust_option
@click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write what would be pushed, and ask nobody.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def deploy_dokku(
    path: Path,
    app: str,
    host: str,
    ssh_config: Path | None,
    replicas: int,
    auth: str,
    no_ui: bool,
    worker: bool,
    trust: Path | None,
    output_dir: Path | None,
    as_json: bool,
) -> None:
    """Deploy PATH (a bundle, a folder, a Streamlit script) to Dokku: a repository is made of it and pushed.

    Dokku builds it, waits until it is ready and only then sends people there. To go back, deploy the earlier bundle.
    """
    import dataclasses

    from aweigh.targets.dokku.deploy import deploy
    from aweigh.targets.dokku.render import source_of
    from aweigh.targets.releasing import Wishes, release_of
    from aweigh.targets.ssh.telling import Telling

    dokku = _dokku(host, ssh_config)
    steps = Steps(json=as_json)
    with steps.step("source") as step:
        wishes = Wishes(auth=auth, ui=not no_ui, worker=worker, trust=trust)  # type: ignore[arg-type]  # one of AUTHS
        release = release_of(path, name=app, wishes=wishes)
        files = source_of(release, replicas=replicas)
        step.says(f"{release.bundle or 'a folder of its own'}, Python {release.python}, {', '.join(release.processes)}")
    if output_dir is not None:
        _write(files, output_dir)
        if as_json:
            print_document({"folder": str(output_dir), "files": sorted(files)})
        else:
            steps.line("written", f"{len(files)} files to {output_dir}")
            steps.next(f"git init there, and push it to {clean(host)}:{app}")
        return
    telling = Telling(line=lambda name, text, seconds: steps.line(name, text, seconds=seconds))
    deployed = deploy(dokku, release, app, replicas=replicas, telling=telling)
    if as_json:
        print_document(dataclasses.asdict(deployed))
        return
    for note in deployed.notes:
        steps.line("note", note)
    steps.line("live", deployed.url or "Dokku says no address of it: dokku domains:add")
    steps.next(f"aweigh status dokku --app {app} --host {shlex.quote(host)}")


def _write(files: Any, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty.", hint="name a new folder")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())


@click.command("dokku")
@app_option
@host_options
@json_option
def status_dokku(app: str, host: str, ssh_config: Path | None, as_json: bool) -> None:
    """Say what runs of an app at Dokku. Exits with 1 when it is not up."""
    import dataclasses

    from aweigh.targets.dokku.deploy import status

    found = status(_dokku(host, ssh_config), app)
    if as_json:
        print_document(dataclasses.asdict(found))
    else:
        steps = Steps()
        steps.line("app", f"{found.name}: {found.state}")
        if found.replicas:
            steps.line("replicas", ", ".join(f"{kind} {count}" for kind, count in found.replicas.items()))
        if found.url:
            steps.line("address", found.url)
    if found.state != "up":
        raise SystemExit(1)


@click.command("dokku")
@app_option
@host_options
@click.option("--tail", is_flag=True, help="Go on reading, until Ctrl-C.")
@click.option("--lines", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many of the last.")
def logs_dokku(app: str, host: str, ssh_config: Path | None, tail: bool, lines: int) -> None:
    """Print the last lines of an app's log at Dokku. Invitations in it are withheld."""
    from aweigh.targets.heroku.stream import discreet

    words = ["logs", app, "--num", str(lines), *(["--tail"] if tail else [])]
    for line in _dokku(host, ssh_config).lines(*words):
        click.echo(clean(discreet(line)))


@click.command("dokku")
@click.argument("quantities", nargs=-1, required=True, metavar="NUMBER|TYPE=NUMBER...")
@app_option
@host_options
def scale_dokku(quantities: tuple[str, ...], app: str, host: str, ssh_config: Path | None) -> None:
    """Scale an app at Dokku: a number is that of its web replicas."""
    from aweigh.targets.heroku.after import parse_quantities

    wanted = parse_quantities(quantities)
    _dokku(host, ssh_config).run("ps:scale", app, *(f"{kind}={count}" for kind, count in wanted.items()))
    for kind, count in wanted.items():
        Steps().line(kind, str(count))


@click.command("dokku")
@app_option
@host_options
@click.option("--yes", is_flag=True, help="Do not ask for the app's name.")
def destroy_dokku(app: str, host: str, ssh_config: Path | None, yes: bool) -> None:
    """Destroy an app at Dokku. A folder of the host's that holds its data stays there."""
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("To destroy an app unasked takes --yes.")
        typed = click.prompt(f"type the app's name to destroy it ({app})", err=True)
        if typed.strip() != app:
            raise UsageError("That is not the app's name: nothing was destroyed.")
    _dokku(host, ssh_config).run("apps:destroy", app, "--force")
    Steps().line("destroyed", app)
