"""A real sshd on the loopback: `good`, `unknown`, `moved` and `stranger` are configurations for ssh, in its folder."""

import os
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import require_tool

START_S = 20.0


@contextmanager
def open_sshd(folder: Path, *, forced: str = ""):
    """Run it with its files in the folder: its port. ``forced`` is what runs there whatever is asked for."""
    os.environ["PATH"] += ":/usr/sbin"
    program = require_tool("sshd")
    for name in ("host_key", "key", "other_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized_keys").write_text((folder / "key.pub").read_text())
    (folder / "authorized_keys").chmod(0o600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\n"
        "PidFile none\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\nUsePAM no\n"
        + (f"ForceCommand {forced}\n" if forced else "")
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    _write_configurations(folder, port)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
        try:
            end = time.monotonic() + START_S
            while time.monotonic() < end and process.poll() is None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()
            process.wait(20)


def _write_configurations(folder: Path, port: int) -> None:
    for name, key in (("known", "host_key"), ("changed", "other_key")):
        kind, text = (folder / f"{key}.pub").read_text().split()[:2]
        (folder / name).write_text(f"[127.0.0.1]:{port} {kind} {text}\n")
    (folder / "nobody").write_text("")
    for name, key, hosts in (
        ("good", "key", "known"),
        ("unknown", "key", "nobody"),
        ("moved", "key", "changed"),
        ("stranger", "other_key", "known"),
    ):
        (folder / name).write_text(
            f"Host *\n  IdentityFile {folder}/{key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {folder}/{hosts}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
        )
