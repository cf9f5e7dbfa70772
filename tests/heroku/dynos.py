"""A dyno: one command line, in a folder of its own, with Heroku's environment and nothing else.

It is like Heroku's in this: a web process has to listen on ``$PORT`` on every interface (not on 127.0.0.1 alone)
within the boot limit (R10); a crash is followed by one start at once, and by a pause after the next; SIGTERM goes to
all of its processes and SIGKILL after 30 s (R12); memory over the size's quota is said (R14), far over it kills (R15);
what it writes is gone with it.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.heroku.options import DYNO_POLL_S, Options
from tests.heroku.state import App, Release, new_id, size_label, size_of
from tests.heroku.streams import now

LISTENING = "0A"
EVERYWHERE = {"00000000", "0" * 32}
MB = 2**20
R14_S = 20.0


def listens_everywhere(port: int) -> bool:
    """Say whether somebody listens on a port of every interface; without a table of sockets: on the port at all."""
    if not Path("/proc/net/tcp").exists():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                address, _, number = local.partition(":")
                if state == LISTENING and address in EVERYWHERE and int(number, 16) == port:
                    return True
    return False


def free_port() -> int:
    """Find a port that nobody has on any interface."""
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])


class Dyno:
    """A dyno of a release: ``run`` starts its command, again after a crash, until ``stop``."""

    def __init__(self, app: App, release: Release, name: str, command: str, size: str, options: Options) -> None:
        self.id = new_id()
        self.app = app
        self.release = release
        self.name = name
        self.type = name.rsplit("-", 2)[0] if app.is_fir else name.partition(".")[0]
        self.command = command
        self.size = size
        self.state = "starting"
        self.port = free_port()
        self.env: dict[str, str] = {}
        self.output: Callable[[str], None] | None = None
        self.created_at = self.updated_at = now()
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self.task: asyncio.Task[int] | None = None

    def document(self) -> dict[str, object]:
        """Write it."""
        return {
            "id": self.id,
            "app": {"id": self.app.id, "name": self.app.name},
            "attach_url": None,
            "command": self.command,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "name": self.name,
            "release": {"id": self.release.id, "version": self.release.version},
            "size": size_label(self.size),
            "state": self.state,
            "type": self.type,
        }

    def say(self, text: str) -> None:
        """Write a line of the platform's about this dyno."""
        self.app.log.add("heroku", self.name, text)

    def become(self, state: str) -> None:
        """Change the state, and say so."""
        if state != self.state:
            self.say(f"State changed from {self.state} to {state}")
            self.state, self.updated_at = state, now()

    async def run(self, *, again: bool = True, folder: Path) -> int:
        """Run the command in a copy of the slug below ``folder``; return its last exit status."""
        starts = 0
        while True:
            starts += 1
            home = folder / f"{self.id}-{starts}"
            status = await self._once(home)
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
            if self._stopping.is_set() or not again:
                self.become("down" if self._stopping.is_set() else "complete")
                return status
            self.become("crashed")
            if starts > self._options.restarts:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._options.cool_off_s)
                    return status
            self.become("starting")
            self.port = free_port()

    async def _once(self, home: Path) -> int:
        slug = self.release.slug
        if slug is None:
            return 1
        if not slug.images:
            await asyncio.to_thread(shutil.copytree, slug.folder, home, symlinks=True, dirs_exist_ok=True)
        if self._stopping.is_set():
            return 0
        profile = "[ -f .profile ] && . ./.profile; " if (home / ".profile").is_file() else ""
        self.say(f"Starting process with command `{self.command}`")
        words, cwd, env = ["/bin/sh", "-c", profile + self.command], home, self._environment(home)
        if self.type in slug.images:
            own = {"DYNO": self.name, **self.release.config} | ({"PORT": str(self.port)} if self.type == "web" else {})
            words, cwd, env = slug.images[self.type].command(own), Path("/"), {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
        process = await asyncio.create_subprocess_exec(
            *words, cwd=cwd, env=env,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        self._process = process
        if self._stopping.is_set():
            self._signal_all(signal.SIGTERM)
        watching = [asyncio.create_task(self._watch_boot()), asyncio.create_task(self._watch_memory())]
        pumping = asyncio.create_task(self._pump(process))
        try:
            status = await process.wait()
        finally:
            for task in watching:
                task.cancel()
            self._signal_all(signal.SIGKILL)
            self._process = None
        await asyncio.wait([pumping], timeout=2)
        pumping.cancel()
        status = 128 - status if status < 0 else status
        self.say(f"Process exited with status {status}")
        return status

    def _environment(self, home: Path) -> dict[str, str]:
        environment = self.release.slug.environment if self.release.slug else None
        first = f"{environment / 'bin'}:" if environment else ""
        env = {
            "PATH": f"{first}/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "true",
            "PYTHONPATH": str(home),
            "FORWARDED_ALLOW_IPS": "*",
            "GUNICORN_CMD_ARGS": "--access-logfile -",
            # The buildpack of Fir says nothing of how many there are to be.
            **({} if self.app.is_fir else {"WEB_CONCURRENCY": str(size_of(self.size).web_concurrency)}),
            **self._options.dyno_env,
            **self.release.config,
            "DYNO": self.name,
            **self.env,
        }
        if self.type == "web":
            env["PORT"] = str(self.port)
        if self.app.features.get("runtime-dyno-metadata"):
            env |= {
                "HEROKU_APP_ID": self.app.id,
                "HEROKU_APP_NAME": self.app.name,
                "HEROKU_RELEASE_VERSION": f"v{self.release.version}",
                "HEROKU_RELEASE_CREATED_AT": self.release.created_at,
                "HEROKU_SLUG_COMMIT": (self.release.slug.commit or "") if self.release.slug else "",
            }
        return env

    async def _pump(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._write(line)
            if len(rest) > MB:
                self._write(rest)
                rest = b""
        if rest:
            self._write(rest)

    def _write(self, raw: bytes) -> None:
        text = raw.decode(errors="replace").rstrip("\r")
        self.app.log.add("app", self.name, text)
        if self.output is not None:
            self.output(text + "\n")

    async def _watch_boot(self) -> None:
        if self.type != "web":
            self.become("up")
            return
        end = asyncio.get_running_loop().time() + self._options.boot_s
        while asyncio.get_running_loop().time() < end:
            if listens_everywhere(self.port):
                self.become("up")
                return
            await asyncio.sleep(DYNO_POLL_S)
        self.say(
            "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within "
            f"{self._options.boot_s:g} seconds of launch"
        )
        self.say("Stopping process with SIGKILL")
        self._signal_all(signal.SIGKILL)

    async def _watch_memory(self) -> None:
        size = size_of(self.size)
        quota = self._options.quota_bytes or size.quota_bytes
        most = 2 * quota if self._options.quota_bytes else size.kill_bytes
        said = 0.0
        while self._process is not None:
            await asyncio.sleep(self._options.memory_s)
            used = await asyncio.to_thread(self.memory_bytes)
            share = f"Process running mem={used // MB}M({used / quota:.1%})"
            if used > most:
                self.say(share)
                self.say("Error R15 (Memory quota vastly exceeded)")
                self.say("Stopping process with SIGKILL")
                self._signal_all(signal.SIGKILL)
                return
            clock = asyncio.get_running_loop().time()
            if used > quota and clock - said > R14_S:
                said = clock
                self.say(share)
                self.say("Error R14 (Memory quota exceeded)")

    def memory_bytes(self) -> int:
        """Return what its processes hold, each shared page counted once."""
        total = 0
        for one in self._processes():
            with contextlib.suppress(psutil.Error):
                held = one.memory_full_info()
                total += getattr(held, "pss", held.rss)
        return total

    def _processes(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        return []

    def _signal_all(self, number: int) -> None:
        for one in self._processes():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                one.send_signal(number)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes."""
        self._signal_all(number)

    async def stop(self, stop_s: float | None = None) -> None:
        """End it: SIGTERM to all, SIGKILL to what is left after the limit."""
        stop_s = self._options.stop_s if stop_s is None else stop_s
        self._stopping.set()
        if self._process is not None:
            self.say("Stopping all processes with SIGTERM")
            self._signal_all(signal.SIGTERM)
        if self.task is None:
            return
        done, _ = await asyncio.wait([self.task], timeout=stop_s)
        if not done:
            self.say(
                f"Error R12 (Exit timeout) -> At least one process failed to exit within {stop_s:g} seconds of SIGTERM"
            )
            self.say("Stopping remaining processes with SIGKILL")
            self._signal_all(signal.SIGKILL)
            await asyncio.wait([self.task], timeout=5)
