"""What ``aweigh image`` and its like refuse before anything is built: names, places, registries, requirements."""

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from aweigh.errors import ConfigError, RemoteError, UsageError

if TYPE_CHECKING:
    from aweigh.oci.reference import Reference
    from aweigh.targets.release import Release


def named_by(path: Path, tag: str | None, *, push: bool) -> "Reference":
    """What the image is called: as was typed, else as its path, and on this machine where no host is in it.

    Raises:
        UsageError: it is no name, or names no registry and is to be pushed.
    """
    from aweigh.oci.reference import parse_reference

    if push and tag is None:
        raise UsageError("To push an image takes its name.", hint="-t ghcr.io/team/app:1.0")
    plain = re.sub(r"[^a-z0-9]+", "-", path.resolve().stem.lower()).strip("-")
    words = tag or f"localhost/{plain or 'app'}"
    if push:
        require_host(words, "-t")
    found = parse_reference(words if _has_host(words) else f"localhost/{words}")
    if found.digest:
        raise UsageError("An image is named by a tag: its digest comes of what is in it.", hint="-t NAME:TAG")
    return found


def check_output(output: Path) -> None:
    """Refuses, before anything is built, a place where nothing can be written."""
    from aweigh.oci.layout import check_layout

    if output.suffix != ".tar":
        check_layout(output)
    elif output.is_dir() or not output.parent.is_dir():
        wrong = "is a folder" if output.is_dir() else "would be in a folder that is not there"
        raise UsageError(f"{str(output)!r} {wrong}.", hint="name another place with -o")


def check_insecure(named: "Reference", base: str | None, *, push: bool) -> None:
    """Refuses to leave out TLS where that changes nothing: registries elsewhere are never asked without it."""
    from aweigh.oci.errors import name_of
    from aweigh.oci.reference import is_loopback, parse_reference

    hosts = [parse_reference(base).host] if base is not None else []
    hosts += [named.host] if push else []
    if hosts and not any(is_loopback(one) for one in hosts):
        raise UsageError(
            f"{name_of(hosts[-1])} is not this machine, and is not asked without TLS.", hint="leave out --insecure"
        )


def check_registry(named: "Reference", *, insecure: bool) -> None:
    """Refuses, before anything is built, a registry that is not there or lets nobody of this account in.

    What else it says to so general a question counts for nothing: the push asks what matters.
    """
    from aweigh.oci.client import open_registry
    from aweigh.oci.errors import AccessDenied, RegistrySilent
    from aweigh.oci.reference import is_loopback

    plain = insecure and is_loopback(named.host)
    with open_registry(named.host, insecure=plain, environ=os.environ) as registry:
        try:
            registry.ping(f"take {named.repository}")
        except (AccessDenied, RegistrySilent):
            raise
        except RemoteError:
            return


def check_lock(release: "Release", path: Path) -> None:
    """Refuses, before anything is fetched, a release whose packages no lock names exactly."""
    from aweigh.targets.image.packages import pinned_of, split_own

    lock = f"aweigh lock {shlex.quote(str(path if path.is_dir() else path.parent))}"
    if release.requirements is None:
        raise UsageError("An image is built from requirements.txt, and the folder has another lock.", hint=lock)
    try:
        pinned_of(split_own(release.requirements)[0])
    except ConfigError as error:
        if release.bundle is None:
            raise ConfigError(error.message, hint=f"{lock} writes exact versions and their hashes") from error
        raise


def require_host(words: str, where: str) -> None:
    """Refuses to send anywhere what is named without a registry: nobody means Docker Hub by leaving it out.

    Raises:
        UsageError: the name has no host.
    """
    from aweigh.oci.reference import parse_reference

    parse_reference(words)  # a name that is none is told first
    if not _has_host(words):
        last = words.rpartition("/")[2]
        raise UsageError(
            f"{words!r} names no registry.", hint=f"{where} ghcr.io/team/{last}; Docker Hub is docker.io/USER/{last}"
        )


def _has_host(words: str) -> bool:
    first, slash, _ = words.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def plain_name(named: "Reference") -> str:
    """The release's name: the last part of the image's, in what all platforms take."""
    last = re.sub(r"[^a-z0-9]+", "-", named.repository.rsplit("/", 1)[-1]).strip("-")
    return last if last[:1].isalpha() else f"app-{last}"
