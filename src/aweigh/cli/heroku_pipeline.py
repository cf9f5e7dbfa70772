"""Pipelines at Heroku: an app's stage, and an app of its own for each branch."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from aweigh.cli.after import tell_invite, telling_of
from aweigh.cli.door import auth_option, help_alone, json_option, no_ui_option
from aweigh.cli.heroku import at_heroku, document, endpoint_option
from aweigh.cli.terminal import Steps, aligned, print_document
from aweigh.cli.trusting import trust_option
from aweigh.errors import UsageError

STAGES = ("development", "staging", "production")

pipeline_option = click.option("--pipeline", required=True, metavar="NAME", help="The pipeline's name at Heroku.")
branch_option = click.option("--branch", required=True, metavar="NAME", help="The branch that it is of.")


@click.command("heroku")
@click.argument("pipeline", metavar="NAME")
@click.option("--app", metavar="NAME", help="The app to put into it; unset: say what is in it.")
@click.option("--stage", type=click.Choice(STAGES), help="Which stage of it the app is to be.")
@json_option
@endpoint_option
def pipeline_heroku(pipeline: str, app: str | None, stage: Any, as_json: bool, endpoint: str | None) -> None:
    """Put an app into a stage of the pipeline NAME, which is made if there is none, or list its apps by stage.

    What is live in one stage is taken to the next by 'aweigh promote heroku'.
    """
    from aweigh.targets.heroku import pipelines
    from aweigh.targets.heroku.wish import check_name

    if (app is None) != (stage is None):
        raise UsageError("An app is put into a stage.", hint="give both: --app NAME --stage staging")
    if app is not None:
        check_name(app)
    with at_heroku(endpoint) as api:
        if app is not None:
            place, is_new = pipelines.couple(api, pipeline, app, stage)
            found = [place]
        else:
            found, is_new = pipelines.places(api, pipeline), False
    if as_json:
        apps = [{"app": one.app, "stage": one.stage} for one in found]
        print_document({"pipeline": pipeline, "apps": apps, "changed": is_new})
    elif app is not None:
        Steps().line("pipeline", f"{app} is {stage} of {pipeline}{'' if is_new else ', as it was'}")
    else:
        click.echo("\n".join(aligned([(one.stage, one.app) for one in found])) if found else "  no apps")


@click.group("heroku", invoke_without_command=True)
@click.pass_context
def review_heroku(ctx: click.Context) -> None:
    """Make an app of its own for a branch, in a pipeline at Heroku.

    Heroku makes it as 'environments.review' of app.json says: one small dyno of each process, the smallest add-ons,
    secrets of its own. Then its answers are checked as those of every deployment.
    """
    help_alone(ctx)


@review_heroku.command("create")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@pipeline_option
@branch_option
@click.option("--size", metavar="NAME", help="Of its dynos; unset: basic, or the smallest of the generation Fir.")
@auth_option
@no_ui_option
@click.option("--worker", is_flag=True, help="Run jobs in worker dynos of their own.")
@trust_option
@click.option("--yes", is_flag=True, help="Do not ask before something that Heroku bills is created.")
@json_option
@endpoint_option
def create_review(
    path: Path,
    pipeline: str,
    branch: str,
    size: str | None,
    auth: str,
    no_ui: bool,
    worker: bool,
    trust: Path | None,
    yes: bool,
    as_json: bool,
    endpoint: str | None,
) -> None:
    """Make the review app of a branch from PATH, or bring it up to PATH, and check what is live.

    Heroku bills its dynos and add-ons until it is destroyed. The same command again goes on from where it stopped.
    """
    from aweigh.targets.heroku import review
    from aweigh.targets.heroku.dynos import SMALLEST_FIR
    from aweigh.targets.heroku.pipelines import the_pipeline
    from aweigh.targets.heroku.render import SIZE, Shape, addons_of, render, source_of
    from aweigh.targets.heroku.wish import Packed
    from aweigh.targets.releasing import Wishes, release_of
    from aweigh.targets.tarball import tarball

    steps = Steps(json=as_json)
    with at_heroku(endpoint) as api:
        line = the_pipeline(api, pipeline)
        with steps.step("source") as step:
            wishes = Wishes(auth=auth, ui=not no_ui, worker=worker, trust=trust)  # type: ignore[arg-type]  # of AUTHS
            release = release_of(path, name=line.name.rstrip("-"), wishes=wishes)
            environment = review.given_here(release, os.environ)
            small = size.lower() if size is not None else SMALLEST_FIR if line.is_fir else SIZE
            packed = Packed(tarball(source_of(release, render(release, Shape(review_size=small)))))
            step.says(f"{packed.version}: {release.bundle or 'a folder of its own'}", size_bytes=len(packed.content))
        wanted = review.Wanted(pipeline, branch, environment)
        if not yes and not as_json and sys.stdin.isatty() and review.is_new(api, wanted):
            steps.line("bills", ", ".join(("a dyno of each process", *addons_of(release))))
            if not click.confirm("  go on?", default=True, err=True):
                raise UsageError("Nothing was made.")
        done = review.create(api, release, packed, wanted, telling=telling_of(steps))
    if as_json:
        print_document({"branch": branch, **document(done)})
        return
    for note in done.notes:
        steps.line("note", note)
    steps.line("live", done.url)
    tell_invite(steps, done.url, done.invite)
    steps.next(f"aweigh status heroku --app {done.app}")


@review_heroku.command("list")
@pipeline_option
@json_option
@endpoint_option
def list_reviews(pipeline: str, as_json: bool, endpoint: str | None) -> None:
    """List the review apps of a pipeline, by their branches."""
    import dataclasses

    from aweigh.targets.heroku import review

    with at_heroku(endpoint) as api:
        found = review.reviews(api, pipeline)
    if as_json:
        print_document({"reviews": [dataclasses.asdict(one) for one in found]})
        return
    rows = [("branch", "status", "app", "address")]
    rows += [(one.branch, f"{one.status}{': ' if one.why else ''}{one.why}", one.app, one.url) for one in found]
    click.echo("\n".join(aligned(rows)) if found else "  no review apps")


@review_heroku.command("destroy")
@pipeline_option
@branch_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@endpoint_option
def destroy_review(pipeline: str, branch: str, yes: bool, as_json: bool, endpoint: str | None) -> None:
    """Destroy the review app of a branch, with its add-ons and all that they hold."""
    from aweigh.targets.heroku import review

    if not yes:
        if not sys.stdin.isatty() and as_json:
            raise UsageError("To destroy a review app unasked takes --yes.")
        if not click.confirm(f"destroy the review app of {branch!r}, its database included?", err=True):
            raise UsageError("Nothing was destroyed.")
    with at_heroku(endpoint) as api:
        app = review.destroy(api, pipeline, branch)
    if as_json:
        print_document({"destroyed": app or None, "branch": branch})
    else:
        Steps().line("destroyed", f"{app or 'the review app'}, of {branch}")


@review_heroku.command("enable")
@pipeline_option
@click.option("--repo", "repository", required=True, metavar="OWNER/NAME",
              help="The repository at GitHub, which has to be connected to the pipeline.")  # fmt: skip
@click.option("--stale-days", type=click.IntRange(1, 365), help="Destroy such as were not deployed for so many days.")
@json_option
@endpoint_option
def enable_reviews(pipeline: str, repository: str, stale_days: int | None, as_json: bool, endpoint: str | None) -> None:
    """Let a pipeline have review apps.

    None is made by itself: 'create' makes one, or a pull request where Heroku is told so on its own pages.
    """
    from aweigh.targets.heroku import review

    with at_heroku(endpoint) as api:
        is_new = review.enable(api, pipeline, repository, stale_days=stale_days)
    if as_json:
        print_document({"pipeline": pipeline, "changed": is_new})
    else:
        Steps().line("review", f"{pipeline} has review apps{'' if is_new else ', as it was'}")
