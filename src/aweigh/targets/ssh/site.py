"""The app's part of Caddy's configuration: pure text, made of an allow-listed name, domain and numbers.

Which slot is asked, and how many replicas of it, is no matter of this text: Caddy looks, at each request, for the
marker's file. So a deployment, a rollback and scaling reload nothing and close no connection. The text changes with
the domain and the port, and only then is Caddy reloaded, at which it closes connections that are idle.

Caddy (2.6 and later) believes no ``X-Forwarded-...`` of a client's and writes its own; the app believes one proxy, on
the loopback. A request that reaches a replica which just went away is put to another for a few seconds.
"""

from aweigh.errors import UsageError
from aweigh.targets.ssh.kept import Place
from aweigh.targets.ssh.place import Paths, Slot, check_app, check_domain, marker_name, marker_order, port_of
from aweigh.targets.ssh.units import is_base

MOST_BODY = "1100MB"
"""A job's file may be a gigabyte; the app has limits of its own for each address."""
TRY_S = 5
STICKY = "aweigh_replica"
"""The cookie by which a visitor stays with the replica that has their session."""


def render_site(place: Place) -> bytes:
    """The site of an app.

    Raises:
        UsageError: a name or a number that cannot be.
    """
    paths = Paths(check_app(place.app))
    address = address_of(place)
    if not is_base(place.base) or not 0 < place.port < 65536:
        raise UsageError("No site can be made of what the host says of the app's ports.")
    secure = [] if place.domain is None else ['\t\t?Strict-Transport-Security "max-age=31536000"']
    lines = [
        f"# Written by 'aweigh deploy ssh' for {place.app}: the next deployment overwrites it.",
        f"{address} {{",
        "\trequest_body {",
        f"\t\tmax_size {MOST_BODY}",
        "\t}",
        "\theader {",
        "\t\t-Server",
        *secure,
        "\t}",
    ]
    for slot, web in marker_order():
        name = marker_name(slot, web)
        lines += [
            f"\t@{name} file {{",
            f"\t\troot {paths.live}",
            f"\t\ttry_files /{name}",
            "\t}",
            f"\thandle @{name} {{",
            *_proxy(place.base, slot, web),
            "\t}",
        ]
    lines += ["\thandle {", '\t\trespond "Nothing is deployed here yet." 503', "\t}", "}"]
    return ("\n".join(lines) + "\n").encode()


def address_of(place: Place) -> str:
    """The address of a site, as Caddy's configuration names it.

    Raises:
        UsageError: a name that cannot be.
    """
    return f"http://:{place.port}" if place.domain is None else check_domain(place.domain)


def _proxy(base: int, slot: Slot, count: int) -> list[str]:
    if count == 0:
        return ['\t\trespond "This app is switched off." 503']
    upstreams = " ".join(f"127.0.0.1:{port_of(base, slot, number)}" for number in range(count))
    several = [f"\t\t\tlb_policy cookie {STICKY}", "\t\t\tfail_duration 2s"] if count > 1 else []
    return [
        f"\t\treverse_proxy {upstreams} {{",
        *several,
        f"\t\t\tlb_try_duration {TRY_S}s",
        "\t\t\tlb_try_interval 100ms",
        "\t\t}",
    ]
