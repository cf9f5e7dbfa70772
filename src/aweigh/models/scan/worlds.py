"""The two worlds that a pickle can be read in: `Inert`, where nothing of it exists, and `Real`, where listed names do.

Both are asked the same things by the same machine: find what is imported, call it, make an instance, set its state, and
take in an array. `Inert` answers with stand-ins and imports nothing.
"""

import importlib
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aweigh.models.scan.dtypes import rebuild
from aweigh.models.scan.limits import Refused
from aweigh.models.scan.rules import ENCODE, encodes_bytes

if TYPE_CHECKING:
    import numpy as np

WRAPPER_NAME = "joblib.numpy_pickle.NumpyArrayWrapper"


class ArrayWrapper:
    """What joblib writes before the bytes of an array: how they are to be read. joblib itself is not needed."""

    shape: tuple[int, ...] = ()
    order: str = "C"
    dtype: Any = None
    # Absent from files of joblib before 1.2, which did not align.
    numpy_array_alignment_bytes: int | None = None


class Name:
    """Stands for an import, by name only."""

    __slots__ = ("full",)

    def __init__(self, full: str) -> None:
        self.full = full


class Made:
    """Stands for what a call returned."""

    __slots__ = ("args", "maker", "state")

    def __init__(self, maker: str, args: tuple[Any, ...]) -> None:
        self.maker = maker
        self.args = args
        self.state: Any = None


class Inert:
    """Nothing is imported, nothing is called."""

    strict = False

    def __init__(self) -> None:
        self._found: dict[str, Any] = {WRAPPER_NAME: ArrayWrapper}
        self._names = {id(ArrayWrapper): WRAPPER_NAME}

    def find(self, module: str, qualname: str, full: str) -> Any:  # noqa: ARG002  (the other world imports them)
        """The stand-in for an import."""
        if full not in self._found:
            self._found[full] = Name(full)
            self._names[id(self._found[full])] = full
        return self._found[full]

    def name_of(self, value: object) -> str | None:
        """The name that this object was imported by, or None for all that was not imported."""
        return self._names.get(id(value))

    def call(self, function: Any, args: tuple[Any, ...]) -> Any:
        """The stand-in for a result; bytes are themselves, since protocols 0 to 2 write them as a call."""
        if self.name_of(function) == ENCODE and encodes_bytes(args):
            return args[0].encode(args[1])
        return Made(self.name_of(function) or "", args)

    def nothing(self) -> Any:
        """The stand-in for what was refused, so that reading can go on."""
        return Made("", ())

    def new(self, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG002
        """The stand-in for an instance."""
        return Made(self.name_of(cls) or "", args)

    def kind_of(self, instance: object) -> str:
        """What this is an instance of."""
        return instance.maker if isinstance(instance, Made) else ""

    def build(self, instance: Any, state: Any) -> None:
        """Keep the state, which says how wide a numpy type is."""
        if isinstance(instance, Made):
            instance.state = state

    def fill(self, target: Any, kind: type) -> Any:  # noqa: ARG002
        """Where items may be put: a container, or nothing when the target only stands for one."""
        return target if isinstance(target, list | dict | set) else None

    def dtype(self, value: object) -> "np.dtype[Any]":
        """The numpy type that a stand-in describes."""
        if not isinstance(value, Made) or value.maker != "numpy.dtype":
            raise Refused("an array's type is not a numpy.dtype")
        return rebuild(value.args[0], value.state, self.dtype)

    def array(self, data: bytes, offset: int, wrapper: ArrayWrapper, dtype: "np.dtype[Any]") -> Any:  # noqa: ARG002
        """The stand-in for an array."""
        return Made("numpy.ndarray", ())


class Real:
    """Imports ``names``, and of these calls only ``calls``; all else is refused at the moment it is asked for."""

    strict = True

    def __init__(self, names: frozenset[str], calls: frozenset[str]) -> None:
        self._allowed = names
        self._callable = calls
        self._names = {id(ArrayWrapper): WRAPPER_NAME}
        self._kept: list[object] = []

    def find(self, module: str, qualname: str, full: str) -> Any:
        """Import one listed name."""
        if full not in self._allowed:
            raise Refused(f"it imports {full}")
        if full == WRAPPER_NAME:
            return ArrayWrapper
        # scikit-learn 1.5 gave its losses a module name without the package, which any folder could hold.
        module = "sklearn._loss._loss" if module == "_loss" else module
        # Files of numpy 1 name the folder that numpy 2 renamed; through its old name numpy only warns.
        module = f"numpy._core{module.removeprefix('numpy.core')}" if f"{module}.".startswith("numpy.core.") else module
        found = getattr(importlib.import_module(module), qualname)
        self._kept.append(found)
        self._names[id(found)] = full
        return found

    def name_of(self, value: object) -> str | None:
        """The name that this object was imported by, or None for all that was not imported."""
        return self._names.get(id(value))

    def _check(self, called: object) -> None:
        name = self.name_of(called)
        if name not in self._callable:
            raise Refused(f"it calls {name}")

    def call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Call what is listed as harmless to call."""
        self._check(function)
        result = function(*args)
        if self.name_of(function) == "pyarrow.lib._restore_array":
            # Its offsets come from the file, and pyarrow follows them unseen.
            result.validate(full=True)
        return result

    def nothing(self) -> Any:
        """Never asked for: in this world the machine stops at what it refuses."""
        raise Refused("it goes on after a refusal")

    def new(self, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make an instance without initializing it, as pickle does; with arguments it is a call like any other."""
        if args or kwargs:
            self._check(cls)
        return cls.__new__(cls, *args, **kwargs)

    def kind_of(self, instance: object) -> str:
        """What this is an instance of."""
        return f"{type(instance).__module__}.{type(instance).__qualname__}"

    def build(self, instance: Any, state: Any) -> None:
        """Set the state of an instance, as pickle does."""
        import numpy as np

        if isinstance(instance, np.dtype):
            wanted = rebuild(instance.str.lstrip("<>|="), state, self.dtype)
            instance.__setstate__(state)  # type: ignore[attr-defined]
            if (instance != wanted) or instance.flags != wanted.flags or instance.itemsize != wanted.itemsize:
                raise Refused("it describes a numpy type that cannot be")
            return
        # Looked up on the type, not on the instance, where the file may have put an attribute of that name.
        set_state = getattr(type(instance), "__setstate__", None)
        if set_state is not None:
            set_state(instance, state)
            return
        slots = None
        if isinstance(state, tuple) and len(state) == 2:
            state, slots = state
        for key, value in (state or {}).items():
            instance.__dict__[sys.intern(key) if type(key) is str else key] = value
        for key, value in (slots or {}).items():
            if key.startswith("__"):
                raise Refused(f"it sets {key}")
            setattr(instance, key, value)

    def fill(self, target: Any, kind: type) -> Any:
        """Where items may be put: only in Python's own containers and what derives from them."""
        if not isinstance(target, kind):
            raise Refused(f"it fills a {type(target).__name__} as if it were a {kind.__name__}")
        return target

    def dtype(self, value: object) -> "np.dtype[Any]":
        """A numpy type, which `build` has checked already."""
        import numpy as np

        if not isinstance(value, np.dtype):
            raise Refused("an array's type is not a numpy.dtype")
        return value

    def array(self, data: bytes, offset: int, wrapper: ArrayWrapper, dtype: "np.dtype[Any]") -> Any:
        """The array whose bytes begin at ``offset``, in this machine's byte order."""
        import numpy as np

        count = math.prod(wrapper.shape)
        if count and dtype.itemsize:
            flat = np.frombuffer(data, dtype=dtype, count=count, offset=offset).copy()
        else:
            flat = np.empty(count, dtype=dtype)
        if not dtype.isnative:
            flat = flat.astype(dtype.newbyteorder("="))
        return flat.reshape(wrapper.shape[::-1]).transpose() if wrapper.order == "F" else flat.reshape(wrapper.shape)
