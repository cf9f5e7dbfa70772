"""The chapter of section ``ray``: what a request costs on Ray Serve, and what is lost when something of it dies."""

from collections.abc import Mapping
from typing import Any

from bench.chapters import Chapter, table
from bench.drawing import figure

TITLES = {
    "aweigh": "`aweigh deploy ray`",
    "batched": "a deployment by hand, with `serve.batch`",
    "fastapi": "FastAPI as Ray Serve's ingress, by hand",
}


def _servers(found: Mapping[str, Any]) -> str:
    """The table of one kind of proxies."""
    own = found.get("aweigh", {})
    rows = [
        [
            TITLES[kind],
            replicas,
            figure(one["cpu_ms"]),
            f"{figure(one['cpu_ms'] / own[replicas]['cpu_ms'])} x" if replicas in own else "-",
            figure(one["proxy_ms"]),
            figure(one["replicas_ms"]) if one["replicas_ms"] else "-",
            f"{one['rps']:,.0f}",
            figure(one["p99_ms"]),
            str(one["bad"]),
        ]
        for kind, by_count in found.items()
        for replicas, one in by_count.items()
    ]
    heads = ["", "replicas", "CPU ms a request", "of ours", "of it the proxy", "the replicas", "requests/s"]
    return table([*heads, "99 % within, ms", "failed"], rows)


def ray(found: Mapping[str, Any]) -> Chapter:
    """The tables of servers, and that of kills."""
    lost = [
        [
            one["killed"],
            f"{one['failed']} of {one['requests']:,}",
            str(one["wrong"]),
            f"{figure(one['last_s'])} s" if one["failed"] else "-",
            f"{figure(one['slowest_s'])} s",
            f"{figure(one['back_s'])} s" if one["back_s"] is not None else "-",
        ]
        for one in found.get("faults", ())
    ]
    alone = next((one for one in found.get("faults", ()) if one["killed"] == "the head, without one"), None)
    text = "## On Ray\n\n"
    if servers := found.get("servers"):
        text += (
            f"Model {found['model']} on Ray {found['ray']}, one row a request, {found['connections']} connections; CPU "
            "is that of all of Ray's processes, its proxy among them. All of it is on the machine that sends the load, "
            "and more replicas share its cores: they add nothing once those are busy. Every node has one "
            "proxy. (-: no replica was there under its title the whole time.) "
            f"With Ray's own, written in Python:\n\n{_servers(servers)}\n\n"
        )
    if servers := found.get("haproxy"):
        text += (
            "With HAProxy in its place, which Ray brings: `RAY_SERVE_ENABLE_HA_PROXY=1 "
            "RAY_SERVE_THROUGHPUT_OPTIMIZED=1` where the head and the nodes start. It is no process of Python's, so "
            f"that what it takes is in the whole alone:\n\n{_servers(servers)}\n\n"
        )
    if lost:
        text += (
            "Three nodes of this machine, three replicas, two clients that ask one row after another and compare each "
            "answer with the bundle's own; `kill -9` of what is named. Failed is what was sent from a second before "
            "the kill on and got no answer or another status than 200; until then nothing fails.\n\n"
            f"{table(['killed', 'failed', 'wrong', 'the last after', 'slowest answer', 'all replicas back'], lost)}\n\n"
        )
    if alone is not None:
        answered, looked_on = (figure(alone[name]) for name in ("answered_s", "looked_s"))
        text += (
            "Without a Redis what the head knew is gone. The replicas on other nodes went on answering until "
            f"{answered} s after it died, of the {looked_on} s that were looked on; Ray ends nodes that find no head "
            "in a minute.\n"
        )
    return text, {}
