"""A release into the free slot, checked there, and then people: what runs is not touched before.

The order is what makes it safe to be cut off anywhere. Units of the free slot are written and started; each replica
must get ready and answer the golden rows; then one file's being there or not sends Caddy's next request to the new
slot. What comes after that (workers, units that start with the machine, the end of the old slot, the history) only
follows from where the marker points, and is done again, to the same end, by the next run.
"""

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aweigh.errors import RemoteError
from aweigh.guard.deploy_key import VARIABLE
from aweigh.secret import Secret
from aweigh.targets.live import SELF_REFUSED, Golden, get, has_refused_itself, replay
from aweigh.targets.ssh.command import (
    Command,
    check_sites,
    clear_slot,
    import_sites,
    point,
    point_current,
    record,
    reload_sites,
    systemctl,
    taken_site,
    unmark,
    write,
)
from aweigh.targets.ssh.errors import AGAIN, AnswersDiffer, NotUp, quoted
from aweigh.targets.ssh.kept import InSlot, Kept, Place, encoded
from aweigh.targets.ssh.live import There, active_units
from aweigh.targets.ssh.place import UNITS, Paths, Slot, other, port_of
from aweigh.targets.ssh.runner import Host
from aweigh.targets.ssh.site import render_site
from aweigh.targets.ssh.telling import Patience, Telling
from aweigh.targets.ssh.units import MIGRATION, render_units, replicas_of

KEY = (
    "import os, sys; from aweigh.guard.deploy_key import new_key; from aweigh.secret import Secret; "
    "sys.stdout.write(new_key(Secret(os.environ['AWEIGH_DEPLOY_SECRET'])).reveal())"
)
"""Run on the host, so that the secret stays there: what comes back is a key that ends in ten minutes."""
LOG_LINES = 40
STOP_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Going:
    """What every step needs."""

    host: Host
    paths: Paths
    place: Place
    kept: Kept
    release: str
    golden: Golden | None
    systemd: int
    telling: Telling
    patience: Patience

    @property
    def replicas(self) -> dict[str, int]:
        """How many of each process there are to be."""
        return replicas_of(self.kept, self.place)


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
        rows = _proven(going, slot)
        _finish(going, slot)
        return Went(slot, False, rows)
    started = time.monotonic()
    going.host.run(unmark(going.paths, slot))
    going.host.run(clear_slot(going.paths, slot))
    try:
        _fill(going, slot)
        going.telling.line(
            "start", f"slot {slot}: {_counted(going.replicas)}, beside what runs", time.monotonic() - started
        )
        rows = _proven(going, slot)
        _ready_site(going, there)
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
        _check_front(going)
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
        done = host.attempt(systemctl("run the migration", "start", paths.migration(slot)))
        if done.code != 0:
            raise NotUp(f"The migration failed: {_last_words(going, paths.migration(slot))}.", hint=AGAIN)
        going.telling.line("migrate", "done", time.monotonic() - started)
    names = [paths.unit("web", slot, number) for number in range(going.replicas.get("web", 0))]
    if names:
        host.attempt(systemctl("start the app", "start", *names))


def _proven(going: Going, slot: Slot) -> int:
    """Waits until each replica is ready, and asks each the golden rows; how many rows agreed.

    Raises:
        NotUp: one does not come up.
        AnswersDiffer: one answers differently.
    """
    started = time.monotonic()
    count = going.replicas.get("web", 0)
    if count == 0:
        going.telling.line("ready", "no web replica is wanted: nothing to check", 0.0)
        return 0
    rows = 0
    for number in range(count):
        with going.host.reached(port_of(going.place.base, slot, number)) as url:
            _wait_until_ready(going, going.paths.unit("web", slot, number), url)
            rows += _replayed(going, url)
    told = f"{rows // count} golden rows agree with the original" if rows else "it answers"
    going.telling.line("answers", f"slot {slot}: {told}", time.monotonic() - started)
    return rows // count


def _wait_until_ready(going: Going, unit: str, url: str) -> None:
    path = "/health/ready" if going.kept.is_ours else "/"
    until = time.monotonic() + going.patience.ready_s
    looked = time.monotonic()
    while True:
        reply = get(url, path)
        if reply is not None and (reply.status == 200 or (not going.kept.is_ours and reply.status < 500)):
            return
        if reply is not None and has_refused_itself(reply):
            raise AnswersDiffer(SELF_REFUSED[0], hint=SELF_REFUSED[1])
        now = time.monotonic()
        if now > until:
            raise NotUp(
                f"The new release does not get ready within {going.patience.ready_s:.0f} s: "
                f"{_last_words(going, unit)}.",
                hint=f"aweigh logs ssh --app {going.place.app} says more",
            )
        if now - looked > 2:
            looked = now
            _check_restarts(going, unit)
        time.sleep(going.patience.poll_s)


def _check_restarts(going: Going, unit: str) -> None:
    """Gives up on what has died three times.

    Raises:
        NotUp: it has.
    """
    done = going.host.attempt(systemctl("look at the app", "show", "--property=NRestarts,Result", unit))
    said = dict(line.split("=", 1) for line in done.text.splitlines() if "=" in line)
    if said.get("NRestarts", "0").isdigit() and int(said.get("NRestarts", "0")) >= 3:
        why = "it took more memory than it may (--memory)" if said.get("Result") == "oom-kill" else ""
        raise NotUp(
            f"The new release does not come up: {why or _last_words(going, unit)}.",
            hint=f"aweigh logs ssh --app {going.place.app} says more",
        )


def _replayed(going: Going, url: str) -> int:
    if going.golden is None or not going.kept.is_ours:
        return 0
    key = _key(going)
    try:
        found = replay(url, going.golden, secret=None, key=key)
    except RemoteError as error:
        raise AnswersDiffer(error.message, hint=error.hint) from error
    if not found.ok:
        more = len(found.problems) - 1
        raise AnswersDiffer(
            f"The new release answers differently: {found.problems[0]}{f' (and {more} more)' if more else ''}.",
            hint="aweigh verify checks the bundle; deploy it from the machine that packed it",
        )
    return found.rows - found.skipped


def _key(going: Going) -> Secret | None:
    """A key of ten minutes, made on the host of the secret there; None where nobody is asked to sign in."""
    if "--auth none" in going.kept.processes.get("web", ""):
        return None
    paths = going.paths
    argv = (
        "systemd-run", "--quiet", "--wait", "--collect", "--pipe", f"--property=User={paths.user}",
        f"--property=EnvironmentFile={paths.env}", "--property=ProtectSystem=strict",
        f"--working-directory={paths.release(going.release)}", "--",
        f"{paths.release(going.release)}/venv/bin/python", "-P", "-c", KEY,
    )  # fmt: skip
    done = going.host.run(Command(f"make a key of {VARIABLE}", argv))
    key = done.text.strip()
    if re.fullmatch(r"aw_deploy_[0-9]{10,11}_[0-9a-f]{64}", key) is None:
        raise RemoteError(f"What the host made of {VARIABLE} is no key.", hint=AGAIN)
    return Secret(key)


def _last_words(going: Going, unit: str) -> str:
    from aweigh.targets.invitations import discreet

    done = going.host.attempt(
        Command(
            "read the log", ("journalctl", f"_SYSTEMD_UNIT={unit}", "-n", str(LOG_LINES), "--no-pager", "-o", "cat")
        )
    )
    return discreet(quoted(done.text)) or "its log says nothing"


def _ready_site(going: Going, there: There) -> None:
    """Has Caddy know the app, and reloads it only where its name or port is new."""
    content = render_site(going.place)
    if there.site == content.decode().replace("\n", ""):
        return
    started = time.monotonic()
    host, paths = going.host, going.paths
    before = host.run(Command("read the site", ("sh", "-c", 'if [ -f "$1" ]; then cat "$1"; fi', "sh", paths.site))).out
    host.run(import_sites())
    host.run(Command("forget the site that Caddy took", ("rm", "-f", paths.taken)))
    host.run(write(paths.site, content))
    done = host.attempt(check_sites())
    if done.code == 0:
        done = host.attempt(reload_sites())
    if done.code != 0:
        host.run(write(paths.site, before) if before else Command("take the site away", ("rm", "-f", paths.site)))
        host.attempt(reload_sites())
        raise RemoteError(
            f"Caddy does not take the site: {quoted(done.err)}.",
            hint="does another site of that host have the same name or port? see its Caddyfile",
        )
    host.run(taken_site(paths))
    told = going.place.domain or f"port {going.place.port}"
    going.telling.line("caddy", f"knows the app by {told}", time.monotonic() - started)


def _check_front(going: Going) -> None:
    """Whether Caddy passes on to what is live. With a domain that is seen from outside only, and told, not asked."""
    if going.place.domain is not None or going.replicas.get("web", 0) == 0 or not going.kept.is_ours:
        return
    until = time.monotonic() + 15
    with going.host.reached(going.place.port) as url:
        while True:
            reply = get(url, "/health/ready")
            if reply is not None and reply.status == 200:
                return
            if time.monotonic() > until:
                said = "nothing" if reply is None else f"the status {reply.status}"
                raise NotUp(f"Caddy answers {said} for the new release.", hint="journalctl -u caddy there says why")
            time.sleep(going.patience.poll_s)


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
    states = active_units(host, paths)
    old = other(slot)
    left = [name for name, state in states.items() if f".{old}@" in name and state != "inactive"]
    if left:
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
