"""Rows that the proof has not seen: another draw from a drifted world, roughened where models break.

Made here without the code that makes the proof's probes, as they are what is tested.
"""

import numpy as np

from aweigh.schema.column import Column, Schema
from aweigh.table import Table, Values

STRANGE_TEXT = (
    "Atlantis", "", "  ", " basic", "basic ", "Basic", "nan", "NaN", "None", "NA", "null", "0", "1", "1.0", "true",
    "Zu\u0308rich", "ZÜRICH", "Zürich\u200b", "\u00a0", "a" * 3000, "high-water", "x\ny", "\t", "🏔️",
    "Ｐａｒｉｓ", "'; --", '"',
)  # fmt: skip
"""Unseen, empty, padded, other cases, the words for nothing, composed and decomposed, invisible, long, wide, quoted."""


def roughened(schema: Schema, table: Table, *, seed: int) -> Table:
    """A copy in which a part of every column's cells is what a sample hardly holds; the schema takes all of it."""
    generator = np.random.default_rng(seed)
    return Table({column.name: _rough(column, table[column.name], generator) for column in schema.columns}, table.rows)


def _rough(column: Column, values: Values, generator: np.random.Generator) -> Values:
    data, missing = values.data.copy(), values.as_mask().copy()
    lot = generator.random(len(data))
    if column.is_text:
        if not column.closed:
            for row in np.flatnonzero(lot < 0.06).tolist():
                data[row], missing[row] = STRANGE_TEXT[generator.integers(len(STRANGE_TEXT))], False
    elif column.type == "number":
        data = _rough_numbers(column, data, lot, generator)
    elif column.type == "integer":
        low, high = int(column.minimum or 0), int(column.maximum or 0)
        span = max(high - low, 1)
        beyond = generator.integers(low - span, high + span + 1, len(data))
        data[lot < 0.05] = beyond[lot < 0.05]
    if column.nullable:
        missing |= (lot > 0.5) & (lot < 0.58)
    data = np.where(missing, _blank(data), data)
    return Values(data, missing if missing.any() else None)


def _blank(data: np.ndarray) -> object:
    return "" if data.dtype == object else np.zeros(1, dtype=data.dtype)[0]


def _rough_numbers(column: Column, data: np.ndarray, lot: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Midpoints of neighbours, their neighbours in single and double precision, halves, zeros of both signs, tiny."""
    data = data.astype(np.float64)
    given = np.unique(data)
    middles = (given[:-1] + given[1:]) / 2 if len(given) > 1 else given
    picked = generator.choice(middles, len(data))
    single = picked.astype(np.float32)
    edges = [
        picked,
        np.nextafter(picked, np.inf),
        np.nextafter(picked, -np.inf),
        np.nextafter(single, np.float32(np.inf)).astype(np.float64),
        np.nextafter(single, np.float32(-np.inf)).astype(np.float64),
        np.round(picked, 2),
        np.round(picked * 2) / 2,
        generator.choice([0.0, -0.0, 5e-324, 1e-40, -1e-12, 1e6, -1e6, 123456789.01], len(data)),
        data * generator.choice([-1.0, 3.0, 10.0], len(data)),
    ]
    which = generator.integers(len(edges), size=len(data))
    rough = np.choose(which, edges)
    low, high = column.lower_limit, column.upper_limit
    rough = np.clip(rough, -np.inf if low is None else low, np.inf if high is None else high)
    data = np.where(lot < 0.25, rough, data)
    return data.astype(np.float32).astype(np.float64) if column.dtype == "float32" else data
