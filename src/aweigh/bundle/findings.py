"""What was found out about a model when it was packed, for its card: how it stands up to those who mean it ill."""

from typing import Literal

import msgspec


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A column and its share of something."""

    column: str
    share: float


class Robustness(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How small a change of the inputs changes the answer, as far as an attack that sees only answers found out.

    ``rows`` of the sample were attacked with ``queries`` rows asked. Sizes are Euclidean distances with every number
    in interquartile ranges of its column, within the observed ranges, nothing else changed. Of answers that are one of
    several (``how`` is ``flips``), ``shares[i]`` of the rows got another within ``sizes[i]``, half of them within
    ``median`` (None: fewer than half). Of numbers (``moves``), ``middle[i]`` is how far half of the answers could be
    moved by a change of ``sizes[i]``, ``most[i]`` a tenth of them, in the answer's own unit; ``spread`` is the
    answers' interquartile range. ``columns`` share the change, largest first. ``swaps``: another choice in that column
    alone flips such a share of the answers, or moves half of them so far. ``cut_short``: the time ran out.
    """

    how: Literal["flips", "moves"]
    rows: int
    queries: int
    sizes: tuple[float, ...]
    shares: tuple[float, ...] = ()
    median: float | None = None
    middle: tuple[float, ...] = ()
    most: tuple[float, ...] = ()
    spread: float | None = None
    columns: tuple[Share, ...] = ()
    swaps: tuple[Share, ...] = ()
    cut_short: bool = False


class Membership(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How well the answers tell who was among the rows that the model was trained on.

    ``rows`` of the sample, taken to be the training data, and ``held_out_rows`` that the model was not trained on. The
    ``measure`` on both, ``trained`` and ``held_out``. ``area``, with its standard ``error``, is that under the curve of
    all thresholds on the loss (0.5: nothing is told); ``advantage`` is the share of members less that of others whose
    loss is at most the members' mean. ``confidence_area`` is that of thresholds on the largest probability.
    """

    rows: int
    held_out_rows: int
    measure: str
    trained: float
    held_out: float
    area: float
    error: float
    advantage: float
    confidence_area: float | None = None
