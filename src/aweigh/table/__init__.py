"""Tables: named columns with explicit missing values, read from and written to the field's formats.

``Table`` holds typed numpy columns. ``TextTable`` holds what a CSV says before a schema has given it types.
"""

from aweigh.table.columns import Table, TextTable, Values
from aweigh.table.csv import MISSING_WORDS, read_csv, write_csv

__all__ = ["MISSING_WORDS", "Table", "TextTable", "Values", "read_csv", "write_csv"]
