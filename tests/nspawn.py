"""A host of one's own: a Debian made by mmdebstrap, booted by systemd-nspawn, with sshd on the loopback."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "hosts"
PACKAGES = "systemd,systemd-sysv,dbus,openssh-server,python3,python3-venv,caddy,sudo,ca-certificates,procps"
BOOT_S = 90


def _made() -> Path:
    """Return a root that is made once and never booted."""
    found = CACHE / "bookworm"
    if not (found / "made").exists():
        shutil.rmtree(found, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(found)]
        subprocess.run(command, check=True, timeout=900)
        (found / "made").touch()
    return found


class Vps:
    """A host that runs: how ssh reaches it, and what can be done to it from beside."""

    def __init__(self, folder: Path, root: Path, port: int) -> None:
        self.root, self.port = root, port
        self.config = folder / "ssh_config"
        self.address = f"root@127.0.0.1:{port}"
        self.key = folder / "key"
        self.console = folder / "console"
        self._process: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Boot it, and wait until its Caddy runs."""
        command = ["systemd-nspawn", "--boot", "--keep-unit", "--register=no", "--quiet", "--console=pipe", "-D"]
        with self.console.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(self.root)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + BOOT_S
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(AssertionError):
                if self.sh("systemctl is-active caddy").strip() == "active":
                    return
            time.sleep(0.2)
        pytest.fail(self.console.read_text(errors="replace")[-2000:], pytrace=False)

    def reboot(self) -> None:
        """Let it go down as it does for a reboot, and boot it again."""
        self.sh("systemctl reboot", check=False)
        self._process.wait(BOOT_S)
        self.boot()

    def stop(self) -> None:
        """Power it off."""
        if self._process is None:
            return
        # For a container's init that is the request to power off.
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def sh(self, script: str, *, check: bool = True) -> str:
        """Run a script on the host, as root."""
        command = ["ssh", "-F", str(self.config), "-p", str(self.port), "root@127.0.0.1", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    @property
    def versions(self) -> str:
        """What runs: ``systemd 252, Caddy 2.6.2``."""
        systemd = self.sh("systemctl --version").split()[1]
        return f"systemd {systemd}, Caddy {self.sh('caddy version').split()[0].removeprefix('v')}"


@contextmanager
def open_host(folder: Path) -> Iterator[Vps]:
    """Boot the host; what this machine's pip is told of its index, the host's is told, too."""
    if os.getuid() != 0:
        pytest.skip("to boot a host takes root")
    root = folder / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", str(_made()), str(root)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    vps = Vps(folder, root, port)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(vps.key)], check=True)
    _let_in(root, vps.key.with_suffix(".pub").read_text(), port)
    known = folder / "known_hosts"
    host_key = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
    known.write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    vps.config.write_text(
        f"Host *\n  IdentityFile {vps.key}\n  IdentitiesOnly yes\n  BatchMode yes\n"
        f"  UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
    )
    try:
        vps.boot()
        yield vps
    finally:
        vps.stop()


def _let_in(root: Path, key: str, port: int) -> None:
    home = root / "root" / ".ssh"
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "authorized_keys").write_text(key)
    sshd = f"Port {port}\nListenAddress 127.0.0.1\nPasswordAuthentication no\n"
    (root / "etc/ssh/sshd_config.d/tests.conf").write_text(sshd)
    (root / "etc/hostname").write_text("vps\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost app.example.com\n::1 localhost\n")
    # Port 80 may be taken on this machine, whose network the host shares, and Caddy's own port by another such host.
    (root / "etc/caddy/Caddyfile").write_text("{\n\tadmin unix//var/lib/caddy/admin.sock\n}\n")
    for name in ("pip.conf", "ssl/certs/ca-certificates.crt"):
        if Path("/etc", name).is_file():
            shutil.copyfile(Path("/etc", name), root / "etc" / name)
