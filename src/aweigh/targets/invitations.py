"""Invitations in an app's log: withheld from whoever reads it, and the first administrator's found for who deployed."""

import re
from collections.abc import Sequence

from aweigh.secret import Secret
from aweigh.targets.live import get

MOST_INVITATIONS = 5
"""How many of those that a log tells are tried."""
SHOWN = "/invite/(withheld)"
_INVITE = re.compile(r"/invite/([A-Za-z0-9_-]{20,})")


def discreet(line: str) -> str:
    """A line without the token of an invitation in it."""
    return _INVITE.sub(SHOWN, line)


def invitations(lines: Sequence[str]) -> list[str]:
    """The paths of the invitations that servers printed, each once, the last one first: ``/invite/...``."""
    found = [match[0] for line in lines for match in _INVITE.finditer(line)]
    return list(dict.fromkeys(reversed(found)))


def first_invitation(url: str, lines: Sequence[str]) -> Secret | None:
    """The path of the last invitation in a log that still opens: anybody can have one written there that does not."""
    for path in invitations(lines)[:MOST_INVITATIONS]:
        reply = get(url, path)
        if reply is not None and reply.status == 200:
            return Secret(path)
    return None
