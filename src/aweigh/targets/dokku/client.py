"""Dokku over ssh: its commands as argument lists, and a repository that is made and pushed. No shell runs here."""

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aweigh.errors import RemoteError, UsageError
from aweigh.targets.errors import AGAIN
from aweigh.targets.ssh import bounded
from aweigh.targets.ssh.errors import quoted, silence
from aweigh.targets.ssh.place import Address
from aweigh.targets.tarball import TIME

APP = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")
"""The part of what Dokku takes that Heroku takes, too: the documents are those of both."""
COMMAND_S, PUSH_S = 300.0, 3600.0
BRANCH = "main"
GIVE_KEY = (
    "give Dokku your public key: dokku ssh-keys:add YOU < key.pub, as root there; "
    "a key with a passphrase must be in the agent (ssh-add)"
)
"""Dokku keeps its own list: what ssh-copy-id writes would be a login past it."""
WHO = "aweigh"


@dataclass(frozen=True, slots=True)
class Dokku:
    """A host with Dokku; ``config`` is another ssh configuration than the user's own."""

    address: Address
    config: Path | None = None

    def attempt(self, *words: str) -> tuple[int, str, str]:
        """Runs a command of Dokku's: its exit code, what it printed, and its complaints.

        Raises:
            HostSilent: the connection failed.
        """
        argv = [*self.ssh, "--", self.address.destination, shlex.join(words)]
        try:
            done = bounded.run(argv, stdin=subprocess.DEVNULL, timeout_s=COMMAND_S)
        except FileNotFoundError as error:
            raise UsageError("There is no ssh on this machine.", hint="install OpenSSH's client") from error
        except subprocess.TimeoutExpired as error:
            raise RemoteError(f"Dokku did not answer {words[0]} within {COMMAND_S:.0f} s.", hint=AGAIN) from error
        said = done.stderr.decode(errors="replace")
        if done.returncode == 255:
            port = "" if self.address.port is None else f"-p {self.address.port} "
            place = self.address.destination
            raise silence(said, host=place, ssh=f"ssh {port}{place}", key=GIVE_KEY)
        return done.returncode, done.stdout.decode(errors="replace"), said

    def run(self, *words: str) -> str:
        """Runs it, and it must succeed.

        Raises:
            RemoteError: it did not.
        """
        code, out, said = self.attempt(*words)
        if code != 0:
            raise RemoteError(f"Dokku refuses {words[0]}: {quoted(said or out)}.", hint=AGAIN)
        return out

    def lines(self, *words: str) -> Iterator[str]:
        """The lines that a command prints, as they come."""
        return bounded.lines([*self.ssh, "--", self.address.destination, shlex.join(words)])

    @property
    def ssh(self) -> list[str]:
        """How ssh is called, without the destination."""
        options = ("BatchMode=yes", "ConnectTimeout=20", "ForwardAgent=no", "ForwardX11=no", "LogLevel=ERROR",
                   "PermitLocalCommand=no", "RemoteCommand=none", "ClearAllForwardings=yes")  # fmt: skip
        found = ["ssh", "-T", "-k", *(word for one in options for word in ("-o", one))]
        if self.config is not None:
            found += ["-F", str(self.config)]
        return found + ([] if self.address.port is None else ["-p", str(self.address.port)])

    def push(self, app: str, files: Mapping[str, bytes | Path], *, message: str) -> tuple[str, str]:
        """Makes a repository of the files and pushes it: the commit, and what Dokku printed of the build.

        The same files are the same commit, whoever makes it and when.

        Raises:
            RemoteError: the build or its health check failed; what ran before runs on.
        """
        with tempfile.TemporaryDirectory(prefix="aweigh-dokku-") as name:
            folder = Path(name)
            for path, content in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
            _git(folder, "init", "--quiet", f"--initial-branch={BRANCH}")
            _git(folder, "add", "--all", "--force")
            _git(folder, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--allow-empty", "-m", message)
            commit = _git(folder, "rev-parse", "HEAD").strip()
            where = remote_of(self.address, app)
            environ = _environ() | {"GIT_SSH_COMMAND": shlex.join(self.ssh)}
            try:
                done = bounded.run(
                    ["git", "-C", str(folder), "push", "--porcelain", "--force", where, f"{BRANCH}:{BRANCH}"],
                    env=environ, timeout_s=PUSH_S, stdin=subprocess.DEVNULL,
                )  # fmt: skip
            except subprocess.TimeoutExpired as error:
                raise RemoteError("Dokku is still building after an hour.", hint="see its logs") from error
        said = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode != 0:
            raise RemoteError(
                f"Dokku did not take the release live: {quoted(said)}.", hint=f"what ran before runs on; {AGAIN}"
            )
        return commit, said


def remote_of(address: Address, app: str) -> str:
    """The repository of an app as git is told: an IPv6 address stands in brackets.

    >>> remote_of(Address("2001:db8::1", "dokku", 2222), "penguins")
    'dokku@[2001:db8::1]:penguins'
    """
    return f"{replace(address, port=None).typed}:{app}"


def check_app(app: str) -> str:
    """The name, if an app can have it there.

    Raises:
        UsageError: it cannot.
    """
    if APP.fullmatch(app) is None:
        raise UsageError(f"No app can be named {app[:40]!a}.", hint="3 to 30 small letters, digits and hyphens")
    return app


def _environ() -> dict[str, str]:
    """Git without anybody's own configuration, and with a date and an author that are always the same."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = {f"GIT_{kind}_{what}": value for kind in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", WHO), ("EMAIL", f"{WHO}@localhost"), ("DATE", f"{TIME} +0000"))}  # fmt: skip
    none = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    return kept | who | none


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], env=_environ(), capture_output=True, check=False, text=True
        )
    except FileNotFoundError as error:
        raise UsageError("There is no git on this machine.", hint="install git") from error
    if done.returncode != 0:
        raise UsageError(f"git could not {words[0]}: {quoted(done.stderr)}.")
    return done.stdout
