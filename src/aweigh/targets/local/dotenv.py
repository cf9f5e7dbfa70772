"""``.env``: settings for this machine, a line each as ``KEY=VALUE``."""

import re

from aweigh.errors import ConfigError

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_QUOTED = re.compile(r"(\"(?:[^\"\\]|\\.)*\"|'[^']*')\s*(?:#.*)?")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def read_dotenv(text: str, *, name: str = ".env") -> dict[str, str]:
    r"""The settings, the last one of a name. Nothing in them is run or put in for a variable.

    Values stand as they are, in single quotes (taken off), or in double quotes, where ``\n`` is a new line.

    >>> read_dotenv("A=1\nB='two words'  # said\nexport C=a#b\n")
    {'A': '1', 'B': 'two words', 'C': 'a#b'}

    Raises:
        ConfigError: a line that is neither empty, a comment nor a setting; names the line and nothing of its content.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        match = _LINE.fullmatch(said)
        if match is None or "\0" in said:
            raise ConfigError(f"Line {number} of {name} is no setting.", hint="write KEY=VALUE, one to a line")
        found[match[1]] = _value(match[2])
    return found


def _value(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    if quoted is None:
        return re.sub(r"(?:^|\s+)#.*\Z", "", text)
    inner = quoted[1][1:-1]
    if quoted[1].startswith("'"):
        return inner
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), inner)
