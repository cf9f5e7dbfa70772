"""Images at the local platform: taken from a registry as Heroku's is, and run as their own root, by nobody's user.

Of what Heroku says of images this holds: only Docker's schema 2, only an image whose config is the one that is named,
and a user that the image does not choose. Nothing else of a container is there: no namespaces but that of mounts.
"""

import json
import shlex
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.heroku.errors import ApiError
from tests.heroku.state import Slug, new_id

SCHEMA_2 = "application/vnd.docker.distribution.manifest.v2+json"
USER = 28_461
"""Heroku runs every dyno as a user of its own choice."""


@dataclass(frozen=True, slots=True)
class ImageRun:
    """How an image is run: its words, its variables, its folder; ``root`` is where it lies here."""

    root: Path
    words: tuple[str, ...]
    environment: dict[str, str]
    folder: str

    def command(self, environment: dict[str, str]) -> list[str]:
        """The words that run it here with those variables over its own."""
        variables = [f"{name}={value}" for name, value in (self.environment | environment).items()]
        inside = f'cd {shlex.quote(self.folder)} && exec "$@"'
        first = ["unshare", "--mount", "/bin/sh", "-c", _SCRIPT, str(self.root), str(USER), inside]
        return [*first, *variables, "--", *self.words]


# $0 the root, $1 the user, $2 what is done inside, then variables, --, and the words.
_SCRIPT = (
    'mount -t proc proc "$0/proc" && user=$1 inside=$2 && shift 2 && root=$0 && '
    'exec chroot --userspec="$user:$user" "$root" env -i /bin/sh -c \''
    'while [ "$1" != "--" ]; do export "$1"; shift; done; shift; eval "$0"\' "$inside" "$@"'
)


def pull(registry: str, repository: str, image: str, folder: Path) -> ImageRun:
    """The image of that id (its config's digest) from a repository's tag ``latest``, unpacked below ``folder``."""
    manifest, media_type = _get(f"http://{registry}/v2/{repository}/manifests/latest", SCHEMA_2)
    document = json.loads(manifest)
    if media_type != SCHEMA_2:
        raise ApiError(422, "invalid_params", f"unsupported manifest: {media_type}")
    if document["config"]["digest"] != image:
        raise ApiError(422, "invalid_params", f"image {image} was not found in {repository}")
    config = json.loads(_get(f"http://{registry}/v2/{repository}/blobs/{image}", "*/*")[0])
    layers = [one["digest"] for one in document["layers"]]
    root = folder / "images" / "-".join(one[7:15] for one in layers)[:200]
    if not root.exists():
        root.mkdir(parents=True)
        for one in layers:
            path = folder / f"layer-{one[7:19]}"
            path.write_bytes(_get(f"http://{registry}/v2/{repository}/blobs/{one}", "*/*")[0])
            with tarfile.open(path) as archive:
                archive.extractall(root, filter="fully_trusted")
            path.unlink()
    run = config["config"]
    words = [*(run.get("Entrypoint") or []), *(run.get("Cmd") or [])]
    environment = dict(one.split("=", 1) for one in run.get("Env") or [])
    return ImageRun(root, tuple(words), environment, run.get("WorkingDir") or "/")


def slug_of(before: Slug | None, images: dict[str, ImageRun]) -> Slug:
    """What a release of these images runs, and of other process types what ran before."""
    runs = {**(before.images if before is not None else {}), **images}
    processes = {type_: shlex.join(one.words) for type_, one in runs.items()}
    slug = Slug(new_id(), next(iter(runs.values())).root, None, processes, 0, "container")
    slug.images = runs
    return slug


def _get(url: str, accept: str) -> tuple[bytes, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=60) as reply:
            return reply.read(), reply.headers.get("Content-Type", "")
    except OSError as error:
        raise ApiError(422, "invalid_params", f"the image cannot be read: {error}") from error
