"""Apps of the generation Fir: images, dynos without numbers, no log that is kept; what they do not have is refused."""

import re
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.heroku import HerokuServer
from tests.heroku.fixtures import api
from tests.heroku.releases import DYNO_ENV, QUICK, packed, released, short

from aweigh.errors import UsageError
from aweigh.targets.errors import NotUp
from aweigh.targets.heroku import after, pipelines
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.deploy import deploy
from aweigh.targets.heroku.stream import LISTEN_S, read_log, tail_log
from aweigh.targets.heroku.wish import Wish
from aweigh.targets.telling import Telling

__all__ = ["api"]

APP = "penguins-fir"


@pytest.fixture(scope="module")
def heroku():
    with HerokuServer(prebuilt=Path(sys.prefix), dyno_env=DYNO_ENV) as server:
        yield server
        assert server.violations == []
        assert server.off_schema == []


@pytest.fixture
def go(api):
    """Return a function that deploys into a space of the generation Fir; what it told is in its ``told``."""

    def going(release, **wishes):
        telling = Telling(line=lambda name, text, _: going.told.append((name, text)))
        return deploy(api, release, packed(release), Wish(APP, space="fir-oslo", **wishes), telling=telling,
                      patience=QUICK)  # fmt: skip

    going.told = []
    return going


@pytest.fixture(scope="module")
def live(heroku, api):
    """An app that is live, of the smallest size."""
    release = released()
    return deploy(api, release, packed(release), Wish(APP, space="fir-oslo"), patience=QUICK)


def test_it_is_made_in_its_space_deployed_checked_and_not_built_twice(heroku, api, go, live):
    assert (live.created, live.golden_rows > 5) == (True, True)
    created = next(one for one in heroku.requests if one.path == "/teams/apps")
    assert created.body == {"name": APP, "space": "fir-oslo"}
    assert api.send(ask.find_app(APP))["generation"]["name"] == "fir"
    assert api.send(ask.list_formation(APP))[0]["size"] == "dyno-1c-0.5gb"
    # A release that only changes a setting runs the same image: what is live is still known.
    after.set_config(api, APP, {"AWEIGH_SWEEPS": "off"})
    assert not go(released()).changed
    assert after.status(api, APP).bundle == live.bundle


@pytest.mark.slow
def test_another_source_follows_and_one_that_crashes_is_taken_back(heroku, api, go, live):
    done = go(released(files={"note.txt": b"new"}), size="dyno-1c-4gb")
    assert (done.changed, done.golden_rows) == (True, live.golden_rows)
    (web,) = after.scale(api, APP, {"web": 1}, size="dyno-1c-0.5gb")
    assert web.size_name == "dyno-1c-0.5gb"
    with pytest.raises(NotUp, match="runs again"):
        go(released(web="python -m gone instead of aweigh serve"))
    until = time.monotonic() + 20
    while httpx.get(done.url + "/health/ready", trust_env=False).status_code != 200:
        assert time.monotonic() < until
        short(0.1)


@pytest.mark.slow
def test_its_log_is_what_comes_while_it_is_listened_to(heroku, api, live):
    began = time.monotonic()
    assert list(read_log(api, APP)) == []
    assert time.monotonic() - began < LISTEN_S + 2
    session = [one for one in heroku.requests if one.path.endswith("/log-sessions")][-1]
    assert session.body == {}
    assert ask.open_log(APP, lines=1, process="web-1234abcde-123ab").body["dyno_name"] == "web-1234abcde-123ab"
    assert ask.open_log(APP, lines=1, process="worker-2").body["type"] == "worker-2"


def test_its_log_is_followed_as_events(heroku, api, live):
    told = tail_log(api, APP, lines=1)
    # Something happens to the app as soon as somebody listens.
    threading.Timer(0.5, httpx.get, [live.url + "/health/ready"], {"trust_env": False}).start()
    line = next(told)
    assert re.search(r"\s(heroku|app)\[[^\]]+\]: ", line)
    assert not line.startswith(("data:", "id:"))
    told.close()


def test_a_pipeline_of_its_generation_is_not_made_here(api, live):
    with pytest.raises(UsageError, match="one of the generation Fir is not made here") as caught:
        pipelines.couple(api, "fir-line", APP, "staging")
    assert "heroku pipelines:create fir-line" in caught.value.hint


def locked_by_pipenv():
    return replace(released(), requirements=None, own=frozenset({"Pipfile.lock"}))


def of_ones_own():
    release = released(
        processes={"Work_er": "aweigh worker penguins.aweigh"}, files={"Procfile": b"web: x\nWork_er: y\n"}
    )
    return replace(release, own=frozenset({"Procfile"}))


@pytest.mark.parametrize(
    ("release", "wishes", "sentence"),
    [
        (released(), {"size": "standard-1x"}, "which has no dynos of the size standard-1x"),
        (released(), {"stack": "heroku-24"}, "which has no stacks"),
        (released(has_ui=True), {"replicas": 2}, "which has no session affinity"),
        (locked_by_pipenv(), {}, "which does not build with Pipenv"),
        (of_ones_own(), {}, "which takes no process type 'Work_er'"),
    ],
    ids=["size", "stack", "affinity", "pipenv", "process"],
)
def test_what_it_does_not_have_is_refused_before_anything_is_changed(heroku, go, live, release, wishes, sentence):
    since = len(heroku.requests)
    with pytest.raises(UsageError, match=f"{APP} is of the generation Fir, {sentence}") as caught:
        go(release, **wishes)
    assert caught.value.hint
    assert {one.method for one in heroku.requests[since:]} == {"GET"}


def test_sizes_of_the_other_generation_are_refused_when_scaling_and_on_cedar(api, live):
    with pytest.raises(UsageError, match="generation Fir, which has no dynos of the size basic"):
        after.scale(api, APP, {"web": 1}, size="basic")
    api.send(ask.create_app("penguins-cedar"))
    release = released()
    with pytest.raises(UsageError, match="generation Cedar, which has no dynos of the size dyno-1c-4gb"):
        deploy(api, release, packed(release), Wish("penguins-cedar", size="dyno-1c-4gb"), patience=QUICK)


def test_how_to_come_in_is_told_where_no_log_has_the_link(go, live):
    done = go(released(auth="password"))
    assert done.invite is None
    assert "heroku run --app penguins-fir -- aweigh users add" in done.notes[0]


@pytest.mark.slow
def test_hooks_that_are_not_run_are_told(go, live):
    go(released(files={"bin/post_compile": b"exit 1\n"}))
    assert ("fir", "bin/post_compile is not run: Fir's buildpack has no such hook") in go.told
