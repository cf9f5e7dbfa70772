"""The policy for what the model has not seen: the owner's words, and those of whoever serves the bundle."""

import pytest

from aweigh.config import read_config
from aweigh.errors import ConfigError
from aweigh.schema.policy import Policy, override, split_policy
from aweigh.server.settings import read_settings

NAMES = ("mass", "island", "combination of both")
OWNER = Policy(columns="flag", combination="ignore", named={"mass": "reject"})


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", OWNER),
        ("reject", Policy(columns="reject", combination="reject")),
        ("ignore", Policy(columns="ignore", combination="ignore")),
        ("combination=reject", Policy(columns="flag", combination="reject", named={"mass": "reject"})),
        ("mass=flag", Policy(columns="flag", combination="ignore", named={"mass": "flag"})),
        (" island = ignore , flag ", Policy(named={"island": "ignore"})),
        ("combination of both=reject,", Policy(combination="ignore", named={"mass": "reject", NAMES[2]: "reject"})),
    ],
)
def test_whoever_serves_the_bundle_has_the_last_word(text, policy):
    assert override(OWNER, text, NAMES) == policy


def test_a_column_that_is_called_combination_is_one():
    assert override(Policy(), "combination=reject", ("combination",)).of("combination") == "reject"


@pytest.mark.parametrize("text", ["refuse", "mass=maybe", "=reject", "mass"])
def test_a_word_that_nobody_knows_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        split_policy(text)
    assert "flag, reject, ignore" in caught.value.hint
    with pytest.raises(ConfigError):
        read_settings({"AWEIGH_DOMAIN": text})


def test_a_column_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="no column") as caught:
        override(OWNER, "mas=reject", NAMES)
    assert caught.value.hint == "did you mean 'mass'?"
    assert read_settings({"AWEIGH_DOMAIN": "mas=reject"}).domain == "mas=reject"


def test_the_owner_says_it_in_the_configuration(tmp_path):
    path = tmp_path / "aweigh.toml"
    path.write_text('[domain]\ncombination = "reject"\n[columns.mass]\ndomain = "ignore"\n')
    config = read_config(path)
    assert (config.domain.columns, config.domain.combination) == ("flag", "reject")
    assert config.columns["mass"].domain == "ignore"
    path.write_text('[domain]\ncolumns = "refuse"\n')
    with pytest.raises(ConfigError, match=r"domain\.columns"):
        read_config(path)
