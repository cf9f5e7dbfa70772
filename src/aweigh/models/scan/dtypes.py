"""numpy's element types as a pickle describes them, rebuilt from scratch, so that no description has to be believed.

``numpy.dtype.__setstate__`` takes flags as they come. A record type whose flags deny that it holds Python objects turns
the bytes of an array into pointers, and that is as good as running code. So the type is built anew by numpy's
constructor from its parts, and a description that claims anything else is refused.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aweigh.models.scan.limits import Refused

if TYPE_CHECKING:
    import numpy as np

LYING_DTYPE = "it describes a numpy type that cannot be"
# Kind and width, as numpy.dtype.__reduce__ writes them: f8, U12, V64, O8, M8.
_CODE = re.compile(r"[bBiufcmMOSUV]\d{0,9}")
# (version, byte order, subarray, names, fields, size, alignment, flags), and for version 4 the metadata.
_PARTS = 8
_ALIGNED = 0x80
_FLAGS = 0xFF


def is_code(value: object) -> bool:
    """Whether this is an element type as numpy writes it, and no more than that."""
    return type(value) is str and _CODE.fullmatch(value) is not None


def rebuild(code: str, state: object, dtype_of: Callable[[object], "np.dtype[Any]"]) -> "np.dtype[Any]":
    """The type that ``numpy.dtype(code, False, True)`` followed by ``__setstate__(state)`` should be.

    ``dtype_of`` gives the type of a field, already rebuilt.

    Raises:
        Refused: The description contradicts itself, or is of a kind that models do not use.
    """
    import numpy as np

    if not is_code(code):
        raise Refused(LYING_DTYPE)
    if state is None:
        return np.dtype(code)
    if not isinstance(state, tuple) or not _PARTS <= len(state) <= _PARTS + 1 or state[0] not in {3, 4}:
        raise Refused(LYING_DTYPE)
    _, order, subarray, names, fields, size, _, flags = state[:_PARTS]
    metadata = state[_PARTS] if len(state) > _PARTS else None
    try:
        if subarray is not None:
            built = np.dtype((dtype_of(subarray[0]), subarray[1]))
        elif names is not None:
            built = _record(names, fields, size, aligned=bool(flags & _ALIGNED), dtype_of=dtype_of)
        elif code[0] in "mM":
            unit, count = metadata[1][:2] if metadata else (b"generic", 1)
            unit = unit if isinstance(unit, str) else unit.decode()
            built = np.dtype(f"{order}{code}" if unit == "generic" else f"{order}{code}[{count}{unit}]")
        else:
            built = np.dtype(f"{order}{code}" if order != "|" else code)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        raise Refused(LYING_DTYPE) from error
    plain = names is None and fields is None and size in {-1, built.itemsize}
    if (flags ^ built.flags) & _FLAGS or not (names or subarray or plain):
        raise Refused(LYING_DTYPE)
    if code[0] == "V" and int(code[1:] or 0) != built.itemsize:
        raise Refused(LYING_DTYPE)
    return built


def _record(
    names: Any, fields: Any, size: int, *, aligned: bool, dtype_of: Callable[[object], "np.dtype[Any]"]
) -> "np.dtype[Any]":
    import numpy as np

    if set(fields) != set(names) or any(len(field) != 2 for field in fields.values()):
        raise Refused("it describes a numpy record type with titles, which no model needs")
    formats = [dtype_of(fields[name][0]) for name in names]
    offsets = [fields[name][1] for name in names]
    return np.dtype({"names": list(names), "formats": formats, "offsets": offsets, "itemsize": size}, align=aligned)
