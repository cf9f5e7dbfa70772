"""aweigh: from a trained model file to a web application, with answers proven equal to the original model's.

>>> import aweigh
>>> packed = aweigh.pack(pipeline, frame, target="species")  # doctest: +SKIP
>>> aweigh.load(packed).predict({"island": "Biscoe", "body_mass_g": 4200})  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

from aweigh._version import __version__

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle, verify
    from aweigh.config import Config, read_config
    from aweigh.errors import AweighError, InvalidRows
    from aweigh.packing.pack import Packed, pack
    from aweigh.runtime.notebook import Model
    from aweigh.runtime.notebook import load_model as load
    from aweigh.schema.column import Column, Output, Schema

_LAZY = {
    "AweighError": "aweigh.errors:AweighError",
    "Column": "aweigh.schema.column:Column",
    "Config": "aweigh.config:Config",
    "InvalidRows": "aweigh.errors:InvalidRows",
    "Model": "aweigh.runtime.notebook:Model",
    "Output": "aweigh.schema.column:Output",
    "Packed": "aweigh.packing.pack:Packed",
    "Schema": "aweigh.schema.column:Schema",
    "VerifiedBundle": "aweigh.bundle.verify:VerifiedBundle",
    "load": "aweigh.runtime.notebook:load_model",
    "pack": "aweigh.packing.pack:pack",
    "read_config": "aweigh.config:read_config",
    "verify": "aweigh.bundle.verify:verify",
}

__all__ = [
    "AweighError",
    "Column",
    "Config",
    "InvalidRows",
    "Model",
    "Output",
    "Packed",
    "Schema",
    "VerifiedBundle",
    "__version__",
    "load",
    "pack",
    "read_config",
    "verify",
]


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for (PEP 562)."""
    if name not in _LAZY:
        msg = f"module 'aweigh' has no attribute {name!r}"
        raise AttributeError(msg)
    module, _, attribute = _LAZY[name].partition(":")
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
