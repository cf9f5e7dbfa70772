"""What would go wrong on a server of one's own: what it lacks, and the release within a memory limit, run here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aweigh.errors import RemoteError
from aweigh.targets.doctor.diagnosis import Diagnosis, Tell, Wishes
from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.platform import Bound, Platform, Words
from aweigh.targets.doctor.released import FIRST_BYTE_S, IDLE_S, diagnose_release
from aweigh.targets.doctor.run import Limits
from aweigh.targets.ssh.facts import Facts, ask_all
from aweigh.targets.ssh.place import MEMORY, ROOT, memory_bytes
from aweigh.targets.ssh.runner import Host
from aweigh.targets.ssh.units import BOOT_S

WORDS = Words(
    place="the server",
    machine="server",
    set_variable="aweigh config ssh --app NAME --host HOST {}",
    settings="settings (aweigh config ssh --secret NAME)",
    disk="the release's folder, which is read-only there; only the app's state folder is kept",
    keep="the app's state folder (STATE_DIRECTORY), a database (DATABASE_URL) or a bucket",
    router="many a proxy in between",
    unheard="",
    crashed=": the new release counts as not up, and the old one runs on",
    late=": the new release counts as not up, and the old one runs on",
    over_quota=" (systemd ends it)",
    killed=" by systemd",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody would type for ``aweigh deploy ssh``."""

    memory: str = MEMORY
    python: str | None = None
    """An interpreter of the host's, by its name or path."""


def diagnose(
    path: Path, host: Host, *, asked: Asked, wishes: Wishes, tell: Tell, trust: Path | None = None
) -> Diagnosis:
    """Looks at a folder, a script or a bundle, and at the host, on which nothing is changed.

    Raises:
        UsageError: there is nothing at the path, or a size that cannot be.
        HostSilent: the host cannot be reached.
    """
    most = memory_bytes(asked.memory)
    tell("host", f"{host.name} is asked what it has")
    facts, wrong = ask_all(host, python=python_wanted(path), folder=ROOT, named=asked.python)
    platform = Platform(
        target="ssh",
        size=f"--memory {asked.memory}",
        limits=Limits(most, most, BOOT_S, FIRST_BYTE_S, IDLE_S),
        words=WORDS,
        pythons=tuple(dict.fromkeys(version for version, _ in facts.pythons)),
        default_python=next((version for version, _ in facts.pythons), "3.11"),
        built=Bound("release"),
        more="deploy it with more than {} MB: --memory",
        reaches_loopback=True,
    )
    there = tuple(findings_of(facts, wrong))
    return diagnose_release(path, platform=platform, there=there, wishes=wishes, tell=tell, trust=trust)


def findings_of(facts: Facts, wrong: Sequence[RemoteError]) -> Iterator[Finding]:
    """What the host has, and what it lacks."""
    for one in wrong:
        yield Finding(one.code, "fail", one.message, one.hint or "")
    free = f"{facts.free_bytes / 2**30:.1f} GB free"
    told = f"systemd {facts.systemd}, Caddy {facts.caddy or 'none'}, {facts.machine}, {free}"
    yield Finding("host", "pass" if not wrong else "warn", told, "" if not wrong else "see what it lacks, above")


def python_wanted(path: Path) -> str:
    """The Python that a release of the path would ask for: a bundle's own, else what the folder says, else this one."""
    import sys

    from aweigh.bundle.verify import open_bundle
    from aweigh.errors import AweighError
    from aweigh.targets.doctor.folder import read_folder
    from aweigh.targets.doctor.python_version import python_of
    from aweigh.targets.local.lines import is_bundle

    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not path.exists():
        return here
    if path.suffix == ".py" and path.is_file():
        path = path.parent
    if is_bundle(path):
        try:
            return open_bundle(path).manifest.python
        except AweighError:  # said again, and in full, where the release is made
            return here
    return python_of(read_folder(path), default=here)
