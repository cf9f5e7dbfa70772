"""The proof: a portable form is taken only if it answers as the original does.

Both answer the sample and probe rows made from it (``probes.py``), all at once, and some of the rows one at a time.
Labels must be equal; numbers must agree within the tolerance that the manifest states. What the original has no answer
for, a form must have none for either.
"""

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aweigh.bundle.manifest import Attempt, Proof
from aweigh.errors import AweighError, ProofFailed
from aweigh.models.family import Form, Predict, Way
from aweigh.schema.answers import Answers
from aweigh.table import Table

RELATIVE_TOLERANCE = 1e-5
ABSOLUTE_TOLERANCE = 1e-5
"""For answers of size 1 and above; smaller ones are held to this share of the largest answer on the sample."""

SINGLE_ROWS = 40
HINT = (
    "serve it as your own code instead: write a function that takes and returns a table, and pack it as module:function"
)
MAX_REASON_CHARACTERS = 200
_QUOTED = re.compile(r"""(?<!\w)(['"]).*?(?:\1(?!\w)|$)""")


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What the original says of the rows that a form is tried on.

    ``table`` holds the sample's rows first (``sample_rows`` of them), then the probes. ``single`` are the positions of
    the rows that are also asked one at a time. ``refused`` are probes on which the original fails.
    """

    table: Table
    sample_rows: int
    expected: Answers
    single: NDArray[np.int64]
    expected_single: tuple[Answers, ...]
    absolute_tolerance: float
    refused: Table | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two sets of answers are apart; ``unwanted`` counts answers to rows that the original refuses."""

    labels_differing: int
    largest_difference: float
    numbers_differing: int
    unwanted: int = 0

    @property
    def agrees(self) -> bool:
        """Whether every label is equal and every number within the tolerance."""
        return self.labels_differing == 0 and self.numbers_differing == 0 and self.unwanted == 0


def make_trial(predict: Predict, table: Table, *, sample_rows: int, refused: Table | None = None) -> Trial:
    """Asks the original about the sample's rows and the probes behind them; rows asked alone are spread over both."""
    expected = predict(table)
    count = min(SINGLE_ROWS, table.rows)
    single = np.unique(np.linspace(0, table.rows - 1, count).round().astype(np.int64))
    alone = tuple(predict(table.take(np.array([row]))) for row in single)
    return Trial(table, sample_rows, expected, single, alone, _tolerance(expected), refused)


def _tolerance(expected: Answers) -> float:
    """The absolute tolerance: for answers whose largest is below 1, the same share of that largest."""
    sizes = [np.abs(one[np.isfinite(one)]).max(initial=0.0) for one in _numbers(expected)]
    largest = max(sizes, default=1.0)
    return ABSOLUTE_TOLERANCE * (min(1.0, float(largest)) or 1.0)


def _numbers(answers: Answers) -> list[NDArray[np.float64]]:
    found = (answers.probabilities, answers.values, answers.scores)
    return [one for one in found if one is not None]


def _labels(answers: Answers) -> NDArray[np.generic] | None:
    for one in (answers.index, answers.cluster, answers.outlier):
        if one is not None:
            return one
    return None


def compare(got: Answers, expected: Answers, *, absolute_tolerance: float) -> Comparison:
    """Holds answers against the original's, row by row. Equal infinities and two NaN agree."""
    theirs = _labels(expected)
    ours = _labels(got)
    differing = 0 if theirs is None or ours is None else int((theirs != ours).sum())
    largest, wrong = 0.0, 0
    for a, b in zip(_numbers(got), _numbers(expected), strict=True):
        if a.shape != b.shape:
            return Comparison(differing, float("inf"), max(a.size, b.size))
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(a - b)
            close = np.isfinite(b) & (apart <= absolute_tolerance + RELATIVE_TOLERANCE * np.abs(b))
        close |= (a == b) | (np.isnan(a) & np.isnan(b))
        finite = np.isfinite(apart)
        largest = max(largest, float(apart[finite].max(initial=0.0)))
        wrong += int((~close).sum())
    return Comparison(differing, largest, wrong)


def hold(predict: Predict, trial: Trial) -> Comparison:
    """One form against the original, on all rows at once and on some alone; the worst of both."""
    found = [compare(predict(trial.table), trial.expected, absolute_tolerance=trial.absolute_tolerance)]
    for row, expected in zip(trial.single, trial.expected_single, strict=True):
        alone = predict(trial.table.take(np.array([row])))
        found.append(compare(alone, expected, absolute_tolerance=trial.absolute_tolerance))
    return Comparison(
        sum(one.labels_differing for one in found),
        max(one.largest_difference for one in found),
        sum(one.numbers_differing for one in found),
        0 if trial.refused is None else _unwanted(predict, trial.refused),
    )


def _unwanted(predict: Predict, refused: Table) -> int:
    """How many of these rows, each alone, get an answer: neither an error nor a number that is none."""
    count = 0
    for row in range(refused.rows):
        try:
            answers = predict(refused.take(np.array([row])))
        except Exception:  # noqa: BLE001, S112  whatever it raises, it gives no answer
            continue
        numbers = [] if answers.index is not None else _numbers(answers)
        count += not any(np.isnan(one).any() for one in numbers)
    return count


def prove(
    ways: Iterable[Way], trial: Trial, *, tell: Callable[[str], None] = lambda _: None, discreet: bool = False
) -> tuple[Form, Proof]:
    """The first way whose form agrees, with the account of all that were tried; ``discreet`` as of ``reason_of``.

    Raises:
        ProofFailed: none agrees. The message names the last reason; nothing is served.
    """
    attempts: list[Attempt] = []
    hint = HINT
    for way in ways:
        hint = way.hint or HINT
        tell(way.name)
        form, attempt = _attempt(way, trial, discreet=discreet)
        attempts.append(attempt)
        if form is not None:
            return form, _proof(trial, tuple(attempts))
    tried = "; ".join(f"{one.form}: {one.reason}" for one in attempts)
    raise ProofFailed(
        f"No portable form gives the model's own answers. {tried}",
        hint=hint,
    )


def _attempt(way: Way, trial: Trial, *, discreet: bool) -> tuple[Form | None, Attempt]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # converters warn of their own affairs; the comparison is the judge
            form = way.make()
            found = hold(form.predict, trial)
    except Exception as error:  # noqa: BLE001  a converter may raise anything, and each means that this way is closed
        return None, Attempt(form=way.name, agreed=False, reason=reason_of(error, discreet=discreet))
    if found.agrees:
        return form, Attempt(form=way.name, agreed=True, largest_difference=found.largest_difference)
    rows = trial.table.rows + len(trial.single)
    if found.labels_differing:
        reason = f"{found.labels_differing} of {rows} labels differ"
    elif found.unwanted:
        reason = f"it answers {found.unwanted} rows that the model itself refuses"
    else:
        reason = f"{found.numbers_differing} numbers differ, by at most {found.largest_difference:.2g}"
    return None, Attempt(
        form=way.name,
        agreed=False,
        largest_difference=found.largest_difference,
        labels_differing=found.labels_differing,
        reason=reason,
    )


def reason_of(error: BaseException, *, discreet: bool = False) -> str:
    """An exception in one line, without paths of the machine.

    ``discreet`` leaves out what may be a cell of somebody's row, which libraries quote when they fail on it: their
    words are not taken, only the exception's kind, and of our own words nothing between quotation marks.
    """
    kind = type(error).__name__
    if discreet and not _is_ours(error):
        return kind
    text = error.message if isinstance(error, AweighError) else f"{kind}: {error}"
    line = next((line.strip() for line in text.split("\n") if line.strip()), kind)
    line = _QUOTED.sub("...", line) if discreet else line
    line = " ".join(word for word in line.split() if "/site-packages/" not in word)
    return line if len(line) <= MAX_REASON_CHARACTERS else line[: MAX_REASON_CHARACTERS - 3] + "..."


def _is_ours(error: BaseException | None) -> bool:
    """Whether an error is of our own words alone: raised by us, and because of nothing else."""
    while error is not None:
        if not isinstance(error, AweighError):
            return False
        error = error.__cause__ or error.__context__
    return True


def _proof(trial: Trial, attempts: tuple[Attempt, ...]) -> Proof:
    return Proof(
        rows=trial.sample_rows,
        probe_rows=trial.table.rows - trial.sample_rows,
        single_rows=len(trial.single),
        absolute_tolerance=trial.absolute_tolerance,
        relative_tolerance=RELATIVE_TOLERANCE,
        largest_difference=attempts[-1].largest_difference or 0.0,
        attempts=attempts,
    )
