"""What differs in the generation Fir, whose apps are images on Kubernetes and not slugs on the Common Runtime.

An app's generation is that of its space, and shows only when the app is there: what Fir does not have is refused then,
before anything is changed or built. From Heroku's own pages and its command line; Fir has been for all since 2025.
"""

import re
from collections.abc import Iterator

from aweigh.errors import UsageError
from aweigh.targets.heroku.documents import App
from aweigh.targets.heroku.dynos import DYNOS, SIZES_OF_FIR, is_fir_size
from aweigh.targets.heroku.wish import Going, Wish
from aweigh.targets.release import Release
from aweigh.targets.telling import Telling

HOOKS = ("bin/pre_compile", "bin/post_compile")
"""What the classic buildpack runs while it builds; that of Fir runs neither."""
_PROCESS = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


def check_generation(app: App, release: Release, wish: Wish, *, telling: Telling) -> None:
    """What an app's generation does not have is refused; what it only does otherwise is told.

    Raises:
        UsageError: a size, a stack, several replicas with pages, a Pipfile or a process type that it cannot have.
    """
    if not app.is_fir:
        if wish.size is not None and is_fir_size(wish.size):
            raise UsageError(
                f"{app.name} is of the generation Cedar, which has no dynos of the size {wish.size}.",
                hint=f"one of {', '.join(DYNOS)}",
            )
        return
    for what, hint in _not_in_fir(release, wish):
        raise UsageError(f"{app.name} is of the generation Fir, which {what}.", hint=hint)
    for hook in HOOKS:
        if hook in release.files:
            telling.line("fir", f"{hook} is not run: Fir's buildpack has no such hook", 0.0)


def _not_in_fir(release: Release, wish: Wish) -> Iterator[tuple[str, str]]:
    if wish.size is not None and wish.size.lower() in DYNOS:
        yield f"has no dynos of the size {wish.size}", f"one of its own: {', '.join(SIZES_OF_FIR)}, ..."
    if wish.container:
        yield "takes no images from Heroku's registry", "leave --container out: it builds an image there"
    elif wish.stack is not None:
        yield "has no stacks", "leave --stack out"
    if (wish.replicas or 1) > 1 and release.has_ui:
        yield (
            "has no session affinity: a page's session would lose its replica",
            "take one replica, deploy the API alone with --no-ui, or take an app of the Common Runtime",
        )
    if "Pipfile.lock" in release.own and release.requirements is None:
        yield "does not build with Pipenv", "write a requirements.txt in place of Pipfile.lock: aweigh lock PATH"
    wrong = next((kind for kind in release.processes if _PROCESS.match(kind) is None), None)
    if wrong is not None:
        better = re.sub(r"[^a-z0-9]+", "-", wrong.lower()).strip("-") or "worker"
        yield f"takes no process type {wrong[:40]!r}", f"call it {better} in the Procfile"


def notes_of_fir(going: Going, app: App) -> Iterator[str]:
    """What cannot be seen there, since Fir keeps no log."""
    if "--auth password" in going.release.processes.get("web", ""):
        yield (
            "Fir keeps no log, and so not the first administrator's link: "
            f"heroku run --app {app.name} -- aweigh users add YOU@EXAMPLE.ORG --role admin --url ADDRESS makes another"
        )
