"""``aweigh deploy heroku``: a bundle, a folder or a Streamlit script, live and checked there."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aweigh.cli.after import deployed_document, tell_invite, telling_of, told_live
from aweigh.cli.documents import write_documents
from aweigh.cli.door import auth_option, check_own_door
from aweigh.cli.terminal import Steps, clean, print_document
from aweigh.cli.trusting import trust_option
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.targets.heroku.api import Api
    from aweigh.targets.heroku.render import Shape
    from aweigh.targets.heroku.wish import Deployed, Packed, Wish
    from aweigh.targets.release import Release

MOST_SHOWN = 4000
"""Characters of a document that a dry run prints."""

endpoint_option = click.option(
    "--endpoint",
    metavar="URL",
    envvar="AWEIGH_HEROKU_ENDPOINT",
    show_envvar=True,
    help="Another address of the Platform API than https://api.heroku.com.",
)


def _app_name(ctx: click.Context, param: click.Parameter, value: str) -> str:  # noqa: ARG001  click's interface
    """An app's name or id, and nothing that leads elsewhere in the API."""
    from aweigh.targets.heroku.wish import check_name

    check_name(value)
    return value


app_option = click.option("--app", required=True, metavar="NAME", callback=_app_name, help="The app's name at Heroku.")


@contextmanager
def at_heroku(endpoint: str | None) -> Iterator["Api"]:
    """The Platform API with the environment's token."""
    from aweigh.targets.heroku.api import open_api

    api = open_api(os.environ, endpoint=endpoint)
    try:
        yield api
    finally:
        api.close()


@click.command("heroku")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@app_option
@click.option("--region", metavar="NAME", help="Where a new app is to be: us, eu, or a private space's region.")
@click.option("--stack", metavar="NAME", help="What it is built on: heroku-24, heroku-26.")
@click.option("--size", metavar="NAME", help="Of the dynos: basic, standard-1x, ...; unset: as they are.")
@click.option("--replicas", type=click.IntRange(1, 100), help="How many web dynos; unset: as many as there are.")
@auth_option
@click.option("--addon", "addons", multiple=True, metavar="SERVICE:PLAN",
              help="An add-on, such as heroku-postgresql:essential-0; may be given several times.")  # fmt: skip
@click.option("--team", metavar="NAME", help="The team whose app it is to be.")
@click.option(
    "--space", metavar="NAME", help="The private space that a new app is to be in; its generation is the space's."
)
@click.option("--container", is_flag=True,
              help="Build images here, without Docker, and push them: no limit of a slug's size.")  # fmt: skip
@click.option(
    "--base", metavar="REFERENCE", help="With --container: what they are built on (default: python:X.Y-slim)."
)
@click.option("--no-ui", is_flag=True, help="Deploy the API alone.")
@click.option("--worker", is_flag=True, help="Run jobs in worker dynos of their own.")
@trust_option
@click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write what would be built there, and ask Heroku nothing.")  # fmt: skip
@click.option("--repository", metavar="URL",
              help="With --output-dir: where the folder will be on GitHub, for its button.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print every document and request, and ask Heroku nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--yes", is_flag=True, help="Do not ask before something that Heroku bills is created.")
@endpoint_option
def deploy_heroku(
    path: Path,
    app: str,
    region: str | None,
    stack: str | None,
    size: str | None,
    replicas: int | None,
    auth: str,
    addons: tuple[str, ...],
    team: str | None,
    space: str | None,
    container: bool,
    base: str | None,
    no_ui: bool,
    worker: bool,
    trust: Path | None,
    output_dir: Path | None,
    repository: str | None,
    dry_run: bool,
    as_json: bool,
    yes: bool,
    endpoint: str | None,
) -> None:
    """Deploy PATH (a bundle, a folder, a Streamlit script) to Heroku, and check what is live.

    The token is that of HEROKU_API_KEY, or of the file that HEROKU_API_KEY_FILE names. The app is created if there is
    none. When it is up the bundle's golden rows are asked of it: if it answers differently, or does not come up, what
    ran before runs again. The same command again goes on from where it stopped; with nothing new it only checks.
    """
    from aweigh.targets.heroku.button import check_repository
    from aweigh.targets.heroku.render import Shape, render, source_of
    from aweigh.targets.heroku.wish import Packed, Wish, check_wish
    from aweigh.targets.releasing import Wishes, release_of
    from aweigh.targets.tarball import tarball

    if base is not None and not container:
        raise UsageError("--base names what images are built on.", hint="add --container")
    if container and (stack is not None or output_dir is not None):
        raise UsageError("Images are pushed, and not built there.", hint="leave --stack and --output-dir out")
    wish = Wish(
        app=app,
        region=region,
        stack="container" if container else stack,
        size=None if size is None else size.lower(),
        replicas=replicas,
        addons=addons,
        team=team,
        space=space,
        container=container,
        base=base,
    )
    check_wish(wish)
    if repository is not None and output_dir is None:
        raise UsageError("--repository says where a written folder will be.", hint="give --output-dir DIR, too")
    repository = None if repository is None else check_repository(repository)
    steps = Steps(json=as_json)
    with steps.step("source") as step:
        wishes = Wishes(auth=auth, ui=not no_ui, worker=worker, trust=trust)  # type: ignore[arg-type]  # one of AUTHS
        release = release_of(path, name=app, wishes=wishes)
        # What is built is the same however many run it: scaling builds nothing. A button says how many.
        shape = _shape(release, wish, repository) if output_dir or dry_run else Shape()
        documents = render(release, shape)
        source = source_of(release, documents)
        packed = Packed(tarball(source))
        step.says(_told_release(release, packed), size_bytes=len(packed.content))
    check_own_door(release, auth, steps)
    if release.requirements is not None and "--hash=" not in release.requirements:
        steps.line("unlocked", "what is installed is whatever is newest on the day: aweigh lock writes a lock")
    if output_dir is not None:
        _write(release, source, output_dir, shape=shape, steps=steps, as_json=as_json)
    elif dry_run:
        _show(release, documents, packed, wish, steps=steps, as_json=as_json)
    else:
        if container:
            from aweigh.oci.room import opened_store

            click.get_current_context().with_resource(opened_store(os.environ))  # for as long as it is built and sent
        _go(release, packed, wish, steps=steps, as_json=as_json, yes=yes, endpoint=endpoint)


def _shape(release: "Release", wish: "Wish", repository: str | None) -> "Shape":
    """What a button makes of it: as many dynos, of the size, with the add-ons that were asked for."""
    from aweigh.targets.heroku.dynos import DYNOS, SMALLEST_FIR, is_fir_size
    from aweigh.targets.heroku.render import SIZE, Shape
    from aweigh.targets.heroku.settings import plans_of

    size = wish.size
    if size is None or (size not in DYNOS and not is_fir_size(size)):
        size = "standard-1x" if (wish.replicas or 1) > 1 or size is not None else SIZE
    review = SMALLEST_FIR if is_fir_size(size) else SIZE
    plans = plans_of(release, wish, {})
    return Shape(size=size, replicas=wish.replicas or 1, addons=plans, repository=repository, review_size=review)


def _told_release(release: "Release", packed: "Packed") -> str:
    what = release.bundle or "a folder of its own"
    return f"{packed.version}: {what}, Python {release.python}, {', '.join(release.processes)}"


def _go(
    release: "Release",
    packed: "Packed",
    wish: "Wish",
    *,
    steps: Steps,
    as_json: bool,
    yes: bool,
    endpoint: str | None,
) -> None:
    from aweigh.targets.heroku.deploy import deploy as go

    with at_heroku(endpoint) as api:
        if not yes and not as_json:
            _confirm(api, release, wish, steps=steps)
        try:
            deployed = go(api, release, packed, wish, telling=telling_of(steps))
        except KeyboardInterrupt:
            steps.line("stopped", "what is under way at Heroku goes on there; the same command again goes on with it")
            raise
    if as_json:
        print_document(document(deployed))
        return
    for note in deployed.notes:
        steps.line("note", note)
    steps.line("live", told_live(deployed.url, deployed.release, changed=deployed.changed))
    tell_invite(steps, deployed.url, deployed.invite)
    if deployed.invite is None and deployed.created and "--auth password" in release.processes.get("web", ""):
        steps.line("admin", "no first link is in the log (nobody can sign in yet, or somebody can already); another:")
        steps.more(f"heroku run --app {shlex.quote(deployed.app)} aweigh users invite admin")
    steps.next(f"aweigh status heroku --app {shlex.quote(deployed.app)}")


def _confirm(api: "Api", release: "Release", wish: "Wish", *, steps: Steps) -> None:
    """Asks before add-ons are created that nobody named: Heroku bills them."""
    import sys

    from aweigh.targets.heroku.after import config_names
    from aweigh.targets.heroku.settings import find_app, plans_of

    if not sys.stdin.isatty():
        return
    there = config_names(api, wish.app) if find_app(api, wish.app) is not None else {}
    unnamed = [one for one in plans_of(release, wish, there) if one not in wish.addons]
    if unnamed:
        steps.line("add-ons", f"{', '.join(unnamed)}, which Heroku bills: the release needs it")
        click.confirm("  go on?", abort=True, default=True, err=True)


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
        notes=list(deployed.notes),
        has_invite=deployed.invite is not None,
        source=deployed.source,
    )


def _write(
    release: "Release",
    source: dict[str, bytes | Path],
    folder: Path,
    *,
    shape: "Shape",
    steps: Steps,
    as_json: bool,
) -> None:
    """Writes all that would be built into a folder that is new or empty, and a README with its button.

    Raises:
        UsageError: something is there, or it cannot be written.
    """
    from aweigh.targets.heroku.button import README, badge, readme, too_large_for_github

    has_readme = any(name.lower().startswith("readme") for name in source)
    files = source if has_readme else source | {README: readme(release, shape.repository, addons=shape.addons).encode()}
    write_documents(files, folder)
    large = too_large_for_github(files)
    if as_json:
        print_document({"folder": str(folder), "files": sorted(files), "button": badge(shape.repository)})
        return
    steps.line("written", f"{len(files)} files to {folder}")
    if has_readme:
        steps.line("button", f"for your README: {badge(shape.repository)}")
    if large is not None:
        steps.line("note", f"{large} is more than GitHub takes (100 MB), and a button reads no Git LFS")
    steps.next(f"git -C {shlex.quote(str(folder))} init, and push it to GitHub: its README has a button")


def _show(
    release: "Release",
    documents: dict[str, bytes],
    packed: "Packed",
    wish: "Wish",
    *,
    steps: Steps,
    as_json: bool,
) -> None:
    """Prints the documents and the requests of a first deployment."""
    import msgspec

    from aweigh.targets.heroku.planned import planned, shown

    requests = shown(planned(release, packed, wish))
    texts = {name: content.decode(errors="replace") for name, content in documents.items()}
    if as_json:
        print_document({"documents": texts, "requests": requests, "source": packed.version})
        return
    for name, text in texts.items():
        steps.line("document", name)
        rest = len(text) - MOST_SHOWN
        for line in text[:MOST_SHOWN].splitlines():
            click.echo(f"    {clean(line)}")
        if rest > 0:
            click.echo(f"    ... and {rest:,} characters more")
    for one in requests:
        steps.line("request", f"{one['method']} {one['path']}, {one['what']}")
        if "body" in one:
            for line in msgspec.json.format(msgspec.json.encode(one["body"]), indent=2).decode().splitlines():
                click.echo(f"    {clean(line)}")
    steps.next("the same without --dry-run")
