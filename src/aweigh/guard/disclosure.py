"""Disclosure: how much of an answer is told. A role's setting, applied to the answers before they are written.

It is applied to the answers themselves, so that JSON, CSV, Arrow and tensors tell the same: one answer, of which less
is told. The label stays the model's own, also where rounding makes two probabilities equal. Numbers that are predicted
are what was asked for, and stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from aweigh.errors import ConfigError
from aweigh.guard.identity import Role, role_of
from aweigh.schema.answers import Answers

MOST_DECIMALS = 15
ALL, LABELS = "all", "labels"


@dataclass(frozen=True, slots=True)
class Disclosure:
    """How much is told: probabilities and scores to so many ``decimals`` (None: all of them), or ``labels`` alone."""

    decimals: int | None = None
    labels: bool = False

    def of(self, answers: Answers) -> Answers:
        """The answers as they are told; the same object where all is."""
        if self.labels:
            return labels_only(answers)
        return answers if self.decimals is None else round_probabilities(answers, self.decimals)


def read_disclosure(text: str) -> Disclosure:
    """A setting in words: ``all``, ``labels``, or the decimals of probabilities as a number.

    >>> read_disclosure("2")
    Disclosure(decimals=2, labels=False)

    Raises:
        ConfigError: it is none of these.
    """
    word = text.strip()
    if word == ALL:
        return Disclosure()
    if word == LABELS:
        return Disclosure(labels=True)
    if word.isascii() and word.isdigit() and 1 <= int(word[:4]) <= MOST_DECIMALS:
        return Disclosure(decimals=int(word))
    raise ConfigError(
        f"{text[:40]!r} does not say how much of an answer is told.",
        hint=f"write {ALL}, {LABELS}, or the decimals of probabilities, from 1 to {MOST_DECIMALS}",
    )


def by_role(text: str) -> Mapping[Role, Disclosure]:
    """A setting for everybody (``2``), or one for roles, with commas between them (``viewer=labels,predictor=2``).

    Who is not named is told all.

    Raises:
        ConfigError: it names no role, or does not say how much is told.
    """
    if "=" not in text:
        return dict.fromkeys(Role, read_disclosure(text))
    found = dict.fromkeys(Role, Disclosure())
    for part in text.split(","):
        name, _, word = part.partition("=")
        role = role_of(name.strip())
        if role is None:
            raise ConfigError(f"{name.strip()[:40]!r} is no role.", hint="viewer, predictor, operator or admin")
        found[role] = read_disclosure(word)
    return found


def round_probabilities(answers: Answers, decimals: int) -> Answers:
    """The answers with probabilities and scores to so many decimals (half to even); their sum need no longer be 1."""
    if answers.probabilities is None and answers.scores is None:
        return answers
    return msgspec.structs.replace(
        answers,
        probabilities=None if answers.probabilities is None else np.round(answers.probabilities, decimals),
        scores=None if answers.scores is None else np.round(answers.scores, decimals),
    )


def labels_only(answers: Answers) -> Answers:
    """The answers without probabilities and scores, as a model answers that has none."""
    if answers.probabilities is None and answers.scores is None:
        return answers
    output = msgspec.structs.replace(answers.output, probabilities=False, scores=False)
    return msgspec.structs.replace(answers, output=output, probabilities=None, scores=None)
