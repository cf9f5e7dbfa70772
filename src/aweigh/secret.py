"""Secret: a text that shows itself to nobody but who asks for it by name.

It prints as ``Secret(redacted)`` in a log, a traceback, an f-string or a debugger's list of variables, and cannot be
pickled into a file by accident. ``reveal()`` stands at the boundary only: where a cookie is set, a key is shown once.
"""

import hmac
from typing import NoReturn

REDACTED = "Secret(redacted)"


class Secret:
    """A password, token or key.

    >>> secret = Secret("s3cret")
    >>> f"{secret} {secret!r}"
    'Secret(redacted) Secret(redacted)'
    >>> secret.reveal()
    's3cret'
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return REDACTED

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        message = "a Secret is not written into files"
        raise TypeError(message)
