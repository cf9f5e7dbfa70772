"""What comes after a deployment: what runs, its log, back, more or less of it, settings, and the end."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from aweigh.errors import AweighError, RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.targets.live import get
from aweigh.targets.ssh.command import (
    Command,
    change_settings,
    clear_all,
    keep_settings,
    reload_sites,
    restore_settings,
    systemctl,
)
from aweigh.targets.ssh.deploy import setting_names, settle, url_of, version_before, went_live
from aweigh.targets.ssh.environ import check_name, env_lines
from aweigh.targets.ssh.facts import OLDEST_SYSTEMD, read_facts
from aweigh.targets.ssh.going import Going
from aweigh.targets.ssh.install import stop_install
from aweigh.targets.ssh.kept import COMPLETE, Kept, Place, Version
from aweigh.targets.ssh.live import There, active_units, look, read_kept, read_rows
from aweigh.targets.ssh.place import (
    Paths,
    Slot,
    Wish,
    check_wish,
    other,
    port_of,
)
from aweigh.targets.ssh.render import place_of
from aweigh.targets.ssh.runner import Host
from aweigh.targets.ssh.telling import Deployed, Patience, Telling
from aweigh.targets.ssh.units import MIGRATION
from aweigh.targets.target import Status

State = Literal["up", "starting", "down", "crashed"]


def status(host: Host, app: str) -> Status:
    """What runs of an app.

    Raises:
        RemoteError: the host cannot be asked.
    """
    paths = Paths(app)
    there = look(host, paths)
    live, running, place = there.live, there.running, there.place
    if live is None or running is None or place is None or not there.history:
        return Status(name=app, state="absent")
    states = active_units(host, paths)
    now = there.history[-1]
    replicas = {
        kind: sum(states.get(paths.unit(kind, live, number)) == "active" for number in range(count))
        for kind, count in running.replicas.items()
    }
    notes = tuple(
        f"{name} is {state}"
        for name, state in states.items()
        if state in {"failed", "activating"} and f".{live}@" in name
    )
    beside = other(live)
    if any(f".{beside}@" in name and state == "active" for name, state in states.items()):
        notes += (f"slot {beside} runs beside it: a deployment was cut off, and the next one ends it",)
    if running.release != now.release:
        notes += (f"slot {live} runs {running.release}, which the history does not say: deploy once more",)
    return Status(
        name=app,
        state=_state_of(host, place, live, running.replicas.get("web", 0), replicas.get("web", 0), notes),
        url=url_of(place, host),
        release=now.label,
        bundle=now.bundle,
        replicas=replicas,
        notes=notes,
    )


def _state_of(host: Host, place: Place, live: Slot, wanted: int, active: int, notes: Sequence[str]) -> State:
    if wanted == 0:
        return "down"
    if active == 0:
        return "crashed" if notes else "down"
    with host.reached(port_of(place.base, live, 0)) as url:
        reply = get(url, "/health/ready")
    if reply is not None and reply.status in {200, 404}:
        return "up"
    return "starting"


def releases(host: Host, app: str, *, most: int = 15) -> list[Version]:
    """The newest times that something went live, the newest first."""
    return list(reversed(_known(host, app).history))[:most]


def rollback(
    host: Host,
    app: str,
    number: int | None = None,
    *,
    telling: Telling | None = None,
    patience: Patience | None = None,
) -> tuple[Version, Deployed]:
    """Goes back to a release the way one is deployed: beside what runs, checked, then switched to.

    Raises:
        UsageError: there is none to go back to, or the host keeps it no longer.
        RemoteError: it does not come up or agree; what runs is not touched.
    """
    paths = Paths(app)
    _known(host, app)
    with host.locked(paths.lock):
        there = _known(host, app)
        wanted = version_before(there)
        if number is not None:
            wanted = next((one for one in there.history if one.number == number), None)
        hint = f"aweigh releases ssh --app {app} --host {host.address.typed}"
        if wanted is None:
            named = "earlier release" if number is None else f"release v{number}"
            raise UsageError(f"There is no {named}.", hint=hint)
        if host.attempt(Command("look", ("test", "-e", f"{paths.release(wanted.release)}/{COMPLETE}"))).code != 0:
            raise UsageError(f"The host keeps {wanted.label} no longer.", hint="deploy its bundle again")
        going = _going(host, there, wanted.release, telling=telling, patience=patience)
        return wanted, went_live(going, there)


def scale(
    host: Host,
    wish: Wish,
    *,
    telling: Telling | None = None,
    patience: Patience | None = None,
) -> tuple[Place, Deployed | None]:
    """Changes how many replicas there are, and how much memory each may take; with nothing to change, None.

    Raises:
        UsageError: there is no such process type.
        RemoteError: it does not come up so; what runs is not touched.
    """
    check_wish(wish)
    paths = Paths(wish.app)
    there = _known(host, wish.app)
    running, place = there.running, there.place
    if running is None or place is None:
        raise UsageError(f"Nothing runs of {wish.app}.", hint="aweigh deploy ssh PATH")
    unknown = sorted(wish.replicas.keys() - running.replicas.keys() - {MIGRATION})
    if unknown or MIGRATION in wish.replicas:
        raise UsageError(
            f"The app has no process {(unknown or [MIGRATION])[0][:40]!a} to scale.",
            hint=f"it has {', '.join(sorted(running.replicas))}",
        )
    wanted = place_of(wish, place)
    if wanted == place and all(running.replicas[kind] == count for kind, count in wish.replicas.items()):
        return Place(app=place.app, base=place.base, memory=place.memory, replicas=running.replicas), None
    with host.locked(paths.lock):
        there = _known(host, wish.app)
        going = _going(host, there, running.release, place=wanted, telling=telling, patience=patience)
        deployed = went_live(going, there)
    return Place(app=wanted.app, base=wanted.base, memory=wanted.memory, replicas=going.replicas), deployed


def config(host: Host, app: str) -> list[str]:
    """The names of the settings; the host does not tell their values."""
    _known(host, app)
    return sorted(setting_names(host, Paths(app)))


def set_config(
    host: Host,
    app: str,
    changes: Mapping[str, Secret | None],
    *,
    telling: Telling | None = None,
    patience: Patience | None = None,
) -> Deployed | None:
    """Changes settings, and takes the same release live anew with them; None where nothing runs yet.

    Where it does not come up with them, what ran goes on, and the settings are as they were.

    Raises:
        UsageError: a name or a value that cannot be.
        RemoteError: it does not come up so.
    """
    paths = Paths(app)
    for name in changes:
        check_name(name)
    lines = env_lines({name: value for name, value in changes.items() if value is not None})
    _known(host, app)
    with host.locked(paths.lock):
        there = _known(host, app)
        host.run(keep_settings(paths))
        host.run(change_settings(paths, sorted(changes), lines))
        if there.running is None:
            return None
        try:
            going = _going(host, there, there.running.release, telling=telling, patience=patience)
            settle(host, paths, going.kept, telling=going.telling)
            return went_live(going, there, anew=True)
        except (AweighError, KeyboardInterrupt):
            # What runs starts anew by itself when it dies, and with the machine: with what it was proven with.
            if look(host, paths).live == there.live:
                host.run(restore_settings(paths))
            raise


def log(host: Host, app: str, *, lines: int, tail: bool = False, process: str | None = None) -> Iterator[str]:
    """The last lines of the app's log, and with ``tail`` those that come; invitations in them are withheld.

    Raises:
        UsageError: there is no such app.
        RemoteError: the host cannot be asked.
    """
    from aweigh.targets.invitations import discreet

    paths = Paths(app)
    _known(host, app)
    kind = "*" if process is None else f"{process}.*"
    words = ["--unit", f"{paths.prefix}{kind}", "--lines", str(lines), "--no-pager", "--output", "short-iso", "--quiet"]
    command = Command("read the log", ("journalctl", *words, *(["--follow"] if tail else [])))
    for line in host.lines(command):
        yield discreet(line)


def destroy(host: Host, app: str) -> None:
    """Destroys an app: its units, its site, its releases, its settings, its data, its user.

    Raises:
        RemoteError: there is none, or the host refuses.
    """
    paths = Paths(app)
    if host.attempt(Command("look", ("test", "-d", paths.root))).code != 0:
        raise _absent(host, app)
    host.run(Command("make the folder of the lock", ("mkdir", "-p", "-m", "700", f"{paths.root}/shared")))
    with host.locked(paths.lock):
        host.run(Command("take the site away", ("rm", "-f", paths.site)))
        host.attempt(reload_sites())
        host.attempt(stop_install(paths))
        host.run(clear_all(paths), timeout_s=120)
        host.run(Command("take the app away", ("rm", "-rf", paths.state, paths.root)))
        host.attempt(Command("take the app's user away", ("userdel", paths.user)))


def _known(host: Host, app: str) -> There:
    there = look(host, Paths(app))
    if there.place is None and not there.slots and not there.history:
        if host.attempt(Command("look", ("test", "-d", Paths(app).root))).code == 0:
            return there
        raise _absent(host, app)
    return there


def _absent(host: Host, app: str) -> UsageError:
    return UsageError(f"There is no app {app!r} on {host.name}.", hint=f"aweigh deploy ssh PATH --app {app} makes one")


def _going(
    host: Host,
    there: There,
    release: str,
    *,
    place: Place | None = None,
    telling: Telling | None,
    patience: Patience | None,
) -> Going:
    place = place or there.place
    if place is None:
        raise RemoteError("The host does not say what was asked for.", hint="deploy once more")
    paths = Paths(place.app)
    kept: Kept = read_kept(host, paths, release)
    said = host.run(systemctl("say which systemd it is", "--version")).text.split()
    systemd = read_facts(f"systemd {said[1] if len(said) > 1 else ''}").systemd or OLDEST_SYSTEMD
    return Going(
        host, paths, place, kept, release, read_rows(host, paths, release), systemd,
        telling or Telling(), patience or Patience(),
    )  # fmt: skip
