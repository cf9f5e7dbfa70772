"""Whether the parts of a bundle fit together: the manifest, the schema, the golden rows, the locks.

The same rules hold when a bundle is made and when one is opened, so that none is written that would be refused.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from aweigh.bundle.contents import SUFFIXES, holds_code, suffix_of
from aweigh.bundle.examples import load_examples
from aweigh.bundle.manifest import FORMAT, FileEntry, Manifest
from aweigh.bundle.names import (
    CODE_FOLDER,
    EXAMPLES,
    MODEL_FOLDER,
    OPTIONAL,
    PICKLE,
    REQUIRED,
    REQUIREMENTS,
    REQUIREMENTS_UI,
    SBOM,
    SCHEMA,
    check_names,
)
from aweigh.bundle.requirements import Pinned, read_lock
from aweigh.bundle.sbom import check_bill
from aweigh.errors import BundleError, DamagedBundle
from aweigh.schema.column import Schema

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
"""What a bundle may be called: it becomes part of file names, addresses and headers."""
TAILED = frozenset({"xgboost", "catboost"})
"""Runtimes whose own trees may answer in place of the graph."""
_PYTHON = re.compile(r"3\.\d{1,2}", re.ASCII)
_IMPORT = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ENTRY = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


class _Head(msgspec.Struct):
    """The one key that every format of the manifest has."""

    format: int


def read_manifest(content: bytes) -> Manifest:
    """The manifest from its bytes.

    Raises:
        DamagedBundle: it is no JSON, holds a key twice or one that nobody knows, or lacks one.
        BundleError: it is of a format that this version does not read.
    """
    try:
        head = msgspec.json.decode(content, type=_Head)
        if head.format > FORMAT:
            raise BundleError(
                f"The bundle is of format {head.format}; this aweigh reads formats up to {FORMAT}.",
                hint="a newer aweigh made it: update aweigh here",
            )
        if head.format != FORMAT:
            raise BundleError(f"The bundle is of format {head.format}, which no aweigh has ever written.")
        manifest = msgspec.json.decode(content, type=Manifest)
        json.loads(content, object_pairs_hook=_once)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedBundle(f"The manifest cannot be read: {error}.") from error
    check_names(manifest.files)
    return manifest


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Refuse a key that stands twice: one reader would take the first, another the last."""
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"it holds the key {twice[:80]!a} twice"
        raise ValueError(msg)


def check_manifest(manifest: Manifest) -> None:
    """Refuse a manifest whose parts do not fit together.

    Raises:
        DamagedBundle: naming the part.
    """
    for wrong, sentence in _rules(manifest):
        if wrong:
            raise DamagedBundle(sentence)


def _rules(manifest: Manifest) -> list[tuple[bool, str]]:
    files, runtime = manifest.files, manifest.runtime
    outside = {name for name in files if not name.startswith(MODEL_FOLDER)}
    lacking = sorted(REQUIRED - files.keys())
    unknown = sorted(outside - REQUIRED - OPTIONAL)
    foreign = sorted(
        name
        for name in files.keys() - outside
        if name not in {manifest.model_file, *_others(manifest)}
        and suffix_of(name) != ".py"
        and not (runtime == "python" and name.startswith(CODE_FOLDER))
    )
    return [
        (
            not NAME.fullmatch(manifest.name),
            f"The bundle's name {manifest.name[:80]!a} is none that a bundle may have.",
        ),
        (not _PYTHON.fullmatch(manifest.python), f"{manifest.python[:20]!a} is no version of Python."),
        (not all(map(_is_entry, files.values())), "The manifest holds a sha256 or a size that can be none."),
        (bool(lacking), f"The bundle lacks {lacking[0] if lacking else ''}."),
        (bool(unknown), f"The bundle holds {ascii(unknown[0]) if unknown else ''}, which no bundle has."),
        (manifest.model_file not in files, f"The model file {manifest.model_file[:80]!a} is not in the bundle."),
        (manifest.model_file in outside, "The model file does not lie under model/."),
        (
            suffix_of(manifest.model_file) not in SUFFIXES[runtime],
            f"The runtime {runtime!r} cannot read {manifest.model_file[:80]!a}.",
        ),
        (bool(foreign), f"The bundle holds {ascii(foreign[0]) if foreign else ''} beside its model file."),
        (
            runtime == "onnx" and manifest.graph is None,
            "The runtime is onnx, and the manifest does not say how its graph is fed.",
        ),
        (runtime != "onnx" and manifest.graph is not None, f"The runtime is {runtime}, which has no graph."),
        (
            (runtime == "python") != (manifest.entry is not None),
            "Only the runtime python has an entry, and it must have one.",
        ),
        (
            manifest.entry is not None and not _ENTRY.fullmatch(manifest.entry),
            "The entry is not of the form module:function.",
        ),
        *_rules_of_others(manifest),
        *_rules_of_pickle(manifest),
        (manifest.code != holds_code(manifest), "What the manifest says of code in the bundle is not so."),
    ]


def _others(manifest: Manifest) -> list[str]:
    """The files of the other forms."""
    return [name for one in manifest.alternatives for name in (one.model_file, one.tail_file)]


def _rules_of_others(manifest: Manifest) -> list[tuple[bool, str]]:
    others, names = manifest.alternatives, [manifest.model_file, *_others(manifest)]
    runtimes = [one.runtime for one in others]
    lacking = [name for name in names if name not in manifest.files or not name.startswith(MODEL_FOLDER)]
    misnamed = [one.model_file for one in others if suffix_of(one.model_file) not in SUFFIXES[one.runtime] - {".pkl"}]
    misnamed += [one.tail_file for one in others if suffix_of(one.tail_file) not in SUFFIXES["onnx"]]
    return [
        (bool(others) and manifest.runtime != "onnx", "Only a bundle whose runtime is onnx has other forms."),
        (
            not TAILED.issuperset(runtimes) or len(set(runtimes)) != len(runtimes),
            "The manifest names another form that there cannot be.",
        ),
        (bool(lacking), f"The file {lacking[0][:80]!a} of another form is not in the bundle." if lacking else ""),
        (len(set(names)) != len(names), "Two forms share a file."),
        (bool(misnamed), f"Another form cannot read {misnamed[0][:80]!a}." if misnamed else ""),
    ]


def _rules_of_pickle(manifest: Manifest) -> list[tuple[bool, str]]:
    """A pickle has one name, is the model itself, and the manifest says what it imports."""
    said = manifest.pickle
    names, calls = (said.names, said.calls) if said is not None else ((), ())
    odd = [name for name in (*names, *calls) if not _IMPORT.fullmatch(name)]
    return [
        (
            (suffix_of(manifest.model_file) == ".pkl") != (said is not None),
            "Only a bundle whose model file is a pickle says what it imports, and it must say so.",
        ),
        (said is not None and manifest.model_file != PICKLE, f"A pickle is called {PICKLE!r}, and nothing else."),
        (bool(odd), f"The manifest names an import that can be none: {odd[0][:80]!a}." if odd else ""),
        (not set(calls) <= set(names), "The manifest names a call of what is not imported."),
    ]


def _is_entry(entry: FileEntry) -> bool:
    return _SHA256.fullmatch(entry.sha256) is not None and entry.size_bytes >= 0


def check_documents(documents: Mapping[str, bytes], manifest: Manifest) -> Schema:
    """The schema, when the documents of a bundle are what they must be.

    Raises:
        DamagedBundle: the schema, the golden rows, a lock or the bill of materials cannot be read or do not fit.
    """
    schema = read_schema(documents[SCHEMA])
    examples = load_examples(documents[EXAMPLES])
    strangers = {name for row in examples.rows for name in row} - set(schema.names)
    if strangers:
        raise DamagedBundle(f"A golden row has a column {min(strangers)[:80]!a}, which the schema does not know.")
    locks = read_locks(documents)
    if SBOM in documents:
        check_bill(documents[SBOM], locks, model_sha256=manifest.files[manifest.model_file].sha256)
    return schema


def read_locks(documents: Mapping[str, bytes]) -> dict[str, tuple[Pinned, ...]]:
    """What each lock among the documents pins, by its name.

    Raises:
        DamagedBundle: one holds anything but exact versions.
    """
    return {name: read_lock(documents[name].decode()) for name in (REQUIREMENTS, REQUIREMENTS_UI) if name in documents}


def read_schema(content: bytes) -> Schema:
    """The schema from the bytes of ``schema.json``.

    Raises:
        DamagedBundle: it cannot be read, or holds a column twice.
    """
    try:
        schema = msgspec.json.decode(content, type=Schema)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DamagedBundle(f"schema.json cannot be read: {error}.") from error
    if len(set(schema.names)) != len(schema.names):
        raise DamagedBundle("schema.json holds a column twice.")
    return schema


def check_graph(manifest: Manifest, schema: Schema) -> None:
    """Refuse a graph that is fed columns which the schema does not have.

    Raises:
        DamagedBundle: naming the column.
    """
    fed = {column for one in manifest.graph.inputs for column in one.columns} if manifest.graph else set()
    strangers = fed - set(schema.names)
    if strangers:
        raise DamagedBundle(f"The graph is fed a column {min(strangers)[:80]!a}, which the schema does not know.")
