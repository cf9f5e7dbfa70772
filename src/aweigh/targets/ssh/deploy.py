"""From a release to a live, checked app on a server; a run that was cut off anywhere is gone on with by the next."""

import re
import time

from aweigh.errors import RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.targets.errors import AGAIN
from aweigh.targets.release import Release
from aweigh.targets.ssh.command import SETTINGS, Command, make_up, set_up, shell
from aweigh.targets.ssh.facts import Facts, ask, ask_all
from aweigh.targets.ssh.front import check_address, unreached
from aweigh.targets.ssh.going import Going
from aweigh.targets.ssh.install import KEPT_RELEASES, install, prune
from aweigh.targets.ssh.kept import Kept, Place, Version
from aweigh.targets.ssh.live import There, look
from aweigh.targets.ssh.place import BLOCK, FIRST_PORT, MOST_BLOCKS, ROOT, Paths, Slot, Wish, check_wish, port_of
from aweigh.targets.ssh.render import packed_of, place_of, secrets_of
from aweigh.targets.ssh.runner import Host
from aweigh.targets.ssh.site import render_site
from aweigh.targets.ssh.switch import go_live
from aweigh.targets.ssh.telling import Deployed, Patience, Telling
from aweigh.targets.ssh.units import is_base

_PORTS = (
    'cat "$1"/*/shared/base 2>/dev/null; '
    'ls -d "$1"/*/shared/place.json 2>/dev/null | while read -r f; do '
    'sed -n \'s/.*"base": *\\([0-9]*\\).*/\\1/p\' "$f"; done; '
    "sed -n 's/^ *[0-9]*: [0-9A-F]*:\\([0-9A-F]*\\) [0-9A-F:]* 0A .*/0x\\1/p' /proc/net/tcp /proc/net/tcp6 2>/dev/null"
)


_LISTENERS = (
    "sed -n 's/^ *[0-9]*: \\([0-9A-F]*\\):\\([0-9A-F]*\\) [0-9A-F:]* 0A .*/\\1 \\2/p' "
    "/proc/net/tcp /proc/net/tcp6 2>/dev/null"
)
_LOOPBACK = re.compile(r"[0-9A-F]{6}7F|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F")
"""As the kernel of a little-endian machine writes 127.x.y.z, ::1 and ::ffff:127.x.y.z."""
_CLAIM = (
    'umask 077; exec 9> "$1/.ports" && flock 9 && if [ -s "$2" ]; then cat "$2"; '
    'elif cat "$1"/*/shared/base 2>/dev/null | grep -qxF "$3"; then echo taken; '
    'else echo "$3" > "$2.new" && mv -fT "$2.new" "$2" && cat "$2"; fi'
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
        place = place_of(wish, there.place, base=there.place.base if there.place else own_base(host, paths))
        _check_site(host, there, place)
        settle(host, paths, kept, telling=telling)
        install(host, release, packed, paths=paths, facts=facts, telling=telling)
        going = Going(host, paths, place, kept, packed.digest, golden, facts.systemd, telling, patience)
        return went_live(going, there)


def lacking(host: Host, release: Release, wish: Wish) -> tuple[Facts, list[RemoteError]]:
    """What the host is, and all that is amiss there; nothing is changed.

    Raises:
        RemoteError: it cannot be asked.
    """
    paths = Paths(wish.app)
    facts, wrong = ask_all(host, python=release.python, folder=paths.root, named=wish.python)
    if not wrong:
        try:
            there = look(host, paths)
            _check_site(host, there, place_of(wish, there.place, base=FIRST_PORT))
        except RemoteError as error:
            wrong.append(error)
    return facts, wrong


def _check_site(host: Host, there: There, place: Place) -> None:
    if there.site != render_site(place).decode().replace("\n", ""):
        check_address(host, place)


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
    far = unreached(going)
    notes = [] if far is None else [far]
    if going.place.domain is None:
        sent = "what people send travels" if going.kept.is_public else "people's passwords and data travel"
        notes.append(f"{sent} unencrypted to it: give it a name with --domain")
    if going.replicas.get("web") and is_open(host, port_of(going.place.base, went.slot, 0)):
        notes.append("its replicas answer at every address of the host, past Caddy: let them listen on 127.0.0.1 alone")
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


def own_base(host: Host, paths: Paths) -> int:
    """The first of the app's ports; two that are deployed for the first time at once do not get the same.

    Raises:
        UsageError: there are none left.
    """
    for _ in range(5):
        base = free_base(host)
        said = host.run(shell("take ports for the app", _CLAIM, ROOT, paths.base, str(base))).text.strip()
        if re.fullmatch(r"[1-9][0-9]{4}", said) and is_base(int(said)):
            return int(said)
    raise RemoteError("Others take the host's ports just now.", hint=AGAIN)


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


def is_open(host: Host, port: int) -> bool:
    """Whether anybody who reaches the host reaches what listens on that port of it."""
    said = host.attempt(shell("say who listens", _LISTENERS)).text.splitlines()
    listeners = [one.split() for one in said]
    return any(len(one) == 2 and one[1] == f"{port:04X}" and _LOOPBACK.fullmatch(one[0]) is None for one in listeners)


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
    from aweigh.targets.invitations import first_invitation

    if not going.replicas.get("web") or not going.kept.is_ours or going.kept.is_public:
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
