"""What a host is, asked in one go, and what it lacks: each as one sentence and a fix, before anything is changed."""

from dataclasses import dataclass

from aweigh.errors import RemoteError
from aweigh.targets.errors import AGAIN
from aweigh.targets.ssh.command import Command
from aweigh.targets.ssh.errors import HostUnfit
from aweigh.targets.ssh.runner import Host

LEAST_FREE_BYTES = 300 * 2**20
ENVIRONMENT_BYTES = 1200 * 2**20
"""What a new environment takes, the app's pages included; measured: 0.9 GB, and pip needs room while it unpacks."""
OLDEST_SYSTEMD = 247
OLDEST_CADDY = (2, 6)

PROBE = (
    # Who is not root has these folders not on the path everywhere; as root they are.
    "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; "
    'echo "systemd $(systemctl --version 2>/dev/null | head -n1 | cut -d" " -f2)"; '
    'test -d /run/systemd/system && echo "booted yes"; '
    'echo "caddy $(caddy version 2>/dev/null | head -n1)"; '
    'echo "caddy_active $(systemctl is-active caddy 2>/dev/null)"; '
    "for p in flock tar gzip useradd runuser systemd-run sha256sum; do command -v $p >/dev/null 2>&1 && "
    'echo "has $p"; done; '
    'd=$2; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; '
    'echo "free $(df -Pk "$d" | tail -n1 | tr -s " " | cut -d" " -f4)"; '
    'echo "machine $(uname -m)"; '
    'want=$1; shift 2; for p in "$@"; do '
    """v=$("$p" -I -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) || continue; """
    'echo "python $v"; [ "${v%% *}" = "$want" ] || continue; '
    '"$p" -I -c "import ensurepip, venv" 2>/dev/null && echo "venv ${v#* }"; done; true'
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a host is; ``pythons`` are versions by the path of the interpreter, ``venvs`` those that can make one."""

    systemd: int
    booted: bool
    caddy: str
    caddy_active: bool
    programs: frozenset[str]
    free_bytes: int
    machine: str
    pythons: tuple[tuple[str, str], ...]
    venvs: tuple[str, ...]

    def python_for(self, wanted: str) -> str | None:
        """The interpreter of that version, with which an environment can be made."""
        return next((path for version, path in self.pythons if version == wanted and path in self.venvs), None)


def probe(python: str, *, folder: str, named: str | None = None) -> Command:
    """The question; ``named`` is an interpreter that somebody chose."""
    minor = minor_of(python)
    candidates = (named,) if named is not None else (f"python{minor}", "python3", f"/usr/local/bin/python{minor}")
    return Command("say what it is", ("sh", "-c", PROBE, "sh", minor, folder, *candidates), root=False)


def minor_of(python: str) -> str:
    """Major and minor of a version."""
    return ".".join(python.split(".")[:2])


def read_facts(text: str) -> Facts:
    """The answer."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        said.setdefault(name, []).append(value.strip())
    first = {name: values[0] for name, values in said.items()}
    pythons = [(version, path) for version, _, path in (one.partition(" ") for one in said.get("python", []))]
    return Facts(
        systemd=_number(first.get("systemd", "")),
        booted="booted" in first,
        caddy=first.get("caddy", "").partition(" ")[0].lstrip("v"),
        caddy_active=first.get("caddy_active") == "active",
        programs=frozenset(said.get("has", [])),
        free_bytes=_number(first.get("free", "")) * 1024,
        machine=first.get("machine", ""),
        pythons=tuple(dict.fromkeys(pythons)),
        venvs=tuple(said.get("venv", [])),
    )


def _number(text: str) -> int:
    digits = text.split(".", maxsplit=1)[0].split(" ", maxsplit=1)[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else 0


def faults(facts: Facts, *, host: str, python: str, named: str | None = None) -> list[HostUnfit]:
    """What the host lacks, the gravest first."""
    minor = minor_of(python)
    found = []

    def lacks(what: str, fix: str) -> None:
        found.append(HostUnfit(what, hint=f"{fix}; then the same command"))

    if not facts.booted or not facts.systemd:
        lacks(f"{host} does not run systemd.", "take a host that does: Debian, Ubuntu, Fedora, a VM and no container")
    elif facts.systemd < OLDEST_SYSTEMD:
        lacks(f"{host} has systemd {facts.systemd}, and 247 is needed.", "bring it up to date")
    missing = sorted({"flock", "tar", "gzip", "useradd", "runuser", "systemd-run", "sha256sum"} - facts.programs)
    if missing and facts.booted:
        lacks(f"{host} has no {missing[0]}.", "install util-linux, tar, gzip, passwd and coreutils there")
    if not facts.caddy:
        lacks(f"{host} has no Caddy, which answers at its ports.", "apt-get install caddy there")
    elif tuple(_number(one) for one in facts.caddy.split(".")[:2]) < OLDEST_CADDY:
        lacks(f"{host} has Caddy {facts.caddy}, and 2.6 is needed.", "bring it up to date")
    elif not facts.caddy_active:
        lacks(f"Caddy does not run on {host}.", "systemctl enable --now caddy there; journalctl -u caddy says why not")
    versions = [version for version, _ in facts.pythons]
    if minor not in versions:
        there = f"has Python {' and '.join(dict.fromkeys(versions))}" if versions else "has no Python"
        lacks(
            f"{host} {there}, and the release needs {minor}{f' as {named!a}' if named else ''}.",
            f"apt-get install python{minor} python{minor}-venv there; or name an interpreter: --python PATH; or pack "
            "the model anew with a Python that the host has",
        )
    elif facts.python_for(minor) is None:
        lacks(f"The Python {minor} of {host} makes no environments.", f"apt-get install python{minor}-venv there")
    if facts.free_bytes < LEAST_FREE_BYTES:
        lacks(f"The disk of {host} has {facts.free_bytes // 10**6} MB left.", "make room there")
    return found


def ask(host: Host, *, python: str, folder: str, named: str | None = None) -> Facts:
    """What the host is, if nothing is amiss.

    Raises:
        HostUnfit: something is.
    """
    facts = read_facts(host.run(probe(python, folder=folder, named=named)).text)
    wrong = faults(facts, host=host.name, python=python, named=named)
    if wrong:
        raise wrong[0]
    return facts


def ask_all(host: Host, *, python: str, folder: str, named: str | None = None) -> tuple[Facts, list[RemoteError]]:
    """What the host is, and all that is amiss, what root's rights would meet included."""
    facts = read_facts(host.run(probe(python, folder=folder, named=named)).text)
    wrong: list[RemoteError] = list(faults(facts, host=host.name, python=python, named=named))
    try:
        host.run(Command("act as root", ("true",)))
    except RemoteError as error:
        wrong.append(error)
    return facts, wrong


def check_room(facts: Facts, *, size_bytes: int, new_environment: bool, host: str) -> None:
    """Passes when there is room for a release of that many packed bytes.

    Raises:
        HostUnfit: there is not.
    """
    needed = 3 * size_bytes + (ENVIRONMENT_BYTES if new_environment else 0) + LEAST_FREE_BYTES // 3
    if facts.free_bytes < needed:
        raise HostUnfit(
            f"The disk of {host} has {facts.free_bytes // 10**6:,} MB left, and this takes {needed // 10**6:,} MB.",
            hint=f"make room there, then {AGAIN}",
        )
