"""What goes wrong with a Ray cluster, each as one sentence and a fix."""

from aweigh.errors import RemoteError
from aweigh.targets.errors import Words, quote, told_by

STILL = "what ran before runs on, untouched"


class ClusterSilent(RemoteError):
    """The cluster cannot be reached, or does not let us in. Nothing was changed there by this."""

    code = "ray_silent"


class ClusterUnfit(RemoteError):
    """A node lacks something that a deployment needs, or has another version of it."""

    code = "ray_unfit"


class ServeRefused(RemoteError):
    """Ray Serve was asked for something and failed."""

    code = "ray_refused"


_SILENCES: tuple[Words, ...] = (
    (
        r"version mismatch|Version mismatch|mismatched.*version|different.*version of Ray|different Python",
        "The cluster runs other versions of Ray or Python than this environment: {said}.",
        "install what the cluster has here: its Python, and pip install 'ray=={version of the cluster}'",
    ),
    (
        r"AuthToken|auth token|[Aa]uthentication|UNAUTHENTICATED",
        "The cluster asks for a token, and does not take the one that is here.",
        "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH as the cluster's owner says",
    ),
    (
        r"Could not find any running Ray instance|no running Ray|RAY_ADDRESS",
        "No Ray runs on this machine, and no address of one was given.",
        "ray start --head starts one; ray://HOST:10001 names one elsewhere",
    ),
    (
        r"this node has an IP address of|Can't find a .* node address|no node.*this machine|raylet.*not.*found",
        "This machine is none of that cluster's, and HOST:6379 is for those that are.",
        "ask it from outside: ray://HOST:10001",
    ),
)


def silent(error: Exception, *, address: str) -> ClusterSilent:
    """What Ray says when nobody answers at an address, or when this program may not come in."""
    said = str(error)
    told = told_by(said, _SILENCES)
    if told is None:
        return ClusterSilent(
            f"No Ray cluster answers at {address[:100]}: {quote(said) or type(error).__name__}.",
            hint="is it up (ray status), and is the address right: auto, ray://HOST:10001 or HOST:6379",
        )
    sentence, fix = told
    return ClusterSilent(sentence.replace("{said}", quote(said, most=160).rstrip(".")), hint=fix)
