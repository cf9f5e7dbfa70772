"""Bundles and servers for clients of the Open Inference Protocol that others wrote.

`make clients` runs these tests, in an environment that has the clients; in another there is nothing here.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aweigh import Packed, pack, read_config
from aweigh.cli.demo import CHOICES, NUMBERS, pipeline
from aweigh.data import penguins_path

CLIENTS = ("tritonclient", "kserve")
collect_ignore_glob = [] if all(map(importlib.util.find_spec, CLIENTS)) else ["test_*.py"]

if not collect_ignore_glob:
    from tests.integration.conftest import (  # noqa: F401  fixtures
        PENGUINS_CONFIG,
        Serving,
        Start,
        api,
        bundles,
        flats,
        flats_api,
        start_for_session,
    )

DATATYPES = {"size": "FP32", "age": "FP64", "rooms": "INT64", "garden": "BOOL", "town": "BYTES"}
"""The columns of the houses, by the protocol's words: every datatype that a column of ours has."""


@pytest.fixture(scope="session")
def homes() -> pd.DataFrame:
    """Return rows of every datatype; an age and a town may be missing."""
    random = np.random.default_rng(7)
    count = 240
    frame = pd.DataFrame(
        {
            "size": random.uniform(20, 250, count).astype("float32"),
            "age": random.uniform(0, 120, count),
            "rooms": random.integers(1, 9, count),
            "garden": random.random(count) < 0.4,
            "town": random.choice(["Aarhus", "København", "Ærø"], count).astype(object),
        }
    )
    frame.loc[frame.index % 7 == 0, "age"] = np.nan
    frame.loc[frame.index % 11 == 0, "town"] = None
    return frame


@pytest.fixture(scope="session")
def houses(homes: pd.DataFrame, bundles: Path) -> Packed:
    """Return a bundle of the rows that predicts a number."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    price = homes["size"] * 3.1 + homes["rooms"] * 7.7 + homes["garden"] * 40 - homes["age"].fillna(50) * 0.3
    model = make_pipeline(
        make_column_transformer(
            (SimpleImputer(), ["size", "age", "rooms"]),
            ("passthrough", ["garden"]),
            (OneHotEncoder(handle_unknown="ignore"), ["town"]),
        ),
        Ridge(),
    ).fit(homes, price)
    return pack(model, homes.assign(price=price), target="price", name="houses", output=bundles)


@pytest.fixture(scope="session")
def penguins(bundles: Path) -> Packed:
    """Return the penguins' bundle with a model that is packed sooner than a forest."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    frame = pd.read_csv(penguins_path())
    model = make_pipeline(*pipeline()[:-1], LogisticRegression(max_iter=200))
    config = bundles / "penguins.toml"
    config.write_text(PENGUINS_CONFIG)
    model.fit(frame[[*CHOICES, *NUMBERS]], frame["species"])
    return pack(model, frame, target="species", name="penguins", output=bundles, config=read_config(config))


@pytest.fixture(scope="session")
def houses_api(start_for_session: "Start", houses: Packed) -> "Serving":
    """Return a server of the houses, without UI, that takes bodies of 64 kB at most."""
    return start_for_session(houses.path, "--no-ui", env={"AWEIGH_MAX_BODY_BYTES": "65536"})


@pytest.fixture(scope="session")
def birds() -> pd.DataFrame:
    """Return the penguins, whose bundle is a classifier with categories."""
    return pd.read_csv(penguins_path())[[*CHOICES, *NUMBERS]]


@pytest.fixture(scope="session")
def closed(
    start_for_session: "Start", houses: Packed, tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Serving, str]":
    """Return a server of the houses behind a door, and a key that opens it for predictions."""
    from aweigh.guard.guard import open_guard
    from aweigh.guard.identity import Role

    state = tmp_path_factory.mktemp("door")
    guard = open_guard({}, state_dir=str(state))
    person = guard.add_person("ana", Role.PREDICTOR, by=None)
    _, key = guard.add_key(person, "scoring", frozenset({"predict"}), expires_days=1, by=None)
    server = start_for_session(
        houses.path, "--no-ui", "--auth", "password", env={"AWEIGH_STATE_DIR": str(state), "AWEIGH_JOBS": "off"}
    )
    return server, key.reveal()
