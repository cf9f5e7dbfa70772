"""A Secret shows itself to nobody but who asks for it by name."""

import json
import logging
import pickle
import traceback

import pytest

from aweigh.secret import Secret


def test_a_secret_prints_as_nothing_of_itself(caplog):
    secret = Secret("hunter2")
    with caplog.at_level(logging.INFO):
        logging.getLogger("x").info("%s %r", secret, secret)
    shown = f"{secret} {secret!r} {secret:>40} {[secret]} {caplog.text} {'%s' % secret}"  # noqa: UP031
    assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_in_no_traceback_pickle_or_document():
    secret = Secret("hunter2")
    with pytest.raises(ValueError) as caught:
        raise ValueError(secret)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    for write in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            write(secret)


def test_secrets_are_compared_by_what_they_hold():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a")
    assert not Secret("")
