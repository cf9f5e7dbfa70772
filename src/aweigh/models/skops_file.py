"""skops files that are the same bytes every time: skops itself numbers objects by address, and dates its entries."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold."""
SCHEMA = "schema.json"


def write_skops(model: object) -> bytes:
    """A model as a skops file; the same model gives the same bytes in every process.

    Raises:
        skops.io.exceptions.UnsupportedTypeException: skops cannot write an object of this kind.
    """
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as written:
        schema = json.loads(written.read(SCHEMA))
        names = _renumbered(schema)
        files = {
            names[one.filename]: _settled(written.read(one)) for one in written.infolist() if one.filename != SCHEMA
        }
    files[SCHEMA] = json.dumps(schema, separators=(",", ":")).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression=zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), files[name])
    return out.getvalue()


def _settled(content: bytes) -> bytes:
    """An array of structures with zeros between its fields: what stands there in a tree's nodes is left-over memory."""
    import numpy as np

    if not content.startswith(b"\x93NUMPY"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    out = io.BytesIO()
    np.save(out, clean, allow_pickle=False)
    return out.getvalue()


def _renumbered(schema: dict[str, Any]) -> dict[str, str]:
    """Numbers objects and their files by their first appearance, in place; gives the files' new names by their old.

    Objects that share a number are one object, and stay one. Plain values need not be: whether two equal ones are the
    same object differs from process to process.
    """
    for node in _nodes(schema):
        if node["__loader__"] == "SetNode" and isinstance(node.get("content"), list):
            node["content"].sort(key=_spelled)
    numbers: dict[object, int] = {}
    names: dict[str, str] = {}
    for place, node in enumerate(_nodes(schema)):
        if "__id__" in node:
            own = ("value", place) if node["__loader__"] == "JsonNode" else node["__id__"]
            node["__id__"] = numbers.setdefault(own, len(numbers) + 1)
        file = node.get("file")
        if isinstance(file, str):
            node["file"] = names.setdefault(file, f"{len(names) + 1}.{file.rpartition('.')[2]}")
    return names


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the schema, from the outside in and from first to last."""
    if isinstance(value, dict):
        if "__loader__" in value:
            yield value
        for one in value.values():
            yield from _nodes(one)
    elif isinstance(value, list):
        for one in value:
            yield from _nodes(one)


def _spelled(node: Any) -> str:
    """A node without the numbers of its objects, for an order that hashes have no part in."""
    plain = json.loads(json.dumps(node))
    for one in _nodes(plain):
        one.pop("__id__", None)
    return json.dumps(plain, sort_keys=True)
