"""A model as a pickle, where no portable form of it is proven and its owner asks for one.

It is written anew from the model in memory: one plain pickle of protocol 5, arrays in line, sets in order, so that the
same model gives the same bytes. What it imports and calls goes into the manifest, name by name, and must be on the
lists of its family. It is loaded by the machine that reads untrusted pickles (``scan/machine.py``), which knows these
names and no others, no persistent ids, no extension codes and no buffers, and counts its steps.
"""

import io
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from aweigh import registry
from aweigh.bundle.lock import serving_requirements
from aweigh.bundle.manifest import Family, Pickled
from aweigh.bundle.names import PICKLE
from aweigh.errors import UntrustedModel
from aweigh.models.family import Form, Predict, Way
from aweigh.models.scan import FAMILIES, Listed, check_listed, load_listed, load_trusted_bytes, scan_bytes
from aweigh.schema.answers import Answers
from aweigh.schema.column import Schema

PROTOCOL = 5
MAX_DEPTH = 50_000
"""Frames of Python while a model is written: trees that point to their neighbours are long chains to a pickler."""
HINT = (
    "save the model without functions and classes of your own, or serve it as your own code: pack it as module:function"
)


def pickled_way(family: Family, model: object, schema: Schema) -> Way:
    """The last way of all: the model itself, as a pickle of listed names."""

    def make() -> Form:
        module = registry.family(family)
        data = dump(_kept(family, model))
        said = listed(data)
        others = {name.partition(".")[0] for name in said.names} & set(FAMILIES) - {family}
        needs = sorted({need for other in others for need in serving_requirements(other, ui=False)})
        return Form(
            family,
            PICKLE,
            data,
            load_pickled(data, said, module, schema),
            requirements=tuple(needs),
            pickle=said,
        )

    return Way("a pickle of listed names, signed", make, hint=HINT)


def load_pickled(data: bytes, said: Pickled, family: ModuleType, schema: Schema) -> Predict:
    """Serve a pickle that imports what its manifest says, and nothing beyond the lists.

    Raises:
        UntrustedModel, UnreadableModel, MissingExtra: as of ``scan.load_listed``.
    """
    model = load_listed(data, "model.pkl", _listed(said))

    def predict(table: Any) -> Answers:
        if not table.rows:
            return Answers.empty(schema.output)
        answers: Answers = family.predict(model, table, schema)
        return answers

    return predict


def check_pickled(data: bytes, said: Pickled) -> None:
    """Refuse a pickle that would import what its manifest does not say, or what is on no list; nothing of it is run.

    Raises:
        UntrustedModel, UnreadableModel: as of ``scan.load_listed``.
    """
    check_listed(data, "model.pkl", _listed(said))


def _listed(said: Pickled) -> Listed:
    return Listed(frozenset(said.names), frozenset(said.calls))


def listed(data: bytes) -> Pickled:
    """What a pickle imports and calls, in order."""
    found = scan_bytes(data)
    return Pickled(names=found.names, calls=found.calls)


def dump(model: object) -> bytes:
    """A model as a plain pickle: the same for what was read from a file and for what is in memory.

    Raises:
        UntrustedModel, UnreadableModel: it imports what is on no list, or what no pickle of a model does.
        pickle.PicklingError: it cannot be pickled at all. Others raise what they like.
    """
    first = _written(model)
    # Once through the machine: what is one object and what two is then decided by the pickle, and by nothing before it.
    return _written(load_trusted_bytes(first, "the model", formats=("pickle",)))


def _kept(family: Family, model: object) -> object:
    if family != "sklearn":
        return model
    from aweigh.models.prepared import parts_of, unwrap

    kept = unwrap(model)
    for part in parts_of(kept):
        vars(part).pop("_stop_words_id", None)  # an address that vectorizers note: another in every process
    return kept


class _Plain(pickle._Pickler):  # noqa: SLF001  the pickler in Python, whose ways of saving a kind can be changed
    """Writes sets in the order of their elements' own bytes, as a process's hashes would order them otherwise."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012, SLF001  as pickle itself has it

    def save_ordered(self, value: "set[Any] | frozenset[Any]") -> None:
        """A set as a call of its class with a list, which protocols before 4 write, too."""
        items = sorted(value, key=lambda one: pickle.dumps(one, PROTOCOL))
        self.save_reduce(type(value), (items,), obj=value)  # type: ignore[attr-defined]

    dispatch[set] = dispatch[frozenset] = save_ordered  # type: ignore[assignment]


def _written(model: object) -> bytes:
    out = io.BytesIO()
    with _deep():
        _Plain(out, PROTOCOL).dump(model)
    return out.getvalue()


@contextmanager
def _deep() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, MAX_DEPTH))
    try:
        yield
    except RecursionError as error:
        raise UntrustedModel("The model is nested too deeply to be written as a pickle.") from error
    finally:
        sys.setrecursionlimit(before)
