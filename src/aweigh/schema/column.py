"""The schema as a value: input columns, the output, and their JSON form (``schema.json`` in a bundle)."""

from typing import Literal

import msgspec

ColumnType = Literal["number", "integer", "boolean", "category", "text", "date", "datetime"]
"""What a cell may be. ``category`` is text of which the sample held few kinds; ``text`` is any text."""

Task = Literal["class", "number", "numbers", "cluster", "outlier", "transform"]
"""What the model answers: a class, one number, several numbers, a cluster, an outlier flag, or a transformed row."""

Policy = Literal["drop", "hash", "keep"]
"""What becomes of a personal column's cells where they would be written down: left out, hashed with a key, or kept."""

Scalar = str | int | float | bool
"""A JSON value that is neither null nor a container."""


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One input column.

    ``dtype`` is the pandas dtype of the column in the sample, which is what the original model is asked with
    (``float64``, ``float32``, ``int64``, ``str``, ``object``, ``bool``, ``category``, ``datetime64[us]``...).
    ``minimum`` and ``maximum`` are the observed range (dates in ISO 8601). ``lower_limit`` and ``upper_limit``, and
    ``closed`` for categories, are what the owner allows: a value beyond is refused, one merely unseen is not.
    ``present_words`` are text of the sample that a CSV would otherwise take to mean "missing" (``NA``, ``None``).
    ``typical`` is the median or the most frequent value, ``default`` what a form starts with when the owner says so.
    ``personal`` says that cells are about people, of what ``personal_kind``, and what becomes of them: of a column that
    is not kept no value of the sample is in the bundle, and ``typical`` is made up.
    """

    name: str
    type: ColumnType
    dtype: str
    nullable: bool = False
    minimum: float | int | str | None = None
    maximum: float | int | str | None = None
    lower_limit: float | int | str | None = None
    upper_limit: float | int | str | None = None
    categories: tuple[str, ...] | None = None
    closed: bool = False
    present_words: tuple[str, ...] | None = None
    typical: Scalar | None = None
    default: Scalar | None = None
    decimals: int | None = None
    title: str | None = None
    unit: str | None = None
    description: str | None = None
    group: str | None = None
    personal: Policy | None = None
    personal_kind: str | None = None

    @property
    def is_number(self) -> bool:
        """Whether cells are numbers (booleans are not)."""
        return self.type in {"number", "integer"}

    @property
    def is_text(self) -> bool:
        """Whether cells are kept as text: categories, free text."""
        return self.type in {"category", "text"}

    @property
    def is_time(self) -> bool:
        """Whether cells are dates or points in time."""
        return self.type in {"date", "datetime"}


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What the model answers for a row.

    ``name`` is what is predicted. ``classes`` are the labels in the model's own type and order; ``class_titles`` their
    display names in the same order. ``names`` are the columns of several numbers or of a transform.
    """

    task: Task
    name: str
    classes: tuple[Scalar, ...] = ()
    class_titles: tuple[str, ...] = ()
    probabilities: bool = False
    scores: bool = False
    names: tuple[str, ...] = ()
    unit: str | None = None
    description: str | None = None


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Input columns in the model's order, and the output."""

    columns: tuple[Column, ...]
    output: Output

    @property
    def names(self) -> tuple[str, ...]:
        """The input columns' names, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The input column of that name.

        Raises:
            KeyError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)
