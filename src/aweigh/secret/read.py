"""Secrets from the environment: ``NAME`` holds one itself, ``NAME_FILE`` the path of a file that its owner alone reads.

Never from a flag: the arguments of a command are everybody's on the machine to see.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from aweigh.errors import ConfigError
from aweigh.secret import Secret

FILE = "_FILE"
MOST_BYTES = 64 * 1024
_OTHERS = 0o077
_OTHERS_OF_ROOTS = 0o037
"""A file of root's that this user's group may read, and nobody else: how platforms hand a secret to a plain user."""


def read_secret(environ: Mapping[str, str], name: str) -> Secret | None:
    """The secret of that name; None where there is none.

    Raises:
        ConfigError: it is said twice, or its file cannot be read, is empty, or may be read by others.
    """
    said = environ.get(name, "").strip()
    path = environ.get(name + FILE, "").strip()
    if said and path:
        raise ConfigError(f"{name} and {name}{FILE} are both set.", hint="unset one of them")
    if said:
        return Secret(said)
    return _of_file(Path(path), name + FILE) if path else None


def _of_file(path: Path, variable: str) -> Secret:
    try:
        # O_NONBLOCK: a pipe of that name must not hold up the start.
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(number, "rb") as stream:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{variable} names no file.", hint="name the file that holds the secret")
            _refuse_open(found, variable)
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"The file that {variable} names cannot be read: {error.strerror}.", hint="check its path and its owner"
        ) from error
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        # Without the error that says which bytes: they are the secret's.
        raise ConfigError(f"The file that {variable} names is no text.") from None
    if not text or len(content) > MOST_BYTES:
        wrong = "is empty" if not text else f"is larger than {MOST_BYTES // 1024} kB"
        raise ConfigError(f"The file that {variable} names {wrong}.", hint="let it hold the secret and nothing else")
    return Secret(text)


def _refuse_open(found: os.stat_result, variable: str) -> None:
    foreign = found.st_uid not in {0, os.geteuid()}
    given_by_root = found.st_uid == 0 and os.geteuid() != 0
    if foreign or found.st_mode & (_OTHERS_OF_ROOTS if given_by_root else _OTHERS):
        raise ConfigError(
            f"The file that {variable} names may be read or changed by others.",
            hint="make it yours alone: chmod 600, or 0400 as the mode of a mounted secret",
        )


def password_of(url: str) -> str | None:
    """The password within an address, if there is one."""
    from urllib.parse import unquote, urlsplit

    try:
        password = urlsplit(url).password
    except ValueError:
        return None
    return unquote(password) if password else None
