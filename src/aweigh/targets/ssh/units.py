"""systemd's units of a release in a slot: pure text, and nothing in it that was not allow-listed.

A slot has units of its own, so that to write those of one slot changes nothing of what runs in the other. A process
type's unit is a template whose instance is the replica's number; the number is the last digit of the port.
"""

import re
from collections.abc import Mapping

from aweigh.errors import UsageError
from aweigh.targets.ssh.kept import DIGEST, RUN, VENV, Kept, Place
from aweigh.targets.ssh.place import (
    BLOCK,
    FIRST_PORT,
    MOST_BLOCKS,
    MOST_REPLICAS,
    Paths,
    Slot,
    check_app,
    memory_bytes,
    port_of,
)

STOP_S = 35
"""From SIGTERM to SIGKILL: a server says for a second that it leaves, then finishes what is under way for 20."""
BOOT_S = 180
MIGRATION_S = 600
TASKS = 512
RESTARTS_SINCE = 254
"""The version of systemd from which on a restart can back off."""
MIGRATION = "release"
"""The process type that runs once before each release."""

_KIND = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_WORD = re.compile(r"[A-Za-z0-9_./:=@,+-]+")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_VALUE = re.compile(r"[A-Za-z0-9_./:=@,*+-]{0,1000}")

SANDBOX = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
PrivateMounts=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
DevicePolicy=closed
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
"""
"""What a process may not do. To write memory and then run it stays allowed: compilers in models' libraries do so."""


def render_units(
    kept: Kept, place: Place, *, release: str, slot: Slot, systemd: int = RESTARTS_SINCE
) -> dict[str, bytes]:
    """The units of a release in a slot, by their file names; ``systemd`` is the host's version.

    Raises:
        UsageError: a name, a command line or a setting that no unit can hold safely.
    """
    paths = Paths(check_app(place.app))
    if DIGEST.fullmatch(release) is None or not is_base(place.base):
        raise UsageError("No unit can be made of what the host says of the release.")
    found: dict[str, bytes] = {}
    for kind in kept.processes:
        if _KIND.fullmatch(kind) is None:
            raise UsageError(f"No unit can be named after the process {kind[:40]!a}.")
        text = _unit(kept, place, kind=kind, release=release, slot=slot, systemd=systemd)
        name = paths.migration(slot) if kind == MIGRATION else paths.unit(kind, slot)
        found[name] = text.encode()
    return found


def is_base(port: int) -> bool:
    """Whether it can be the first of an app's ports."""
    return port % BLOCK == 0 and FIRST_PORT <= port < FIRST_PORT + BLOCK * MOST_BLOCKS


def render_scripts(kept: Kept) -> dict[str, bytes]:
    """The command lines of an owner's Procfile, each as a script of the release: they are a shell's, and stay so."""
    if not kept.own_lines:
        return {}
    return {
        f"{RUN}/{kind}": f"exec {_on_loopback(line)}\n".encode()
        if _is_simple(line)
        else f"{_on_loopback(line)}\n".encode()
        for kind, line in kept.processes.items()
    }


_SHELLS_OWN = frozenset("exec cd . source eval export set unset trap umask ulimit command time ! { [ test :".split())


def _is_simple(line: str) -> bool:
    """Whether a line is one command, that can take the shell's place."""
    first = line.split(maxsplit=1)[0] if line.strip() else ""
    return re.search(r"[;&|<>()`\n]|\$\(", line) is None and "=" not in first and first not in _SHELLS_OWN


def _on_loopback(line: str) -> str:
    """A line that would listen on all addresses: behind Caddy it is asked on the loopback alone."""
    return re.sub(r"(?<![\d.])0\.0\.0\.0(?![\d.])", "127.0.0.1", line)


def _unit(kept: Kept, place: Place, *, kind: str, release: str, slot: Slot, systemd: int) -> str:
    paths = Paths(place.app)
    once = kind == MIGRATION
    environment = environment_of(kept, place, release=release)
    if kind == "web":
        if kept.own_lines:
            # Streamlit and gunicorn listen at every address of the host, past Caddy, unless they are told otherwise.
            environment.setdefault("STREAMLIT_SERVER_ADDRESS", "127.0.0.1")
        environment["PORT"] = f"{port_of(place.base, slot, 0) // MOST_REPLICAS}%i"
        if kept.own_lines:
            environment.setdefault("GUNICORN_CMD_ARGS", f"--bind=127.0.0.1:{environment['PORT']}")
    told = f"{kind}, slot {slot}{'' if once else ', replica %i'}"
    sections = [
        "# Written by 'aweigh deploy ssh': the next deployment overwrites it.",
        "[Unit]",
        f"Description={place.app}: {told}, release {release}",
        "Wants=network-online.target",
        "After=network-online.target",
        *([] if once else ["StartLimitIntervalSec=0"]),
        "",
        "[Service]",
        *(_once() if once else _on_and_on(systemd)),
        f"User={paths.user}",
        f"Group={paths.user}",
        f"WorkingDirectory={paths.release(release)}",
        f"StateDirectory={paths.state.removeprefix('/var/lib/')}",
        "StateDirectoryMode=0700",
        *(f"Environment={name}={value}" for name, value in sorted(environment.items())),
        f"EnvironmentFile={paths.env}",
        f"ExecStart={_command(kept, place, kind=kind, release=release)}",
        f"SyslogIdentifier={place.app}-{kind}",
        f"MemoryMax={memory_bytes(place.memory)}",
        "MemorySwapMax=0",
        f"TasksMax={TASKS}",
        *SANDBOX.splitlines(),
        *([] if once else ["", "[Install]", "WantedBy=multi-user.target"]),
    ]
    return "\n".join(sections) + "\n"


def _once() -> list[str]:
    return ["Type=oneshot", f"TimeoutStartSec={MIGRATION_S}"]


def _on_and_on(systemd: int) -> list[str]:
    back_off = ["RestartSteps=6", "RestartMaxDelaySec=60"] if systemd >= RESTARTS_SINCE else []
    return [
        "Type=exec",
        f"TimeoutStopSec={STOP_S}",
        # The parent tells its children; what is left of them at the end is killed.
        "KillMode=mixed",
        "Restart=always",
        "RestartSec=1" if back_off else "RestartSec=5",
        *back_off,
        # A child that took too much is replaced by its parent.
        "OOMPolicy=continue",
    ]


def environment_of(kept: Kept, place: Place, *, release: str) -> dict[str, str]:
    """What the processes are told, secrets left out: those are in the host's own file, which wins.

    Raises:
        UsageError: a setting that no unit can hold safely.
    """
    paths = Paths(place.app)
    found = {
        "PATH": f"{paths.release(release)}/{VENV}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": paths.state,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "AWEIGH_STATE_DIR": paths.state,
        # Who asks is believed by name where there is one; without, whoever reaches the port may.
        "AWEIGH_HOSTS": place.domain or "*",
        **kept.config,
    }
    for name, value in found.items():
        if _VARIABLE.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise UsageError(f"The setting {name[:60]!a} has a name or a value that no unit can hold safely.")
    return found


def _command(kept: Kept, place: Place, *, kind: str, release: str) -> str:
    folder = Paths(place.app).release(release)
    if kept.own_lines:
        return f"/bin/sh {folder}/{RUN}/{kind}"
    words = _on_loopback(kept.processes[kind]).split(" ")
    for word in words:
        if _WORD.fullmatch(word) is None:
            raise UsageError(
                f"A command line holds what systemd or a shell would read as more: {kept.processes[kind][:120]!a}."
            )
    if words[0] != "aweigh":
        raise UsageError(f"Only aweigh's own commands are run without a Procfile: {words[0][:60]!a} is none.")
    return " ".join([f"{folder}/{VENV}/bin/aweigh", *words[1:]])


def replicas_of(kept: Kept, place: Place, asked: Mapping[str, int] | None = None) -> dict[str, int]:
    """How many of each process type run: what was asked for, else one."""
    wanted = {**place.replicas, **(asked or {})}
    return {kind: wanted.get(kind, 1) for kind in kept.processes if kind != MIGRATION}
