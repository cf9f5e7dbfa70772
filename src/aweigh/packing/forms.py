"""The forms of a bundle beside the one that the proof took: on which threads it may run, and which other takes turns.

Another form is carried only where it gives the first one's bits on every row of the proof, and where its file is not
large or it was asked for. What a clock says has no part in it: the same inputs give the same bytes.
"""

from dataclasses import dataclass, field
from types import ModuleType

from aweigh import registry
from aweigh.bundle.lock import serving_requirements
from aweigh.bundle.manifest import Alternative
from aweigh.models.bits import any_parts, any_threads, same_bits
from aweigh.models.family import Form, Other, Predict
from aweigh.models.onnx import OnnxModel
from aweigh.models.parity import reason_of
from aweigh.models.tailed import tailed
from aweigh.schema.column import Schema
from aweigh.table import Table

UNASKED_BYTES = 32 * 2**20
"""A file of up to this size, some 1,000 trees of depth 8, comes along unasked; a larger one with ``--with-native``."""
TAIL_FILE = "model/alternative-tail.onnx"
TAKES_THREADS = frozenset({"onnx", "xgboost", "lightgbm", "catboost"})


@dataclass(frozen=True, slots=True)
class Forms:
    """What the manifest says of the forms; ``files`` of the bundle by name, ``told`` for people, when there is any."""

    any_threads: bool
    any_parts: bool
    alternatives: tuple[Alternative, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    reason: str = ""


def forms_beside(
    form: Form, model: object, schema: Schema, table: Table, *, family: ModuleType, locked: bool, discreet: bool = False
) -> Forms:
    """What there is beside the proven ``form``; ``table`` holds the rows of the proof.

    ``locked`` says that the library of another form will be in the bundle's locks; ``discreet`` as of ``reason_of``.
    """
    takes = form.runtime in TAKES_THREADS and form.pickle is None
    threads = takes and any_threads(_on_one(form, schema), lambda count: _load(form, schema, count), table)
    parts = takes and any_parts(form.predict, table)
    offer = getattr(family, "other", None)
    if offer is None or form.tail is None or form.graph is None:
        return Forms(threads, parts)
    other: Other = offer(model, schema)
    model_class, tail, graph = type(model).__name__, form.tail, form.graph

    def load(count: int) -> Predict:
        sums = family.load_sums(other.data, schema, threads=count, model_class=model_class)
        return tailed(sums, tail, graph, schema.output)

    if len(other.data) > UNASKED_BYTES and not locked:
        size = f"they are {len(other.data) / 1e6:.0f} MB, and --with-native was not asked for"
        return Forms(threads, parts, reason=f"{other.name} do not come along: {size}")
    try:
        predict = load(1)
        differing = same_bits(form.predict, predict, table)
        found_threads = not differing and any_threads(predict, load, table)
    except Exception as error:  # noqa: BLE001  whatever a library raises, the proven form stands without it
        return Forms(threads, parts, reason=f"{other.name} do not come along: {reason_of(error, discreet=discreet)}")
    if differing:
        rows = f"{differing:,} of {table.rows:,} rows come out otherwise in the last bit"
        return Forms(threads, parts, reason=f"{other.name} do not come along: {rows}")
    alternative = Alternative(
        runtime=other.runtime,
        model_file=other.file_name,
        tail_file=TAIL_FILE,
        model_class=model_class,
        any_threads=found_threads,
        locked=locked,
    )
    reason = f"{other.name} give the same bits on {table.rows:,} rows, together and alone"
    return Forms(threads, parts, (alternative,), {other.file_name: other.data, TAIL_FILE: tail}, reason)


def needed_by(forms: Forms) -> list[str]:
    """What an environment needs for the other forms that are to be in the locks."""
    wanted = [one.runtime for one in forms.alternatives if one.locked]
    return sorted({need for runtime in wanted for need in serving_requirements(runtime, ui=False)})


def _on_one(form: Form, schema: Schema) -> Predict:
    """The proven form on one thread, as a graph is from the first: to load one of 8 MB takes half a second."""
    return form.predict if form.runtime == "onnx" and form.graph is not None else _load(form, schema, 1)


def _load(form: Form, schema: Schema, count: int) -> Predict:
    """The proven form again, on so many threads."""
    if form.runtime == "onnx" and form.graph is not None:
        return OnnxModel(form.data, form.graph, schema.output, threads=count).predict
    made: Predict = registry.family(form.runtime).load(form.data, schema, threads=count, model_class=form.model_class)
    return made
