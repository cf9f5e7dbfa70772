"""Fitted models of every family and what becomes of each: served as ONNX, in its own format, refused; how exactly.

``cases()`` are the models; ``run`` packs one in memory and holds what would be served against the original on rows
that the proof has not seen. The tests here and ``tools/models_table.py`` both use it.
"""

from suite.case import Case, Outcome, run
from suite.families import GROUPS, cases

__all__ = ["GROUPS", "Case", "Outcome", "cases", "run"]
