"""What runs of an app on a host, read back from the host in one go."""

from dataclasses import dataclass

import msgspec

from aweigh.targets.live import Golden
from aweigh.targets.ssh.command import Command, shell
from aweigh.targets.ssh.kept import (
    GOLDEN,
    RELEASE,
    InSlot,
    Kept,
    Place,
    Version,
    decoded,
    read_golden,
    read_history,
)
from aweigh.targets.ssh.place import SLOTS, Paths, Slot, marker_name, marker_order
from aweigh.targets.ssh.runner import Host

_LOOK = (
    'for f in "$1" "$2" "$3" "$4"; do if [ -f "$f" ]; then tr -d "\\n" < "$f"; fi; echo; done; '
    'ls "$5" 2>/dev/null | tr "\\n" " "; echo; if [ -f "$6" ]; then tail -n 1000 "$6"; fi'
)


@dataclass(frozen=True, slots=True)
class There:
    """What is on the host: ``place`` is None where the app is not, ``live`` where nothing of it went live yet."""

    place: Place | None
    slots: dict[Slot, InSlot]
    site: str
    marked: Slot | None
    history: tuple[Version, ...]

    @property
    def live(self) -> Slot | None:
        """The slot that Caddy asks."""
        return self.marked if self.marked in self.slots else None

    @property
    def running(self) -> InSlot | None:
        """What is in it."""
        return None if self.live is None else self.slots[self.live]


def look(host: Host, paths: Paths) -> There:
    """Reads what is there.

    Raises:
        RemoteError: it cannot be read.
    """
    command = shell(
        "say what runs there", _LOOK,
        paths.place, paths.slot("a"), paths.slot("b"), paths.site, paths.live, paths.history,
    )  # fmt: skip
    lines = host.run(command).text.splitlines()
    place, a, b, site, marks, *history = [*lines, "", "", "", "", ""][: max(5, len(lines))]
    marked = next((slot for slot, web in marker_order() if marker_name(slot, web) in marks.split()), None)
    slots: dict[Slot, InSlot] = {
        slot: decoded(text, InSlot, what=f"what slot {slot} runs")
        for slot, text in zip(SLOTS, (a, b), strict=True)
        if text
    }
    return There(
        decoded(place, Place, what="what was asked for") if place else None,
        slots,
        site,
        marked,
        tuple(read_history("\n".join(history))),
    )


def read_kept(host: Host, paths: Paths, release: str) -> Kept:
    """What the host keeps of a release.

    Raises:
        RemoteError: it is there no more, or not as it was.
    """
    done = host.run(Command("read the release", ("cat", f"{paths.release(release)}/{RELEASE}")))
    return decoded(done.out, Kept, what=f"the release {release}")


def read_rows(host: Host, paths: Paths, release: str) -> Golden | None:
    """The golden rows of a release on the host; None: it serves no bundle."""
    done = host.attempt(Command("read the golden rows", ("cat", f"{paths.release(release)}/{GOLDEN}")))
    return read_golden(done.out) if done.code == 0 else None


class _Unit(msgspec.Struct, frozen=True):
    """A line of ``systemctl list-units --output=json``."""

    unit: str
    active: str
    sub: str = ""


def active_units(host: Host, paths: Paths) -> dict[str, str]:
    """The state of each unit of the app that systemd knows (active, failed, activating ...)."""
    done = host.run(
        Command(
            "say which units run",
            ("systemctl", "list-units", "--all", "--full", "--output=json", f"{paths.prefix}*"),
        )
    )
    try:
        found = msgspec.json.decode(done.out or b"[]", type=list[_Unit])
    except msgspec.DecodeError:
        return {}
    return {one.unit: one.active for one in found}
