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
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from aweigh.errors import UsageError
from aweigh.secret import Secret
from aweigh.targets.errors import AGAIN, Occupied
from aweigh.targets.ssh import bounded
from aweigh.targets.ssh.command import HELD, SILENCE_S, Command
from aweigh.targets.ssh.errors import HostSilent, HostUnfit, refusal, silence
from aweigh.targets.ssh.place import Address

CONNECT_S = 20
COMMAND_S = 900.0
TAKEN = 75
"""What ``flock`` ends with where somebody else holds the lock."""
CONNECTION_LOST = 255
SIGN_S = 10.0
"""How often who holds a lock says so; the host lets go after six of them did not come (``HELD``)."""
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
        self._lock: subprocess.Popen[bytes] | None = None
        self._sudo: tuple[str, ...] = ()
        self.sign_s = SIGN_S

    @property
    def name(self) -> str:
        """As people name it."""
        port = self.address.port
        return self.address.destination + ("" if port is None else f" (port {port})")

    @property
    def typed(self) -> str:
        """How a person would connect to it."""
        port = "" if self.address.port is None else f"-p {self.address.port} "
        config = "" if self.config is None else f"-F {shlex.quote(str(self.config))} "
        return f"ssh {config}{port}{self.address.destination}"

    def __enter__(self) -> Self:
        if shutil.which(self._ssh) is None:
            raise UsageError("There is no ssh on this machine.", hint="install OpenSSH's client")
        # Short: the path of a socket has room for a hundred characters.
        self._folder = tempfile.mkdtemp(prefix="aw-ssh-", dir="/tmp" if Path("/tmp").is_dir() else None)  # noqa: S108
        try:
            self._connect()
            uid = self.run(Command("say who we are", ("id", "-u"), root=False)).text.strip()
            if not (uid.isascii() and uid.isdigit()):
                raise HostUnfit(
                    f"The shell of {self.name} prints something of its own where a command's answer is to be.",
                    hint="let its .bashrc (or what is like it) print nothing where no terminal is",
                )
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
        if self._lock is not None and self._lock.poll() is not None:
            raise Occupied(f"The lock on {self.name} was lost: the connection was away for too long.", hint=AGAIN)
        with _input(command.stdin) as stdin:
            try:
                done = bounded.run([*self._base(), *self._remote(command)], stdin=stdin, timeout_s=timeout_s)
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
        return bounded.lines([*self._base(), *self._remote(command)])

    @contextlib.contextmanager
    def locked(self, path: str) -> Iterator[None]:
        """Holds a lock of the host's while the block runs; the host lets go of it when this process or line dies.

        A sign of life is sent all the while: a host that hears none for a minute lets go, as it may never be told that
        a line is dead. Whoever comes back then is refused anything further.

        Raises:
            Occupied: somebody else holds it.
        """
        command = Command(
            "hold the lock",
            ("flock", "--nonblock", "--conflict-exit-code", str(TAKEN), path, "sh", "-c", HELD, "sh", str(SILENCE_S)),
        )
        with subprocess.Popen(
            [*self._base(), *self._remote(command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None and process.stdin is not None and process.stderr is not None  # noqa: S101, PT018
            try:
                if process.stdout.readline(1000).strip() != b"held":
                    process.stdin.close()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(CONNECT_S)
                    process.kill()
                    if process.returncode == TAKEN:
                        raise Occupied(
                            f"Somebody else is deploying this app on {self.name} just now.",
                            hint="wait until that ends, then the same command",
                        )
                    raise refusal("hold the lock", process.stderr.read(10_000).decode(errors="replace"), host=self.name)
                self._lock = process
                with _signs_of_life(process.stdin, every_s=self.sign_s):
                    yield
            finally:
                self._lock = None
                with contextlib.suppress(OSError):
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
            self._control("forward", where),
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
                self._control("cancel", where),
                capture_output=True, check=False, timeout=CONNECT_S, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def _options(self) -> list[str]:
        found = [self._ssh, "-T", "-a", "-x", "-k"]
        if self.config is not None:
            found += ["-F", str(self.config)]
        if self.address.port is not None:
            found += ["-p", str(self.address.port)]
        options = (
            "BatchMode=yes", f"ConnectTimeout={CONNECT_S}", "ServerAliveInterval=15", "ServerAliveCountMax=4",
            "ExitOnForwardFailure=no", "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no", "LogLevel=ERROR",
            # What somebody's configuration does at each login to that host is not for us.
            "RemoteCommand=none", "ClearAllForwardings=yes",
            f"ControlPath={self._folder}/c",
        )  # fmt: skip
        return found + [word for one in options for word in ("-o", one)]

    def _base(self) -> list[str]:
        return [*self._options(), "-o", "ControlMaster=no"]

    def _control(self, word: str, where: str) -> list[str]:
        """Asks the connection that is there for a forwarding; no configuration is read, which might ask for others."""
        path = f"ControlPath={self._folder}/c"
        return [self._ssh, "-F", os.devnull, "-o", path, "-O", word, "-L", where, "--", self.address.destination]

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
def _signs_of_life(stream: IO[bytes], *, every_s: float) -> Iterator[None]:
    ended = threading.Event()

    def send() -> None:
        with contextlib.suppress(OSError, ValueError):
            while not ended.wait(every_s):
                stream.write(b".")
                stream.flush()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(CONNECT_S)


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
