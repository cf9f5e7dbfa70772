"""``aweigh release``: how a candidate does beside the current model of a server, and what is to become of it."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from aweigh.cli.door import help_alone, json_option
from aweigh.cli.terminal import Steps, aligned, print_document
from aweigh.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

KEY, KEY_FILE = "AWEIGH_KEY", "AWEIGH_KEY_FILE"


def server_options(command: F) -> F:
    """Which server is asked, and with what."""
    url = click.option("--url", default="http://127.0.0.1:8000", envvar="AWEIGH_URL", show_default=True,
                       show_envvar=True, help="The server's address.")  # fmt: skip
    key = click.option("--key-file", type=click.Path(path_type=Path), metavar="FILE",
                       help=f"A file with the key of an admin; by default {KEY} or {KEY_FILE} has it.")  # fmt: skip
    return url(key(json_option(command)))


candidate_option = click.option(
    "--candidate", metavar="VERSION", help="Only if this is the server's candidate: its version or digest."
)


@click.group("release", invoke_without_command=True)
@click.pass_context
def release(ctx: click.Context) -> None:
    """Try a second bundle in a running server: for some, or unseen; then promote it, or abort.

    The server was started with both: aweigh serve CURRENT --candidate NEXT. Where people sign in, it takes a key for
    the scope admin, in AWEIGH_KEY; elsewhere it is asked on its own machine, or with its AWEIGH_RELEASE_TOKEN as key.
    """
    help_alone(ctx)


@release.command("status")
@server_options
def status(url: str, key_file: Path | None, as_json: bool) -> None:
    """Say what the release does, how the two models compare, and when the candidate is given up."""
    _tell(_ask(url, key_file, None), as_json=as_json)


@release.command("start")
@click.option("--canary", type=click.FloatRange(0, 100), metavar="PERCENT",
              help="Answer so many requests in a hundred with the candidate (default: 10).")  # fmt: skip
@click.option("--shadow", is_flag=True, help="Ask it, too, and show nobody what it says.")
@candidate_option
@server_options
def start(
    canary: float | None, shadow: bool, candidate: str | None, url: str, key_file: Path | None, as_json: bool
) -> None:
    """Begin a trial: other people than in the last one, and counts from nothing."""
    if canary is not None and shadow:
        raise UsageError("A candidate is a canary or a shadow, and not both.", hint="leave one of the two out")
    asked: dict[str, object] = {"action": "start", "mode": "shadow" if shadow else "canary"}
    if not shadow:
        asked["percent"] = 10.0 if canary is None else canary
    _tell(_ask(url, key_file, asked | _only(candidate)), as_json=as_json)


@release.command("set")
@click.argument("percent", type=click.FloatRange(0, 100))
@candidate_option
@server_options
def set_(percent: float, candidate: str | None, url: str, key_file: Path | None, as_json: bool) -> None:
    """Let the candidate answer PERCENT of the requests; who has it already keeps it when that is more."""
    _tell(_ask(url, key_file, {"action": "set", "percent": percent} | _only(candidate)), as_json=as_json)


@release.command("promote")
@candidate_option
@server_options
def promote(candidate: str | None, url: str, key_file: Path | None, as_json: bool) -> None:
    """Let the candidate answer everybody. 'aweigh release abort' goes back."""
    _tell(_ask(url, key_file, {"action": "promote"} | _only(candidate)), as_json=as_json)


@release.command("abort")
@click.option("--reason", default="", help="Why, for whoever looks later.")
@candidate_option
@server_options
def abort(reason: str, candidate: str | None, url: str, key_file: Path | None, as_json: bool) -> None:
    """Let the candidate answer nobody, also one that was promoted."""
    asked: dict[str, object] = {"action": "abort", "reason": reason}
    _tell(_ask(url, key_file, asked | _only(candidate)), as_json=as_json)


def _only(candidate: str | None) -> dict[str, object]:
    return {} if candidate is None else {"candidate": candidate}


def _ask(url: str, key_file: Path | None, asked: dict[str, object] | None) -> dict[str, Any]:
    from aweigh.cli.release_line import ask
    from aweigh.secret.read import read_secret

    environ = os.environ if key_file is None else {KEY_FILE: str(key_file)}
    return ask(url, read_secret(environ, KEY), asked)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_document(found)
        return
    steps = Steps()
    state, shadow, limits = found["state"], found["shadow"], found["limits"]
    steps.line("release", _state(state))
    if state["reason"]:
        steps.line("reason", state["reason"])
    rows = [("", "version", "requests", "failed", "95 % within")]
    for name in ("current", "candidate"):
        one = found[name]
        within = f"{one['p95_ms']:,.3g} ms" if one["requests"] else "-"
        rows.append((name, one["version"], f"{one['requests']:,}", f"{one['errors']:,}", within))
    for line in aligned(rows, right=frozenset({2, 3, 4})):
        click.echo(line)
    if found["candidate"]["requests"]:
        steps.line("share", f"the candidate was asked {found['candidate']['share']:.1%} of the requests")
    if shadow["requests"] or shadow["dropped"]:
        share = shadow["differing"] / shadow["rows"] if shadow["rows"] else 0.0
        steps.line("shadow", f"asked {shadow['requests']:,} requests and failed on {shadow['errors']:,}")
        steps.more(f"{share:.1%} of {shadow['rows']:,} rows differ")
        steps.more(f"another label on {shadow['labels']:,}; the largest difference of a number {shadow['largest']:.3g}")
        steps.more(f"{shadow['dropped']:,} requests were left out, as too many waited")
    if not found["candidate"]["fit"]:
        steps.line("unfit", "the candidate does not answer its golden rows: it is asked by nobody")
    steps.line("limits", _limits(limits))
    following = {
        "canary": "aweigh release promote",
        "shadow": "aweigh release start --canary 10",
        "off": "aweigh release start --canary 10",
    }.get(state["mode"])
    if following is not None:
        steps.next(following)


def _state(state: dict[str, Any]) -> str:
    said = {
        "off": "nothing has been begun: the current model answers",
        "canary": f"the candidate answers {state['percent']:g} % of the requests",
        "shadow": "the candidate is asked unseen",
        "promoted": "the candidate answers everybody",
        "aborted": "the candidate answers nobody any more",
    }.get(state["mode"], str(state["mode"]))
    if not state["at"]:
        return said
    since = f"{datetime.fromtimestamp(state['at'], UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"{said}, since {since}, by {state['by']}"


def _limits(limits: dict[str, Any]) -> str:
    if not limits["automatic"]:
        return "it is given up by nobody but you (AWEIGH_RELEASE_AUTO=off)"
    told = [
        f"{limits['max_errors']:.1%} failed" if limits["max_errors"] else "",
        f"{limits['max_slower']:g} x the time" if limits["max_slower"] else "",
        f"{limits['max_wait_s']:g} s without an answer" if limits["max_wait_s"] else "",
        f"{limits['max_disagreement']:.1%} other answers of a shadow" if limits["max_disagreement"] else "",
    ]
    beyond = ", ".join(one for one in told if one)
    return f"given up by itself beyond {beyond}" if beyond else "none but its golden rows: all of them are 0"
