"""``aweigh serve``: a bundle, or a Streamlit script, on one port until it is told to stop."""

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.door import AUTHS
from aweigh.cli.terminal import Steps
from aweigh.cli.trusting import signed_by, trust_option, trusted
from aweigh.errors import BundleError, UsageError

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.cli.planned import Said
    from aweigh.cli.serving import Wanted
    from aweigh.server.settings import Settings


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is looked for until the server has settled: a tenth of a start, in which hardly any is made.

    ``settle_memory`` puts all that is there by then out of the collector's sight, and lets it work from then on.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Workers(click.ParamType[int | str]):
    """A number of processes, or "auto"."""

    name = "workers"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or the word."""
        return "auto" if value == "auto" else click.IntRange(1, 64)(value, param, ctx)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, envvar="PORT", show_default=True, show_envvar=True,
              help="The port to listen on; 0 takes a free one.")  # fmt: skip
@click.option("--workers", type=Workers(), metavar="NUMBER|auto",
              help="Processes that answer the API; auto: all that fit. From two on, the app has its own.")  # fmt: skip
@click.option("--ui-processes", type=click.IntRange(0, 64),
              help="Processes that show the app to people; 0: the one that answers the API.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 64), help="Threads of one call of the model, in place of the plan's.")
@click.option("--app", "script", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A Streamlit script of your own in place of the generated pages.")  # fmt: skip
@click.option("--no-ui", is_flag=True, help="Serve the API alone.")
@click.option("--auth", type=click.Choice(AUTHS), envvar="AWEIGH_AUTH", show_envvar=True,
              help="Who may come in: anybody (none), those who sign in here (password) or with a provider (oidc), and "
              "keys. Beyond this machine 'none' must be said out loud.")  # fmt: skip
@click.option("--form", default="auto", envvar="AWEIGH_FORM", metavar="NAME", show_default=True, show_envvar=True,
              help="Which of the bundle's forms answers: auto, fastest, native, onnx, ...")  # fmt: skip
@click.option("--candidate", type=click.Path(path_type=Path), envvar="AWEIGH_CANDIDATE", show_envvar=True,
              metavar="BUNDLE", help="A second bundle of the same model, to be tried beside the first.")  # fmt: skip
@click.option("--canary", type=click.FloatRange(0, 100), metavar="PERCENT",
              help="Let the candidate answer so many requests in a hundred, the same people each time.")  # fmt: skip
@click.option(
    "--shadow", is_flag=True, help="Ask the candidate, too, and show nobody what it says: only how it differs."
)
@trust_option
@_uncollected()
def serve(
    path: Path,
    host: str,
    port: int,
    workers: int | str | None,
    ui_processes: int | None,
    threads: int | None,
    script: Path | None,
    no_ui: bool,
    auth: str | None,
    form: str,
    candidate: Path | None,
    canary: float | None,
    shadow: bool,
    trust: Path | None,
) -> None:
    """Serve a bundle, or a Streamlit script, on one port: the app at /, the API under /v1 and /v2.

    How many processes and threads it takes is said by the flags, else by WEB_CONCURRENCY, else by AWEIGH_WORKERS and
    AWEIGH_THREADS, else by the plan ('aweigh plan'); on somebody's own machine it is one process.

    It stops on Ctrl-C or SIGTERM, after what is under way is finished. With several processes SIGHUP replaces them one
    after another, without a refused request, and reads the bundle anew.
    """
    from aweigh.cli.planned import Said
    from aweigh.cli.serving import Wanted, serve_many, serve_one
    from aweigh.server.serve import bind, is_loopback, limit_threads, url_of, write_log
    from aweigh.server.settings import read_settings

    settings = _released(read_settings(os.environ), candidate, canary=canary, shadow=shadow)
    write_log(settings)
    loopback = is_loopback(host)
    if auth is None and not loopback:
        raise UsageError(
            f"Whoever reaches {host or 'this machine'} could use this server: nobody is asked to sign in.",
            hint="ask people to: --auth password; if everybody may, say so: --auth none",
        )
    steps = Steps()
    bundle, script = _open(path, script=script, no_ui=no_ui, trust=trust, steps=steps)
    second = None if candidate is None else _open_candidate(candidate, bundle, trust=trust, steps=steps)
    has_ui = not no_ui and _has_streamlit(script, steps=steps)
    said = Said(workers=workers, ui_processes=ui_processes, threads=threads, ui=has_ui, public=not loopback)
    share = _share(bundle, said=said, settings=settings, steps=steps, candidate=second)
    limit_threads(share.threads)
    several = share.workers > 1 or (has_ui and share.ui_processes > 0)
    with bind(host, port) as sock:
        wanted = Wanted(
            path=path,
            bundle=bundle,
            script=script,
            has_ui=has_ui,
            sock=sock,
            url=url_of(sock),
            settings=share.settings,
            workers=share.workers,
            ui_processes=max(1, share.ui_processes) if has_ui and several else 0,
            threads=share.threads,
            auth=auth or "none",
            loopback=loopback,
            # The policy is read where it was read first, which the environment tells by now.
            again=lambda: None if bundle is None else _verify(path, trust=None),
            form=form,
            candidate=second,
            candidate_again=lambda first: None if candidate is None else _second(candidate, first, trust=None),
        )
        if bundle is not None and share.settings.jobs == "inline":
            _warn_of_jobs()
        _let_the_first_in(wanted, steps=steps)
        (serve_many if several else serve_one)(wanted, steps=steps)
    steps.line("stopped", "what was under way is finished")


def _let_the_first_in(wanted: "Wanted", *, steps: Steps) -> None:
    """Where people sign in and nobody can yet: the link by which the first of them chooses a password, once."""
    if wanted.auth == "none":
        return
    from aweigh.server.access.opening import first_link

    link, awaited = first_link(wanted.settings, url=wanted.url)
    if link is None and awaited:
        steps.line("admin", "nobody has signed in yet; 'aweigh users invite admin' makes another first link")
    if link is not None:
        steps.line("admin", f"nobody can sign in yet; this link, once and within a day, makes an administrator: {link}")


def _warn_of_jobs() -> None:
    from aweigh.jobs.place import kept_here_instead

    said = kept_here_instead(os.environ)
    if said is not None:
        logging.getLogger(__name__).warning(said)


@dataclass(frozen=True, slots=True)
class Share:
    """Processes and threads, and the settings with what the plan says of memory and of batches."""

    workers: int
    ui_processes: int
    threads: int
    settings: "Settings"


def _share(
    bundle: "VerifiedBundle | None",
    *,
    said: "Said",
    settings: "Settings",
    steps: Steps,
    candidate: "VerifiedBundle | None" = None,
) -> Share:
    """What the plan says and nobody else has; a script of somebody's own is planned for by nobody."""
    if bundle is None:
        if isinstance(said.workers, int) and said.workers > 1 and not said.ui_processes:
            steps.line("workers", "a script has no API to answer: one process shows it (several: --ui-processes)")
        workers = said.workers if isinstance(said.workers, int) and said.ui_processes else 1
        return Share(workers, said.ui_processes or 0, said.threads or 1, settings)
    from aweigh.cli.planned import planned, tell
    from aweigh.runtime.machine import read_machine

    machine = read_machine()
    found = planned(bundle, said=said, settings=settings, machine=machine, environ=os.environ, candidate=candidate)
    tell(found, machine=machine, steps=steps)
    if found.ceiling_mb is not None and not os.environ.get("AWEIGH_MAX_PROCESS_MB", "").strip():
        settings = replace(settings, max_process_mb=found.ceiling_mb)
    if not found.measured.estimated and settings.max_batch_rows is None:
        settings = replace(settings, max_batch_rows=found.plan.batch_rows)
    return Share(found.plan.workers, found.plan.ui_processes, found.plan.threads, settings)


def _open(
    path: Path, *, script: Path | None, no_ui: bool, trust: Path | None, steps: Steps
) -> "tuple[VerifiedBundle | None, Path | None]":
    """The bundle and the script that the arguments name.

    Raises:
        UsageError: they contradict each other.
        BundleError: the bundle is damaged, or holds code that nobody vouched for.
    """
    if path.suffix == ".py":
        if script is not None or no_ui:
            raise UsageError("A Streamlit script is all app: neither --app nor --no-ui goes with it.")
        trusted(trust)  # for what the script loads
        return None, path
    if script is not None and no_ui:
        raise UsageError("--app names an app and --no-ui asks for none.", hint="leave one of them out")
    with steps.step("verify") as step:
        bundle = _verify(path, trust=trust)
        step.says(f"{bundle.manifest.name} {bundle.version}: every byte is as its manifest says{signed_by(bundle)}")
    return bundle, script


def _released(settings: "Settings", candidate: Path | None, *, canary: float | None, shadow: bool) -> "Settings":
    """The settings with what the flags say of a release.

    Raises:
        UsageError: they contradict each other, or name no candidate.
    """
    if canary is not None and shadow:
        raise UsageError("A candidate is a canary or a shadow, and not both.", hint="leave one of the two out")
    if candidate is None and (canary is not None or shadow):
        raise UsageError("Nothing is there to be tried.", hint="name the second bundle: --candidate NEXT.aweigh")
    if canary is not None:
        return replace(settings, release_mode="canary", release_percent=canary)
    return replace(settings, release_mode="shadow") if shadow else settings


def _open_candidate(
    path: Path, bundle: "VerifiedBundle | None", *, trust: Path | None, steps: Steps
) -> "VerifiedBundle | None":
    with steps.step("verify") as step:
        found = _second(path, bundle, trust=trust)
        if found is None:
            step.says("the candidate is the bundle that is served: nothing is tried")
        else:
            step.says(f"the candidate {found.version}: every byte is as its manifest says{signed_by(found)}")
    return found


def _second(path: Path, bundle: "VerifiedBundle | None", *, trust: Path | None) -> "VerifiedBundle | None":
    """The candidate, verified as the first bundle is; None where it is the same.

    Raises:
        UsageError: it cannot be asked what the first is asked.
        BundleError: as for the first.
    """
    from aweigh.server.release.opening import check_candidate

    if bundle is None:
        raise UsageError("A script has no model beside which another could be tried.", hint="leave --candidate out")
    try:
        found = _verify(path, trust=trust)
    except BundleError as error:
        raise type(error)(f"The candidate {path.name}: {error.message}", hint=error.hint) from error
    check_candidate((bundle.manifest.name, bundle.schema), (found.manifest.name, found.schema))
    return None if found.digest == bundle.digest else found


def _verify(path: Path, *, trust: Path | None) -> "VerifiedBundle":
    from aweigh.bundle.verify import verify

    return verify(path, trust=trusted(trust), to_load=True)


def _has_streamlit(script: Path | None, *, steps: Steps) -> bool:
    """Whether there can be an app; where somebody insists on one by naming it, it fails later and says what to do."""
    if script is not None or find_spec("streamlit") is not None:
        return True
    steps.line("app", "not installed here: the API is served alone (the extra 'ui' brings the app)")
    return False
