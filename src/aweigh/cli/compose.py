"""``aweigh deploy compose``: a bundle, a folder or a Streamlit script in containers here, live and checked."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aweigh.cli.after import deployed_document, tell_invite, telling_of, told_live
from aweigh.cli.documents import write_documents
from aweigh.cli.door import auth_option, check_own_door, no_ui_option
from aweigh.cli.terminal import Steps, clean, human_size, print_document
from aweigh.cli.trusting import trust_option

if TYPE_CHECKING:
    from aweigh.targets.compose.deploy import Going
    from aweigh.targets.compose.deployed import Deployed
    from aweigh.targets.compose.images import Source
    from aweigh.targets.compose.kept import Project
    from aweigh.targets.compose.plan import Chosen, Plan, Wish
    from aweigh.targets.compose.program import Programs
    from aweigh.targets.release import Release

F = TypeVar("F", bound=Callable[..., Any])

UNBUILT = "sha256:" + "0" * 64
"""Stands for the digest of an image where nothing is built."""

app_option = click.option("--app", required=True, metavar="NAME", help="What the app is called on this machine.")


def place_options(command: F) -> F:
    """Which programs, and which folder."""
    for option in (
        click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
                     envvar="AWEIGH_COMPOSE_DIR", show_envvar=True,
                     help="The app's folder, by default below this user's data (XDG_DATA_HOME)."),
        click.option("--engine", type=click.Choice(("docker", "podman")), envvar="AWEIGH_ENGINE", show_envvar=True,
                     help="What runs the containers; by default Docker where it runs, else podman."),
    ):  # fmt: skip
        command = option(command)
    return command


def project_named(app: str, folder: Path | None) -> "Project":
    """The project of an app.

    Raises:
        UsageError: no app can be called so.
    """
    from aweigh.targets.compose.kept import project_of
    from aweigh.targets.compose.plan import Wish, check_wish

    check_wish(Wish(app))
    return project_of(app, environ=os.environ, folder=folder)


@click.command("compose")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@app_option
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Where it answers.")
@click.option("--public", is_flag=True, help="Open the port to other machines, unencrypted; else to this one alone.")
@click.option("--host", "hosts", multiple=True, metavar="NAME",
              help="A name that it is asked by, beside this machine's own; may be given several times.")  # fmt: skip
@click.option("--replicas", type=click.IntRange(1, 20), help="How many web containers; unset: as many as there are.")
@click.option("--proxy/--no-proxy", default=None,
              help="A Caddy before one web container, too: releases leave no gap; unset: as it is.")  # fmt: skip
@click.option("--memory", default="512M", show_default=True, metavar="SIZE", help="What each may take: 512M, 2G.")
@click.option("--cpus", default="1", show_default=True, metavar="NUMBER", help="How many processors each may use.")
@auth_option
@no_ui_option
@click.option("--worker", is_flag=True, help="Run jobs in a container of their own.")
@click.option("--redis", is_flag=True, help="Share answers, sessions and budgets through a Valkey.")
@trust_option
@click.option(
    "--base", metavar="REFERENCE", help="What the image is built on; by default the official python:X.Y-slim."
)
@click.option("--image", metavar="REFERENCE", help="Run this image of PATH from a registry, and build none.")
@click.option("--postgres-image", metavar="REFERENCE", help="Another image of PostgreSQL than the official one.")
@click.option("--valkey-image", metavar="REFERENCE", help="Another image of Valkey than the official one.")
@click.option("--proxy-image", metavar="REFERENCE", help="Another image of Caddy than the official one.")
@click.option("--insecure", is_flag=True, help="Ask the registry without TLS; only one on this machine is.")
@place_options
@click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write the documents, build nothing and ask nobody.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the documents, build nothing and ask nobody.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def deploy_compose(**said: Any) -> None:
    """Run PATH (a bundle, a folder, a Streamlit script) in containers on this machine, and check what is live.

    Docker with its compose, or podman with podman-compose, has to run here. The image is built without either and
    loaded. When it is up the bundle's golden rows are asked of it: if it answers differently, or does not come up,
    what ran before runs again. The same command again goes on from where it stopped.
    """
    from aweigh.targets.compose.images import Source
    from aweigh.targets.compose.plan import Wish, check_wish
    from aweigh.targets.image.build import created_of
    from aweigh.targets.releasing import Wishes, release_of

    path, app, as_json = said["path"], said["app"], said["as_json"]
    kinds = {kind: said[f"{kind}_image"] for kind in ("postgres", "valkey", "proxy") if said[f"{kind}_image"]}
    sizes = (said["port"], said["replicas"], said["memory"], said["cpus"], said["public"], said["hosts"])
    wish = Wish(app, *sizes, kinds, said["proxy"])
    check_wish(wish)
    source = Source(said["base"], said["image"], said["insecure"], created_of(os.environ))
    steps = Steps(json=as_json)
    with steps.step("release") as step:
        wishes = Wishes(
            auth=said["auth"], ui=not said["no_ui"], worker=said["worker"], redis=said["redis"], trust=said["trust"]
        )
        release = release_of(path, name=app, wishes=wishes)
        step.says(f"{release.bundle or 'a folder of its own'}, Python {release.python}, {', '.join(release.processes)}")
    check_own_door(release, said["auth"], steps)
    if said["output_dir"] is not None or said["dry_run"]:
        _show(_planned(release, wish, source), said["output_dir"], steps=steps, as_json=as_json)
        return
    deployed = _go(release, wish, source, said["engine"], said["folder"], steps=steps)
    _tell(deployed, steps=steps, as_json=as_json)


def _go(
    release: "Release", wish: "Wish", source: "Source", engine: str | None, folder: Path | None, *, steps: Steps
) -> "Deployed":
    from aweigh.targets.compose.deploy import Going, deploy
    from aweigh.targets.compose.program import find_programs

    with steps.step("engine") as step:
        programs = find_programs(engine)
        step.says(f"{programs.kind}, {programs.version}, {programs.platform}")
    project = project_named(wish.app, folder)
    project.make()
    going = Going(project, programs, telling_of(steps))
    with project.locked():
        try:
            chosen = _image(going, release, source, programs, steps=steps)
            return deploy(going, release, wish, chosen)
        except KeyboardInterrupt:
            steps.line("stopped", "what runs goes on as it is; the same command again goes on from here")
            raise


def _image(going: "Going", release: "Release", source: "Source", programs: "Programs", *, steps: Steps) -> "Chosen":
    from aweigh.cli.image import bars
    from aweigh.oci.room import opened_store
    from aweigh.targets.compose.images import built_image, load, pulled
    from aweigh.targets.live import golden_of

    folder, hear = going.project.folder, going.telling.hear
    if source.image is not None:
        version = None if release.bundle is None else golden_of(release.files[release.bundle]).version
        with steps.step("image") as step:
            chosen = pulled(programs, release, source, version=version, environ=os.environ, folder=folder, hear=hear)
            step.says(chosen.name)
        return chosen
    store = click.get_current_context().with_resource(opened_store(os.environ))
    with steps.step("build") as step, bars(steps, "base") as tell:
        built = built_image(
            release, source, platform=programs.platform, store=store, environ=os.environ, tell=tell, doing=step.doing
        )
        own = next(iter(built.own.values()))
        sizes = " + ".join(human_size(one.descriptor.size) for one in own)
        step.says(f"{built.top.digest[:19]}, {sizes} on the base")
    with steps.step("load") as step:
        chosen, is_new = load(
            programs, going.project.app, built, store=store, created_s=source.created_s, folder=folder, hear=hear
        )
        step.says("loaded" if is_new else "is there")
    return chosen


def _planned(release: "Release", wish: "Wish", source: "Source") -> "Plan":
    """The plan of a first deployment; an image that is not built yet is called by no digest."""
    from aweigh.oci.reference import parse_reference
    from aweigh.targets.compose.images import named
    from aweigh.targets.compose.plan import Chosen, plan_of

    if source.image is None:
        chosen = Chosen(named(wish.app, UNBUILT), UNBUILT)
    else:
        reference = parse_reference(source.image)
        chosen = Chosen(str(reference), reference.digest or UNBUILT, pulled=True)
    return plan_of(release, wish, chosen)


def _show(plan: "Plan", folder: Path | None, *, steps: Steps, as_json: bool) -> None:
    from aweigh.targets.compose.render import render

    documents = render(plan)
    if folder is not None:
        write_documents(documents, folder)
        steps.line("written", f"{', '.join(documents)} to {folder}")
    if as_json and folder is not None:
        print_document({"folder": str(folder), "files": sorted(documents)})
        return
    if as_json:
        print_document({"documents": {name: content.decode() for name, content in documents.items()}})
        return
    if folder is None:
        for name, content in documents.items():
            steps.line("document", name)
            for line in content.decode().splitlines():
                click.echo(f"    {clean(line.expandtabs(2))}")
    steps.line("secrets", "app.env and secrets are made up at the first deployment, and are in no document")
    steps.next("the same without --dry-run" if folder is None else "the same without --output-dir")


def _tell(deployed: "Deployed", *, steps: Steps, as_json: bool) -> None:
    if as_json:
        print_document(document(deployed))
        return
    steps.line("live", told_live(deployed.url, deployed.release, changed=deployed.changed))
    tell_invite(steps, deployed.url, deployed.invite)
    steps.next(f"aweigh status compose --app {shlex.quote(deployed.app)}")


def document(deployed: "Deployed") -> dict[str, Any]:
    """What ``--json`` prints. The invitation is not in it: such documents are kept by whoever runs the command."""
    return deployed_document(
        deployed.app,
        url=deployed.url,
        release=deployed.release,
        bundle=deployed.bundle,
        created=deployed.created,
        changed=deployed.changed,
        golden_rows=deployed.golden_rows,
        has_invite=deployed.invite is not None,
        source=deployed.image,
        replicas=dict(deployed.replicas),
    )
