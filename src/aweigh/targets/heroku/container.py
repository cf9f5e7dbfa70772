"""The container way: an image for each process type, pushed to Heroku's registry and released by its id.

Heroku takes Docker's schema 2 alone, runs each image by its own command line, and as a user of its own choice: what is
written goes to /tmp and is lost at each restart, as on every dyno.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from aweigh.errors import UsageError
from aweigh.oci.client import open_registry
from aweigh.oci.credentials import HOST_VARIABLE, PASSWORD_VARIABLE, USERNAME_VARIABLE
from aweigh.oci.documents import Platform
from aweigh.oci.reference import Reference, is_loopback, parse_reference
from aweigh.oci.store import Store, cache_folder
from aweigh.secret import Secret
from aweigh.secret.read import FILE
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.building import releases_of, wait_for_release
from aweigh.targets.heroku.documents import HerokuRelease
from aweigh.targets.heroku.wish import Going
from aweigh.targets.image.base import USUAL, Base, fetch_base
from aweigh.targets.image.build import Built, build, created_of
from aweigh.targets.image.packages import Making, find_compiler
from aweigh.targets.image.publish import Beside, publish

REGISTRY = "registry.heroku.com"
REGISTRY_VARIABLE = "AWEIGH_HEROKU_REGISTRY"
"""Names another registry, on this machine."""
PLATFORM = Platform("amd64", "linux")
OWN = "/tmp"  # noqa: S108  a dyno's own
ENVIRONMENT: Mapping[str, str] = {"HOME": OWN, "AWEIGH_STATE_DIR": f"{OWN}/aweigh"}
"""A dyno's user owns no folder of the image's."""


@dataclass(frozen=True, slots=True)
class Images:
    """What was built: the images by process type."""

    base: Base
    built: Mapping[str, Built]

    def image_id(self, kind: str) -> str:
        """What Heroku calls the image of a process type: the digest of its config."""
        return self.built[kind].images[0].manifest.config.digest


def images_of(going: Going, base: str | None) -> Images:
    """The images of a release, one for each of its processes; they share all layers.

    Raises:
        UsageError: it is none that a container can be made of.
        UnsuitableImage: the base does not do.
        RemoteError: it cannot be fetched.
    """
    release = going.release
    if release.requirements is None:
        raise UsageError(
            "An image is built from requirements.txt, and the folder has another lock.", hint="aweigh lock"
        )
    python = ".".join(release.python.split(".")[:2])
    named = parse_reference(base or USUAL.format(python=python))
    making = Making(Store(cache_folder(os.environ)), created_of(os.environ), find_compiler(python))
    with open_registry(named.host, insecure=is_loopback(named.host), environ=os.environ) as registry:
        found = fetch_base(registry, named, platform=PLATFORM, python=python, store=making.store)
    built = {
        kind: build(release, [found], making, flavour="docker", process=kind, environment=ENVIRONMENT)
        for kind in release.processes
    }
    return Images(found, built)


def account_of(host: str, token: Secret) -> dict[str, str]:
    """Who signs in at Heroku's registry, as variables; what is set for the base's registry is left out."""
    return {
        HOST_VARIABLE: host,
        USERNAME_VARIABLE: "_",
        PASSWORD_VARIABLE: token.reveal(),
        PASSWORD_VARIABLE + FILE: "",
    }


def released_images(going: Going, images: Images) -> tuple[HerokuRelease, bool]:
    """Pushes and releases the images; what is live then, and whether that is new.

    Raises:
        RemoteError: the registry or Heroku refuses.
        ReleaseFailed: the release phase fails; what ran before runs on.
    """
    host = os.environ.get(REGISTRY_VARIABLE, "") or REGISTRY
    if host != REGISTRY and not is_loopback(host):
        raise UsageError(f"{REGISTRY_VARIABLE} names a registry that is not on this machine.", hint="unset it")
    started = time.monotonic()
    account = account_of(host, going.api.token)
    store, sent, first = Store(cache_folder(os.environ)), 0, None
    with open_registry(host, insecure=is_loopback(host), environ=dict(os.environ) | account) as registry:
        for kind, built in images.built.items():
            to = Reference(host, f"{going.app}/{kind}", "latest")
            sent += publish(registry, to, built, store=store, beside=Beside(base=first)).sent_bytes
            first = first or to.repository
    going.telling.line("push", f"{', '.join(images.built)}: {sent / 1e6:.1f} MB sent", time.monotonic() - started)
    started = time.monotonic()
    before = releases_of(going)
    updates = [{"type": kind, "docker_image": images.image_id(kind)} for kind in images.built]
    going.api.send(ask.release_images(going.app, updates))
    newest = releases_of(going)[0]
    is_new = not before or newest.id != before[0].id
    live = wait_for_release(going.api, going.app, newest, telling=going.telling, patience=going.patience)
    going.telling.line("release", f"{live.label}, {live.description or 'live'}", time.monotonic() - started)
    return live, is_new
