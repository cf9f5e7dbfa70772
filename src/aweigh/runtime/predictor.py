"""The predictor: a loaded bundle that answers for checked tables, and can prove that it still does."""

from collections.abc import Sequence
from dataclasses import dataclass

from aweigh.bundle.examples import Examples
from aweigh.bundle.manifest import Manifest, short
from aweigh.bundle.signature import Signer
from aweigh.models.family import Predict
from aweigh.models.parity import RELATIVE_TOLERANCE
from aweigh.runtime.forms import Forms
from aweigh.schema import Answers, Schema
from aweigh.schema.check import check_rows
from aweigh.schema.combination import Combinations
from aweigh.schema.domain import Domain
from aweigh.schema.policy import FLAG, Policy
from aweigh.table import Table


@dataclass(frozen=True, slots=True)
class Replay:
    """The golden rows asked again: ``problems`` names each row whose answer is not the original's."""

    rows: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every golden row was answered as the original answered it."""
        return not self.problems


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """A loaded bundle; ``predict`` may be called from several threads at once.

    ``forms`` tells who answers, ``signers`` who has signed the bundle, where somebody was asked for;
    ``policy`` says what becomes of rows outside what the model has seen, ``combinations`` what is known of how columns
    go together.
    """

    manifest: Manifest
    digest: str
    schema: Schema
    examples: Examples
    profile_json: bytes
    card: str
    answer: Predict
    forms: Forms | None = None
    signers: tuple[Signer, ...] = ()
    policy: Policy = FLAG
    combinations: Combinations | None = None

    @property
    def domain(self) -> Domain:
        """What the model has seen, and what becomes of what lies beyond."""
        return Domain(self.schema, self.policy, self.combinations)

    @property
    def version(self) -> str:
        """The bundle's digest as people see it: 12 hex digits."""
        return short(self.digest)

    @property
    def told_forms(self) -> str:
        """Who answers, in words: ``onnx``, or ``onnx, from 75 rows on xgboost``."""
        if self.forms is None:
            return self.manifest.runtime
        first, *rest = self.forms.turns
        return ", ".join([first.runtime, *(f"from {one.from_rows:,} rows on {one.runtime}" for one in rest)])

    def predict(self, table: Table) -> Answers:
        """Answers for a table that the schema has checked, one for each row, in order."""
        return self.answer(table)

    def predict_rows(self, rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
        """Answers for JSON rows, as ``POST /v1/predict`` gives them.

        Raises:
            InvalidRows: any cell that the schema refuses.
        """
        return self.predict(check_rows(self.schema, rows)).documents()

    def replay(self) -> Replay:
        """Asks the golden rows together and one at a time, and holds the answers against the original's."""
        rows = self.examples.rows
        problems: list[str] = []
        together = self.predict_rows(rows)
        alone = [self.predict_rows([row])[0] for row in rows]
        for i, expected in enumerate(self.examples.predictions):
            for how, got in (("with others", together[i]), ("alone", alone[i])):
                if not same_document(got, expected, self.manifest.proof.absolute_tolerance):
                    problems.append(f"golden row {i}, asked {how}: {got} where the original said {expected}")
        return Replay(len(rows), tuple(problems))


def same_document(got: object, expected: object, absolute_tolerance: float) -> bool:
    """Whether two answers are the same: labels equal, numbers within the proof's tolerance."""
    if isinstance(expected, dict):
        return (
            isinstance(got, dict)
            and got.keys() == expected.keys()
            and all(same_document(got[key], value, absolute_tolerance) for key, value in expected.items())
        )
    if isinstance(expected, bool) or not isinstance(expected, float):
        return type(got) is type(expected) and got == expected
    if isinstance(got, bool) or not isinstance(got, int | float):
        return False
    return abs(got - expected) <= absolute_tolerance + RELATIVE_TOLERANCE * abs(expected)
