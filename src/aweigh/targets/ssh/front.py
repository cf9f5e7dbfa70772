"""Caddy, which stands before an app: its site is taken, its ports are free, and people reach it by its name."""

import socket
import ssl
import time

from aweigh.errors import RemoteError
from aweigh.targets.errors import NotUp
from aweigh.targets.live import get
from aweigh.targets.ssh.command import (
    Command,
    check_sites,
    import_sites,
    reload_sites,
    shell,
    shut_administration,
    taken_site,
    write,
)
from aweigh.targets.ssh.errors import HostUnfit, quoted
from aweigh.targets.ssh.going import Going
from aweigh.targets.ssh.kept import Place
from aweigh.targets.ssh.live import There
from aweigh.targets.ssh.place import ADMIN_SOCKET, SITES, Paths
from aweigh.targets.ssh.runner import Host
from aweigh.targets.ssh.site import address_of, render_site

CONNECT_S = 10.0
CERTIFICATE_S = 30.0
"""How long a first certificate is waited for."""
_AROUND = (
    'for f in "$1"/*.caddy; do [ ! -f "$f" ] || printf "site %s %s\\n" "${f##*/}" "$(grep -m1 " {$" "$f")"; done; '
    "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local _ state _ _ _ _ _ inode _; do "
    '[ "$state" != 0A ] || echo "listens ${local##*:} $inode"; done; '
    'ls -l "/proc/$(systemctl show -P MainPID caddy)/fd" 2>/dev/null | '
    "sed -n 's/.*socket:.\\([0-9]*\\).*/caddy \\1/p'"
)
"""Each app's site and its address, each socket that listens, and which sockets are Caddy's."""


def check_address(host: Host, place: Place) -> None:
    """Passes when Caddy can listen where the app is to be, and no other app is there. Asked before anything is made.

    Raises:
        HostUnfit: somebody else is there.
    """
    own = Paths(place.app).site.rpartition("/")[2]
    said = [one.split() for one in host.attempt(shell("say who is at that address", _AROUND, SITES)).text.splitlines()]
    address = address_of(place)
    for name in (one[1] for one in said if len(one) == 4 and one[0] == "site" and one[2] == address and one[1] != own):
        raise _is_an_apps(host, place, name.removesuffix(".caddy")[:40])
    caddys = {one[1] for one in said if len(one) == 2 and one[0] == "caddy"}
    strangers = {one[1] for one in said if len(one) == 3 and one[0] == "listens" and one[2] not in caddys}
    for port in (80, 443) if place.domain is not None else (place.port,):
        if f"{port:04X}" in strangers:
            away = "let it go to another port" if place.domain is not None else "give the app another --port"
            raise HostUnfit(
                f"Another program than Caddy listens at port {port} of {host.name}.",
                hint=f"ss -ltnp 'sport = {port}' there says which: stop it, or {away}",
            )


def _is_an_apps(host: Host, place: Place, other: str) -> HostUnfit:
    if place.domain is not None:
        return HostUnfit(f"{place.domain} is the app {other}'s on {host.name}.", hint="give this one another --domain")
    return HostUnfit(
        f"Port {place.port} of {host.name} is the app {other}'s.",
        hint=f"give this one another, as --port {place.port + 1}, or a name of its own: --domain",
    )


def ready_site(going: Going, there: There) -> None:
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
    if host.attempt(shut_administration()).text.strip() == "shut":
        going.telling.line("caddy", f"is administered at {ADMIN_SOCKET}, which is root's and its own", 0.0)
    told = going.place.domain or f"port {going.place.port}"
    going.telling.line("caddy", f"knows the app by {told}", time.monotonic() - started)


def check_front(going: Going) -> None:
    """Passes when Caddy passes on to what is live. With a domain that is seen from outside only: ``unreached`` tells.

    Raises:
        NotUp: it does not.
    """
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


def unreached(going: Going, *, patience_s: float = CERTIFICATE_S) -> str | None:
    """Why the app is not reached by its name from this machine, as a note; None: it is, or it has no name.

    A certificate that is being asked for is waited for; a name that is not known, or leads elsewhere, is not.
    """
    domain = going.place.domain
    if domain is None or going.replicas.get("web", 0) == 0:
        return None
    with going.telling.doing("address"):
        until = time.monotonic() + patience_s
        while True:
            why, may_come = _at_name(going, domain)
            if why is None:
                return None
            if not may_come or time.monotonic() > until:
                return f"it is not reached at https://{domain} yet, as seen from here: {why}"
            time.sleep(going.patience.poll_s)


def _at_name(going: Going, domain: str) -> tuple[str | None, bool]:
    """What is wrong with the address, and whether waiting may help."""
    try:
        with socket.create_connection((domain, 443), timeout=CONNECT_S) as plain:
            ssl.create_default_context().wrap_socket(plain, server_hostname=domain).close()
    except socket.gaierror:
        return "the name is not known; let it point at the host", False
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not good ({error.verify_message}); does the name point at this host?", False
    except ssl.SSLError:
        return "Caddy has no certificate for it; is port 80 open? journalctl -u caddy there says what is amiss", True
    except OSError as error:
        return (
            f"port 443 does not answer ({error.strerror or 'no answer'}); is it open, and the name the host's?",
            False,
        )
    path = "/health/ready" if going.kept.is_ours else "/"
    reply = get(f"https://{domain}", path)
    if reply is None or (going.kept.is_ours and reply.status != 200):
        said = "nothing" if reply is None else f"the status {reply.status}"
        return f"what is there answers {said}; does the name point at this host?", False
    return None, False
