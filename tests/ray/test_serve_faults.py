"""A replica's worker, a node and the head are killed under a load: no answer is wrong, and all is there again."""

import pytest
from bench import ray_serving
from tests.conftest import any_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.needs("ray")]


def test_with_a_store_that_outlives_the_head_all_come_back(capsys):
    with ray_serving.valkey(any_port()) as address, capsys.disabled():
        found = ray_serving.kills({"RAY_REDIS_ADDRESS": address}, tell=print)
    assert [one["killed"] for one in found] == ["a replica", "a node", "the head, with a Redis"]
    for one in found:
        assert one["wrong"] == 0
        assert one["requests"] > one["failed"]
        assert one["back_s"] is not None, one


def test_without_one_what_was_deployed_still_answers_for_a_while_and_is_never_wrong(capsys):
    with capsys.disabled():
        (head,) = ray_serving.kills({}, tell=print)
    assert head["wrong"] == 0
    assert head["requests"] > head["failed"]
