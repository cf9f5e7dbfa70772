"""What the processes of a server do: all in one, or several for the API and several for the app behind one port."""

import fcntl
import gc
import json
import logging
import os
import secrets
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aweigh.cli.terminal import Steps

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.runtime.predictor import Predictor
    from aweigh.server.access.entrance import Entrance
    from aweigh.server.board import Board
    from aweigh.server.child import Seat, Work
    from aweigh.server.jobs.door import Door
    from aweigh.server.lifespan import UI
    from aweigh.server.metrics import Counters
    from aweigh.server.readiness import Readiness
    from aweigh.server.release.opening import Candidate
    from aweigh.server.settings import Settings

STOP_S = 5.0
"""How long a process has to end after its last request."""

FOLDER = "aweigh-run-"
LOCK = "lock"

SERVER_MODULES = (
    "aweigh.server.app",
    "aweigh.server.serve",
    "aweigh.server.settling",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
)
APP_SERVER_MODULES = ("aweigh.server.proxy", "aweigh.server.inner", "aweigh.server.upgrade")
API_MODULES = ("aweigh.server.access.opening", "aweigh.server.jobs.door", "aweigh.runtime.load")
"""What the processes need that several share: a tenth of a second's work, done once."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be served and where: a bundle, a Streamlit script or both, with an app for people or not, by how many.

    ``workers`` answer the API, ``ui_processes`` the app: with one worker and none for the app one process does both.
    ``auth`` says who may come in, and ``ui_token`` is what the app's own processes say to the API before anybody does.
    ``again`` reads the bundle anew from where it came from, ``path``; ``form`` says which of its forms answers.
    ``candidate`` is tried beside it; ``candidate_again`` reads that anew, to be tried beside the bundle it is given.
    """

    path: Path
    bundle: "VerifiedBundle | None"
    script: Path | None
    has_ui: bool
    sock: socket.socket
    url: str
    settings: "Settings"
    workers: int
    ui_processes: int
    threads: int
    again: "Callable[[], VerifiedBundle | None]"
    form: str = "auto"
    auth: str = "none"
    loopback: bool = True
    candidate: "VerifiedBundle | None" = None
    candidate_again: "Callable[[VerifiedBundle | None], VerifiedBundle | None]" = lambda _: None
    ui_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


@dataclass(frozen=True, slots=True)
class Shared:
    """What several processes share: the board, the counters, and the folder of the app's sockets."""

    board: "Board"
    counters: "Counters"
    folder: Path


def serve_one(wanted: Wanted, *, steps: Steps) -> None:
    """All in this process."""
    from aweigh.server.app import create_app
    from aweigh.server.readiness import Readiness
    from aweigh.server.serve import run
    from aweigh.server.settling import settle_memory

    predictor = None
    if wanted.bundle is not None:
        with steps.step("load") as step:
            predictor = _load(wanted, wanted.bundle)
            step.says(f"{predictor.manifest.model}, as {predictor.told_forms}")
    ui = _ui(wanted) if wanted.has_ui else None
    readiness = Readiness()

    def settled() -> None:
        settle_memory()
        _tell(wanted, ready=readiness.proven, steps=steps)

    entrance = _entrance(wanted)
    app = create_app(
        predictor,
        settings=wanted.settings,
        ui=ui,
        readiness=readiness,
        on_settled=settled,
        jobs=_jobs(wanted, predictor, readiness),
        entrance=entrance,
        candidate=_candidate(wanted),
    )
    run(app, wanted.sock, settings=wanted.settings, readiness=readiness, websockets=wanted.has_ui)
    entrance.close()


def serve_many(wanted: Wanted, *, steps: Steps) -> None:
    """Processes for the API that share the socket, and those for the app, to which they pass on the rest.

    Raises:
        AweighError: a process cannot start.
    """
    from aweigh.server.board import SEATS, Board
    from aweigh.server.metrics import Counters
    from aweigh.server.workers import Limits, Supervisor

    gc.enable()  # this process only watches over others, which settle each for itself
    settings = wanted.settings
    with _folder() as folder:
        board = Board(places=wanted.workers + wanted.ui_processes)
        shared = Shared(board, Counters(slots=wanted.workers * SEATS, board=board), folder)

        def tell(ready: bool) -> None:
            steps.line("workers", _shape(wanted))
            _tell(wanted, ready=ready, steps=steps)

        Supervisor(
            works=_works(wanted, shared),
            board=board,
            limits=Limits(
                grace_s=settings.drain_delay_s + settings.drain_s + STOP_S,
                watchdog_s=settings.watchdog_s,
                memory_bytes=settings.max_process_mb * 10**6,
            ),
            on_ready=tell,
            renew=lambda: _works(_anew(wanted), shared),
        ).run()


def _anew(wanted: Wanted) -> Wanted:
    """The same with what lies at the paths by now."""
    bundle = wanted.again()
    return replace(wanted, bundle=bundle, candidate=wanted.candidate_again(bundle))


def _shape(wanted: Wanted) -> str:
    processes = "1 process" if wanted.workers == 1 else f"{wanted.workers} processes"
    app = {0: "", 1: ", one the app"}.get(wanted.ui_processes, f", {wanted.ui_processes} the app")
    if wanted.bundle is None:
        return f"{processes} in front{app}"
    return f"{processes} {'answers' if wanted.workers == 1 else 'answer'} the API{app}"


def _works(wanted: Wanted, shared: Shared) -> "Sequence[Work]":
    from aweigh.server.child import Work

    if wanted.bundle is not None:
        wanted.bundle.let_go()  # the model is in the processes that answer, not in the one that watches them
    if wanted.candidate is not None:
        wanted.candidate.let_go()
    all_need = [*SERVER_MODULES, *(APP_SERVER_MODULES if wanted.has_ui else ())]
    api = partial(_api_process, wanted, shared)
    works = [Work(f"api {i + 1}", api, [*all_need, *API_MODULES]) for i in range(wanted.workers)]
    if wanted.ui_processes:
        from aweigh.ui.host import PRELOADED

        app = partial(_ui_process, wanted, shared)
        works += [Work(f"app {i + 1}", app, [*all_need, *PRELOADED]) for i in range(wanted.ui_processes)]
    return works


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of this server's own for its sockets; those of servers that were killed go.

    Its lock is held by the parent and all its processes, and so exactly as long as one of them lives.
    """
    for old in Path(tempfile.gettempdir()).glob(FOLDER + "*"):
        try:
            with (old / LOCK).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old, ignore_errors=True)
        except OSError:  # in use, another user's, or not one of ours
            continue
    with tempfile.TemporaryDirectory(prefix=FOLDER) as name:
        folder = Path(name)
        with (folder / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder


def _api_process(wanted: Wanted, shared: Shared, seat: "Seat") -> None:
    from aweigh.server.app import create_app
    from aweigh.server.closing import Seated
    from aweigh.server.proxy import Proxy
    from aweigh.server.readiness import Readiness
    from aweigh.server.serve import run
    from aweigh.server.settling import settle_memory
    from aweigh.server.sticky import Sticky

    shared.counters.take(seat.number)
    readiness = Readiness(board=shared.board)

    def tell() -> None:
        settle_memory()
        seat.settled(readiness.proven)
        if not readiness.proven and not seat.alone:
            os._exit(1)  # the others answer: nobody is to be refused by this one

    proxy = None
    if wanted.has_ui:
        places = range(wanted.workers, wanted.workers + wanted.ui_processes)
        proxy = Proxy(Sticky(shared.board, places=places, folder=shared.folder), title=_title(wanted))
    predictor = None
    if wanted.bundle is not None:
        predictor = _load(wanted, wanted.bundle)
    entrance = _entrance(wanted)
    app = create_app(
        predictor,
        settings=wanted.settings,
        ui=proxy,
        readiness=readiness,
        counters=shared.counters,
        on_settled=tell,
        prove_first=True,
        jobs=_jobs(wanted, predictor, readiness),
        entrance=entrance,
        candidate=_candidate(wanted),
    )
    run(
        app,
        wanted.sock,
        settings=wanted.settings,
        readiness=readiness,
        websockets=wanted.has_ui,
        seated=Seated(shared.board, seat.number),
        shared=wanted.workers > 1,
    )
    entrance.close()


def _ui_process(wanted: Wanted, shared: Shared, seat: "Seat") -> None:
    from aweigh.server.closing import Seated
    from aweigh.server.inner import inner_app
    from aweigh.server.readiness import Readiness
    from aweigh.server.serve import bind_unix, run
    from aweigh.server.settling import settle_memory
    from aweigh.server.sticky import socket_path

    wanted.sock.close()  # the port is the others': this process never answers on it
    readiness = Readiness()
    seated = Seated(shared.board, seat.number)

    with bind_unix(Path(socket_path(shared.folder, seat=seat.number))) as inner:

        def tell() -> None:
            settle_memory()
            inner.listen()  # whoever is told of it and comes at once waits the moment until it is accepted
            seat.settled(True)

        app = inner_app(_ui(wanted), seated=seated, readiness=readiness, on_settled=tell)
        run(app, inner, settings=wanted.settings, readiness=readiness, websockets=True, seated=seated)


def _entrance(wanted: Wanted) -> "Entrance":
    from aweigh.server.access.opening import open_entrance

    return open_entrance(
        wanted.settings,
        auth=wanted.auth,
        url=wanted.url,
        loopback=wanted.loopback,
        ui="script" if wanted.script is not None else "pages" if wanted.has_ui else "none",
        title=_title(wanted),
        accent=None if wanted.bundle is None else wanted.bundle.manifest.presentation.accent,
        ui_token=wanted.ui_token,
    )


def _load(wanted: Wanted, bundle: "VerifiedBundle") -> "Predictor":
    from aweigh.runtime.load import load

    return load(bundle, threads=wanted.threads, form=wanted.form, domain=wanted.settings.domain or "")


def _candidate(wanted: Wanted) -> "Candidate | None":
    """The candidate, loaded, and the store that all processes and replicas with the same two bundles share."""
    if wanted.candidate is None or wanted.bundle is None:
        return None
    from aweigh.server.release.opening import Candidate
    from aweigh.server.release.store import open_store

    pair = f"{wanted.bundle.digest}:{wanted.candidate.digest}"
    store = open_store(os.environ, pair=pair, state_dir=wanted.settings.state_dir)
    return Candidate(_load(wanted, wanted.candidate), store)


def _jobs(wanted: Wanted, predictor: "Predictor | None", readiness: "Readiness") -> "Door | None":
    """Jobs of the bundle, run by ``aweigh worker`` beside this process unless the settings say otherwise."""
    from aweigh.database.place import check_readable, state_folder
    from aweigh.server.jobs.door import Door

    if predictor is None or wanted.settings.jobs == "off":
        return None
    check_readable(state_folder(os.environ, named=wanted.settings.state_dir))
    command = [sys.executable, "-P", "-m", "aweigh", "worker", "--beside", str(wanted.path.resolve())]
    return Door(wanted.settings, predictor=predictor, readiness=readiness, command=command, environ=os.environ)


def _title(wanted: Wanted) -> str:
    """What the app is called."""
    if wanted.bundle is None:
        return "aweigh"
    return wanted.bundle.manifest.presentation.title or wanted.bundle.manifest.name


def _ui(wanted: Wanted) -> "UI":
    from aweigh.ui.host import create_ui

    if wanted.bundle is None:
        return create_ui(api_url=wanted.url, script=wanted.script)
    accent = wanted.bundle.manifest.presentation.accent
    token = None if wanted.auth == "none" else wanted.ui_token
    return create_ui(api_url=wanted.url, script=wanted.script, title=_title(wanted), accent=accent, token=token)


def _tell(wanted: Wanted, *, ready: bool, steps: Steps) -> None:
    """What is printed when the golden rows have been replayed."""
    from aweigh.bundle.examples import load_examples

    if not ready:
        steps.line("refused", "the golden rows are not answered as when the model was packed: nothing is predicted")
        return
    rows = [] if wanted.bundle is None else load_examples(wanted.bundle.read("examples.json")).rows
    if wanted.bundle is not None:
        steps.line("ready", f"{len(rows)} golden rows are answered as the original model answers them")
        _tell_memory(steps)
    if wanted.candidate is not None:
        _tell_release(wanted, wanted.candidate, steps=steps)
    if wanted.has_ui:
        steps.line("app", f"{wanted.url}/")
    if wanted.bundle is not None:
        steps.line("api", f"{wanted.url}/v1/docs")
        body = shlex.quote(json.dumps({"rows": rows[:1]}, ensure_ascii=False))
        key = "" if wanted.auth == "none" else ' -H "Authorization: Bearer $KEY"'
        steps.line("try", f"curl {wanted.url}/v1/predict{key} -H 'Content-Type: application/json' -d {body}")
        if key:
            steps.more(
                f"KEY is made at {wanted.url}/account/keys by who has signed in; or, with this server's variables, by"
            )
            steps.more("aweigh keys add LABEL --owner NAME --scope predict")
    steps.line("stop", "Ctrl-C")


def _tell_release(wanted: Wanted, candidate: "VerifiedBundle", *, steps: Steps) -> None:
    """What becomes of the candidate: what the settings say is how a release begins, and not how one goes on."""
    settings = wanted.settings
    begins = {
        "canary": f"to answer {settings.release_percent:g} % of the requests",
        "shadow": "to be asked unseen",
    }.get(settings.release_mode, "to wait for 'aweigh release start'")
    steps.line(
        "candidate", f"{candidate.manifest.name} {candidate.version}, {begins} where no release of the two is known"
    )
    steps.more(f"aweigh release status --url {wanted.url}")


def _tell_memory(steps: Steps) -> None:
    """What this process and those that it started take now, where the system tells."""
    from aweigh.cli.terminal import human_size
    from aweigh.runtime.memory import children_of, memory_of, together

    found = [one for one in map(memory_of, [os.getpid(), *children_of(os.getpid())]) if one is not None]
    if found:
        steps.line("memory", f"{human_size(together(found))} in {len(found)} process{'es' if len(found) > 1 else ''}")
