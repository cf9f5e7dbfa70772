"""What the tests of model families share: one table, and the way from a fitted model to its forms, as pack walks it."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from aweigh import registry
from aweigh.config import Config
from aweigh.models.family import Form
from aweigh.models.parity import hold
from aweigh.packing.original import Asked, ask
from aweigh.packing.sample import align, open_sample
from aweigh.schema.answers import Answers
from aweigh.schema.column import Schema

ROWS = 240
SEED = 11


@dataclass(frozen=True)
class Trial:
    """A model that was asked: its family's module, and the forms that could be made, by their runtime."""

    family: Any
    asked: Asked
    forms: dict[str, Form]
    reasons: dict[str, str]

    @property
    def schema(self) -> Schema:
        return self.asked.schema

    def agrees(self, runtime: str) -> bool:
        """Whether the form answers every row of the proof as the model does, together and alone."""
        return hold(self.forms[runtime].predict, self.asked.trial).agrees

    def served(self, *, threads: int = 1) -> Callable[..., Answers]:
        """The family's own format, loaded from its bytes as a server does."""
        form = next(form for form in self.forms.values() if form.runtime != "onnx")
        return self.family.load(form.data, self.schema, threads=threads, model_class=form.model_class)


def three(score):
    """Three classes by a score: what is low, middling and high of it."""
    return np.digitize(score, np.quantile(score, [0.4, 0.7]))


def two(score):
    """Two classes by a score."""
    return score > np.median(score)


@pytest.fixture
def tried() -> Callable[..., Trial]:
    """Asks a model about a sample and makes every form that can be made."""

    def try_model(name: str, model: Any, sample: Any) -> Trial:
        family: Any = registry.family(name)
        described = family.describe(model)
        columns, table = open_sample(sample, described=described)
        aligned = align(columns, table, described=described, target=None, config=Config())
        schema = Schema(columns=aligned.columns, output=described.output)

        def widened(answers: Answers) -> Answers:
            return msgspec.structs.replace(answers, output=family.widen(model, answers.output, answers))

        asked = ask(lambda rows, known: family.predict(model, rows, known), schema, aligned.table, widen=widened)
        forms, reasons = {}, {}
        for way in family.ways(model, asked.schema):
            try:
                form = way.make()
            except Exception as error:  # noqa: BLE001  as in the proof: whatever it raises closes the way
                reasons["onnx" if way.name.startswith("ONNX") else "own"] = f"{type(error).__name__}: {error}"
                continue
            forms.setdefault(form.runtime, form)
        return Trial(family, asked, forms, reasons)

    return try_model


@pytest.fixture(scope="session")
def numbers() -> pd.DataFrame:
    """Numbers with gaps, whole numbers, money to two decimals, a boolean."""
    generator = np.random.default_rng(SEED)
    frame = pd.DataFrame(
        {
            "width": generator.normal(size=ROWS),
            "rooms": generator.integers(0, 5, ROWS),
            "price": (generator.random(ROWS) * 1_000).round(2),
            "new": generator.random(ROWS) > 0.5,
        }
    )
    frame.loc[::7, "width"] = np.nan
    return frame


@pytest.fixture(scope="session")
def score(numbers: pd.DataFrame) -> np.ndarray:
    """What is to be learnt of ``numbers``: a positive number."""
    noise = np.random.default_rng(SEED + 1).normal(size=ROWS) * 0.3
    return np.abs(numbers["width"].fillna(1.0) + numbers["price"] / 500 + numbers["new"] + noise).to_numpy() + 0.1


@pytest.fixture(scope="session")
def mixed(numbers: pd.DataFrame) -> pd.DataFrame:
    """``numbers`` and three columns of categories: text with gaps, whole numbers, ordered text."""
    generator = np.random.default_rng(SEED + 2)
    frame = numbers.drop(columns=["price", "new"]).assign(
        colour=pd.Categorical(generator.choice(["red", "green", "blue", "grey", "pink", "teal"], ROWS)),
        shop=pd.Categorical(generator.choice([10, 20, 30], ROWS)),
    )
    frame.loc[::9, "colour"] = np.nan
    return frame


@pytest.fixture(scope="session")
def mixed_score(mixed: pd.DataFrame) -> np.ndarray:
    """What is to be learnt of ``mixed``: it hangs on every column."""
    noise = np.random.default_rng(SEED + 3).normal(size=ROWS) * 0.2
    warm = mixed["colour"].isin(["red", "pink"]).to_numpy() * 1.5
    return mixed["width"].fillna(0.5).to_numpy() + warm + (mixed["shop"] == 20).to_numpy() + noise


_BARE = """
import pickle, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {without!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from aweigh import registry
family, data, schema, model_class, table = pickle.load(sys.stdin.buffer)
answers = registry.family(family).load(data, schema, threads=1, model_class=model_class)(table)
pickle.dump((answers.index, answers.probabilities, answers.values), sys.stdout.buffer)
"""


@pytest.fixture
def bare() -> Callable[..., None]:
    """Serves a family's own format in a process that cannot import some packages, and holds the answers."""

    def serve(family: str, trial: Trial, *, without: tuple[str, ...]) -> None:
        form = trial.forms[family]
        table, expected = trial.asked.trial.table, trial.asked.trial.expected
        given = pickle.dumps((family, form.data, trial.schema, form.model_class, table))
        code = _BARE.format(without=set(without))
        done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        index, probabilities, values = pickle.loads(done.stdout)
        for got, wanted in ((probabilities, expected.probabilities), (values, expected.values)):
            assert (got is None) is (wanted is None)
            assert got is None or got == pytest.approx(wanted, abs=1e-6)
        assert index is None or (index == expected.index).all()

    return serve
