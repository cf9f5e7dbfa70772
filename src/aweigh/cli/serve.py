"""``aweigh serve``: a bundle, or a Streamlit script, on one port until it is told to stop."""

import json
import os
import shlex
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.terminal import Steps
from aweigh.errors import UsageError

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.server.lifespan import UI
    from aweigh.server.metrics import Counters
    from aweigh.server.settings import Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be served and where: a bundle, a Streamlit script, or both, and whether people get an app."""

    bundle: "VerifiedBundle | None"
    script: Path | None
    has_ui: bool
    sock: socket.socket
    url: str
    settings: "Settings"


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, envvar="PORT", show_default=True, show_envvar=True,
              help="The port to listen on; 0 takes a free one.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Processes that answer the API. From two on, the app has one of its own.")  # fmt: skip
@click.option("--app", "script", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A Streamlit script of your own in place of the generated pages.")  # fmt: skip
@click.option("--no-ui", is_flag=True, help="Serve the API alone.")
@click.option("--auth", type=click.Choice(["none"]),
              help="Who may come in. Beyond this machine 'none' must be said out loud.")  # fmt: skip
@click.option("--allow-code", is_flag=True, help="Serve a bundle that holds its owner's own Python code.")
def serve(
    path: Path,
    host: str,
    port: int,
    workers: int,
    script: Path | None,
    no_ui: bool,
    auth: str | None,
    allow_code: bool,
) -> None:
    """Serve a bundle, or a Streamlit script, on one port: the app at /, the API under /v1 and /v2.

    It stops on Ctrl-C or SIGTERM, after what is under way is finished.
    """
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
    with bind(host, port) as sock:
        wanted = Wanted(bundle, script, has_ui, sock, url_of(sock), settings)
        if workers > 1 and bundle is not None:
            _serve_many(wanted, workers=workers, steps=steps)
        else:
            _serve(wanted, steps=steps)
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
    from aweigh.bundle.verify import verify

    with steps.step("verify") as step:
        bundle = verify(path, allow_code=allow_code)
        step.says(f"{bundle.manifest.name} {bundle.version}: every byte is as its manifest says")
    return bundle, script


def _has_streamlit(script: Path | None, *, steps: Steps) -> bool:
    """Whether there can be an app; where somebody insists on one by naming it, it fails later and says what to do."""
    if script is not None or find_spec("streamlit") is not None:
        return True
    steps.line("app", "not installed here: the API is served alone (the extra 'ui' brings the app)")
    return False


def _serve(wanted: Wanted, *, steps: Steps) -> None:
    """All in this process."""
    from aweigh.server.app import create_app
    from aweigh.server.readiness import Readiness
    from aweigh.server.serve import run, settle_memory

    predictor = None
    if wanted.bundle is not None:
        from aweigh.runtime.load import load

        with steps.step("load") as step:
            predictor = load(wanted.bundle)
            step.says(f"{predictor.manifest.model}, as {predictor.manifest.runtime}")
    ui = _ui(wanted) if wanted.has_ui else None
    readiness = Readiness()

    def settled() -> None:
        settle_memory()
        _tell(wanted, ready=readiness.proven, steps=steps)

    app = create_app(predictor, settings=wanted.settings, ui=ui, readiness=readiness, on_settled=settled)
    run(app, wanted.sock, settings=wanted.settings, readiness=readiness, websockets=wanted.has_ui)


def _serve_many(wanted: Wanted, *, workers: int, steps: Steps) -> None:
    """Processes for the API that share the socket, and one for the app, to which they pass on the rest."""
    from aweigh.server.metrics import Counters
    from aweigh.server.serve import bind_unix
    from aweigh.server.workers import Work, supervise

    settings = wanted.settings
    counters = Counters(slots=workers)
    with tempfile.TemporaryDirectory(prefix="aweigh-") as folder:
        inner = Path(folder) / "app"
        works: list[Work] = [partial(_api_process, wanted, inner, slot=i, counters=counters) for i in range(workers)]
        if wanted.has_ui:
            works.append(partial(_ui_process, wanted, bind_unix(inner)))

        def tell(ready: bool) -> None:
            steps.line("workers", f"{workers} processes answer the API" + (", one the app" if wanted.has_ui else ""))
            _tell(wanted, ready=ready, steps=steps)

        supervise(works, on_ready=tell, grace_s=settings.drain_delay_s + settings.drain_s + 5)


def _api_process(
    wanted: Wanted, inner: Path, settled: Callable[[bool], None], *, slot: int, counters: "Counters"
) -> None:
    from aweigh.runtime.load import load
    from aweigh.server.app import create_app
    from aweigh.server.proxy import Proxy
    from aweigh.server.readiness import Readiness
    from aweigh.server.serve import run, settle_memory

    counters.take(slot)
    readiness = Readiness()

    def tell() -> None:
        settle_memory()
        settled(readiness.proven)

    app = create_app(
        load(wanted.bundle) if wanted.bundle is not None else None,
        settings=wanted.settings,
        ui=Proxy(str(inner)) if wanted.has_ui else None,
        readiness=readiness,
        counters=counters,
        on_settled=tell,
    )
    run(app, wanted.sock, settings=wanted.settings, readiness=readiness, websockets=wanted.has_ui)


def _ui_process(wanted: Wanted, inner: socket.socket, settled: Callable[[bool], None]) -> None:
    from aweigh.server.app import create_app
    from aweigh.server.readiness import Readiness
    from aweigh.server.serve import run, settle_memory

    readiness = Readiness()

    def tell() -> None:
        settle_memory()
        settled(True)

    app = create_app(None, settings=wanted.settings, ui=_ui(wanted), readiness=readiness, on_settled=tell)
    run(app, inner, settings=wanted.settings, readiness=readiness, websockets=True)


def _ui(wanted: Wanted) -> "UI":
    from aweigh.ui.host import create_ui

    if wanted.bundle is None:
        return create_ui(api_url=wanted.url, script=wanted.script)
    manifest = wanted.bundle.manifest
    shown = manifest.presentation
    return create_ui(api_url=wanted.url, script=wanted.script, title=shown.title or manifest.name, accent=shown.accent)


def _tell(wanted: Wanted, *, ready: bool, steps: Steps) -> None:
    """What is printed when the golden rows have been replayed."""
    from aweigh.bundle.examples import load_examples

    if not ready:
        steps.line("refused", "the golden rows are not answered as when the model was packed: nothing is predicted")
        return
    rows = [] if wanted.bundle is None else load_examples(wanted.bundle.read("examples.json")).rows
    if wanted.bundle is not None:
        steps.line("ready", f"{len(rows)} golden rows are answered as the original model answers them")
    if wanted.has_ui:
        steps.line("app", f"{wanted.url}/")
    if wanted.bundle is not None:
        steps.line("api", f"{wanted.url}/v1/docs")
        body = shlex.quote(json.dumps({"rows": rows[:1]}, ensure_ascii=False))
        steps.line("try", f"curl {wanted.url}/v1/predict -H 'Content-Type: application/json' -d {body}")
    steps.line("stop", "Ctrl-C")
