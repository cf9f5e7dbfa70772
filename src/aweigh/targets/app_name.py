"""What an app can be called where its name becomes part of others: of containers, objects, volumes and folders."""

import re

from aweigh.errors import UsageError

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")


def check_app(name: str) -> str:
    """An app's name, if it can be one.

    Raises:
        UsageError: it cannot.

    >>> check_app("penguins-2")
    'penguins-2'
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"No app can be called {name[:60]!a}.",
            hint="1 to 40 small letters, digits and hyphens, the first a letter, the last no hyphen",
        )
    return name
