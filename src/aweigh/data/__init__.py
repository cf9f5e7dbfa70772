"""Real data that travels with the package: the Palmer Penguins table, for `aweigh demo`, the tutorial and the tests.

Source and licence of each file: `README.md` in this folder.
"""

from pathlib import Path


def penguins_path() -> Path:
    """Return the path of the Palmer Penguins table: CSV, 344 rows, 8 columns, an empty cell where nothing was measured.

    Lengths and depths are in millimetres, body mass in grams. `species` is what `aweigh demo` predicts.

    Source: Gorman, Williams and Fraser (2014), doi:10.1371/journal.pone.0090081.

    >>> penguins_path().name
    'penguins.csv'
    """
    return Path(__file__).with_name("penguins.csv")
