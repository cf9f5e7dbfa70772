"""The system's own ``ssh``: one connection, over which argument lists are run, files sent and ports reached.

Nothing of the user's agent or screen is passed on, nothing is asked (``BatchMode``), and whether a host's key is good
is for the user's configuration to say. No shell runs here; there, each argument arrives quoted.
"""

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from aweigh.errors import UsageError
from aweigh.secret import Secret
from aweigh.targets.ssh.command import HELD, Command
from aweigh.targets.ssh.errors import HostSilent, Occupied, refusal, silence
from aweigh.targets.ssh.place import Address

CONNECT_S = 20
COMMAND_S = 900.0
TAKEN = 75
"""What ``flock`` ends with where somebody else holds the lock."""
CONNECTION_LOST = 255
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Its output."""
        return self.out.decode(errors="replace")


class Host:
    """A host, connected from ``with`` on; ``config`` is another ssh configuration than the user's own."""

    def __init__(self, address: Address, *, config: Path | None = None, ssh: str = "ssh") -> None:
        self.address = address
        self.config = config
        self._ssh = ssh
        self._folder: str | None = None
        self._master: subprocess.Popen[bytes] | None = None
        self._sudo: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As people name it."""
        port = self.address.port
        return self.address.destination + ("" if port is None else f" (port {port})")

    @property
    def typed(self) -> str:
        """How a person would connect to it."""
        port = "" if self.address.port is None else f"-p {self.address.port} "
        return f"ssh {port}{self.address.destination}"

    def __enter__(self) -> Self:
        if shutil.which(self._ssh) is None:
            raise UsageError("There is no ssh on this machine.", hint="install OpenSSH's client")
        # Short: the path of a socket has room for a hundred characters.
        self._folder = tempfile.mkdtemp(prefix="aw-ssh-", dir="/tmp" if Path("/tmp").is_dir() else None)  # noqa: S108
        try:
            self._connect()
            uid = self.run(Command("say who we are", ("id", "-u"), root=False)).text.strip()
            self._sudo = () if uid == "0" else ("sudo", "-n", "--")
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def run(self, command: Command, *, timeout_s: float = COMMAND_S) -> Done:
        """Runs it, and it must succeed.

        Raises:
            RemoteError: it failed, or the connection did.
        """
        done = self.attempt(command, timeout_s=timeout_s)
        if done.code != 0:
            raise refusal(command.what, done.err, host=self.name)
        return done

    def attempt(self, command: Command, *, timeout_s: float = COMMAND_S) -> Done:
        """Runs it, whatever it comes to.

        Raises:
            HostSilent: the connection failed.
        """
        with _input(command.stdin) as stdin:
            try:
                done = subprocess.run(
                    [*self._base(), *self._remote(command)],
                    stdin=stdin,
                    capture_output=True,
                    check=False,
                    timeout=timeout_s,
                )
            except subprocess.TimeoutExpired as error:
                raise HostSilent(
                    f"The host did not {command.what} within {timeout_s:.0f} s.", hint="look at what it is doing there"
                ) from error
        err = done.stderr.decode(errors="replace")
        if done.returncode == CONNECTION_LOST:
            raise silence(err, host=self.address.destination, ssh=self.typed)
        return Done(done.returncode, done.stdout, err)

    def lines(self, command: Command) -> Iterator[str]:
        """The lines that it prints, as they come, until it ends or nobody reads on."""
        with subprocess.Popen(
            [*self._base(), *self._remote(command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None  # noqa: S101  it was asked for
            try:
                for line in process.stdout:
                    yield line.decode(errors="replace").rstrip("\n")
            finally:
                process.terminate()

    @contextlib.contextmanager
    def locked(self, path: str) -> Iterator[None]:
        """Holds a lock of the host's while the block runs; the host lets go of it when this process or line dies.

        Raises:
            Occupied: somebody else holds it.
        """
        command = Command(
            "hold the lock", ("flock", "--nonblock", "--conflict-exit-code", str(TAKEN), path, "sh", "-c", HELD)
        )
        with subprocess.Popen(
            [*self._base(), *self._remote(command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None and process.stdin is not None and process.stderr is not None  # noqa: S101, PT018
            try:
                if process.stdout.readline().strip() != b"held":
                    process.wait()
                    if process.returncode == TAKEN:
                        raise Occupied(
                            f"Somebody else is deploying this app on {self.name} just now.",
                            hint="wait until that ends, then the same command",
                        )
                    raise refusal("hold the lock", process.stderr.read().decode(errors="replace"), host=self.name)
                yield
            finally:
                process.stdin.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()

    @contextlib.contextmanager
    def reached(self, port: int) -> Iterator[str]:
        """A URL of this machine behind which is the port of the host's loopback.

        Raises:
            HostSilent: the host passes nothing on.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            local = free.getsockname()[1]
        where = f"127.0.0.1:{local}:127.0.0.1:{port}"
        done = subprocess.run(
            [*self._base(control="-O", word="forward"), "-L", where, self.address.destination],
            capture_output=True, check=False, timeout=CONNECT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode != 0:
            raise HostSilent(
                f"The sshd of {self.name} passes on no connections.",
                hint="set 'AllowTcpForwarding local' in its sshd_config: the new release is checked that way",
            )
        try:
            yield f"http://127.0.0.1:{local}"
        finally:
            subprocess.run(
                [*self._base(control="-O", word="cancel"), "-L", where, self.address.destination],
                capture_output=True, check=False, timeout=CONNECT_S, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def _options(self) -> list[str]:
        found = [self._ssh, "-T", "-a", "-x"]
        if self.config is not None:
            found += ["-F", str(self.config)]
        if self.address.port is not None:
            found += ["-p", str(self.address.port)]
        options = (
            "BatchMode=yes", f"ConnectTimeout={CONNECT_S}", "ServerAliveInterval=15", "ServerAliveCountMax=4",
            "ExitOnForwardFailure=no", "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no", "LogLevel=ERROR",
            f"ControlPath={self._folder}/c",
        )  # fmt: skip
        return found + [word for one in options for word in ("-o", one)]

    def _base(self, *, control: str | None = None, word: str = "") -> list[str]:
        return [*self._options(), "-o", "ControlMaster=no", *([control, word] if control is not None else [])]

    def _remote(self, command: Command) -> list[str]:
        argv = ("env", "LC_ALL=C.UTF-8", *command.argv)
        return ["--", self.address.destination, shlex.join([*(self._sudo if command.root else ()), *argv])]

    def _connect(self) -> None:
        log = Path(f"{self._folder}/log")
        # It ends with its session, and that with what it reads: with this process, however that ends.
        with log.open("wb") as errors:
            self._master = subprocess.Popen(
                [*self._options(), "-o", "ControlMaster=yes", "-o", "ControlPersist=no", "--",
                 self.address.destination, "cat"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + CONNECT_S + 10
        while not Path(f"{self._folder}/c").exists():
            if self._master.poll() is not None or time.monotonic() > until:
                said = log.read_text(errors="replace") or "Connection timed out"
                raise silence(said, host=self.address.destination, ssh=self.typed)
            time.sleep(POLL_S)

    def _close(self) -> None:
        if self._master is not None:
            if self._master.stdin is not None:
                self._master.stdin.close()
            self._master.terminate()
            try:
                self._master.wait(5)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._master = self._folder = None


@contextlib.contextmanager
def _input(given: bytes | Path | Secret | None) -> Iterator[int | IO[bytes]]:
    """What a command reads, as a file: a secret's is in memory alone, and no process can be in the way of a pipe."""
    if given is None:
        yield subprocess.DEVNULL
        return
    if isinstance(given, Path):
        with given.open("rb") as stream:
            yield stream
        return
    content = given.reveal().encode() if isinstance(given, Secret) else given
    with (
        os.fdopen(os.memfd_create("aweigh"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile() as file
    ):
        file.write(content)
        file.seek(0)
        yield file
