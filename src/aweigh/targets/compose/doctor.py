"""What would go wrong in containers on this machine: its engine, its room, the base, and the release within a limit."""

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aweigh.errors import AweighError
from aweigh.targets.compose.plan import MEMORY, PORT, Wish, check_wish
from aweigh.targets.compose.program import Programs, find_programs, said_anywhere
from aweigh.targets.compose.sizes import memory_bytes
from aweigh.targets.compose.switch import BOOT_S
from aweigh.targets.doctor.diagnosis import Diagnosis, Tell, Wishes
from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.platform import Bound, Platform, Words
from aweigh.targets.doctor.released import FIRST_BYTE_S, IDLE_S, diagnose_release
from aweigh.targets.doctor.run import Limits

LEAST_FREE_BYTES = 3 * 2**30
"""An image of a model with its app takes half a gigabyte, its base 0.15, a database the rest."""
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""What there are official images of."""
WORDS = Words(
    place="a container",
    machine="container",
    set_variable="aweigh config compose --app NAME {}",
    settings="settings (aweigh config compose --secret NAME)",
    disk="the container's disk, which nothing but /tmp of it can be written to, and which is new at every start",
    keep="the database that is there (DATABASE_URL) or a bucket",
    router="many a proxy in between",
    unheard="",
    crashed=": the container is started again and again, and the old release comes back",
    late=": the release counts as not up, and the old one comes back",
    over_quota=" (the kernel ends it)",
    killed=" by the kernel",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody would type for ``aweigh deploy compose``."""

    engine: str | None = None
    memory: str = MEMORY
    port: int = PORT
    base: str | None = None


def diagnose(path: Path, *, asked: Asked, wishes: Wishes, tell: Tell, trust: Path | None = None) -> Diagnosis:
    """Looks at a folder, a script or a bundle, and at this machine; nothing is built, fetched or started in containers.

    Raises:
        UsageError: there is nothing at the path, or a size or port that cannot be.
    """
    check_wish(Wish("doctor", port=asked.port, memory=asked.memory))
    tell("machine", "its engine, its room and the base of the image")
    there = tuple(check_machine(asked, ask=wishes.ask_index, environ=os.environ))
    return diagnose_release(path, platform=platform_of(asked), there=there, wishes=wishes, tell=tell, trust=trust)


def platform_of(asked: Asked) -> Platform:
    """A container of that much memory."""
    most = memory_bytes(asked.memory)
    return Platform(
        target="compose",
        size=f"--memory {asked.memory}",
        limits=Limits(most, most, BOOT_S, FIRST_BYTE_S, IDLE_S),
        words=WORDS,
        pythons=PYTHONS,
        default_python=PYTHONS[-1],
        web_concurrency=1,  # a container has one processor unless --cpus says more
        built=Bound("image"),
        more="deploy it with more than {} MB: --memory",
    )


def check_machine(asked: Asked, *, ask: bool, environ: Mapping[str, str]) -> Iterator[Finding]:
    """This machine; ``ask``: whether the base's registry is asked."""
    try:
        programs = find_programs(asked.engine)
    except AweighError as error:
        yield _failed(error)
    else:
        yield Finding("engine", "pass", f"{programs.kind} runs, {programs.version}, for {programs.platform}")
        yield from _room(programs)
    yield from _memory(asked)
    yield _port(asked.port)
    if ask:
        yield _base(asked, environ)


def _failed(error: AweighError) -> Finding:
    return Finding(error.code, "fail", error.message, error.hint or "")


def _room(programs: Programs) -> Iterator[Finding]:
    form = "{{.DockerRootDir}}" if programs.kind == "docker" else "{{.Store.GraphRoot}}"
    place = next(iter(said_anywhere(programs.engine("info", "--format", form))), "").strip()
    try:
        free = shutil.disk_usage(place).free
    except OSError:  # Docker may run in a machine of its own, or say nothing
        return
    what = f"{free / 2**30:.1f} GB are free in {place}, where containers are kept"
    if free < LEAST_FREE_BYTES:
        yield Finding("disk_room", "warn", what, f"make room: {programs.kind} system prune")
    else:
        yield Finding("disk_room", "pass", what)


def _memory(asked: Asked) -> Iterator[Finding]:
    here = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wanted = memory_bytes(asked.memory)
    if wanted > here:
        what = f"--memory {asked.memory} is more than this machine has ({here / 2**20:,.0f} MB)"
        yield Finding("machine_memory", "fail", what, "say less, or take a larger machine")


def _port(port: int) -> Finding:
    with socket.socket() as sock:
        sock.settimeout(1.0)
        taken = sock.connect_ex(("127.0.0.1", port)) == 0
    if taken:
        what = f"something answers at port {port} of this machine already"
        return Finding("port", "warn", what, "another --port, unless that is the app itself")
    return Finding("port", "pass", f"port {port} is free")


def _base(asked: Asked, environ: Mapping[str, str]) -> Finding:
    """Whether what the image would be built on can be had; of a release's own Python this is asked at the build."""
    from aweigh.oci.client import open_registry
    from aweigh.oci.reference import parse_reference
    from aweigh.targets.image.base import USUAL

    named = asked.base or USUAL.format(python=PYTHONS[-1])
    try:
        reference = parse_reference(named)
        with open_registry(reference.host, environ=environ) as registry:
            digest = registry.pull_manifest(reference.repository, reference.wanted).digest
    except AweighError as error:
        fix = error.hint or ""
        return Finding("base", "fail", f"the base cannot be had: {error.message}", fix or "name another: --base")
    return Finding("base", "pass", f"{reference} can be had ({digest[:19]})")
