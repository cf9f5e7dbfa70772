"""A Docker of the tests' own, with networks, and the images of what is beside an app in it."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.compose.stores import START, store_archive

DOCKERD = ["--exec-opt", "native.cgroupdriver=cgroupfs", "--default-ulimit", "nofile=1024:1024"]
BIN = "/usr/local/bin:/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin:/sbin:/bin"
IMAGES = [part for name in START for part in (f"--{name}-image", f"localhost/test-{name}:1")]
"""What a deployment takes instead of Docker Hub's images."""
START_S = 60


class RealDocker:
    """A daemon that runs at ``host``; called with words, it types them."""

    def __init__(self, host: str, place: Path, short: Path) -> None:
        self.host = host
        self._log = place / "log"
        places = ["--data-root", str(place / "data"), "--exec-root", f"{short}/exec", "-p", f"{short}/pid"]
        self._words = ["dockerd", *DOCKERD, *places, "--bip", "172.31.251.1/24", "-H", host]
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run the daemon, until it answers."""
        with self._log.open("a") as log:
            self._daemon = subprocess.Popen(self._words, stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while not self("version", "--format", "{{.Server.Version}}", check=False):
            assert time.monotonic() < end, self._log.read_text()[-2000:]
            time.sleep(0.2)

    def stop(self) -> None:
        """End the daemon."""
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait(90)

    def restart(self) -> None:
        """End it, and run it again, as a machine does that restarts."""
        self.stop()
        self.start()

    def __call__(self, *words: str, check: bool = True) -> str:
        """Type a command of ``docker``: what it prints."""
        command = ["docker", "-H", self.host, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def versions(self) -> str:
        """What runs: ``Docker 26.1.5, Compose 2.26.1``."""
        server = self("version", "--format", "{{.Server.Version}}").partition("+")[0]
        return f"Docker {server}, Compose {self('compose', 'version', '--short').partition('+')[0]}"


@contextmanager
def open_docker(place: Path) -> Iterator[RealDocker]:
    """Run ``dockerd`` with its data in a folder; it takes root."""
    with tempfile.TemporaryDirectory(prefix="docker-") as short:
        docker = RealDocker(f"unix://{short}/docker.sock", place, Path(short))
        try:
            docker.start()
            for name, entry in START.items():
                change = ["-c", f"ENV PATH={BIN}", *(["-c", f"ENTRYPOINT {json.dumps(entry)}"] if entry else [])]
                docker("import", *change, str(store_archive()), f"localhost/test-{name}:1")
            yield docker
        finally:
            docker.stop()
            subprocess.run(["umount", "-l", f"{short}/exec/netns/default"], capture_output=True, check=False)
