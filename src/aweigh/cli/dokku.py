"""``aweigh deploy dokku`` and what comes after it: status, logs, scale, destroy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aweigh.cli.after import (
    App,
    ask_to_destroy,
    deployed_document,
    lines_option,
    quantities_argument,
    tail_option,
    tell_destroyed,
    tell_scale,
    tell_status,
    told_live,
    yes_option,
)
from aweigh.cli.documents import write_documents
from aweigh.cli.door import auth_option, check_own_door, json_option, no_ui_option
from aweigh.cli.terminal import Steps, clean, print_document
from aweigh.cli.trusting import trust_option
from aweigh.errors import RemoteError

if TYPE_CHECKING:
    from aweigh.targets.dokku.client import Dokku
    from aweigh.targets.release import Release

F = TypeVar("F", bound=Callable[..., Any])

WHERE = "at Dokku"
MOST_SHOWN = 4000
"""Characters of a document that a dry run prints."""


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


@contextmanager
def app_at_dokku(app: App, ssh_config: Path | None) -> "Iterator[Dokku]":
    """Dokku, for an app that has to be there.

    Raises:
        UsageError: there is no such app.
    """
    from aweigh.targets.ssh.errors import HostSilent

    dokku = _dokku(app.host or "", ssh_config)
    try:
        yield dokku
    except HostSilent:
        raise
    except RemoteError as error:
        if dokku.attempt("apps:exists", app.name)[0] == 0:
            raise
        raise app.absent(WHERE) from error


@click.command("dokku")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@app_option
@host_options
@click.option("--replicas", type=click.IntRange(1, 100), default=1, show_default=True, help="How many web replicas.")
@auth_option
@no_ui_option
@click.option("--worker", is_flag=True, help="Run jobs in processes of their own.")
@trust_option
@click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write what would be pushed, and ask nobody.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print every document and command, and ask nobody.")
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
    dry_run: bool,
    as_json: bool,
) -> None:
    """Deploy PATH (a bundle, a folder, a Streamlit script) to Dokku: a repository is made of it and pushed.

    Dokku builds it, waits until it is ready and only then sends people there. To go back, deploy the earlier bundle.
    """
    from aweigh.cli.ssh import telling_of
    from aweigh.targets.dokku.deploy import deploy
    from aweigh.targets.dokku.render import source_of
    from aweigh.targets.releasing import Wishes, release_of

    dokku = _dokku(host, ssh_config)
    steps = Steps(json=as_json)
    with steps.step("source") as step:
        wishes = Wishes(auth=auth, ui=not no_ui, worker=worker, trust=trust)  # type: ignore[arg-type]  # one of AUTHS
        release = release_of(path, name=app, wishes=wishes)
        files = source_of(release, replicas=replicas)
        step.says(f"{release.bundle or 'a folder of its own'}, Python {release.python}, {', '.join(release.processes)}")
    check_own_door(release, auth, steps)
    if output_dir is not None:
        write_documents(files, output_dir)
        if as_json:
            print_document({"folder": str(output_dir), "files": sorted(files)})
        else:
            steps.line("written", f"{len(files)} files to {output_dir}")
            steps.next(f"git init there, and push it to {clean(host)}:{app}")
        return
    if dry_run:
        _show(release, app, replicas=replicas, steps=steps)
        return
    deployed = deploy(dokku, release, app, replicas=replicas, telling=telling_of(steps))
    if as_json:
        print_document(
            deployed_document(
                deployed.app,
                url=deployed.url,
                release=None,
                bundle=deployed.bundle,
                created=deployed.created,
                changed=deployed.changed,
                golden_rows=deployed.golden_rows,
                notes=list(deployed.notes),
                source=deployed.commit,
            )
        )
        return
    for note in deployed.notes:
        steps.line("note", note)
    url = deployed.url or "Dokku says no address of it (dokku domains:add)"
    steps.line("live", told_live(url, deployed.commit[:12], changed=deployed.changed))
    steps.next(App("dokku", app, host).command("status"))


def _show(release: "Release", app: str, *, replicas: int, steps: Steps) -> None:
    """Prints the documents and commands of a first deployment."""
    import shlex

    from aweigh.targets.dokku.deploy import planned
    from aweigh.targets.dokku.render import render

    documents = {name: content.decode(errors="replace") for name, content in render(release, replicas=replicas).items()}
    commands = [shlex.join(one) for one in planned(release, app)]
    if steps.json:
        print_document({"documents": documents, "commands": commands})
        return
    for name, text in documents.items():
        steps.line("document", name)
        for line in text[:MOST_SHOWN].splitlines():
            click.echo(f"    {clean(line)}")
    for one in commands:
        steps.line("command", one)
    steps.next("the same without --dry-run")


@click.command("dokku")
@app_option
@host_options
@json_option
def status_dokku(app: str, host: str, ssh_config: Path | None, as_json: bool) -> None:
    """Say what runs of an app at Dokku. Exits with 1 when it is not up."""
    from aweigh.targets.dokku.deploy import status

    tell_status(App("dokku", app, host), status(_dokku(host, ssh_config), app), as_json=as_json)


@click.command("dokku")
@app_option
@host_options
@tail_option
@lines_option(100_000)
def logs_dokku(app: str, host: str, ssh_config: Path | None, tail: bool, lines: int) -> None:
    """Print the last lines of an app's log at Dokku. Invitations in it are withheld."""
    from aweigh.targets.invitations import discreet

    there = App("dokku", app, host)
    dokku = _dokku(host, ssh_config)
    words = ["logs", app, "--num", str(lines), *(["--tail"] if tail else [])]
    count = 0
    for count, line in enumerate(dokku.lines(*words), 1):  # noqa: B007
        click.echo(clean(discreet(line)))
    if count == 0 and dokku.attempt("apps:exists", app)[0] != 0:
        raise there.absent(WHERE)


@click.command("dokku")
@quantities_argument
@app_option
@host_options
@json_option
def scale_dokku(quantities: tuple[str, ...], app: str, host: str, ssh_config: Path | None, as_json: bool) -> None:
    """Scale an app at Dokku: a number is that of its web replicas. With nothing it says how many there are."""
    from aweigh.targets.dokku.deploy import replicas_of, scale
    from aweigh.targets.quantities import parse_quantities

    wanted = parse_quantities(quantities)
    with app_at_dokku(App("dokku", app, host), ssh_config) as dokku:
        found = before = replicas_of(dokku, app)
        if any(before.get(kind) != count for kind, count in wanted.items()):
            found = scale(dokku, app, wanted)
    tell_scale(Steps(json=as_json), found, changed=found != before)


@click.command("dokku")
@app_option
@host_options
@yes_option
@json_option
def destroy_dokku(app: str, host: str, ssh_config: Path | None, yes: bool, as_json: bool) -> None:
    """Destroy an app at Dokku. A folder of the host's that holds its data stays there."""
    there = App("dokku", app, host)
    ask_to_destroy(there, yes=yes, included="its settings")
    with app_at_dokku(there, ssh_config) as dokku:
        dokku.run("apps:destroy", app, "--force")
    tell_destroyed(there, Steps(json=as_json))
