"""What Docker, podman and their compose refuse, and what goes wrong there, each as one sentence and a fix."""

from aweigh.errors import RemoteError
from aweigh.targets.errors import AGAIN, Words, last_words, quote, told_by


class NoContainers(RemoteError):
    """There is nothing here that runs containers as they are needed: no program, none that answers, or one too old."""

    code = "no_containers"


class ComposeRefused(RemoteError):
    """Docker, podman or compose was asked for something and failed."""

    code = "compose_refused"


_WORDS: tuple[Words, ...] = (
    (
        r"port is already allocated|address already in use|rootlessport .* bind",
        "The port is taken on this machine.",
        "choose another: --port",
    ),
    (
        r"no space left on device|disk quota exceeded",
        "The disk is full where containers are kept.",
        "make room (docker system prune, or podman system prune), then run it again",
    ),
    (
        r"exec format error|no matching manifest for|no image found in (?:manifest list|image index) for architecture",
        "The image is for another architecture than this machine's.",
        "leave --image out, and it is built for this one; or push one for both (aweigh image --platform)",
    ),
    (
        r"permission denied[^\n]*(?:docker daemon|docker\.sock)|dial unix [^\n]*permission denied",
        "This user may not talk to Docker.",
        "join the group docker, use sudo, or take podman: --engine podman",
    ),
    (
        r"Cannot connect to the Docker daemon|Is the docker daemon running|cannot connect to Podman",
        "Docker is installed and does not run.",
        "start it: systemctl start docker, or open Docker Desktop",
    ),
    (
        r"pull access denied|manifest unknown|repository .*not found|name unknown|unauthorized|authentication required",
        "An image cannot be fetched: its registry knows none of that name, or wants an account.",
        "check --image, --postgres-image, --valkey-image and --proxy-image; docker login HOST",
    ),
    (
        r"no such host|i/o timeout|TLS handshake timeout|connection refused[^\n]*/v2/|lookup [^\n]* on ",
        "A registry cannot be reached to fetch an image.",
        "check the network; images that are here already are not fetched",
    ),
    (
        r"NanoCPUs can not be set|Range of CPUs is from",
        "This machine has fewer processors than --cpus says.",
        "say fewer: --cpus 1",
    ),
)


def refusal(text: str, *, what: str) -> ComposeRefused:
    """The error of a program that failed, by its own words; ``what`` is what it was asked for, as ``to start it``."""
    known = told_by(text, _WORDS)
    if known is not None:
        return ComposeRefused(known[0], hint=known[1])
    said = quote(last_words(text))
    return ComposeRefused(f"It failed {what}{f': {said}' if said else '.'}", hint=AGAIN)
