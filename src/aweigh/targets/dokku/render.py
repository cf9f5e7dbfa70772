"""A release as Dokku takes it: the folder that Heroku's buildpack builds, with Dokku's health checks in ``app.json``.

Dokku reads of ``app.json`` what its own documentation lists: sizes and add-ons are not in it. It builds in a container,
waits for the health check, and only then sends people there.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from aweigh.errors import UsageError
from aweigh.guard.deploy_key import VARIABLE
from aweigh.targets.heroku.render import RELEASE_PHASE
from aweigh.targets.heroku.render import render as render_buildpack
from aweigh.targets.release import START, Release
from aweigh.targets.releasing import APP_JSON

STATE = "/data"
"""Where a folder of the host's is mounted: a container's own disk is lost at each deployment."""
ATTEMPTS, WAIT_S, TIMEOUT_S = 30, 5, 30


def render(release: Release, *, replicas: int = 1) -> dict[str, bytes]:
    """The documents of a release, by their names at its root.

    Raises:
        UsageError: a name, a command line or a setting that cannot be.
    """
    own = APP_JSON in release.own
    documents = render_buildpack(replace(release, own=release.own - {APP_JSON}))
    if own:
        documents.pop(APP_JSON)
        return documents
    said = msgspec.json.decode(documents[APP_JSON])
    env = said.get("env", {})
    if release.bundle is not None:
        env |= {VARIABLE: {"description": "What the deployment's keys are made of.", "generator": "secret"}}
    document = {
        "name": said["name"],
        "description": said["description"],
        "env": env,
        "formation": {
            kind: {"quantity": replicas if kind == "web" else 1} for kind in release.processes if kind != RELEASE_PHASE
        },
        "healthchecks": {"web": [_check(release)]},
        "buildpacks": said["buildpacks"],
    }
    return documents | {APP_JSON: msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"}


def _check(release: Release) -> dict[str, object]:
    ours = START in release.processes.get("web", "")
    return {
        "type": "startup",
        "name": "ready",
        "description": "The golden rows are answered as the original model answers them" if ours else "It answers",
        "path": "/health/ready" if ours else "/",
        "attempts": ATTEMPTS,
        "wait": WAIT_S,
        "timeout": TIMEOUT_S,
    }


def source_of(release: Release, *, replicas: int = 1) -> Mapping[str, bytes | Path]:
    """All that is pushed.

    Raises:
        UsageError: the folder brings no requirements that the buildpack installs, or ``render`` refuses.
    """
    if "web" not in release.processes:
        raise UsageError("The release has no web process.", hint="give the Procfile a line that begins with web:")
    return dict(sorted({**release.files, **render(release, replicas=replicas)}.items()))
