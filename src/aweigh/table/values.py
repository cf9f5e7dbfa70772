"""One column: a numpy array with explicit missing values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE_DTYPE = "object[none]"
"""An object column whose missing cells are ``None`` and not NaN: some models tell the two apart."""

DATE_DTYPE = "date"
"""An object column of ``datetime.date``, ``None`` where missing: what pandas makes of Arrow's and Parquet's dates."""

ORDERED_DTYPE = "category[ordered]"
"""A categorical column whose order means something."""


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One column: ``data`` of shape (rows,), and ``missing``, a mask of that shape, or None when nothing is missing.

    ``data`` is float64, int64, bool, datetime64[us] or object (of str). What stands in ``data`` where ``missing`` is
    True means nothing: 0, False, an empty string or the epoch. A float64 column holds no NaN but where it is missing.

    ``dtype`` is the pandas dtype that the column has where it came from (``int8``, ``category``, ``datetime64[ms]``...,
    or one of the three names above) and ``categories`` are the kinds that a categorical column names, in its order;
    None where the source does not say.
    """

    data: NDArray[np.generic]
    missing: NDArray[np.bool_] | None = None
    dtype: str | None = None
    categories: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.data)

    def take(self, rows: NDArray[np.generic] | slice) -> "Values":
        """The same column with only these rows (indices, a mask or a slice), in their order."""
        missing = None if self.missing is None else self.missing[rows]
        return Values(self.data[rows], missing, self.dtype, self.categories)

    def as_mask(self) -> NDArray[np.bool_]:
        """The missing cells as a mask, also where nothing is missing."""
        return np.zeros(len(self.data), dtype=bool) if self.missing is None else self.missing

    def present(self) -> NDArray[np.generic]:
        """The values that are there, in order, without the missing ones."""
        return self.data if self.missing is None else self.data[~self.missing]

    def cells(self) -> list[object]:
        """Plain Python values, with None where missing."""
        plain: list[object] = self.data.tolist()
        if self.missing is None or not self.missing.any():
            return plain
        return [None if gone else value for value, gone in zip(plain, self.missing.tolist(), strict=True)]
