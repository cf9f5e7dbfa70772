"""The manifest: what a bundle says of itself, and the digest that is its version.

``manifest.json`` names every other file with its sha256 and size, so the manifest's own digest stands for every byte
of the bundle. Nothing in here grants trust: that belongs to the one who loads.

To change the format: raise ``FORMAT``, keep the reader of the old number in ``bundle/old/``, store one bundle of the
old format under ``tests/bundles/``, where a test reads them all. A key with a default changes nothing for bundles that
were written before it.
"""

import hashlib
from typing import Literal

import msgspec

from aweigh.bundle.findings import Membership, Robustness
from aweigh.schema.policy import Policy

FORMAT = 1
DIGEST_SHORT = 12

Family = Literal["sklearn", "xgboost", "lightgbm", "catboost", "onnx", "python"]
"""Whose model it was when it came."""

Runtime = Literal["onnx", "sklearn", "xgboost", "lightgbm", "catboost", "python"]
"""What answers when it is served: ONNX Runtime, or the family's own library from its own safe format."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of the bundle."""

    sha256: str
    size_bytes: int


class Attempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One way to a portable form that was tried: ``form`` in a few words, and why it lost when it did.

    ``largest_difference`` is the largest absolute difference of any number from the original's; None where none could
    be compared.
    """

    form: str
    agreed: bool
    largest_difference: float | None = None
    labels_differing: int = 0
    reason: str = ""


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the served form was held against the original model.

    ``rows`` of the sample and ``probe_rows`` made from them were answered by both, ``single_rows`` of them one at a
    time as well. Labels are equal; a number ``a`` stands for ``b`` when
    ``|a - b| <= absolute_tolerance + relative_tolerance * |b|``.
    """

    rows: int
    probe_rows: int
    single_rows: int
    absolute_tolerance: float
    relative_tolerance: float
    largest_difference: float
    attempts: tuple[Attempt, ...]


class GraphInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One input of an ONNX graph: which columns it takes, side by side, as which element type."""

    name: str
    columns: tuple[str, ...]
    element: Literal["float", "double", "int64", "bool", "string"]


class Graph(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How an ONNX graph is fed and read.

    ``missing_text`` is what a missing string is fed as. ``label``, ``probabilities``, ``values``, ``scores`` name the
    graph's outputs; ``label`` may be left out where the probabilities' largest is the label. ``one_row`` tells that the
    graph takes one row at a time.
    """

    inputs: tuple[GraphInput, ...]
    missing_text: str = ""
    label: str | None = None
    probabilities: str | None = None
    values: str | None = None
    scores: str | None = None
    one_row: bool = False


class Alternative(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A second form that gives the first one's answers to the last bit, and is quicker for many rows at once.

    ``model_file`` is the library's own; ``tail_file`` an ONNX graph that makes answers of the sums of its trees.
    ``any_threads`` as in the manifest; ``locked`` tells that the locks hold the library.
    """

    runtime: Runtime
    model_file: str
    tail_file: str
    model_class: str | None = None
    any_threads: bool = False
    locked: bool = False


class Pickled(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a pickled model imports and calls while it is loaded: exact names (``module.name``), and nothing else.

    The lists of aweigh's own stand above it: a name that is on none of them is refused although it stands here.
    """

    names: tuple[str, ...]
    calls: tuple[str, ...]


class Presentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What the owner may say of how the app looks."""

    title: str | None = None
    description: str | None = None
    accent: str | None = None
    footer: str | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What a bundle says of itself.

    ``model`` describes the original in words ("RandomForestClassifier in a Pipeline"); ``runtime_reason`` says why the
    runtime was chosen; ``python`` is the version the lock is for ("3.12"); ``made_with`` the versions that made the
    proof; ``code`` is true when serving runs the owner's own Python code. ``any_threads`` tells that a call gives the
    same bits on however many threads it runs, ``any_parts`` that a row gets the same bits alone and in any company;
    ``alternatives_reason`` says why there is another form, or none. ``pickle`` is there when the model is a pickle.
    ``domain`` is what becomes of what the model has not seen, where whoever serves it says nothing else; ``robustness``
    and ``membership`` are what attacks on it found, where any were made.
    """

    format: int
    name: str
    family: Family
    model: str
    runtime: Runtime
    runtime_reason: str
    model_file: str
    python: str
    made_with: dict[str, str]
    proof: Proof
    files: dict[str, FileEntry]
    graph: Graph | None = None
    code: bool = False
    entry: str | None = None
    model_class: str | None = None
    presentation: Presentation = Presentation()
    any_threads: bool = False
    any_parts: bool = False
    alternatives: tuple[Alternative, ...] = ()
    alternatives_reason: str = ""
    pickle: Pickled | None = None
    domain: Policy = Policy()
    robustness: Robustness | None = None
    membership: Membership | None = None


def to_json(value: object) -> bytes:
    """The one JSON form of a value: keys sorted, indented by two, floats as short as they are exact, final newline."""
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2) + b"\n"


def digest_of(manifest_json: bytes) -> str:
    """The bundle's digest: sha256 of the manifest's bytes, 64 hex digits."""
    return hashlib.sha256(manifest_json).hexdigest()


def short(digest: str) -> str:
    """A digest as people see it: its first 12 hex digits."""
    return digest[:DIGEST_SHORT]
