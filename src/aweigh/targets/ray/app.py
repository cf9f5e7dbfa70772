"""What runs inside Ray: the server's own app as an application of Ray Serve, made of what the cluster keeps.

``aweigh.targets.ray.app:build`` is the import path of it. Its arguments are no secrets, as the dashboard shows them:
either an app and the number of its release (``{"app": "penguins", "release": 3}``), or the path of a bundle that every
node's image has (``{"bundle": "penguins.aweigh"}``), which is told the rest by its environment.
"""

import hmac
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import serve

from aweigh.errors import AweighError, ConfigError, ModelDiffers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.server.readiness import Readiness
    from aweigh.server.settings import Settings

WEB = "web"
"""What the deployment is called."""
REFUSED = "aweigh refuses to start:"
"""Before the sentence, in what Ray Serve tells of a replica that does not start."""


class Beneath:
    """The server's app below a prefix: it is asked as if it were at the root."""

    def __init__(self, app: "ASGIApp", readiness: "Readiness") -> None:
        self._app = app
        self.readiness = readiness

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        root = scope.get("root_path", "")
        if root and scope["type"] in {"http", "websocket"} and scope["path"].startswith(root):
            scope = {**scope, "root_path": "", "path": scope["path"][len(root) :] or "/"}
            raw = scope.get("raw_path")
            if raw and raw.startswith(root.encode()):
                scope["raw_path"] = raw[len(root.encode()) :] or b"/"
        await self._app(scope, receive, send)


class Replica:
    """One replica: Ray Serve asks it now and then whether it is well."""

    app: Beneath

    def check_health(self) -> None:
        """Passes where the golden rows came out as they should.

        Raises:
            ModelDiffers, NotReady: they did not.
        """
        self.app.readiness.require_proof()


def build(args: Mapping[str, Any]) -> serve.Application:
    """The application that a configuration of Ray Serve names by its import path.

    Raises:
        ConfigError: the arguments name nothing to serve.
    """
    app, number, bundle = (args.get(name) for name in ("app", "release", "bundle"))
    if isinstance(bundle, str):
        opens = partial(_of_image, Path(bundle))
    elif isinstance(app, str) and isinstance(number, int):
        opens = partial(_of_cluster, app, number)
    else:
        raise ConfigError(
            "The application's arguments name neither a release nor a bundle.", hint="args: {bundle: ...}"
        )

    def opened() -> Beneath:
        try:
            return opens()
        except AweighError as error:
            raise RuntimeError(f"{REFUSED} {error.message}") from None

    deployment = serve.deployment(name=WEB, max_constructor_retry_count=2)(serve.ingress(opened)(Replica))
    return deployment.bind()


def _of_cluster(app: str, number: int) -> Beneath:
    """The app of a release that the cluster keeps.

    Raises:
        ConfigError: it does not.
        AweighError: its bundle is damaged or not trusted, or a setting cannot be.
    """
    from aweigh.bundle.policy import TRUST_VARIABLE, policy_of
    from aweigh.bundle.verify import verify
    from aweigh.targets.policy import FOLDER
    from aweigh.targets.ray.kept import RayStore, bytes_of, get_bundle, read_app, read_secrets

    store = RayStore()
    kept = read_app(store, app)
    release = None if kept is None else kept.release(number)
    if release is None:
        raise ConfigError(f"The cluster keeps no release {number} of {app}.", hint="deploy it again")
    # Ray shows what a process was started with, and not what it sets for itself.
    os.environ.update(release.config | read_secrets(store, app, number))
    with tempfile.TemporaryDirectory(prefix="aweigh-ray-") as name:
        folder = Path(name)
        for inside, text in release.trust.items():
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            (folder / inside).write_bytes(bytes_of(text))
        if release.trust:
            os.environ[TRUST_VARIABLE] = str(folder / FOLDER)
        path = folder / release.name
        path.write_bytes(get_bundle(store, release.sha256))
        bundle = verify(path, trust=policy_of(os.environ), to_load=True)
        return _opened(bundle, auth=release.auth, loopback=release.loopback, batch_rows=release.batch_rows)


def _of_image(path: Path) -> Beneath:
    """The app of a bundle that the image has; settings and secrets are in the environment.

    Raises:
        AweighError: it is damaged or not trusted, or a setting cannot be.
    """
    from aweigh.bundle.policy import policy_of
    from aweigh.bundle.verify import verify

    auth = os.environ.get("AWEIGH_AUTH", "").strip()
    if auth not in {"none", "password", "oidc"}:
        raise ConfigError("AWEIGH_AUTH says not who may come in.", hint="password; none, if everybody may")
    return _opened(verify(path, trust=policy_of(os.environ), to_load=True), auth=auth, loopback=False)


def _opened(bundle: "VerifiedBundle", *, auth: str, loopback: bool, batch_rows: int | None = None) -> Beneath:
    from aweigh.runtime.load import load
    from aweigh.server.access.opening import open_entrance
    from aweigh.server.app import create_app
    from aweigh.server.readiness import Readiness
    from aweigh.server.settling import settle_memory

    _tell_serve()
    settings = _settings(batch_rows)
    predictor = load(bundle, threads=1, domain=settings.domain or "")
    replay = predictor.replay()
    if not replay.ok:  # the app's own proof comes too late to be told in a sentence
        raise ModelDiffers(f"the golden rows do not come out as when it was packed: {replay.problems[0]}")
    readiness = Readiness()
    entrance = open_entrance(
        settings,
        auth=auth,
        url="http://localhost",
        loopback=loopback,
        ui="none",
        title=bundle.manifest.presentation.title or bundle.manifest.name,
        accent=bundle.manifest.presentation.accent,
        ui_token=_ui_token(settings),
    )
    app = create_app(
        predictor,
        settings=settings,
        readiness=readiness,
        on_settled=settle_memory,
        prove_first=True,
        entrance=entrance,
    )
    return Beneath(app, readiness)


def _ui_token(settings: "Settings") -> str:
    """What seals the pages on which people sign in: the same in all replicas, as any of them may get what is sent."""
    secret = "" if settings.deploy_secret is None else settings.deploy_secret.reveal()
    return hmac.digest(secret.encode(), b"aweigh ray pages 1", "sha256").hex() if secret else ""


def _settings(batch_rows: int | None) -> "Settings":
    """What the environment says; a job would be known to one replica alone, so that none are taken."""
    from aweigh.server.settings import read_settings

    settings = replace(read_settings(os.environ), jobs="off")
    if settings.max_batch_rows is None and batch_rows is not None:
        settings = replace(settings, max_batch_rows=batch_rows)
    return settings


def _tell_serve() -> None:
    """Has what the server logs stand in the replica's own log, where Ray Serve keeps it."""
    from aweigh.server.discreet import install

    if os.environ.get("AWEIGH_LOG_MESSAGES", "").strip() != "kept":
        install()
    log = logging.getLogger("aweigh")
    log.setLevel(logging.WARNING)
    for handler in logging.getLogger("ray.serve").handlers:
        if handler not in log.handlers:
            log.addHandler(handler)
