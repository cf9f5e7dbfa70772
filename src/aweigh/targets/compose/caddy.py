"""What the proxy before the web containers is told: pure text, made of a plan.

Caddy looks, at each request, whether a file is there, and asks the web containers of one slot or of the other: so a
release starts beside what runs, is looked at by a door of its own, and is switched to without a request that fails.
Nothing in the text changes with a release, and no connection is closed for a new one.
"""

from aweigh.targets.compose.plan import SERVICES, Plan
from aweigh.targets.image.build import PORT as INSIDE

CADDYFILE = "Caddyfile"
LIVE = "live"
"""The folder that says which slot is asked: the second while a file ``b`` is in it."""
SIDE_DOOR = 8002
"""Of the proxy, in its container: leads to the slot that is not asked, for this machine alone."""


def caddyfile(plan: Plan) -> str:
    """What the proxy is told: by name it finds all replicas of a slot, and a cookie names the one of a page.

    What a client says of proxies before it is thrown away, unless the owner has one of theirs in front.
    """
    first, second = (_asked(plan, SERVICES[slot]) for slot in ("a", "b"))
    return f"""\
# Written by aweigh. A page's session lives in one replica: the cookie leads back to it, API requests go anywhere.
{{
	admin off
	auto_https off
}}

# While the file {LIVE}/b is there the second slot is asked.
:{INSIDE} {{
	@b file {{
		root /{LIVE}
		try_files /b
	}}
	handle @b {{
{second}	}}
	handle {{
{first}	}}
}}

# The other slot, for who looks at a release before it is asked.
:{SIDE_DOOR} {{
	@b file {{
		root /{LIVE}
		try_files /b
	}}
	handle @b {{
{first}	}}
	handle {{
{second}	}}
}}
"""


def _asked(plan: Plan, service: str) -> str:
    trusted = []
    if plan.proxies:
        trusted = [f"\ttrusted_proxies {'0.0.0.0/0 ::/0' if plan.public else 'private_ranges'}"]
    lines = [
        "reverse_proxy {",
        "\tdynamic a {",
        f"\t\tname {service}",
        f"\t\tport {INSIDE}",
        "\t\trefresh 1s",
        "\t}",
        "\tlb_policy cookie aweigh_replica",
        "\tlb_try_duration 10s",
        "\tlb_try_interval 100ms",
        "\tfail_duration 2s",
        "\tflush_interval -1",
        *trusted,
        "}",
    ]
    return "".join(f"\t\t{one}\n" for one in lines)
