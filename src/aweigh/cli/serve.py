"""``aweigh serve``: a bundle, or a Streamlit script, on one port until it is told to stop."""

import json
import os
import shlex
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.terminal import Steps
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.runtime.predictor import Predictor
    from aweigh.server.lifespan import UI
    from aweigh.server.readiness import Readiness
    from aweigh.server.settings import Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be served: a bundle, a Streamlit script, or both, and whether people get an app."""

    bundle: "VerifiedBundle | None"
    script: Path | None
    ui: bool


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, envvar="PORT", show_default=True, show_envvar=True,
              help="The port to listen on; 0 takes a free one.")  # fmt: skip
@click.option("--app", "script", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A Streamlit script of your own in place of the generated pages.")  # fmt: skip
@click.option("--no-ui", is_flag=True, help="Serve the API alone.")
@click.option("--auth", type=click.Choice(["none"]),
              help="Who may come in. Beyond this machine 'none' must be said out loud.")  # fmt: skip
@click.option("--allow-code", is_flag=True, help="Serve a bundle that holds its owner's own Python code.")
def serve(
    path: Path, host: str, port: int, script: Path | None, no_ui: bool, auth: str | None, allow_code: bool
) -> None:
    """Serve a bundle, or a Streamlit script, on one port: the app at /, the API under /v1 and /v2.

    It stops on Ctrl-C or SIGTERM, after what is under way is finished.
    """
    from aweigh.server.serve import bind, is_loopback, limit_threads
    from aweigh.server.settings import read_settings

    limit_threads(1)
    settings = read_settings(os.environ)
    if auth is None and not is_loopback(host):
        raise UsageError(
            f"Whoever reaches {host} could use this server: nobody is asked to sign in.",
            hint="if that is what you want, say so: --auth none",
        )
    steps = Steps()
    wanted = _wanted(path, script=script, ui=not no_ui, allow_code=allow_code, steps=steps)
    with bind(host, port) as sock:
        _serve(wanted, sock, settings=settings, steps=steps)


def _wanted(path: Path, *, script: Path | None, ui: bool, allow_code: bool, steps: Steps) -> Wanted:
    """What the arguments name.

    Raises:
        UsageError: they contradict each other.
        BundleError: the bundle is damaged, or holds code that nobody vouched for.
    """
    if path.suffix == ".py":
        if script is not None or not ui:
            raise UsageError("A Streamlit script is all app: neither --app nor --no-ui goes with it.")
        return Wanted(None, path, ui=True)
    if script is not None and not ui:
        raise UsageError("--app names an app and --no-ui asks for none.", hint="leave one of them out")
    from aweigh.bundle.verify import verify

    with steps.step("verify") as step:
        bundle = verify(path, allow_code=allow_code)
        step.says(f"{bundle.manifest.name} {bundle.version}: every byte is as its manifest says")
    return Wanted(bundle, script, ui=ui)


def _serve(wanted: Wanted, sock: socket.socket, *, settings: "Settings", steps: Steps) -> None:
    from aweigh.server.app import create_app
    from aweigh.server.readiness import Readiness
    from aweigh.server.serve import announce_with, run, url_of

    url = url_of(sock)
    predictor = None
    if wanted.bundle is not None:
        from aweigh.runtime.load import load

        with steps.step("load") as step:
            predictor = load(wanted.bundle)
            step.says(f"{predictor.manifest.model}, as {predictor.manifest.runtime}")
    ui = _ui(wanted, url=url, steps=steps) if wanted.ui else None
    readiness = Readiness()
    tell = _teller(predictor, url=url, has_ui=ui is not None, readiness=readiness, steps=steps)
    app = create_app(predictor, settings=settings, ui=ui, readiness=readiness, on_settled=announce_with(tell))
    run(app, sock, settings=settings, readiness=readiness, websockets=ui is not None)
    steps.line("stopped", "what was under way is finished")


def _ui(wanted: Wanted, *, url: str, steps: Steps) -> "UI | None":
    """The app for people; None, and a line that says so, where Streamlit is not installed and nobody insisted."""
    if wanted.script is None and find_spec("streamlit") is None:
        steps.line("app", "not installed here: the API is served alone (pip install 'aweigh[ui]' brings the app)")
        return None
    from aweigh.ui.host import create_ui

    if wanted.bundle is None:
        return create_ui(api_url=url, script=wanted.script)
    manifest = wanted.bundle.manifest
    shown = manifest.presentation
    return create_ui(api_url=url, script=wanted.script, title=shown.title or manifest.name, accent=shown.accent)


def _teller(
    predictor: "Predictor | None", *, url: str, has_ui: bool, readiness: "Readiness", steps: Steps
) -> Callable[[], None]:
    """What is printed when the golden rows have been replayed."""

    def tell() -> None:
        if readiness.refused:
            steps.line(
                "refused", "the golden rows are not answered as when the model was packed: no prediction is given"
            )
            return
        if predictor is not None:
            steps.line("ready", f"{readiness.golden_rows} golden rows are answered as the original model answers them")
        if has_ui:
            steps.line("app", f"{url}/")
        if predictor is not None:
            steps.line("api", f"{url}/v1/docs")
            rows = json.dumps({"rows": predictor.examples.rows[:1]}, ensure_ascii=False)
            steps.line("try", f"curl {url}/v1/predict -H 'Content-Type: application/json' -d {shlex.quote(rows)}")
        steps.line("stop", "Ctrl-C")

    return tell
