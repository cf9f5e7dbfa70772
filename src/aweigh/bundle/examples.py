"""The golden rows: a few rows with the original model's answers, replayed wherever the bundle is served."""

from typing import Any

import msgspec

from aweigh.bundle.manifest import to_json
from aweigh.errors import DamagedBundle


class Examples(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rows as JSON objects, the documents that ``POST /v1/predict`` answers for them, and what makes each different.

    All three are equally long; a title may be empty. Dates are text in ISO 8601, a missing value is null.
    """

    rows: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    titles: list[str]


def dump_examples(examples: Examples) -> bytes:
    """``examples.json``.

    Raises:
        ValueError: rows, predictions and titles are not equally many.
    """
    if not len(examples.rows) == len(examples.predictions) == len(examples.titles):
        msg = "rows, predictions and titles must be equally many"
        raise ValueError(msg)
    return to_json(examples)


def load_examples(content: bytes) -> Examples:
    """The golden rows of ``examples.json``.

    Raises:
        DamagedBundle: it is not what ``dump_examples`` writes.
    """
    try:
        examples = msgspec.json.decode(content, type=Examples)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DamagedBundle(f"examples.json cannot be read: {error}.") from error
    if not len(examples.rows) == len(examples.predictions) == len(examples.titles):
        raise DamagedBundle("examples.json holds rows, predictions and titles of different number.")
    return examples
