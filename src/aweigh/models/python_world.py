"""Python code from a bundle's bytes: modules that import each other, and nothing of the project they came from.

The modules live under a name of their own in ``sys.modules``, so that two bundles, or a bundle and the project that it
was packed from, do not meet. Absolute imports of the bundle's own modules are led there; all others go the usual way.
"""

import builtins
import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from aweigh.errors import DamagedBundle

_DIGEST_LENGTH = 16


def load_function(files: Mapping[str, bytes], entry: str) -> Callable[..., Any]:
    """The function ``module:function`` of these files (by path, with ``/``).

    Raises:
        DamagedBundle: the files hold no such function. What the code itself raises goes through.
    """
    world = _World(files)
    module_name, _, function_name = entry.partition(":")
    if world not in sys.meta_path:
        sys.meta_path.append(world)
    if world.kind(module_name) is None:
        raise DamagedBundle(f"The bundle's code has no module {module_name!r}.")
    function = getattr(importlib.import_module(world.private(module_name)), function_name, None)
    if not callable(function):
        raise DamagedBundle(f"The bundle's module {module_name!r} has no function {function_name!r}.")
    return function  # type: ignore[no-any-return]


class _World(MetaPathFinder, InspectLoader):
    """Finds and runs the modules of one set of files; equal to another of the same files."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        digest = hashlib.sha256()
        for name, data in sorted(files.items()):
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
        self.prefix = f"_aweigh_{digest.hexdigest()[:_DIGEST_LENGTH]}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _World) and other.prefix == self.prefix

    def __hash__(self) -> int:
        return hash(self.prefix)

    def private(self, name: str) -> str:
        """The name of a module in ``sys.modules``."""
        return f"{self.prefix}.{name}" if name else self.prefix

    def kind(self, name: str) -> str | None:
        """Whether the files hold a ``module`` or a ``package`` (a folder counts, as it does in Python) of this name."""
        place = name.replace(".", "/")
        if not name or f"{place}/__init__.py" in self.files:
            return "package"
        if f"{place}.py" in self.files:
            return "module"
        inside = (one.startswith(f"{place}/") and one.endswith(".py") for one in self.files)
        return "package" if any(inside) else None

    def _own(self, fullname: str) -> str | None:
        if fullname == self.prefix:
            return ""
        return fullname.removeprefix(f"{self.prefix}.") if fullname.startswith(f"{self.prefix}.") else None

    def _file(self, name: str) -> str:
        place = name.replace(".", "/")
        return f"{place}.py" if self.kind(name) == "module" else f"{place}/__init__.py".removeprefix("/")

    # What Python's import system asks

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        name = self._own(fullname)
        kind = None if name is None else self.kind(name)
        if name is None or kind is None:
            return None
        return ModuleSpec(fullname, self, origin=f"{self.prefix}/{self._file(name)}", is_package=kind == "package")

    def get_source(self, fullname: str) -> str:
        return self.files.get(self._file(self._own(fullname) or ""), b"").decode()

    def get_data(self, path: str) -> bytes:
        """A file beside a module: what ``pkgutil.get_data`` asks for."""
        name = path.replace("\\", "/").removeprefix(f"{self.prefix}/")
        if name not in self.files:
            msg = f"the bundle holds no file {name!r}"
            raise FileNotFoundError(msg)
        return self.files[name]

    def exec_module(self, module: ModuleType) -> None:
        own = module.__spec__.origin if module.__spec__ is not None else None
        module.__file__ = own or ""
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        source = self.get_source(module.__name__)
        exec(compile(source, module.__file__, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  that is its job

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002  Python passes them by these names
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """``__import__`` as the bundle's own modules see it."""
        top = name.partition(".")[0]
        if level or not top or self.kind(top) is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if fromlist:
            return builtins.__import__(self.private(name), globals, locals, fromlist, 0)
        importlib.import_module(self.private(name))
        return sys.modules[self.private(top)]
