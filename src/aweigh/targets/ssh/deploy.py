"""From a release to a live, checked app on a server; a run that was cut off anywhere is gone on with by the next."""

import re
import time

from aweigh.errors import UsageError
from aweigh.secret import Secret
from aweigh.targets.release import Release
from aweigh.targets.ssh.command import SETTINGS, Command, make_up, set_up, shell
from aweigh.targets.ssh.facts import Facts, ask
from aweigh.targets.ssh.install import KEPT_RELEASES, install, prune
from aweigh.targets.ssh.kept import Kept, Place, Version
from aweigh.targets.ssh.live import There, look
from aweigh.targets.ssh.place import BLOCK, FIRST_PORT, MOST_BLOCKS, ROOT, Paths, Slot, Wish, check_wish
from aweigh.targets.ssh.render import packed_of, place_of, secrets_of
from aweigh.targets.ssh.runner import Host
from aweigh.targets.ssh.switch import Going, go_live
from aweigh.targets.ssh.telling import Deployed, Patience, Telling

_PORTS = (
    'ls -d "$1"/*/shared/place.json 2>/dev/null | while read -r f; do '
    'sed -n \'s/.*"base": *\\([0-9]*\\).*/\\1/p\' "$f"; done; '
    "sed -n 's/^ *[0-9]*: [0-9A-F]*:\\([0-9A-F]*\\) [0-9A-F:]* 0A .*/0x\\1/p' /proc/net/tcp /proc/net/tcp6 2>/dev/null"
)


def deploy(
    host: Host,
    release: Release,
    wish: Wish,
    *,
    telling: Telling | None = None,
    patience: Patience | None = None,
) -> Deployed:
    """Takes a release live beside what runs, and checks it before anybody is sent there.

    Raises:
        UsageError: something is asked for that cannot be.
        RemoteError: the host lacks something, refuses or fails, or the app does not come up or agree.
    """
    telling, patience = telling or Telling(), patience or Patience()
    check_wish(wish)
    paths = Paths(wish.app)
    kept, packed, golden = packed_of(release)
    started = time.monotonic()
    facts = ask(host, python=release.python, folder=paths.root, named=wish.python)
    for command in set_up(paths):
        host.run(command)
    telling.line("host", _told_host(host, facts), time.monotonic() - started)
    with host.locked(paths.lock):
        there = look(host, paths)
        place = place_of(wish, there.place, base=there.place.base if there.place else free_base(host))
        settle(host, paths, kept, telling=telling)
        install(host, release, packed, paths=paths, facts=facts, telling=telling)
        going = Going(host, paths, place, kept, packed.digest, golden, facts.systemd, telling, patience)
        return went_live(going, there)


def went_live(going: Going, there: There, *, anew: bool = False) -> Deployed:
    """Takes it live, clears old releases away, and says what came of it.

    Raises:
        RemoteError: as of ``go_live``.
    """
    host, paths = going.host, going.paths
    went = go_live(going, there, anew=anew)
    now = look(host, paths)
    host.run(prune(paths, kept_releases(now)))
    url = url_of(going.place, host)
    notes = [] if going.place.domain is not None else [
        "people's passwords and data travel unencrypted to it: give it a name with --domain"
    ]  # fmt: skip
    return Deployed(
        app=going.place.app,
        url=url,
        version=now.history[-1].label,
        release=going.release,
        bundle=going.kept.bundle,
        slot=went.slot,
        changed=went.changed,
        golden_rows=went.golden_rows,
        notes=tuple(notes),
        invite=_first_invitation(going, went.slot),
    )


def _told_host(host: Host, facts: Facts) -> str:
    return f"{host.name}: systemd {facts.systemd}, Caddy {facts.caddy}, {facts.free_bytes / 10**9:.1f} GB free"


def settle(host: Host, paths: Paths, kept: Kept, *, telling: Telling) -> None:
    """Makes up the secrets that are missing, and sees that what the release needs is named.

    Raises:
        UsageError: it shares through a Redis, and none is named.
    """
    started = time.monotonic()
    before = setting_names(host, paths)
    names = secrets_of(kept)
    for command in make_up(paths, names):
        host.run(command)
    if "redis" in kept.stores and not {"REDIS_URL", "REDIS_URL_FILE"} & before:
        raise UsageError(
            "The release shares answers and sessions through a Redis, and none is named on the host.",
            hint=f"aweigh config ssh --app {paths.app} --host {host.address.typed} --secret REDIS_URL",
        )
    made = [name for name in names if name not in before]
    database = (
        "PostgreSQL (DATABASE_URL)" if {"DATABASE_URL", "DATABASE_URL_FILE"} & before else f"SQLite in {paths.state}"
    )
    told = f"made up there: {', '.join(made)}; " if made else ""
    kept_in = f"data in {database}" if kept.stores or kept.is_ours else "as it is"
    telling.line("settings", f"{told}{kept_in}", time.monotonic() - started)


def setting_names(host: Host, paths: Paths) -> set[str]:
    """The names of the settings in the host's file; their values stay there."""
    return set(host.run(shell("read the settings' names", SETTINGS, paths.env)).text.split())


def free_base(host: Host) -> int:
    """The first block of ports that no app has and nobody listens on.

    Raises:
        UsageError: there is none.
    """
    said = host.run(shell("say which ports are taken", _PORTS, ROOT)).text.split()
    ports = [int(one, 0) for one in said if re.fullmatch(r"[1-9][0-9]{0,4}|0x[0-9A-F]{1,4}", one)]
    taken = {(port - FIRST_PORT) // BLOCK for port in ports}
    free = next((block for block in range(MOST_BLOCKS) if block not in taken), None)
    if free is None:
        raise UsageError("The host has no ports left for another app.", hint="destroy one, or take another host")
    return FIRST_PORT + BLOCK * free


def kept_releases(there: There) -> list[str]:
    """The releases that stay on the host: those that run, and the last few that did."""
    recent = list(dict.fromkeys(one.release for one in reversed(there.history)))[:KEPT_RELEASES]
    return list(dict.fromkeys([*recent, *(one.release for one in there.slots.values())]))


def url_of(place: Place, host: Host) -> str:
    """The app's address."""
    if place.domain is not None:
        return f"https://{place.domain}"
    name = host.address.host
    return f"http://{f'[{name}]' if ':' in name else name}:{place.port}"


def _first_invitation(going: Going, slot: Slot) -> Secret | None:
    """The path of the invitation that the new release printed, if it still opens."""
    from aweigh.targets.heroku.deploy import first_invitation
    from aweigh.targets.ssh.place import port_of

    if not going.replicas.get("web") or not going.kept.is_ours or "--auth none" in going.kept.processes["web"]:
        return None
    pattern = f"{going.paths.prefix}web.*"
    done = going.host.attempt(
        Command("read the log", ("journalctl", "--unit", pattern, "-n", "400", "--no-pager", "-o", "cat"))
    )
    with going.host.reached(port_of(going.place.base, slot, 0)) as url:
        return first_invitation(url, done.text.splitlines())


def version_before(there: There) -> Version | None:
    """The last that ran something else than what runs now."""
    now = there.history[-1] if there.history else None
    return next((one for one in reversed(there.history) if now is not None and one.release != now.release), None)
