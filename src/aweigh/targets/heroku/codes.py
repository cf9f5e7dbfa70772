"""Heroku's error codes, as they stand in an app's log: what each says, and what to do about it.

From Heroku's page on error codes and the limits that they stand for (30 s to the first byte, 55 s of silence, 60 s to
boot, the memory of a dyno). Only lines that Heroku itself wrote count: an app may print what it likes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OF_HEROKU = re.compile(r"\sheroku\[([^\]]*)\]:\s(.*)")
_CODE = re.compile(r"\b(?:Error |code=)([RHL]\d\d)\b(?:\s*\(([^)]*)\)|\s*desc=\"([^\"]*)\")?")

_LOG = "aweigh logs heroku --app NAME"
_DOCTOR = "'aweigh doctor' measures it"
_PING = "have the server ping (Streamlit: server.websocketPingInterval = 20), or take 'aweigh serve'"
_LISTEN = "start with 'aweigh serve', or pass --server.port $PORT to Streamlit"
_OWN_FAULT = "a fault of Heroku's own: see status.heroku.com, and look again"
_LARGER = "take a larger --size; 'aweigh doctor' says which"
_MORE = "aweigh scale heroku 2 --app NAME, or a larger --size"
CODES: Mapping[str, tuple[str, str]] = {
    # code: (Heroku's words, what to do)
    "H10": ("App crashed", f"the log says what it died of: {_LOG}"),
    "H11": ("Backlog too deep", f"more is asked than its dynos answer, or none listens on $PORT: {_MORE}"),
    "H12": ("Request timeout", f"an answer took more than 30 s to begin: ask for fewer rows, or post a job; {_DOCTOR}"),
    "H13": ("Connection closed without response", f"it ended while it answered, often for want of memory: {_LARGER}"),
    "H14": ("No web processes running", "no web dyno runs: aweigh scale heroku 1 --app NAME"),
    "H15": ("Idle connection", f"nothing was said for 55 s: {_PING}"),
    "H17": ("Poorly formatted HTTP response", f"the app answers with what is no HTTP; the log may say where: {_LOG}"),
    "H18": ("Server Request Interrupted", f"the app broke an answer off; the log says why: {_LOG}"),
    "H19": ("Backend connection timeout", f"a dyno takes no connection within 5 s: {_MORE}"),
    "H20": ("App boot timeout", f"it did not begin to listen within 75 s: load the model after listening; {_DOCTOR}"),
    "H21": ("Backend connection refused", f"nothing listens on $PORT any more; the log says why: {_LOG}"),
    "H22": ("Connection limit reached", f"too many connections at once for one dyno: {_MORE}"),
    "H27": ("Client Request Interrupted", "the visitor went before the answer came: nothing to do, unless it is often"),
    "H28": ("Client Connection Idle", "the visitor's side said nothing for 55 s: nothing to do"),
    "H80": ("Maintenance mode", "the app was put into maintenance: heroku maintenance:off --app NAME"),
    "H81": ("Blank app", "nothing was deployed to it yet: aweigh deploy heroku PATH --app NAME"),
    "H82": ("You've used up your dyno hour pool", "the Eco hours of this month are used up: --size basic"),
    "H99": ("Platform error", _OWN_FAULT),
    "L10": ("Drain buffer overflow", "a log drain takes lines more slowly than the app writes them: some are lost"),
    "L11": ("Tail buffer overflow", "the log was read more slowly than it was written: some lines were left out"),
    "R10": ("Boot timeout", f"it has to listen on $PORT within 60 s: {_LISTEN}"),
    "R12": (
        "Exit timeout",
        "it did not end within 30 s of SIGTERM and was killed: have it end, or take 'aweigh serve'",
    ),
    "R13": ("Attach error", "a one-off dyno could not be attached to: run it again"),
    "R14": ("Memory quota exceeded", f"it takes more memory than the dyno has, and swaps: {_LARGER}"),
    "R15": ("Memory quota vastly exceeded", f"it takes twice the memory of its dyno and was killed: {_LARGER}"),
    "R17": ("Checksum error", "what was built was damaged on its way to the dyno: deploy it again"),
    "R99": ("Platform error", _OWN_FAULT),
}
"""Every code that an app with a model in it meets; of others the code alone is told."""

OF_MEMORY = frozenset({"R14", "R15"})
KEEPS_DOWN = frozenset({"R10", "R14", "R15", "R17", "R99", "H14", "H20", "H21", "H99"})
"""Such as say why something does not come up. H10 says only that it crashed; what it died of says more."""


@dataclass(frozen=True, slots=True)
class Code:
    """One of Heroku's error codes, as it stands in a log."""

    code: str
    words: str = ""

    @property
    def told(self) -> str:
        """As ``R14 (Memory quota exceeded)``."""
        words = self.words or CODES.get(self.code, ("", ""))[0]
        return f"{self.code} ({words})" if words else self.code

    @property
    def fix(self) -> str | None:
        """What to do; ``NAME`` stands for the app's name. None for a code that nobody here knows."""
        return CODES[self.code][1] if self.code in CODES else None

    def sentence(self, app: str) -> str:
        """The code, Heroku's words and what to do about it, for this app.

        >>> Code("H14").sentence("penguins")
        'H14 (No web processes running): no web dyno runs: aweigh scale heroku 1 --app penguins'
        """
        return self.told if self.fix is None else f"{self.told}: {self.fix.replace('NAME', app)}"


def codes_in(lines: Sequence[str]) -> list[Code]:
    """The error codes that Heroku itself wrote into a log, each once, in the order of their last time."""
    found: dict[str, Code] = {}
    for line in lines:
        ours = OF_HEROKU.search(line)
        code = _CODE.search(ours[2]) if ours is not None else None
        if code is not None:
            found.pop(code[1], None)
            found[code[1]] = Code(code[1], code[2] or code[3] or "")
    return list(found.values())


def since_release(lines: Sequence[str], version: int) -> list[str]:
    """The lines behind the one that tells of a release; all of them where it is not there."""
    mark = re.compile(rf"\bRelease v{version} created\b")
    at = next((i for i in reversed(range(len(lines))) if mark.search(lines[i])), -1)
    return list(lines[at + 1 :])


def crashes_in(lines: Sequence[str]) -> int:
    """How many times a web process crashed."""
    ours = (OF_HEROKU.search(line) for line in lines)
    return sum(1 for one in ours if one and one[1].startswith("web") and re.search(r" to crashed\b", one[2]))
