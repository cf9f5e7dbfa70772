"""A release onto the host: its files checked by their digest, its environment made of hash-locked requirements.

An environment belongs to all releases with the same requirements, to the letter: a new model alone installs nothing.
pip runs as the app's own user, never as root; what it made belongs to root afterwards. What was cut off is begun anew.
"""

import hashlib
import re
import time
from dataclasses import dataclass, field

from aweigh.errors import UsageError
from aweigh.targets.errors import AGAIN
from aweigh.targets.release import Release
from aweigh.targets.ssh.command import Command, shell
from aweigh.targets.ssh.errors import HostUnfit, quoted, refusal
from aweigh.targets.ssh.facts import Facts, check_room, minor_of
from aweigh.targets.ssh.kept import COMPLETE, DIGEST, VENV
from aweigh.targets.ssh.place import Paths
from aweigh.targets.ssh.runner import Host
from aweigh.targets.ssh.telling import Telling

KEPT_RELEASES = 5
_UNREACHED = re.compile(r"WARNING: Retrying \(.*?after connection broken by '(.*?)': /", re.DOTALL)
"""pip's own words when a connection fails; the package that it misses in the end is only what comes of that."""
PIP_S = 1800.0

UNPACK = (
    'set -e; umask 022; rm -rf "$1"; mkdir "$1"; cat > "$1.tar.gz"; '
    'echo "$2  $1.tar.gz" | sha256sum --check --status || { rm -f "$1.tar.gz"; echo "error: what arrived is not what '
    'was sent" >&2; exit 1; }; '
    'tar -xzf "$1.tar.gz" -C "$1" --no-same-owner --no-same-permissions; rm -f "$1.tar.gz"'
)
FINISH = 'ln -sfnT "../../venvs/$2" "$1/$3" && chmod -R go+rX,go-w "$1" && touch "$1/$4"'
PRUNE = (
    'cd "$1" || exit 0; for r in releases/*; do n=${r#releases/}; case " $2 " in *" $n "*) ;; *) rm -rf "$r";; esac; '
    "done; for v in venvs/*; do used=; for r in releases/*; do "
    '[ "$(readlink "$r/venv" 2>/dev/null)" = "../../$v" ] && used=1; done; [ -n "$used" ] || rm -rf "$v"; done'
)


@dataclass(frozen=True, slots=True)
class Packed:
    """What is sent of a release: a gzipped tar, and the digest that names the release on the host."""

    content: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def digest(self) -> str:
        """The release's name: 12 hex digits."""
        return self.sha256[:12]


def environment_name(release: Release, *, python: str) -> str:
    """The name of the environment: whatever has the same requirements and interpreter shares it.

    Raises:
        UsageError: the release has no hashed requirements.
    """
    text = release.requirements
    if text is None or "--hash=" not in text:
        raise UsageError(
            "A server installs only what a requirements.txt locks by hashes, and this folder has none such.",
            hint="aweigh lock writes one",
        )
    return hashlib.sha256(f"{python}\n{minor_of(release.python)}\n{text}".encode()).hexdigest()[:12]


def unpack(paths: Paths, packed: Packed) -> Command:
    """Sends the files; what an earlier run left of them goes first."""
    return shell("take the files", UNPACK, paths.release(packed.digest), packed.sha256, stdin=packed.content)


KEEP = (
    'set -e; chown root:root "$1"; chmod 755 "$1"; chown -hR root:root "$1"; chmod -R go+rX,go-w "$1"; '
    'rm -rf "$1/complete"; : > "$1/complete"; chmod 644 "$1/complete"; find "$2" -mindepth 1 -delete'
)
"""Only then is the environment whole; what pip kept of its downloads is not kept for ever."""


def stop_install(paths: Paths) -> Command:
    """Ends what an earlier run that was cut off left installing."""
    return Command("end an earlier installation", ("systemctl", "stop", "--quiet", paths.installing))


def make_environment(paths: Paths, name: str, *, python: str, release: str) -> list[Command]:
    """Makes an environment and fills it, as the app's user; the last command gives it to root and marks it whole.

    It is done in a unit of its own: all that a package's build starts ends with it, and it may write nowhere else.
    """
    folder = f"{paths.root}/venvs/{name}"
    cache = f"{paths.root}/cache"
    properties = (
        f"User={paths.user}", f"Group={paths.user}", f"WorkingDirectory={paths.release(release)}", "UMask=0022",
        f"Environment=HOME={cache}", "EnvironmentFile=-/etc/environment", "NoNewPrivileges=yes",
        "CapabilityBoundingSet=", "ProtectSystem=strict", "ProtectHome=read-only", "PrivateTmp=yes",
        "PrivateDevices=yes",        f"ReadWritePaths={folder} {cache}", f"InaccessiblePaths={paths.state}",
    )  # fmt: skip
    as_user = ("systemd-run", "--quiet", "--wait", "--collect", "--pipe", f"--unit={paths.installing}",
               *(f"--property={one}" for one in properties), "--")  # fmt: skip
    # Isolated: a file of the release's may be called like a module of Python's.
    pip = (f"{folder}/bin/python", "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet",
           "--require-hashes", "--no-deps", "-r", "requirements.txt")  # fmt: skip
    return [
        shell("end an earlier installation", 'systemctl stop --quiet "$1" 2>/dev/null || true', paths.installing),
        Command("clear the environment", ("rm", "-rf", folder)),
        Command("make the environment", ("install", "-d", "-o", paths.user, "-g", paths.user, "-m", "755", folder)),
        Command("make the environment", (*as_user, python, "-I", "-m", "venv", folder)),
        Command("install the requirements", (*as_user, *pip)),
        shell("keep the environment", KEEP, folder, cache),
    ]


def finish(paths: Paths, release: str, environment: str) -> Command:
    """Names the release's environment, and says that the release is whole."""
    return shell("finish the release", FINISH, paths.release(release), environment, VENV, COMPLETE)


def prune(paths: Paths, kept: list[str]) -> Command:
    """Takes away releases that are not among those to keep, and environments that no release uses."""
    return shell("take old releases away", PRUNE, paths.root, " ".join(one for one in kept if DIGEST.fullmatch(one)))


def install(host: Host, release: Release, packed: Packed, *, paths: Paths, facts: Facts, telling: Telling) -> None:
    """Has the release whole on the host; nothing that runs is touched.

    Raises:
        RemoteError: the host refuses, or its disk is full.
    """
    python = facts.python_for(minor_of(release.python))
    assert python is not None  # noqa: S101  the facts were checked
    environment = environment_name(release, python=python)
    started = time.monotonic()
    folder = paths.release(packed.digest)
    if all(_is_there(host, f"{folder}/{name}") for name in (COMPLETE, f"{VENV}/complete")):
        telling.line("files", f"{packed.digest} is there", 0.0)
        return
    is_new = not _is_there(host, f"{paths.root}/venvs/{environment}/complete")
    check_room(facts, size_bytes=len(packed.content), new_environment=is_new, host=host.name)
    with telling.doing("files"):
        host.run(unpack(paths, packed))
    telling.line("files", f"{packed.digest} is sent, as its digest says", time.monotonic() - started)
    started = time.monotonic()
    if is_new:
        with telling.doing("packages"):
            for command in make_environment(paths, environment, python=python, release=packed.digest):
                run_step(host, command)
    host.run(finish(paths, packed.digest, environment))
    told = "every package by its hash" if is_new else "the same as an earlier release's"
    telling.line("packages", f"{python}, {told}", time.monotonic() - started)


def run_step(host: Host, command: Command) -> None:
    """Runs a step of an environment; an index that is not reached is told as that, and not as a package that is not.

    Raises:
        RemoteError: it failed.
    """
    done = host.attempt(command, timeout_s=PIP_S)
    if done.code == 0:
        return
    failed = refusal(command.what, done.err, host=host.name)
    tried = _UNREACHED.search(done.err)
    if tried is None or isinstance(failed, HostUnfit):
        raise failed
    raise HostUnfit(
        f"The pip of {host.name} does not reach its package index: {_reason(tried[1])}.",
        hint=f"see that host's network, and what 'pip config list' says there; then {AGAIN}",
    )


def _reason(said: str) -> str:
    """What pip says of a connection, as the system put it."""
    found = re.search(r"\[Errno -?[0-9]+\] ([^'\"()]+)", said)
    return quoted(found[1] if found is not None else said)


def _is_there(host: Host, path: str) -> bool:
    return host.attempt(Command("look for a file", ("test", "-e", path))).code == 0
