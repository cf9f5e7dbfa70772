"""Whether a slot is fit for people: each replica gets ready, and answers the golden rows as the original did."""

import re
import time

from aweigh.errors import RemoteError
from aweigh.guard.deploy_key import VARIABLE
from aweigh.secret import Secret
from aweigh.targets.errors import AGAIN, AnswersDiffer, NotUp
from aweigh.targets.live import check_itself, get, replay
from aweigh.targets.ssh.command import Command, systemctl
from aweigh.targets.ssh.errors import quoted
from aweigh.targets.ssh.going import Going
from aweigh.targets.ssh.place import Slot, port_of

KEY = (
    "import os, sys; from aweigh.guard.deploy_key import new_key; from aweigh.secret import Secret; "
    "sys.stdout.write(new_key(Secret(os.environ['AWEIGH_DEPLOY_SECRET'])).reveal())"
)
"""Run on the host, so that the secret stays there: what comes back is a key that ends in ten minutes."""
LOG_LINES = 40


def proven(going: Going, slot: Slot) -> int:
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
        with going.telling.doing("answers"), going.host.reached(port_of(going.place.base, slot, number)) as url:
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
        if reply is not None:
            check_itself(reply)
        now = time.monotonic()
        if now > until:
            raise NotUp(
                f"The new release does not get ready within {going.patience.ready_s:.0f} s: {last_words(going, unit)}.",
                hint=f"aweigh logs ssh --app {going.place.app} --host {going.host.address.typed} says more",
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
            f"The new release does not come up: {why or last_words(going, unit)}.",
            hint=f"aweigh logs ssh --app {going.place.app} --host {going.host.address.typed} says more",
        )


def _replayed(going: Going, url: str) -> int:
    if going.golden is None or not going.kept.is_ours:
        return 0
    key = _key(going)
    try:
        found = replay(url, going.golden, secret=None, key=key)
    except RemoteError as error:
        raise AnswersDiffer(error.message, hint=error.hint) from error
    found.check("The new release")
    return found.rows - found.skipped


def _key(going: Going) -> Secret | None:
    """A key of ten minutes, made on the host of the secret there; None where nobody is asked to sign in."""
    if going.kept.is_public:
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


def last_words(going: Going, unit: str) -> str:
    """The end of a unit's log, as part of a sentence; invitations in it are withheld."""
    from aweigh.targets.invitations import discreet

    done = going.host.attempt(
        Command(
            "read the log", ("journalctl", f"_SYSTEMD_UNIT={unit}", "-n", str(LOG_LINES), "--no-pager", "-o", "cat")
        )
    )
    return discreet(quoted(done.text)) or "its log says nothing"
