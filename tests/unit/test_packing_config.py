"""Every key of `aweigh.toml` does what the annotated example says: packed once with it, and found again."""

import msgspec
import pandas as pd
import pytest

import aweigh
from aweigh.cli.demo import CHOICES, NUMBERS, TARGET, pipeline
from aweigh.config import AppConfig, ColumnConfig, ModelConfig, OutputConfig
from aweigh.data import penguins_path


@pytest.fixture(scope="module")
def config(root):
    return aweigh.read_config(root / "aweigh.example.toml")


@pytest.fixture(scope="module")
def packed(config, tmp_path_factory):
    frame = pd.read_csv(penguins_path())
    model = pipeline().fit(frame[[*CHOICES, *NUMBERS]], frame[TARGET])
    return aweigh.pack(model, frame, target=TARGET, config=config, output=tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def served(packed):
    return aweigh.load(packed.path)


def test_what_pack_gives_is_short_in_a_notebook_and_stands_for_its_path(packed, served):
    told = f"Packed({packed.manifest.name!r}, {packed.digest[:12]!r}, path={str(packed.path)!r}, form='onnx')"
    assert repr(packed) == told
    assert aweigh.load(packed).version == served.version
    assert aweigh.verify(packed).digest == packed.digest


def test_the_bundle_has_the_name(served, config):
    assert served.name == config.model.name


@pytest.mark.parametrize("key", [key for key in ModelConfig.__struct_fields__ if key not in {"name", "metrics"}])
def test_what_is_said_of_the_model_stands_in_its_card(served, config, key):
    assert getattr(config.model, key) in served.predictor.card


def test_the_metrics_stand_in_the_card(served, config):
    assert [f"- {name}: {value:g}" in served.predictor.card for name, value in config.model.metrics.items()] == [True]


@pytest.mark.parametrize("key", AppConfig.__struct_fields__)
def test_what_is_said_of_the_app_stands_in_the_manifest(served, config, key):
    value = getattr(config.app, key)
    assert value
    assert getattr(served.predictor.manifest.presentation, key) == value


@pytest.mark.parametrize("key", [key for key in OutputConfig.__struct_fields__ if key != "labels"])
def test_what_is_said_of_the_output_stands_in_the_schema(served, config, key):
    assert getattr(served.schema.output, key) == getattr(config.output, key)


def test_the_labels_are_titles_beside_the_classes(served, config):
    output = served.schema.output
    assert dict(zip(output.classes, output.class_titles, strict=True)) == config.output.labels
    row = {"island": "Biscoe", "bill_length_mm": 46.1, "year": 2007}
    assert served.predict(row)[0]["label"] in output.classes  # the API keeps the model's own


def said_of_columns(root):
    config = aweigh.read_config(root / "aweigh.example.toml")
    for name, column in config.columns.items():
        for key, value in msgspec.structs.asdict(column).items():
            if value is not None:
                yield name, key, value


def test_what_is_said_of_columns_stands_in_the_schema(served, root):
    said = list(said_of_columns(root))
    assert {key for _, key, _ in said} == set(ColumnConfig.__struct_fields__)
    for name, key, value in said:
        if key == "domain":  # no part of the schema: whoever serves the bundle may say otherwise
            assert served.predictor.manifest.domain.of(name) == value
            continue
        # That a column is not personal is what every column is that nothing is said of.
        expected = None if (key, value) == ("personal", "no") else value
        assert getattr(served.schema.column(name), key) == expected, (name, key)


def test_what_is_said_of_the_domain_stands_in_the_manifest(served, config):
    policy = served.predictor.manifest.domain
    assert (policy.columns, policy.combination) == (config.domain.columns, config.domain.combination)
    assert policy.named == {name: one.domain for name, one in config.columns.items() if one.domain is not None}
    assert policy.rejects
    row = {"island": "Atlantis", "year": 2007}
    with pytest.raises(aweigh.InvalidRows, match="'Atlantis' is a value that the model has not seen"):
        served.predict(row)


@pytest.mark.slow
def test_whoever_loads_it_has_the_last_word(served, config, monkeypatch, tmp_path):
    frame = pd.read_csv(penguins_path())
    model = pipeline().fit(frame[[*CHOICES, *NUMBERS]], frame[TARGET])
    packed = aweigh.pack(model, frame, target=TARGET, config=config, output=tmp_path)
    monkeypatch.setenv("AWEIGH_DOMAIN", "island=flag")
    assert len(aweigh.load(packed.path).predict({"island": "Atlantis", "year": 2007})) == 1


def test_what_is_refused_by_the_owner_is_refused(served, config):
    limited = next(name for name, column in config.columns.items() if column.upper_limit is not None)
    closed = next(name for name, column in config.columns.items() if column.closed)
    row = {"island": "Biscoe", "year": 2007}
    for name, cell in ((limited, config.columns[limited].upper_limit + 1), (closed, "none of them")):
        with pytest.raises(aweigh.InvalidRows, match=name):
            served.predict(row | {name: cell})


def test_a_label_of_no_class_is_refused(config, tmp_path):
    frame = pd.read_csv(penguins_path())
    model = pipeline().fit(frame[[*CHOICES, *NUMBERS]], frame[TARGET])
    wrong = msgspec.structs.replace(config, output=OutputConfig(labels={"Emperor": "Emperor penguin"}))
    with pytest.raises(aweigh.AweighError, match="'Emperor', which is no class of the model"):
        aweigh.pack(model, frame, target=TARGET, config=wrong, output=tmp_path)
