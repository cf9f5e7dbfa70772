"""How the listed functions that are harmless only with some arguments may be called, and what may be a key.

A name on the list says what may be imported; these say what a model's own file does with it and nothing else. Each rule
answers with the fault, or None.
"""

import re
from collections.abc import Callable
from typing import Any

from aweigh.models.scan.dtypes import LYING_DTYPE, is_code

NameOf = Callable[[object], str | None]
Rule = Callable[[tuple[Any, ...], NameOf], str | None]

ENCODE = "_codecs.encode"
# bytes as protocols 0 to 2 write them; any other codec is a call into the codec registry.
_CODECS = {"latin1", "latin-1", "ascii", "utf-8"}
_FACTORIES = {
    "collections.OrderedDict",
    "builtins.dict",
    "builtins.list",
    "builtins.set",
    "builtins.int",
    "builtins.float",
}
_BASES = {f"builtins.{name}" for name in ("object", "dict", "list", "tuple", "set", "int", "float", "str")}
# numpy.dtype(code, align, copy): without the copy it would be the one that everybody uses.
_FRESH_COPY = (False, True)
_INDEX = re.compile(r"pandas\.(?:core\.indexes\.[a-z]+\.)?[A-Za-z]*Index")
_BIT_GENERATOR = "numpy.random._pickle.__bit_generator_ctor"


def _dtype(args: tuple[Any, ...], _: NameOf) -> str | None:
    flags = all(isinstance(arg, int) for arg in args[1:]) and tuple(map(bool, args[1:]))
    return None if flags == _FRESH_COPY and is_code(args[0]) else LYING_DTYPE


def _reconstruct(args: tuple[Any, ...], name_of: NameOf) -> str | None:
    """numpy starts from an empty array; any other shape would take memory."""
    empty = len(args) == 3 and type(args[1]) is tuple and args[1] == (0,) and name_of(args[0]) is not None
    return None if empty else "it makes a numpy array in an unusual way"


def _masked(args: tuple[Any, ...], name_of: NameOf) -> str | None:
    """The same for masked arrays, whose second argument is the class of the data."""
    empty = len(args) == 4 and type(args[2]) is tuple and args[2] == (0,) and name_of(args[1]) == "numpy.ndarray"
    return None if empty else "it makes a numpy array in an unusual way"


def _default_dict(args: tuple[Any, ...], name_of: NameOf) -> str | None:
    """The argument is called for every key that is missing."""
    known = all(name_of(arg) in _FACTORIES for arg in args)
    return None if known else "it makes a defaultdict of something other than a container"


def _arrow_type(args: tuple[Any, ...], _: NameOf) -> str | None:
    return None if args in {("string",), ("large_string",)} else "it holds an Arrow array of something other than text"


def _arrow_array(args: tuple[Any, ...], _: NameOf) -> str | None:
    """(type, length, nulls, offset, buffers, children, dictionary) of text, as pandas keeps the names of columns."""
    parts = args[0] if len(args) == 1 and type(args[0]) is tuple and len(args[0]) == 7 else None
    fault = "it holds an Arrow array of something other than text"
    if parts is None or any(type(part) is not int for part in parts[1:4]) or type(parts[4]) is not list:
        return fault
    whole = len(parts[4]) == 3 and all(part is not None for part in parts[4][1:]) and parts[5:] == ([], None)
    return None if whole else fault


def _reconstructor(args: tuple[Any, ...], name_of: NameOf) -> str | None:
    """Protocols 0 and 1 make instances by it; with a base of the file's own it would call that base."""
    plain = len(args) == 3 and name_of(args[0]) is not None and name_of(args[1]) in _BASES
    return None if plain else "it makes an instance by a base that is not Python's own"


def encodes_bytes(args: tuple[Any, ...]) -> bool:
    """Whether these arguments of codecs.encode are bytes as a pickler writes them."""
    return len(args) == 2 and type(args[0]) is type(args[1]) is str and args[1] in _CODECS


def _encode(args: tuple[Any, ...], _: NameOf) -> str | None:
    return None if encodes_bytes(args) else "it encodes text in an unusual way"


def _byte_array(args: tuple[Any, ...], _: NameOf) -> str | None:
    """bytearray(number) would only take memory."""
    return "it makes a byte array in an unusual way" if args and isinstance(args[0], int) else None


def _no_bytes(args: tuple[Any, ...], _: NameOf) -> str | None:
    return "it makes bytes in an unusual way" if args else None


def _random(args: tuple[Any, ...], name_of: NameOf) -> str | None:
    """The second argument is a function that numpy calls."""
    return None if all(name_of(arg) == _BIT_GENERATOR for arg in args[1:]) else "it makes random numbers by a call"


def _bit_generator(args: tuple[Any, ...], name_of: NameOf) -> str | None:
    """The argument is a class that numpy calls, or a name in its own table."""
    known = len(args) == 1 and (type(args[0]) is str or (name_of(args[0]) or "").startswith("numpy.random._"))
    return None if known else "it makes random numbers by a call"


def _index(args: tuple[Any, ...], name_of: NameOf) -> str | None:
    """pandas calls the class with the keywords that the file gives."""
    known = len(args) == 2 and _INDEX.fullmatch(name_of(args[0]) or "") and type(args[1]) is dict
    return None if known else "it makes a pandas index in an unusual way"


def _partial(args: tuple[Any, ...], name_of: NameOf) -> str | None:
    """HistGradientBoosting binds options to check_array; anything else bound is a call that waits for its moment."""
    known = bool(args) and name_of(args[0]) in PARTIAL_OF
    return None if known else "it binds arguments to a function (functools.partial)"


def _partial_state(state: object, name_of: NameOf) -> str | None:
    return _partial(state if type(state) is tuple else (), name_of)


def _text_state(state: object, _: NameOf) -> str | None:
    """With input="filename" a vectorizer opens the files that whoever asks for a prediction names."""
    content = isinstance(state, dict) and state.get("input", "content") == "content"
    return None if content else "its text vectorizer reads files that its input names: make it with input='content'"


PARTIAL_OF = {"sklearn.utils.validation.check_array"}
RULES: dict[str, Rule] = {
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.ma.core._mareconstruct": _masked,
    "copyreg._reconstructor": _reconstructor,
    "collections.defaultdict": _default_dict,
    "pyarrow.lib.type_for_alias": _arrow_type,
    "pyarrow.lib._restore_array": _arrow_array,
    ENCODE: _encode,
    "builtins.bytearray": _byte_array,
    "builtins.bytes": _no_bytes,
    "functools.partial": _partial,
    "numpy.random._pickle.__randomstate_ctor": _random,
    "numpy.random._pickle.__generator_ctor": _random,
    _BIT_GENERATOR: _bit_generator,
    "pandas.core.indexes.base._new_Index": _index,
}

# The same for the state that is set on what these have made.
STATE_RULES: dict[str, Callable[[object, NameOf], str | None]] = {
    "functools.partial": _partial_state,
    "sklearn.feature_extraction.text.CountVectorizer": _text_state,
    "sklearn.feature_extraction.text.HashingVectorizer": _text_state,
    "sklearn.feature_extraction.text.TfidfVectorizer": _text_state,
}

KEY_BITS = 64
KEY_PARTS = 1000
KEY_DEPTH = 32


def key_fault(key: object) -> str | None:
    """Why hashing this key would take long or crash, or None.

    Nested tuples are hashed by recursion in C, and again for every time they occur; numbers beyond 64 bits can be
    chosen so that all fall into one slot.
    """
    if type(key) is int and key.bit_length() > KEY_BITS:
        return "it uses huge numbers as keys"
    if type(key) is not tuple:
        return None
    waiting: list[tuple[object, int]] = [(key, 1)]
    parts = 0
    while waiting:
        part, depth = waiting.pop()
        parts += 1
        if parts > KEY_PARTS or depth > KEY_DEPTH or (type(part) is int and part.bit_length() > KEY_BITS):
            return "it uses nested tuples as keys"
        if type(part) is tuple:
            # A tuple in the waiting list is held by the key, so that its length is all that it can add.
            if len(part) > KEY_PARTS:
                return "it uses nested tuples as keys"
            waiting.extend((item, depth + 1) for item in part)
    return None
