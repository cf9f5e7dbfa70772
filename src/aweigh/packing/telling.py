"""What ``pack`` tells of each step, in a line."""

from typing import TYPE_CHECKING

from aweigh.bundle.findings import Membership, Robustness
from aweigh.bundle.manifest import Proof
from aweigh.models.family import Form
from aweigh.schema.column import Schema
from aweigh.schema.combination import Combinations

if TYPE_CHECKING:
    from aweigh.bundle.lock import Lock
    from aweigh.table import Table


def told_schema(schema: Schema, table: "Table") -> str:
    """The schema in a line: ``6 inputs (4 numbers, 2 choices), 3 classes, 11 missing cells``."""
    words = {"number": "number", "integer": "number", "boolean": "yes/no", "category": "choice", "text": "text"}
    counts: dict[str, int] = {}
    for column in schema.columns:
        word = words.get(column.type, "date")
        counts[word] = counts.get(word, 0) + 1
    kinds = ", ".join(
        f"{count} {word if count == 1 or word in {'yes/no', 'text'} else word + 's'}" for word, count in counts.items()
    )
    output = schema.output
    answer = {
        "class": f"{len(output.classes)} classes",
        "number": "a number",
        "numbers": f"{len(output.names)} numbers",
        "cluster": "a cluster",
        "outlier": "an outlier flag",
        "transform": f"{len(output.names)} transformed numbers",
    }[output.task]
    missing = sum(int(values.as_mask().sum()) for values in table.columns.values())
    many = len(schema.columns)
    gaps = f", {missing:,} missing cell{'s' if missing != 1 else ''}" if missing else ""
    return f"{many} input{'s' if many != 1 else ''} ({kinds}), {answer}{gaps}"


def told_domain(known: Combinations) -> str:
    """The check of combinations in a line: how much it looks at, what it finds, and how often it is wrong."""
    did = known.calibration
    return (
        f"{len(known.pairs)} pairs of columns; of rows shuffled at random {did.shuffled * 100:.0f} % are unlikely, "
        f"of the sample's own {did.flagged * 100:.2f} %"
    )


def told_robustness(found: Robustness) -> str:
    """What an attack found, in a line."""
    if found.how == "flips":
        half = "no half of them flips" if found.median is None else f"half flip within {found.median:.2g} IQR"
        return f"{found.queries:,} rows asked for {found.rows}: {half}"
    if not found.middle:
        return f"{found.queries:,} rows asked for {found.rows}"
    size, middle = found.sizes[-1], found.middle[-1]
    return f"{found.queries:,} rows asked for {found.rows}: {size:g} IQR moves half of the answers by {middle:.3g}"


def told_membership(found: Membership) -> str:
    """What the answers tell of the training data, in a line."""
    return (
        f"an attack on the loss tells members from {found.held_out_rows:,} others with an area of {found.area:.2f} "
        f"(0.5: not at all)"
    )


def told_proof(form: Form, proof: Proof) -> str:
    """The proof in a line: ``ONNX agrees on 1,240 rows, largest difference 3e-08``."""
    name = "ONNX" if form.runtime == "onnx" else proof.attempts[-1].form
    return f"{name} agrees on {proof.rows + proof.probe_rows:,} rows, largest difference {proof.largest_difference:.1g}"


def told_lock(locked: "Lock", python: str) -> str:
    """The lock in a line: ``9 packages, Python 3.12, hashed``."""
    count = sum(1 for line in locked.text.splitlines() if "==" in line and not line.lstrip().startswith("#"))
    return f"{count} packages, Python {python}, {'hashed' if locked.hashed else 'pinned without hashes'}"
