"""``aweigh serve``: a bundle, or a Streamlit script, on one port until it is told to stop."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.terminal import Steps
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, envvar="PORT", show_default=True, show_envvar=True,
              help="The port to listen on; 0 takes a free one.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Processes that answer the API. From two on, the app has its own.")  # fmt: skip
@click.option("--ui-processes", type=click.IntRange(0, 64), default=0, show_default=True,
              help="Processes that show the app to people; 0: the one that answers the API.")  # fmt: skip
@click.option("--app", "script", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A Streamlit script of your own in place of the generated pages.")  # fmt: skip
@click.option("--no-ui", is_flag=True, help="Serve the API alone.")
@click.option("--auth", type=click.Choice(["none"]),
              help="Who may come in. Beyond this machine 'none' must be said out loud.")  # fmt: skip
@click.option("--form", default="auto", envvar="AWEIGH_FORM", metavar="NAME", show_default=True, show_envvar=True,
              help="Which of the bundle's forms answers: auto, fastest, native, onnx, ...")  # fmt: skip
@click.option("--allow-code", is_flag=True, help="Serve a bundle that holds its owner's own Python code.")
def serve(
    path: Path,
    host: str,
    port: int,
    workers: int,
    ui_processes: int,
    script: Path | None,
    no_ui: bool,
    auth: str | None,
    form: str,
    allow_code: bool,
) -> None:
    """Serve a bundle, or a Streamlit script, on one port: the app at /, the API under /v1 and /v2.

    It stops on Ctrl-C or SIGTERM, after what is under way is finished. With several processes SIGHUP replaces them one
    after another, without a refused request, and reads the bundle anew.
    """
    from aweigh.cli.serving import Wanted, serve_many, serve_one
    from aweigh.server.serve import bind, is_loopback, limit_threads, url_of, write_log
    from aweigh.server.settings import read_settings

    limit_threads(1)
    write_log()
    settings = read_settings(os.environ)
    if auth is None and not is_loopback(host):
        raise UsageError(
            f"Whoever reaches {host or 'this machine'} could use this server: nobody is asked to sign in.",
            hint="if that is what you want, say so: --auth none",
        )
    steps = Steps()
    bundle, script = _open(path, script=script, no_ui=no_ui, allow_code=allow_code, steps=steps)
    has_ui = not no_ui and _has_streamlit(script, steps=steps)
    if bundle is None and workers > 1 and ui_processes == 0:
        steps.line("workers", "a script has no API to answer: one process shows it (several: --ui-processes)")
        workers = 1
    several = workers > 1 or (has_ui and ui_processes > 0)
    with bind(host, port) as sock:
        wanted = Wanted(
            bundle=bundle,
            script=script,
            has_ui=has_ui,
            sock=sock,
            url=url_of(sock),
            settings=settings,
            workers=workers,
            ui_processes=max(1, ui_processes) if has_ui and several else 0,
            again=lambda: None if bundle is None else _verify(path, allow_code=allow_code),
            form=form,
        )
        (serve_many if several else serve_one)(wanted, steps=steps)
    steps.line("stopped", "what was under way is finished")


def _open(
    path: Path, *, script: Path | None, no_ui: bool, allow_code: bool, steps: Steps
) -> "tuple[VerifiedBundle | None, Path | None]":
    """The bundle and the script that the arguments name.

    Raises:
        UsageError: they contradict each other.
        BundleError: the bundle is damaged, or holds code that nobody vouched for.
    """
    if path.suffix == ".py":
        if script is not None or no_ui:
            raise UsageError("A Streamlit script is all app: neither --app nor --no-ui goes with it.")
        return None, path
    if script is not None and no_ui:
        raise UsageError("--app names an app and --no-ui asks for none.", hint="leave one of them out")
    with steps.step("verify") as step:
        bundle = _verify(path, allow_code=allow_code)
        step.says(f"{bundle.manifest.name} {bundle.version}: every byte is as its manifest says")
    return bundle, script


def _verify(path: Path, *, allow_code: bool) -> "VerifiedBundle":
    from aweigh.bundle.verify import verify

    return verify(path, allow_code=allow_code)


def _has_streamlit(script: Path | None, *, steps: Steps) -> bool:
    """Whether there can be an app; where somebody insists on one by naming it, it fails later and says what to do."""
    if script is not None or find_spec("streamlit") is not None:
        return True
    steps.line("app", "not installed here: the API is served alone (the extra 'ui' brings the app)")
    return False
