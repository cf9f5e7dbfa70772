"""Secrets: text that shows nothing of itself, wherever it is printed, logged, copied or sent by mistake.

What a secret is for is done at one boundary, where ``reveal()`` is called; redaction is a matter of the type and of no
filter that somebody could forget. ``read.py`` reads secrets from the environment and from files that only their owner
may read, ``scan.py`` finds secrets in text that is about to be given away.
"""

import hmac
from typing import Any, NoReturn

REDACTED = "Secret(redacted)"


class Secret:
    """Text that is shown as ``Secret(redacted)``: by repr, str, format, in logs and in a traceback's locals.

    JSON writers refuse it, as does pickle. Two are compared in constant time.

    >>> f"{Secret('hush')}"
    'Secret(redacted)'
    """

    __slots__ = ("_value",)

    _value: str

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_value", value)

    def reveal(self) -> str:
        """The text itself, for whoever needs it at this very place."""
        return self._value

    def __repr__(self) -> str:
        return REDACTED

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, _: str) -> str:
        return REDACTED

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __setattr__(self, name: str, _: object) -> NoReturn:
        msg = f"a secret does not change: {name}"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        msg = f"a secret does not change: {name}"
        raise AttributeError(msg)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> "Secret":
        return self

    def __getstate__(self) -> NoReturn:
        msg = "a secret is not written down"
        raise TypeError(msg)

    def __reduce_ex__(self, _: object) -> NoReturn:
        msg = "a secret is not written down"
        raise TypeError(msg)
