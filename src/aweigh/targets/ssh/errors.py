"""What a host refuses, and what goes wrong there, each as one sentence and a fix."""

import re

from aweigh.errors import RemoteError, says_full
from aweigh.targets.errors import AGAIN, Words, quote, told_by


class HostSilent(RemoteError):
    """The host cannot be reached, or does not let us in. Nothing was changed there by this."""

    code = "host_silent"


class HostRefused(RemoteError):
    """The host was asked for something and failed."""

    code = "host_refused"


class HostUnfit(RemoteError):
    """The host lacks something that a deployment needs."""

    code = "host_unfit"


COPY_KEY = (
    "put your public key there (ssh-copy-id {port}{host}); a key with a passphrase must be in the agent (ssh-add)"
)
"""How a host of one's own comes to let somebody in."""

_SILENCES: tuple[Words, ...] = (
    (
        r"IDENTIFICATION HAS CHANGED",
        "The host {host} shows another key than it did before.",
        "if it was set up anew: ssh-keygen -R {known}, then {ssh}; else somebody stands in between",
    ),
    (
        r"Host key verification failed|No \S+ host key is known",
        "The key of the host {host} is not known here.",
        "run {ssh} once, and compare the fingerprint with the one that its provider shows",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "The host {host} does not let this user in.",
        "{key}",
    ),
    (
        r"Could not resolve hostname",
        "Nobody knows a host of the name {name}.",
        "check the name, or give the address",
    ),
    (
        r"Connection refused",
        "On {host} nothing answers at the ssh port.",
        "does sshd run there, and at that port? (user@host:port)",
    ),
    (
        r"timed out|No route to host|Network is unreachable",
        "The host {host} cannot be reached.",
        "is it up, and does its firewall let this machine in?",
    ),
    (
        r"no hostkey alg|no matching (host key|key exchange|cipher)",
        "The host {host} and this machine speak no common kind of ssh.",
        "bring one of them up to date",
    ),
)

_TELLING = re.compile(r"error|fail|cannot|unable|denied|not ", re.IGNORECASE)


def silence(stderr: str, *, host: str, ssh: str, key: str = COPY_KEY) -> HostSilent:
    """The error of a connection that did not come about, or broke off, by what ssh said; ``ssh`` is how it is typed."""
    name = host.rpartition("@")[2]
    port = re.search(r" -p ([0-9]+) ", ssh)
    known = name if port is None else f"'[{name}]:{port[1]}'"
    words = told_by(stderr, _SILENCES)
    if words is not None:
        more = {"host": host, "name": name, "known": known, "ssh": ssh, "port": f"-p {port[1]} " if port else ""}
        return HostSilent(words[0].format(**more), hint=words[1].format(**more, key=key.format(**more)))
    said = quoted(stderr)
    return HostSilent(f"The connection to {host} failed{f': {said}' if said else ''}.", hint=f"try: {ssh}; {AGAIN}")


def _user_of(host: str) -> str:
    """The name by which somebody came in, as far as it was typed."""
    user, sign, _ = host.rpartition("@")
    return user if sign else "NAME"


def refusal(what: str, stderr: str, *, host: str) -> RemoteError:
    """The error of a command that failed there; ``what`` is what it was for, as in ``make the user``."""
    if re.search(r"sudo:.*(password is required|terminal is required|a password)|may not run sudo|not in the sudoers",
                 stderr):  # fmt: skip
        return HostUnfit(
            f"On {host} this user may not act as root without a password.",
            hint=f"deploy as root@..., or as root there: echo '{_user_of(host)} ALL=(ALL) NOPASSWD: ALL' > "
            "/etc/sudoers.d/aweigh",
        )
    if re.search(r"sudo: (command )?not found|sudo: No such file", stderr):
        return HostUnfit(f"On {host} there is no sudo.", hint="deploy as root@..., or install sudo there")
    if says_full(stderr):
        return HostUnfit(f"The disk of {host} is full: it could not {what}.", hint=f"make room there, then {AGAIN}")
    said = quoted(stderr)
    return HostRefused(f"The host could not {what}{f': {said}' if said else ''}.", hint=AGAIN)


def quoted(text: str) -> str:
    """The last words of what a program printed, as part of a sentence."""
    lines = [" ".join(one.split()) for one in text.splitlines() if one.strip()]
    said = next((one for one in reversed(lines) if _TELLING.search(one)), "")
    said = (said or (lines[-1] if lines else "")).rstrip(".")
    return quote("".join(one for one in said if one.isprintable()))
