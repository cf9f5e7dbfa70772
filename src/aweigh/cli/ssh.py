"""``aweigh deploy ssh``: a bundle, a folder or a Streamlit script, live and checked on a server of one's own."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aweigh.cli.after import deployed_document, tell_invite, told_live
from aweigh.cli.documents import write_documents
from aweigh.cli.door import auth_option, check_own_door, no_ui_option
from aweigh.cli.terminal import Steps, clean, print_document
from aweigh.cli.trusting import trust_option

if TYPE_CHECKING:
    from aweigh.targets.release import Release
    from aweigh.targets.ssh.place import Wish
    from aweigh.targets.ssh.runner import Host
    from aweigh.targets.ssh.telling import Deployed, Telling

F = TypeVar("F", bound=Callable[..., Any])

MOST_SHOWN = 4000
"""Characters of a document that a dry run prints."""


def _app(_: click.Context, __: click.Parameter, name: str) -> str:
    """The app's name, refused here if there can be none such, before a host is asked."""
    from aweigh.targets.ssh.place import check_app

    return check_app(name)


app_option = click.option(
    "--app", required=True, metavar="NAME", callback=_app, help="What the app is called on the host."
)


def host_options(command: F) -> F:
    """The host, and how ssh finds it."""
    for option in (
        click.option("--ssh-config", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
                     envvar="AWEIGH_SSH_CONFIG", show_envvar=True,
                     help="Another configuration for ssh than your own (ssh -F)."),
        click.option("--host", "host", required=True, metavar="USER@HOST[:PORT]", envvar="AWEIGH_SSH_HOST",
                     show_envvar=True, help="The server, as ssh knows it: root, or a user with sudo and no password."),
    ):  # fmt: skip
        command = option(command)
    return command


def host_of(host: str, ssh_config: Path | None) -> "Host":
    """The host that the options name; it is connected by ``with``.

    Raises:
        UsageError: it is no address.
    """
    from aweigh.targets.ssh.place import read_address
    from aweigh.targets.ssh.runner import Host

    return Host(read_address(host), config=ssh_config)


def telling_of(steps: Steps) -> "Telling":
    """What is told of a deployment: a line a step."""
    from aweigh.targets.ssh.telling import Telling

    return Telling(line=lambda name, text, seconds: steps.line(name, text, seconds=seconds), doing=steps.pending)


@click.command("ssh")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@app_option
@host_options
@click.option(
    "--domain", metavar="NAME", help="A public name that points at the host: Caddy gets a certificate for it."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Without a domain: where Caddy listens, unencrypted [8080]."
)
@click.option("--memory", metavar="SIZE", help="What each process may take: 512M, 2G [1G].")
@click.option("--replicas", type=click.IntRange(1, 10), help="How many web replicas; unset: as many as there are.")
@click.option("--python", metavar="NAME", help="The host's interpreter, if it is not found: python3.12, or its path.")
@auth_option
@no_ui_option
@click.option("--worker", is_flag=True, help="Run jobs in processes of their own.")
@trust_option
@click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write every document that would be there, and ask the host nothing.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print every document and command, and ask the host nothing.")
@click.option("--check", is_flag=True, help="Say what the host lacks, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def deploy_ssh(
    path: Path,
    app: str,
    host: str,
    ssh_config: Path | None,
    domain: str | None,
    port: int | None,
    memory: str | None,
    replicas: int | None,
    python: str | None,
    auth: str,
    no_ui: bool,
    worker: bool,
    trust: Path | None,
    output_dir: Path | None,
    dry_run: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Deploy PATH (a bundle, a folder, a Streamlit script) to a server with systemd and Caddy, over ssh.

    The new release starts beside the one that runs. When it is ready and has answered the bundle's golden rows, people
    are sent to it, without a failed request, and the old one ends. If anything is amiss, what ran was never touched.
    The same command again goes on from where it stopped; with nothing new it only checks.
    """
    from aweigh.targets.releasing import Wishes, release_of
    from aweigh.targets.ssh.place import Wish, check_wish, read_address
    from aweigh.targets.ssh.render import packed_of

    wish = Wish(
        app=app,
        address=read_address(host),
        domain=domain,
        port=port,
        memory=memory,
        replicas={} if replicas is None else {"web": replicas},
        python=python,
    )
    check_wish(wish)
    steps = Steps(json=as_json)
    with steps.step("source") as step:
        wishes = Wishes(auth=auth, ui=not no_ui, worker=worker, trust=trust)  # type: ignore[arg-type]  # one of AUTHS
        release = release_of(path, name=app, wishes=wishes)
        _, packed, _ = packed_of(release)
        what = release.bundle or "a folder of its own"
        told = f"{packed.digest}: {what}, Python {release.python}, {', '.join(release.processes)}"
        step.says(told, size_bytes=len(packed.content))
    check_own_door(release, auth, steps)
    if output_dir is not None:
        _write(release, wish, output_dir, steps=steps, as_json=as_json)
    elif dry_run:
        _show(release, wish, steps=steps, as_json=as_json)
    elif check:
        _check(release, wish, ssh_config, steps=steps, as_json=as_json)
    else:
        _go(release, wish, ssh_config, steps=steps, as_json=as_json)


def _go(release: "Release", wish: "Wish", ssh_config: Path | None, *, steps: Steps, as_json: bool) -> None:
    from aweigh.targets.ssh.deploy import deploy as go
    from aweigh.targets.ssh.runner import Host

    try:
        with Host(wish.address, config=ssh_config) as host:
            deployed = go(host, release, wish, telling=telling_of(steps))
    except KeyboardInterrupt:
        steps.line("stopped", "what ran before runs on; the same command again goes on from here")
        raise
    if as_json:
        print_document(document(deployed))
        return
    tell_deployed(deployed, wish.address.typed, steps=steps)


def tell_deployed(deployed: "Deployed", host: str, *, steps: Steps) -> None:
    """What is said at the end of a deployment."""
    for note in deployed.notes:
        steps.line("note", note)
    steps.line("live", told_live(deployed.url, deployed.version, changed=deployed.changed))
    tell_invite(steps, deployed.url, deployed.invite)
    steps.next(f"aweigh status ssh --app {deployed.app} --host {shlex.quote(host)}")


def document(deployed: "Deployed") -> dict[str, Any]:
    """What ``--json`` prints. The invitation is not in it: such documents are kept by whoever runs the command."""
    return deployed_document(
        deployed.app,
        url=deployed.url,
        release=deployed.version,
        bundle=deployed.bundle,
        created=deployed.changed and deployed.version == "v1",
        changed=deployed.changed,
        golden_rows=deployed.golden_rows,
        notes=list(deployed.notes),
        has_invite=deployed.invite is not None,
        source=deployed.release,
        slot=deployed.slot,
    )


def _check(release: "Release", wish: "Wish", ssh_config: Path | None, *, steps: Steps, as_json: bool) -> None:
    """What the host lacks; exits with 1 when it lacks anything."""
    from aweigh.targets.ssh.deploy import lacking
    from aweigh.targets.ssh.runner import Host

    with Host(wish.address, config=ssh_config) as host:
        facts, wrong = lacking(host, release, wish)
    if as_json:
        found = [{"code": one.code, "what": one.message, "fix": one.hint or ""} for one in wrong]
        print_document({"systemd": facts.systemd, "caddy": facts.caddy, "free_bytes": facts.free_bytes, "lacks": found})
    else:
        free = f"{facts.free_bytes / 10**9:.1f} GB free"
        steps.line("host", f"systemd {facts.systemd}, Caddy {facts.caddy or 'none'}, {facts.machine}, {free}")
        for one in wrong:
            steps.line("lacks", one.message)
            steps.more(f"fix: {one.hint}")
        if not wrong:
            steps.next("the same without --check")
    if wrong:
        raise SystemExit(1)


def _write(release: "Release", wish: "Wish", folder: Path, *, steps: Steps, as_json: bool) -> None:
    """Writes the documents into a folder that is new or empty, by their paths on the host.

    Raises:
        UsageError, StorageFull: as of ``write_documents``.
    """
    from aweigh.targets.ssh.render import render

    documents = render(release, wish)
    write_documents({name.lstrip("/"): content for name, content in documents.items()}, folder)
    if as_json:
        print_document({"folder": str(folder), "files": sorted(documents)})
        return
    steps.line("written", f"{len(documents)} files to {folder}, by their paths on the host")
    steps.next("the same without --output-dir")


def _show(release: "Release", wish: "Wish", *, steps: Steps, as_json: bool) -> None:
    """Prints the documents and commands of a first deployment."""
    from aweigh.targets.ssh.render import planned, render, shown

    texts = {name: content.decode(errors="replace") for name, content in render(release, wish).items()}
    commands = planned(release, wish)
    if as_json:
        print_document({"documents": texts, "commands": [shown(one) for one in commands]})
        return
    for name, text in texts.items():
        steps.line("document", name)
        for line in text[:MOST_SHOWN].splitlines():
            click.echo(f"    {clean(line)}")
    for one in commands:
        steps.line("command", f"to {one.what}")
        click.echo(f"    {clean(one.shown)[:MOST_SHOWN]}")
    steps.next("the same without --dry-run")
