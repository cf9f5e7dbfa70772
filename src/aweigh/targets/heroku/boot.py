"""Booting watched: a release's dynos come up and the app gets ready, or it is said why not, from Heroku's own log."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aweigh.errors import AweighError, RemoteError
from aweigh.targets.errors import NotUp, quote
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.codes import KEEPS_DOWN, OF_MEMORY, codes_in, crashes_in, since_release
from aweigh.targets.heroku.documents import DynoDocument, HerokuRelease
from aweigh.targets.heroku.requests import list_dynos
from aweigh.targets.heroku.stream import read_log
from aweigh.targets.invitations import discreet
from aweigh.targets.live import check_itself, get

LOG_LINES = 400
LOG_EVERY = 5
"""The log is read at every so manieth look at the dynos."""
FIRST_LOOK_S = 0.25
"""Until the second look; each next one is so much later, up to what patience has."""
CRASHES = 2
"""Heroku starts a process again that crashed; one that crashes twice has no luck coming."""

_OF_APP = re.compile(r"\sapp\[(web[.-][^\]]*)\]:\s(.*)")
"""What a web dyno wrote: ``web.1``, or of the generation Fir ``web-1234abcde-123ab``."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what, and how often it is looked at."""

    build_s: float = 3600.0
    release_s: float = 3660.0
    """Heroku ends a release phase after an hour."""
    addon_s: float = 1200.0
    boot_s: float = 180.0
    """Heroku gives a process a minute to listen; a model may take longer to be proven."""
    poll_s: float = 2.0


def why_down(lines: Sequence[str], *, what: str, app: str = "NAME") -> NotUp:
    """The error of what does not come up, from its log: the platform's code, and the app's last words."""
    codes = codes_in(lines)
    worst = next((one for one in reversed(codes) if one.code in KEEPS_DOWN), None)
    worst = worst or (codes[-1] if codes else None)
    words = [discreet(one[2].strip()) for one in map(_OF_APP.search, lines) if one and one[2].strip()]
    last = next((one for one in reversed(words) if re.search(r"error|Error|Traceback|No module", one)), "")
    last = last or (words[-1] if words else "")
    said = f"{what}: {worst.told}." if worst is not None else f"{what}."
    said += f" Its last words: {quote(last)}" if last else ""
    fix = worst.fix if worst is not None else None
    return NotUp(said, hint=(fix or "aweigh logs heroku --app NAME shows all of its log").replace("NAME", app))


def log_of(api: Api, app: str, *, process: str | None = None) -> list[str]:
    """The last lines of the log; none where it cannot be read, as what they are for has failed already."""
    try:
        return list(read_log(api, app, lines=LOG_LINES, process=process))
    except RemoteError:
        return []


def watch_boot(
    api: Api, app: str, release: HerokuRelease, *, web: int, ready: Callable[[], bool], patience: Patience
) -> None:
    """Waits until so many web dynos run the release and ``ready`` says yes.

    Raises:
        NotUp: it crashes, or is not ready in time.
        AnswersDiffer: the server itself says that its golden rows do not agree.
    """
    until = time.monotonic() + patience.boot_s
    looks = 0
    while True:
        looks += 1
        dynos = api.ask(list_dynos(app), list[DynoDocument])
        ours = [one for one in dynos if one.type == "web" and one.release.version >= release.version]
        if any(one.state == "crashed" for one in ours):
            raise why_down(since_release(log_of(api, app), release.version), what=f"{release.label} crashes", app=app)
        if sum(one.state in {"up", "idle"} for one in ours) >= web and ready():
            return
        late = time.monotonic() > until
        if late or looks % LOG_EVERY == 0:
            lines = since_release(log_of(api, app), release.version)
            if crashes_in(lines) >= CRASHES:
                raise why_down(lines, what=f"{release.label} crashes again and again", app=app)
            if late:
                what = f"{release.label} is not ready after {patience.boot_s:.0f} s"
                raise why_down(lines, what=what, app=app)
        api.pause(min(patience.poll_s, FIRST_LOOK_S * looks))


def readiness(url: str, path: str) -> Callable[[], bool]:
    """What asks an address whether it is ready.

    The function raises ``AnswersDiffer`` where the server has refused its own golden rows: it never gets ready.
    """

    def ask() -> bool:
        reply = get(url, path)
        if reply is None:
            return False
        check_itself(reply)
        return reply.status < 400

    return ask


def memory_notes(api: Api, app: str, release: HerokuRelease) -> tuple[str, ...]:
    """What Heroku warns of though it runs: memory beyond the quota."""
    try:
        lines = since_release(log_of(api, app), release.version)
    except AweighError:
        return ()
    return tuple(one.sentence(app) for one in codes_in(lines) if one.code in OF_MEMORY)
