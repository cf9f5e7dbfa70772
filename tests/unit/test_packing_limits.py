"""What the owner says in aweigh.toml is refused when no value could be so, and honoured when rows must be left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

import aweigh
from aweigh.config import ColumnConfig, Config
from aweigh.errors import ConfigError, UsageError


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    draw = np.random.default_rng(3)
    return pd.DataFrame({"size": draw.integers(1, 100, 60), "kind": draw.choice(["a", "b", "c"], 60)})


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> Pipeline:
    prepare = ColumnTransformer(
        [("kinds", OneHotEncoder(handle_unknown="ignore"), ["kind"]), ("rest", "passthrough", ["size"])]
    )
    return make_pipeline(prepare, LogisticRegression()).fit(frame, frame["size"] > 50)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("size", {"lower_limit": "abc"}),
        ("size", {"lower_limit": 60, "upper_limit": 20}),
        ("size", {"upper_limit": float("inf")}),
        ("size", {"minimum": "abc"}),
        ("size", {"minimum": float("nan")}),
        ("size", {"default": "x"}),
        ("size", {"categories": ("a",)}),
        ("kind", {"minimum": 3}),
        ("kind", {"lower_limit": "a"}),
        ("kind", {"default": 5}),
        ("kind", {"categories": ("nobody",), "closed": True}),
        ("size", {"lower_limit": 1000}),
    ],
)
def test_what_no_value_could_be_is_refused_in_a_sentence(
    model: Pipeline, frame: pd.DataFrame, tmp_path: Path, column: str, said: dict[str, object]
):
    config = Config(columns={column: ColumnConfig(**said)})
    with pytest.raises(ConfigError):
        aweigh.pack(model, frame, name="m", config=config, output=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_rows_beyond_the_owners_limits_are_left_out_and_said(model: Pipeline, frame: pd.DataFrame, tmp_path: Path):
    config = Config(
        columns={"size": ColumnConfig(lower_limit=20), "kind": ColumnConfig(categories=("a", "b"), closed=True)}
    )
    packed = aweigh.pack(model, frame, name="m", config=config, output=tmp_path)
    beyond = int(((frame["size"] < 20) | (frame["kind"] == "c")).sum())
    assert any(f"{beyond} rows of the sample" in note for note in packed.notes)
    loaded = aweigh.load(packed.path)
    assert loaded.predictor.replay().ok
    assert packed.manifest.proof.rows == len(frame) - beyond


def test_a_target_that_the_model_takes_as_an_input_is_told_so(model: Pipeline, frame: pd.DataFrame, tmp_path: Path):
    with pytest.raises(UsageError, match="takes 'size' as an input"):
        aweigh.pack(model, frame, target="size", name="m", output=tmp_path)
