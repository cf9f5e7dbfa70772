"""A release into the free slot, checked there, and then people: what runs is not touched before.

The order is what makes it safe to be cut off anywhere. Units of the free slot are written and started; each replica
must get ready and answer the golden rows; then one file's being there or not sends Caddy's next request to the new
slot. What comes after that (workers, units that start with the machine, the end of the old slot, the history) only
follows from where the marker points, and is done again, to the same end, by the next run.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aweigh.errors import RemoteError
from aweigh.targets.errors import AGAIN, NotUp
from aweigh.targets.ssh.command import (
    clear_slot,
    keep_durably,
    point,
    point_current,
    record,
    systemctl,
    unmark,
    write,
)
from aweigh.targets.ssh.front import check_front, ready_site
from aweigh.targets.ssh.going import Going
from aweigh.targets.ssh.kept import InSlot, encoded
from aweigh.targets.ssh.live import There, active_units
from aweigh.targets.ssh.place import UNITS, Slot, other
from aweigh.targets.ssh.proof import last_words, proven
from aweigh.targets.ssh.units import MIGRATION, render_units

STOP_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Went:
    """What came of it: the slot that is live, whether that is new, and how many golden rows agreed."""

    slot: Slot
    changed: bool
    golden_rows: int


def go_live(going: Going, there: There, *, anew: bool = False) -> Went:
    """Takes the release live; with ``anew`` also where it runs already (its settings changed).

    Raises:
        RemoteError: it does not come up, does not agree, or the host refuses; what ran before runs on.
    """
    slot: Slot = "a" if there.live is None else other(there.live)
    if not anew and there.live is not None and _is_as_wished(going, there):
        slot = there.live
        rows = proven(going, slot)
        _finish(going, slot)
        return Went(slot, False, rows)
    started = time.monotonic()
    going.host.run(unmark(going.paths, slot))
    going.host.run(clear_slot(going.paths, slot))
    try:
        _fill(going, slot)
        going.telling.line(
            "start",
            f"slot {slot}: {_counted(going.replicas)}{'' if there.live is None else ', beside what runs'}",
            time.monotonic() - started,
        )
        rows = proven(going, slot)
        ready_site(going, there)
        # Before people are sent there: a machine that starts anew must have what the marker names.
        _enable(going, [name for name in _names(going, slot) if name.startswith(f"{going.paths.prefix}web.")])
    except RemoteError as error:
        raise _cleared(going, slot, there, error) from error
    except KeyboardInterrupt:
        with suppress(RemoteError):
            going.host.run(clear_slot(going.paths, slot))
        raise
    started = time.monotonic()
    going.host.run(point(going.paths, slot, going.replicas.get("web", 0)))
    try:
        check_front(going)
    except RemoteError as error:
        if there.live is not None:
            going.host.run(point(going.paths, there.live, there.web))
        else:
            going.host.run(unmark(going.paths, slot))
        raise _cleared(going, slot, there, error) from error
    going.telling.line("switch", f"Caddy asks slot {slot}; no connection was closed", time.monotonic() - started)
    _finish(going, slot, always=True)
    return Went(slot, True, rows)


def _counted(replicas: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in replicas.items())


def _units(going: Going, slot: Slot) -> dict[str, bytes]:
    return render_units(going.kept, going.place, release=going.release, slot=slot, systemd=going.systemd)


def _digest(units: Mapping[str, bytes]) -> str:
    return hashlib.sha256(b"".join(name.encode() + b"\0" + units[name] for name in sorted(units))).hexdigest()


def _is_as_wished(going: Going, there: There) -> bool:
    """Whether what is live is this release, so set, and runs."""
    live, running = there.live, there.running
    if live is None or running is None or there.place != going.place:
        return False
    wanted = InSlot(going.release, going.replicas, _digest(_units(going, live)))
    if running != wanted:
        return False
    states = active_units(going.host, going.paths)
    names = [going.paths.unit("web", live, number) for number in range(running.replicas.get("web", 0))]
    return all(states.get(name) == "active" for name in names)


def _fill(going: Going, slot: Slot) -> None:
    """Writes the slot's units, runs the migration, starts what answers."""
    host, paths = going.host, going.paths
    units = _units(going, slot)
    for name, content in units.items():
        host.run(write(f"{UNITS}/{name}", content))
    host.run(write(paths.slot(slot), encoded(InSlot(going.release, going.replicas, _digest(units)))))
    host.run(systemctl("read the units", "daemon-reload"))
    if MIGRATION in going.kept.processes:
        started = time.monotonic()
        with going.telling.doing("migrate"):
            done = host.attempt(systemctl("run the migration", "start", paths.migration(slot)))
        if done.code != 0:
            raise NotUp(f"The migration failed: {last_words(going, paths.migration(slot))}.", hint=AGAIN)
        going.telling.line("migrate", "done", time.monotonic() - started)
    names = [paths.unit("web", slot, number) for number in range(going.replicas.get("web", 0))]
    if names:
        host.attempt(systemctl("start the app", "start", *names))


def _names(going: Going, slot: Slot) -> list[str]:
    kinds = going.replicas.items()
    return [going.paths.unit(kind, slot, number) for kind, count in kinds for number in range(count)]


def _enable(going: Going, names: Sequence[str]) -> None:
    if names:
        going.host.run(systemctl("have the app start with the machine", "enable", "--quiet", *names))


def _finish(going: Going, slot: Slot, *, always: bool = False) -> None:
    """What follows from the marker: workers, what starts with the machine, the end of the old slot, the history."""
    host, paths = going.host, going.paths
    started = time.monotonic()
    names = _names(going, slot)
    if names:
        host.run(systemctl("start the app", "start", *names))
    _enable(going, names)
    host.run(write(paths.place, encoded(going.place)))
    host.run(record(paths, going.release, going.kept.bundle, always=always))
    host.run(point_current(paths, going.release))
    host.run(keep_durably(paths))
    states = active_units(host, paths)
    old = other(slot)
    left = [name for name, state in states.items() if f".{old}@" in name and state != "inactive"]
    if left:
        with going.telling.doing("drain"):
            host.run(clear_slot(paths, old), timeout_s=STOP_WAIT_S * 2)
        going.telling.line(
            "drain", f"slot {old} finished what was under way, and is stopped", time.monotonic() - started
        )


def _cleared(going: Going, slot: Slot, there: There, error: RemoteError) -> RemoteError:
    """Takes the failed release out of its slot; the error, which says what runs."""
    try:
        going.host.run(clear_slot(going.paths, slot))
        running = there.running
        before = "What ran before" if running is None else running.release
        done = "Nothing ran before it." if there.live is None else f"{before} runs on, untouched."
    except RemoteError as failed:
        done = f"It could not be cleared away: {failed.message}"
    ended = "" if error.message.endswith((".", "!", "?")) else "."
    return type(error)(f"{error.message}{ended} {done}", hint=error.hint)
