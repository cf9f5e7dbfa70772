"""What a skops file would import and call: its schema read as plain JSON, without skops.

skops trusts names; which of them a node *calls*, and with what, depends on the kind of node. Here each kind may only
name what it is for, and the kinds that carry code by design (methods, partials, operators) are listed by what they
would reach, which is on no list.
"""

import json
import lzma
import re
import struct
import zipfile
import zlib
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from aweigh.models.scan.limits import Limits, Refused
from aweigh.models.scan.rules import PARTIAL_OF, RULES, STATE_RULES
from aweigh.models.scan.unpack import check_growth

ONE_ID = "two different objects in it share one id"
ZIP_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError, RuntimeError, ValueError,
    LookupError, OverflowError,
)  # fmt: skip
"""What zipfile and the four ways of packing raise when a zip is damaged, or is none."""
PROTOCOLS = (0, 1, 2)
_ENCRYPTED = 0x1
_NUMPY_SCALAR = r"numpy\.(?:str_|bytes_|bool|bool_|number|[a-z]+\d{1,3}|longdouble|clongdouble|longlong|ulonglong)"
_KEY_TYPE = re.compile(rf"builtins\.(?:str|int|float|bool|NoneType)|{_NUMPY_SCALAR}")
# Kinds that build by calling the named class: the classes they are for.
_OWN = {
    "DictNode": re.compile(r"builtins\.dict|collections\.OrderedDict|sklearn\.utils\._bunch\.Bunch"),
    "DefaultDictNode": re.compile(r"collections\.defaultdict"),
    "ListNode": re.compile(r"builtins\.list"),
    "SetNode": re.compile(r"builtins\.(?:set|frozenset)"),
    "TupleNode": re.compile(r"builtins\.tuple"),
    "BytesNode": re.compile(r"builtins\.bytes"),
    "BytearrayNode": re.compile(r"builtins\.bytearray"),
    "SliceNode": re.compile(r"builtins\.slice"),
    "JsonNode": re.compile(r"builtins\.str"),
    "NdArrayNode": re.compile(rf"numpy\.ndarray|{_NUMPY_SCALAR}"),
    "MaskedArrayNode": re.compile(r"numpy\.ma(?:\.core)?\.MaskedArray"),
    "DTypeNode": re.compile(r"numpy\.dtype"),
    "RandomStateNode": re.compile(r"numpy\.random(?:\.mtrand)?\.RandomState"),
    "RandomGeneratorNode": re.compile(r"numpy\.random(?:\._generator)?\.Generator"),
    "SparseMatrixNode": re.compile(r"scipy\.sparse\.(?:_[a-z]+\.)?[a-z]{3}_(?:matrix|array)"),
    "TreeNode": re.compile(r"sklearn\.tree\._tree\.Tree"),
}
# Kinds that call what they name with what the file gives.
_CALLERS = {"ConstructorFromReduceNode", "LossNode", "QuantileForestNode", "PartialNode", "OperatorFuncNode"}
# Kinds that only import it, or make an instance without calling it.
_NAMERS = {"ObjectNode", "TypeNode", "FunctionNode", "MethodNode"}


@dataclass(slots=True)
class Schema:
    """What a schema names."""

    names: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    problem: str | None = None


def read(data: bytes, found: Schema, *, limits: Limits) -> None:
    """Add to ``found`` every import and call that loading these bytes with skops would make.

    Raises:
        Refused: The zip file or its schema is not as skops writes it.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = _members(archive, len(data), limits)
            text = archive.read("schema.json")
            for member in members:
                _check_arrays(member.filename, archive, limits)
    except ZIP_DAMAGE as error:
        raise Refused(f"its zip file is damaged ({error})") from error
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"its schema.json cannot be read ({error})") from error
    try:
        _read_schema(schema, found)
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise Refused("its schema.json is not as skops writes it") from error


def _read_schema(schema: object, found: Schema) -> None:
    protocol = schema.get("protocol") if isinstance(schema, dict) else None
    if type(protocol) is not int or protocol not in PROTOCOLS:
        raise Refused("it is of a version of skops that is not known here")
    nodes = list(_nodes(schema))
    seen: dict[str, tuple[object, ...]] = {}
    times = Counter(str(node.get("__id__")) for node in nodes)
    for node in nodes:
        _add(node, seen, found)
        # What is looked into must be what skops will take, not another object that came first under the same id.
        looked_into = [node.get("key_types")] + [node.get("content")] * (_name(node) in STATE_RULES)
        if any(isinstance(part, dict) and times[str(part.get("__id__"))] > 1 for part in looked_into):
            found.problem = found.problem or ONE_ID


def _members(archive: zipfile.ZipFile, packed_bytes: int, limits: Limits) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise Refused("its zip file holds two members of one name")
    if any(name.startswith("/") or "\\" in name or ".." in name.split("/") for name in names):
        raise Refused("its zip file holds a path that leads out of it")
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise Refused("its zip file is encrypted")
    if members and min(member.header_offset for member in members) != 0:
        raise Refused("its zip file is preceded by something else")
    check_growth(packed_bytes, sum(member.file_size for member in members), limits)
    return members


def _check_arrays(name: str, archive: zipfile.ZipFile, limits: Limits) -> None:
    """Arrays of objects are pickles inside numpy's format: skops writes none."""
    if name.endswith(".npz"):
        content = archive.read(name)
        with zipfile.ZipFile(BytesIO(content)) as inner:
            for member in _members(inner, len(content), limits):
                if member.filename.endswith(".npz"):
                    # Zips within zips are how a small file becomes more work than anybody has time for.
                    raise Refused(f"its {name} holds another .npz, which numpy never writes")
                _check_arrays(member.filename, inner, limits)
    elif name.endswith(".npy"):
        with archive.open(name) as file:
            head = file.read(_NPY_HEAD_BYTES)
        if _holds_objects(head):
            raise Refused(f"its array {name} holds pickled objects")


_NPY_HEAD_BYTES = 1 << 16


def _holds_objects(head: bytes) -> bool:
    """Whether a .npy file's header (numpy.lib.format) names a type with Python objects in it."""
    import numpy as np

    if head[:6] != b"\x93NUMPY" or len(head) < 12:
        raise Refused("one of its arrays is not in numpy's format")
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(head[8 : 8 + width], "little")
    try:
        described = literal_eval(head[8 + width : 8 + width + length].decode("latin1").strip())
        return bool(np.lib.format.descr_to_dtype(described["descr"]).hasobject)
    except (
        ValueError, SyntaxError, TypeError, LookupError, AttributeError, OverflowError, MemoryError, RecursionError,
    ) as error:  # fmt: skip
        raise Refused("one of its arrays is not in numpy's format") from error


def _nodes(schema: object) -> Iterator[dict[str, Any]]:
    """Every object of the schema that could be taken for a node, wherever it is."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("__loader__"), str):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _add(node: dict[str, Any], seen: dict[str, tuple[object, ...]], found: Schema) -> None:
    kind, name = node["__loader__"], _name(node)
    # skops takes a node whose id it has seen for the first of that id, whatever else it says.
    identity = (kind, name, node.get("content") if kind == "JsonNode" else None)
    if "__id__" in node and seen.setdefault(str(node["__id__"]), identity) != identity:
        found.problem = found.problem or ONE_ID
    found.names.add(name)
    if name.startswith("_loss."):
        found.problem = (
            found.problem or "it was saved by scikit-learn 1.5, whose skops files name a module that is gone"
        )
    if kind not in _OWN.keys() | _CALLERS | _NAMERS:
        raise Refused(f"it holds a {kind}, which is not known here")
    if kind in _CALLERS or (kind in _OWN and not _OWN[kind].fullmatch(name)):
        found.calls.add(name)
        if name in RULES and not (kind == "PartialNode" and _binds_known(node)):
            found.problem = found.problem or f"it calls {name}"
    if kind == "ObjectNode" and name in STATE_RULES:
        found.problem = found.problem or STATE_RULES[name](_attributes(node), lambda _: None)
    content = node.get("content")
    if kind == "DictNode":
        for key_type in _nodes(node.get("key_types")):
            key_name = _name(key_type)
            if key_type["__loader__"] in _NAMERS and not _KEY_TYPE.fullmatch(key_name):
                found.calls.add(key_name)
    elif kind == "MethodNode" and isinstance(content, dict):
        found.names.add(f"{name}:{content.get('func')}")
    elif kind == "FunctionNode" and isinstance(content, dict):
        found.names.add(f"{content.get('module_path')}.{content.get('function')}")
    elif kind == "RandomGeneratorNode":
        found.names.add(f"numpy.random.{_bit_generator(content)}")
        found.names.add("numpy.random.bit_generator.SeedSequence")


def _binds_known(node: dict[str, Any]) -> bool:
    """Whether a partial is one that scikit-learn makes itself."""
    content = node.get("content")
    function = content.get("func") if isinstance(content, dict) else None
    return isinstance(function, dict) and function.get("__loader__") == "FunctionNode" and _name(function) in PARTIAL_OF


def _attributes(node: dict[str, Any]) -> dict[str, object] | None:
    """The attributes of an object; None stands for what is no plain value."""
    attributes = node.get("content")
    items = attributes.get("content") if isinstance(attributes, dict) else None
    if not isinstance(items, dict):
        return None
    return {
        key: json.loads(value["content"]) if value["__loader__"] == "JsonNode" else None for key, value in items.items()
    }


def _name(node: dict[str, Any]) -> str:
    module, name = node.get("__module__"), node.get("__class__")
    if not isinstance(module, str) or not isinstance(name, str):
        raise Refused("one of its objects names no class")
    full = f"{module}:{name}" if "." in name or ":" in module else f"{module}.{name}"
    return full if full.isprintable() else full.encode("unicode_escape").decode()


def _bit_generator(content: object) -> str:
    """The name by which skops looks in numpy.random."""
    try:
        name = json.loads(content["bit_generator"]["content"]["bit_generator"]["content"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise Refused("its random generator is described in an unusual way") from None
    if not isinstance(name, str):
        raise Refused("its random generator is described in an unusual way")
    return name
