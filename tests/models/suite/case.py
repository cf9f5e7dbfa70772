"""One model of the suite, and the run that tells what becomes of it."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from aweigh import registry
from aweigh.config import Config
from aweigh.errors import ProofFailed
from aweigh.models.family import Form
from aweigh.models.parity import Comparison, compare, prove
from aweigh.packing.original import Asked, ask
from aweigh.packing.sample import align, open_sample
from aweigh.packing.source import family_of
from aweigh.schema.answers import Answers
from aweigh.schema.column import Schema
from aweigh.table import Table
from aweigh.table.frame import frame_to_table
from suite.data import target as make_target
from suite.fresh import roughened

TRAINING_ROWS = 300
FRESH_ROWS = 3_000
ALONE = 25
SMALLEST = 12
SEED = 7
FRESH_SEED = 1_234
DRIFT = 0.3


@dataclass(frozen=True, slots=True)
class Case:
    """A model to fit: ``build`` gives it unfitted, ``data`` its table, ``learns`` the kind of its target, or None.

    ``slow`` ones are left out of continuous integration; ``array`` are fitted without column names.
    """

    name: str
    data: Callable[..., pd.DataFrame]
    learns: str | None
    build: Callable[[], Any]
    family: str = "scikit-learn"
    slow: bool = False
    array: bool = False
    fit: Callable[[Any, pd.DataFrame, Any], Any] | None = None
    rows: int = TRAINING_ROWS
    shown: int | None = None

    def frame(self) -> pd.DataFrame:
        """What the model learns from."""
        return self.data(self.rows, SEED)

    def sample(self) -> pd.DataFrame:
        """What the packer is shown of it: all, or its first ``shown`` rows."""
        return self.frame().iloc[: self.shown]

    def fitted(self) -> Any:
        """The model, fitted."""
        frame = self.frame()
        y = None if self.learns is None else make_target(self.learns, frame)
        model = self.build()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.fit is not None:
                return self.fit(model, frame, y)
            X = frame.to_numpy(dtype=float) if self.array else frame
            return model.fit(X) if y is None else model.fit(X, y)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case. ``served`` is the runtime, or ``refused``; ``reasons`` are those of every way that lost.

    ``proof_difference`` and ``fresh_difference`` are the largest differences of any number from the original's on the
    proof's rows and on the fresh ones; ``unanswered`` counts fresh rows that the original itself fails on. ``oracle``
    is what the proof takes for the original's answers held against the model called on the very frame that it learnt
    from, None where it cannot be called so.
    """

    case: Case
    served: str
    task: str
    reasons: tuple[str, ...]
    proof_difference: float = 0.0
    fresh: Comparison = field(default_factory=lambda: Comparison(0, 0.0, 0))
    unanswered: int = 0
    oracle: Comparison | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A case after the proof: the model, what it was asked, the form that is served."""

    model: Any
    family: Any
    asked: Asked
    form: Form
    reasons: tuple[str, ...]
    proof_difference: float


def ask_original(model: Any, sample: pd.DataFrame, *, config: Config | None = None) -> tuple[Any, Asked]:
    """The family of a model in memory and what the model says of its sample, as ``aweigh.pack`` finds them."""
    own = type(model).__name__ == "OwnFunction"
    family: Any = registry.family("python" if own else family_of(model))
    described = family.describe(model)
    columns, table = open_sample(sample, described=described)
    aligned = align(columns, table, described=described, target=None, config=config or Config())
    schema = Schema(columns=aligned.columns, output=described.output)

    def widened(answers: Answers) -> Answers:
        widen = getattr(family, "widen", None)
        return (
            answers if widen is None else msgspec.structs.replace(answers, output=widen(model, answers.output, answers))
        )

    asked = ask(
        lambda rows, asked_schema: family.predict(model, rows, asked_schema), schema, aligned.table, widen=widened
    )
    return family, asked


def fresh_table(case: Case, schema: Schema) -> Table:
    """Rows that neither the model nor the proof has seen."""
    drawn = case.data(FRESH_ROWS, FRESH_SEED, DRIFT)
    dtypes = {column.name: column.dtype for column in schema.columns}
    framed, _ = frame_to_table(drawn.astype({name: "category" for name, one in dtypes.items() if one == "category"}))
    table = framed.select(schema.names)
    whole = np.ones(table.rows, dtype=bool)
    for column in schema.columns:
        if not column.nullable:
            whole &= ~table[column.name].as_mask()
    table = table.take(whole)
    return roughened(schema, _typed(schema, table), seed=FRESH_SEED)


def _typed(schema: Schema, table: Table) -> Table:
    """The drawn rows as the schema takes them: without a value where it may be missing and is of no use otherwise."""
    from aweigh.schema.check import examine

    examined = examine(schema, table)
    return examined.table.take(~examined.bad)


def answerable(predict: Callable[[Table], Answers], table: Table) -> np.ndarray:
    """Which rows the original has an answer for: where it fails on some, they are left out with their neighbours."""
    good = np.zeros(table.rows, dtype=bool)
    waiting = [np.arange(table.rows)]
    while waiting:
        rows = waiting.pop()
        try:
            predict(table.take(rows))
        except Exception:  # noqa: BLE001  whatever a model raises, it gives no answer
            if len(rows) > SMALLEST:
                waiting += [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
            continue
        good[rows] = True
    return good


def run(case: Case) -> Outcome:
    """Fits the model, finds its proven form, and holds that against the model on fresh rows, together and alone."""
    began = time.perf_counter()
    model, sample = case.fitted(), case.sample()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        family, asked = ask_original(model, sample)
        task = asked.schema.output.task
        oracle = hold_oracle(case, model, sample, asked)
        try:
            form, proof = prove(family.ways(model, asked.schema), asked.trial)
        except ProofFailed as error:
            return Outcome(
                case, "refused", task, (error.message,), notes=asked.notes, seconds=time.perf_counter() - began
            )
        table = fresh_table(case, asked.schema)

        def original(rows: Table) -> Answers:
            return family.predict(model, rows, asked.schema)

        good = answerable(original, table)
        table = table.take(good)
        fresh = against(original, form.predict, table, absolute_tolerance=asked.trial.absolute_tolerance)
    lost = tuple(f"{one.form}: {one.reason}" for one in proof.attempts if not one.agreed)
    return Outcome(
        case,
        form.runtime,
        task,
        lost,
        proof.largest_difference,
        fresh,
        int((~good).sum()),
        oracle,
        asked.notes,
        time.perf_counter() - began,
    )


def hold_oracle(case: Case, model: Any, sample: pd.DataFrame, asked: Asked) -> Comparison | None:
    """The answers that the proof goes by against the model's own, called without any of the code that serves."""
    if not hasattr(model, "get_params"):
        return None
    names = getattr(model, "feature_names_in_", None)
    frame: Any = sample if names is None else sample[list(names)]
    if case.array:
        frame = sample.to_numpy(dtype=float)
    elif names is None and sample.dtypes.iloc[0] in (object, "str") and sample.shape[1] == 1:
        frame = sample.iloc[:, 0].to_numpy(dtype=object)
    said = asked.answers
    call = model.transform if said.output.task == "transform" else model.predict
    raw = np.asarray(call(frame))
    differing, largest = 0, 0.0
    if said.index is not None:
        labels = [said.output.classes[place] for place in said.index.tolist()]
        differing = sum(one != other for one, other in zip(raw.ravel().tolist(), labels, strict=True))
        if said.probabilities is not None:
            largest = float(np.abs(np.asarray(model.predict_proba(frame), dtype=float) - said.probabilities).max())
    elif said.cluster is not None:
        differing = int((raw.ravel() != said.cluster).sum())
    elif said.outlier is not None:
        differing = int(((raw.ravel() == -1) != said.outlier).sum())
    elif said.values is not None:
        apart = np.abs(raw.reshape(len(sample), -1).astype(float) - said.values)
        largest = float(np.nanmax(apart, initial=0.0))
    return Comparison(differing, largest, int(largest > 1e-9))


def against(original: Any, served: Any, table: Table, *, absolute_tolerance: float) -> Comparison:
    """Served answers against the original's: all rows at once, some alone, and all of them in another order."""
    expected = original(table)
    worst = [compare(served(table), expected, absolute_tolerance=absolute_tolerance)]
    order = np.random.default_rng(SEED).permutation(table.rows)
    turned = served(table.take(order))
    worst.append(compare(turned, _taken(expected, order), absolute_tolerance=absolute_tolerance))
    for row in order[:ALONE]:
        at = np.array([row])
        worst.append(compare(served(table.take(at)), _taken(expected, at), absolute_tolerance=absolute_tolerance))
    return Comparison(
        max(one.labels_differing for one in worst),
        max(one.largest_difference for one in worst),
        max(one.numbers_differing for one in worst),
    )


def _taken(answers: Answers, rows: np.ndarray) -> Answers:
    def part(one: Any) -> Any:
        return None if one is None else one[rows]

    return Answers(
        answers.output,
        len(rows),
        part(answers.index),
        part(answers.probabilities),
        part(answers.values),
        part(answers.cluster),
        part(answers.outlier),
        part(answers.scores),
    )
