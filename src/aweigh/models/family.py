"""What every model family can do, and the values that pass between a family, the proof and a bundle."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from aweigh.bundle.manifest import Graph, Pickled, Runtime
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output, Schema
from aweigh.table import Table

Predict = Callable[[Table], Answers]
"""Answers for a checked table, one for each row, in order."""

Sums = Callable[[Table], NDArray[Any]]
"""What a forest's trees add up to for a checked table, (rows,) or (rows, targets)."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a model says of itself once read.

    ``words`` name it for people ("RandomForestClassifier in a Pipeline"). ``features`` are the columns it was fitted
    with, in order, or None when it does not know; ``feature_count`` how many, or None. ``categories`` are the kinds of
    those columns that the model takes as pandas categories, text or whole numbers, in the order of its own codes; it is
    asked with exactly these, whatever the sample's dtype. ``blanks_as_underscores`` says that the model's library
    writes ``_`` for a blank in a column's name.
    """

    words: str
    output: Output
    features: tuple[str, ...] | None = None
    feature_count: int | None = None
    categories: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    blanks_as_underscores: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A portable form of a model: the file that a bundle carries and how it answers.

    ``data`` are the bytes of the model file; ``extra`` are further files of the bundle by name; ``requirements`` are
    distributions that the model itself needs to be served. ``tail`` is what a forest's graph does with the sums of its
    trees, as a graph of its own. ``pickle`` says what a pickled model imports.
    """

    runtime: Runtime
    file_name: str
    data: bytes
    predict: Predict
    graph: Graph | None = None
    extra: Mapping[str, bytes] = field(default_factory=dict)
    model_class: str | None = None
    requirements: tuple[str, ...] = ()
    tail: bytes | None = None
    pickle: Pickled | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way to a portable form: ``name`` in a few words; ``make`` does it and may raise what its library raises.

    ``hint`` says what to do when the last way, this one, is closed as well.
    """

    name: str
    make: Callable[[], Form]
    hint: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """A model in its library's own format, to add up a forest's leaves where that is quicker.

    ``name`` tells people what it is; ``data`` are the bytes of ``file_name``, which the family's ``load_sums`` reads.
    """

    name: str
    runtime: Runtime
    file_name: str
    data: bytes


class Family(Protocol):
    """One model family: how its files are read, asked, made portable and served. Implemented by a module each."""

    def read(self, path: Path) -> object:
        """The model in the file; nothing is unpickled that the scan did not allow."""

    def describe(self, model: object) -> Described:
        """What the model says of itself."""

    def predict(self, model: object, table: Table, schema: Schema) -> Answers:
        """The original model's own answers: the oracle of the proof."""

    def ways(self, model: object, schema: Schema) -> Iterator[Way]:
        """The ways to a portable form, best first."""

    def load(self, data: bytes, schema: Schema, *, threads: int, model_class: str | None) -> Predict:
        """Serve the family's own safe format."""
