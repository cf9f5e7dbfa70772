"""The deployment's key: made of the app's own secret, good for minutes, for asking rows and nothing else."""

import pytest

from aweigh.errors import ConfigError
from aweigh.guard.deploy_key import DEPLOYMENT, LONGEST_S, check_secret, new_key, opens
from aweigh.secret import Secret

SECRET, OTHER = Secret("s" * 43), Secret("t" * 43)
NOW = 1_790_000_000.0


def test_a_key_opens_until_it_ends():
    text = new_key(SECRET, now=NOW, lasts_s=60).reveal().encode()
    assert opens(text, SECRET, now=NOW)
    assert opens(text, SECRET, now=NOW + 59)
    assert not opens(text, SECRET, now=NOW + 60)
    assert DEPLOYMENT.scopes == {"predict"}


def test_a_key_of_another_secret_or_changed_opens_nothing():
    text = new_key(SECRET, now=NOW).reveal().encode()
    assert not opens(text, OTHER, now=NOW)
    later = text.replace(str(int(NOW) + LONGEST_S).encode(), str(int(NOW) + LONGEST_S - 1).encode())
    for one in (later, text[:-1], text + b"0", text.upper(), text + b"\n", b"", b"aw_deploy_", b"\xff" * 90):
        assert not opens(one, SECRET, now=NOW), one


def test_a_key_that_says_it_lasts_long_is_none():
    text = new_key(SECRET, now=NOW, lasts_s=LONGEST_S + 5).reveal().encode()
    assert not opens(text, SECRET, now=NOW)


def test_a_short_secret_is_refused():
    assert check_secret(None) is None
    assert check_secret(SECRET) is SECRET
    with pytest.raises(ConfigError, match="AWEIGH_DEPLOY_SECRET"):
        check_secret(Secret("s" * 31))
