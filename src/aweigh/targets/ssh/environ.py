r"""The host's file of settings and secrets, as systemd reads an ``EnvironmentFile``.

A value stands in double quotes, with a backslash before ``"``, ``\``, a backtick and ``$``: so written it is read back
as it was, by systemd of every age. No value with a line feed or another control character is written.
"""

import re
from collections.abc import Mapping

from aweigh.errors import UsageError
from aweigh.secret import Secret

MOST_CHARACTERS = 8000
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_OF_THE_PLACE = frozenset({"PATH", "HOME", "PORT", "LANG", "AWEIGH_STATE_DIR", "PYTHONPATH", "PYTHONHOME"})
_LOADS_CODE = re.compile(r"LD_|GCONV_|GLIBC_|PYTHON(PATH|HOME|STARTUP)")


def check_name(name: str) -> str:
    """The name, if a setting can have it.

    Raises:
        UsageError: it cannot, or the deployment itself says what it is.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"No setting can be named {name[:40]!a}.", hint="capital letters, digits and _: NAME=VALUE")
    if name in _OF_THE_PLACE or _LOADS_CODE.match(name):
        raise UsageError(f"{name} is the deployment's to say.")
    return name


def env_lines(settings: Mapping[str, Secret]) -> Secret:
    r"""The lines of settings.

    Raises:
        UsageError: a name or a value that the file cannot hold.

    >>> print(env_lines({"A": Secret('a"b$c')}).reveal(), end="")
    A="a\"b\$c"
    """
    return Secret("".join(f'{check_name(name)}="{_escaped(name, one.reveal())}"\n' for name, one in settings.items()))


def _escaped(name: str, value: str) -> str:
    if len(value) > MOST_CHARACTERS or not all(one.isprintable() for one in value):
        raise UsageError(
            f"The value of {name} is too long, or holds a line feed or another control character.",
            hint="put it into a file of the host and name that: NAME_FILE=/path",
        )
    return re.sub(r'(["\\`$])', r"\\\1", value)
