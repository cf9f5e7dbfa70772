"""Write docs/reference/models.md: every model of the suite, what it is served as, and how far its answers are off.

It fits, packs in memory and compares them all, which takes two or three minutes; words as arguments keep to the cases
whose names hold one of them, and print their rows instead of writing the page.
"""

import os
import re
import sys
from collections import Counter
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "models"))

from suite import GROUPS, Outcome, cases, run  # noqa: E402  the path must be set first
from suite.case import FRESH_ROWS, TRAINING_ROWS  # noqa: E402
from suite.checks import SERVED_AS  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "models.md"

HEAD = """<!-- Made by `make models-page` from the suite in tests/models: a change here is lost. -->
# Models and how they are served

`aweigh pack` tries ONNX first, then the family's own safe format, and takes the first form that
[gives the model's own answers](../explanation/design.md). This page is what became of every model that the test suite
packs: {count} fitted estimators and pipelines, {onnx} served as ONNX, {own} in their own format, {code} as the code
that they are, {refused} refused.

| served as | models |
|---|---|
{counts}

Each model learns from {training} rows with what it takes: whole numbers, fractions, money to two decimals, single
precision, booleans, text, missing values. The proof holds the form that is served against the original on those rows
and on probes made from them. Then, which is the test of the proof itself, it is held against the original on up to
{fresh:,} fresh rows: from a drifted world, with missing values, categories never seen, values halfway between those
seen and right beside that, zeros of both signs; together, in another order, and alone. **On none of these rows did a
label differ, or a number by more than the tolerance** (a hundred-thousandth of its size).

The columns *proof* and *fresh* are the largest absolute differences of any probability, score or number. An answer of a
thousand that is off by 6e-05 is off by the last digit of single precision, in which ONNX Runtime gives what its trees
add up. Your own model may be served otherwise than its like here: what decides is its own data.
"""

TABLE = "| model | task | served as | proof | fresh | why not ONNX |\n|---|---|---|---|---|---|"


def figure(difference: float) -> str:
    """Return a difference as people read it."""
    return "0" if difference == 0 else f"{difference:.0e}".replace("e-0", "e-").replace("e+0", "e+")


def reason(outcome: Outcome) -> str:
    """Return why the first way lost, in a few words."""
    if outcome.served == "onnx" or not outcome.reasons:
        return ""
    text = outcome.reasons[0].removeprefix("No portable form gives the model's own answers. ")
    text = re.sub(r"^ONNX[^:]*: ", "", text.split("; ")[0])
    text = re.sub(r"^\w+(Error|Exception): ", "", text)
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= 130 else text[:127] + "..."


def row(outcome: Outcome) -> str:
    """Return one case's line of a table."""
    served = outcome.served != "refused"
    cells = (
        outcome.case.name,
        outcome.task,
        SERVED_AS[outcome.served],
        figure(outcome.proof_difference) if served else "",
        figure(outcome.fresh.largest_difference) if served else "",
        reason(outcome),
    )
    return "| " + " | ".join(cells) + " |"


def page(outcomes: dict[str, Outcome]) -> str:
    """Return the whole page."""
    counted = Counter(outcome.served for outcome in outcomes.values())
    known = [one for one in SERVED_AS if counted[one]]
    text = HEAD.format(
        count=len(outcomes),
        onnx=counted["onnx"],
        own=sum(counted[one] for one in ("sklearn", "xgboost", "lightgbm", "catboost")),
        code=counted["python"],
        refused=counted["refused"],
        counts="\n".join(f"| {SERVED_AS[one]} | {counted[one]} |" for one in known),
        training=TRAINING_ROWS,
        fresh=FRESH_ROWS,
    )
    sections = [
        f"\n## {name}\n\n{TABLE}\n" + "\n".join(row(outcomes[case.name]) for case in group)
        for name, group in GROUPS.items()
    ]
    return text + "\n".join(sections) + "\n"


def main(words: list[str]) -> int:
    """Run the cases, and write the page when all agree; return how many do not."""
    chosen = [case for case in cases() if not words or any(word.lower() in case.name.lower() for word in words)]
    outcomes: dict[str, Outcome] = {}
    wrong = 0
    for place, case in enumerate(chosen, start=1):
        outcome = outcomes[case.name] = run(case)
        wrong += not outcome.fresh.agrees
        told = "" if outcome.fresh.agrees else f"  WRONG: {outcome.fresh}"
        print(f"{place:3}/{len(chosen)} {outcome.seconds:5.1f} s  {row(outcome)}{told}", flush=True)
    print(Counter(outcome.served for outcome in outcomes.values()), f"{wrong} wrong")
    if not words and not wrong:
        PAGE.write_text(page(outcomes), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
