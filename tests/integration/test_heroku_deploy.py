"""From a release to a live app, against a local Heroku whose dynos really run; what goes wrong is mended, or said."""

import json
import re
import sys
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.heroku import HerokuServer
from tests.heroku.fixtures import api
from tests.heroku.releases import BUNDLE, DYNO_ENV, QUICK, packed, released

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.build import assemble
from aweigh.bundle.verify import open_bundle
from aweigh.errors import RemoteError, UsageError
from aweigh.targets.errors import AnswersDiffer, NotUp
from aweigh.targets.heroku import after, pipelines
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.api import open_api
from aweigh.targets.heroku.boot import Patience
from aweigh.targets.heroku.deploy import deploy
from aweigh.targets.heroku.errors import BuildFailed, HerokuRefused, HerokuSilent, ReleaseFailed
from aweigh.targets.heroku.stream import read_log, tail_log
from aweigh.targets.heroku.wish import Wish
from aweigh.targets.live import golden_of
from aweigh.targets.release import Release
from aweigh.targets.telling import Telling

__all__ = ["api"]

# Answers for the bundle's version, and always the same.
LIAR = """\
import http.server, json, os

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.say({{}})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.say({{"model": {{"version": "{version}"}}, "predictions": [{{"label": 1}} for _ in asked["rows"]]}})

    def say(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""


@pytest.fixture(scope="module")
def heroku():
    """A Heroku with one environment for all builds."""
    with HerokuServer(prebuilt=Path(sys.prefix), dyno_env=DYNO_ENV, redis_url="redis://127.0.0.1:1/0") as server:
        yield server
        assert server.violations == []


class Told(list):
    """What was told, and something done whenever it is."""

    def __init__(self, then):
        super().__init__()
        self._then = then

    def append(self, entry):
        super().append(entry)
        self._then(entry)


@pytest.fixture
def go(api):
    """Return a function that deploys a release; what it told is in its ``told``."""

    def going(release, app, **wishes):
        patience = wishes.pop("patience", QUICK)
        telling = Telling(line=lambda name, text, _: going.told.append((name, text)), hear=going.heard.append)
        return deploy(api, release, packed(release), Wish(app, **wishes), telling=telling, patience=patience)

    going.told, going.heard = [], []
    return going


def asked(heroku, since=0):
    return [(one.method, one.path) for one in heroku.requests[since:] if not one.path.startswith("/_")]


def changes(heroku, since):
    """Return what was asked for that changes something; a log is only read."""
    found = [one for one in asked(heroku, since) if one[0] != "GET" and not one[1].endswith("/log-sessions")]
    return [f"{method} {path}" for method, path in found]


def changed(path, *, name="penguins", lies=False):
    """Return a bundle of the same model under another name, or one whose golden rows tell other answers."""
    bundle = open_bundle(BUNDLE)
    files = {one: bundle.read(one) for one in bundle.manifest.files}
    if lies:
        examples = json.loads(files["examples.json"])
        first, *rest = examples["predictions"]
        examples["predictions"] = [*rest, first]
        files["examples.json"] = json.dumps(examples).encode()
    write_bundle(assemble(files, msgspec.structs.replace(bundle.manifest, files={}, name=name)), path)
    return path


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """Return a release of another bundle."""
    return released(path=changed(tmp_path_factory.mktemp("newer") / "newer.aweigh", name="newer"))


def test_a_first_deployment_is_live_a_second_does_nothing_and_a_new_bundle_follows(heroku, go, newer):
    first = go(released(), "penguins-live")
    assert (first.created, first.changed, first.golden_rows > 5) == (True, True, True)
    reply = httpx.get(first.url + "/v1/model", trust_env=False)
    assert reply.json()["version"] == first.bundle
    assert any("-----> Compressing" in line for line in go.heard)

    before = len(heroku.requests)
    second = go(released(), "penguins-live")
    assert (second.created, second.changed, second.release) == (False, False, first.release)
    assert second.golden_rows == first.golden_rows
    assert changes(heroku, before) == []

    third = go(newer, "penguins-live")
    assert third.bundle != first.bundle
    assert int(third.release[1:]) == int(first.release[1:]) + 1
    assert httpx.get(third.url + "/v1/model", trust_env=False).json()["version"] == third.bundle


def test_the_source_goes_without_the_token_and_without_a_content_type(heroku, go):
    go(released(), "penguins-source")
    put = next(one for one in reversed(heroku.requests) if one.method == "PUT")
    assert not put.signed
    assert "content-type" not in put.headers
    assert "transfer-encoding" not in put.headers
    logs = [one for one in heroku.requests if one.path.startswith(("/_logs", "/_streams", "/_output"))]
    assert logs
    assert not any(one.signed for one in logs)


@pytest.mark.slow
@pytest.mark.shows("heroku", "golden rows", how="local server")
def test_a_bundle_whose_golden_rows_lie_is_taken_back(heroku, api, go, tmp_path):
    first = go(released(), "penguins-lying")
    with pytest.raises((AnswersDiffer, NotUp)) as caught:
        go(released(path=changed(tmp_path / "lying.aweigh", lies=True)), "penguins-lying")
    assert f"{first.release} runs again" in caught.value.message
    assert caught.value.hint
    again = go(released(), "penguins-lying")
    assert not again.changed
    assert httpx.get(again.url + "/v1/model", trust_env=False).json()["version"] == first.bundle


def test_an_app_that_answers_otherwise_is_taken_back_and_the_first_one_stopped(heroku, api, go):
    version = golden_of(BUNDLE).version
    liar = released(
        web="python liar.py instead of aweigh serve", files={"liar.py": LIAR.format(version=version).encode()}
    )
    with pytest.raises(AnswersDiffer, match=r"golden row 1, asked alone.*Nothing ran before it"):
        go(liar, "penguins-otherwise")
    assert after.status(api, "penguins-otherwise").state == "down"
    first = go(released(), "penguins-otherwise")
    with pytest.raises(AnswersDiffer, match=f"{first.release} runs again"):
        go(liar, "penguins-otherwise")


def test_a_process_that_crashes_is_told_with_herokus_code_and_its_last_words(heroku, go):
    first = go(released(), "penguins-crash")
    with pytest.raises(NotUp, match="No module named gone") as caught:
        go(released(web="python -m gone instead of aweigh serve"), "penguins-crash")
    assert f"{first.release} runs again" in caught.value.message


REFUSALS = [
    ("GET", "/apps/penguins-refused", 401, "unauthorized", "does not accept the token"),
    ("GET", "/apps/penguins-refused", 403, "two_factor", "second factor"),
    ("POST", "/apps", 402, "verification_required", "verified account"),
    ("POST", "/apps", 422, "invalid_params", "refuses to create"),
    ("PATCH", "/apps/*/config-vars", 403, "forbidden", "may not change settings"),
    ("GET", "/apps/*/config-vars", 404, "not_found", "found nothing"),
    ("POST", "/apps/*/builds", 409, "conflict", "two things at once"),
    ("POST", "/apps/*/builds", 500, "internal_server_error", "failed with the status 500"),
    ("GET", "/apps/*/formation", 418, "teapot", "the status 418"),
]


def test_each_refusal_is_a_sentence_and_the_next_run_completes(heroku, go):
    for method, path, status, word, sentence in REFUSALS:
        heroku.fail_next(method, path, status, word, "as was ordered")
        with pytest.raises(HerokuRefused, match=sentence) as caught:
            go(released(), "penguins-refused")
        assert caught.value.hint, sentence
    assert go(released(), "penguins-refused").golden_rows
    builds = [
        one.status for one in heroku.requests if one.path == "/apps/penguins-refused/builds" and one.method == "POST"
    ]
    assert builds == [409, 500, 201]


def test_what_fails_for_a_moment_is_asked_again_and_nothing_is_created_twice(heroku, go):
    since = len(heroku.requests)
    heroku.fail_next("GET", "/apps/penguins-moment", 503, times=2)
    heroku.fail_next("PATCH", "/apps/*/config-vars", 502)
    heroku.fail_next("POST", "/apps", 429, "rate_limit", "slowly", headers={"Retry-After": "1"})
    heroku.fail_next("POST", "/apps", lose=True)
    heroku.fail_next("GET", "/apps/*/releases", drop=True)
    heroku.fail_next("PUT", "/_*", 503)
    heroku.fail_next("POST", "/apps/*/builds", lose=True)
    done = go(released(), "penguins-moment")
    assert done.golden_rows
    made = changes(heroku, since)
    assert made.count("POST /apps") == 2  # one of them too many at once, which creates nothing
    assert made.count("POST /apps/penguins-moment/builds") == 1


@pytest.mark.slow
def test_a_create_that_is_cut_before_it_is_heard_is_not_sent_again(heroku, go):
    heroku.fail_next("POST", "/apps/*/builds", drop=True)
    with pytest.raises(HerokuSilent, match="whether it was done is not known"):
        go(released(), "penguins-cut")
    assert go(released(), "penguins-cut").golden_rows


def test_a_limit_that_stays_is_told(heroku, go):
    heroku.fail_next("GET", "/apps/penguins-limit", 429, "rate_limit", "slowly", headers={"Retry-After": "0"}, times=5)
    with pytest.raises(HerokuRefused, match="ask no more for now"):
        go(released(), "penguins-limit")


@pytest.mark.slow
def test_a_stream_that_is_cut_goes_on_where_it_broke_off(heroku, go, newer):
    go(released(), "penguins-whole")
    whole = list(go.heard)
    go.heard.clear()
    heroku.cut_streams(40, times=3)
    go(newer, "penguins-whole")
    kept = [line for line in go.heard if "Released v" not in line and "Done:" not in line]
    assert kept == [line for line in whole if "Released v" not in line and "Done:" not in line]


@pytest.mark.slow
def test_a_build_that_fails_says_why_and_leaves_what_ran(heroku, go):
    first = go(released(), "penguins-build")
    broken = released(files={"uv.lock": b"version = 1\n"})
    with pytest.raises(BuildFailed, match="Multiple Python package manager files") as caught:
        go(broken, "penguins-build")
    assert "keep one of" in caught.value.hint
    assert httpx.get(first.url + "/health/ready", trust_env=False).status_code == 200


def settings_of(api, app):
    return {
        key: str(value) if isinstance(value, str) else value.reveal() for key, value in after.config(api, app).items()
    }


@pytest.mark.parametrize(
    ("broken", "raised"),
    [
        ({"files": {"uv.lock": b"version = 1\n"}}, BuildFailed),
        pytest.param({"processes": {"release": "python -c 3/0"}}, ReleaseFailed, marks=pytest.mark.slow),
    ],
    ids=["build", "release phase"],
)
def test_a_deployment_that_fails_leaves_the_settings_as_they_were(heroku, api, go, broken, raised):
    app = f"penguins-undone-{raised.__name__[:5].lower()}"
    go(released(config={"AWEIGH_PROXIES": "1"}, secrets=("MINE",)), app, stack="heroku-24")
    before = settings_of(api, app)
    wanted = {"config": {"AWEIGH_PROXIES": "2", "AWEIGH_NEW": "1"}, "secrets": ("MINE", "MADE_UP")}
    since = len(heroku.requests)
    with pytest.raises(raised):
        go(released(**wanted, **broken), app, stack="heroku-26")
    assert settings_of(api, app) == before
    assert ("config", "as it was before: AWEIGH_NEW, AWEIGH_PROXIES, MADE_UP") in go.told
    assert changes(heroku, since).count(f"PATCH /apps/{app}/config-vars") == 2
    assert api.send(ask.find_app(app))["build_stack"]["name"] == "heroku-24"
    assert go(released(**wanted), app).golden_rows
    assert settings_of(api, app)["AWEIGH_NEW"] == "1"


@pytest.mark.slow
def test_a_build_that_was_not_begun_leaves_the_settings_too_and_one_that_may_go_on_does_not(heroku, api, go):
    go(released(), "penguins-unbegun")
    before = settings_of(api, "penguins-unbegun")
    wanted = released(config={"AWEIGH_NEW": "1"}, files={"note.txt": b"new"})
    heroku.fail_next("POST", "/apps/*/builds", 409, "conflict", "as was ordered")
    with pytest.raises(HerokuRefused):
        go(wanted, "penguins-unbegun")
    assert settings_of(api, "penguins-unbegun") == before
    heroku.fail_next("POST", "/apps/*/builds", 500, "internal_server_error", "as was ordered")
    with pytest.raises(HerokuRefused):
        go(wanted, "penguins-unbegun")
    assert settings_of(api, "penguins-unbegun")["AWEIGH_NEW"] == "1"
    assert go(wanted, "penguins-unbegun").golden_rows


@pytest.mark.slow
def test_settings_that_cannot_be_set_back_are_told_beside_the_failure(heroku, api, go):
    go(released(), "penguins-stuck")
    broken = released(config={"AWEIGH_NEW": "1"}, processes={"release": "python -c 3/0"})

    def refuse_the_next(entry):
        if entry[0] == "upload":
            heroku.fail_next("PATCH", "/apps/*/config-vars", 403, "forbidden", "as was ordered")

    go.told = Told(refuse_the_next)
    with pytest.raises(ReleaseFailed):
        go(broken, "penguins-stuck")
    assert any(name == "config" and text.startswith("could not be set back: ") for name, text in go.told)


@pytest.mark.slow
def test_what_is_taken_back_runs_on_as_many_dynos_as_before(heroku, api, go):
    first = go(released(), "penguins-scaled", size="standard-1x")
    crashing = released(web="python -m gone instead of aweigh serve")
    with pytest.raises(NotUp, match=f"{first.release} runs again"):
        go(crashing, "penguins-scaled", size="standard-2x", replicas=2)
    (web,) = after.scale(api, "penguins-scaled", {})
    assert (web.quantity, web.size_name) == (1, "standard-1x")


@pytest.mark.slow
def test_a_build_that_an_earlier_run_left_is_gone_on_with(heroku, go):
    slow = released(files={"bin/post_compile": b"sleep 2\n"})
    with pytest.raises(BuildFailed, match="is not done after 1 s"):
        go(slow, "penguins-left", patience=Patience(build_s=1, boot_s=40, poll_s=0.1))
    since = len(heroku.requests)
    done = go(slow, "penguins-left")
    assert done.golden_rows
    assert any("is being built already" in text for _, text in go.told)
    assert changes(heroku, since) == []


@pytest.mark.slow
def test_addons_are_waited_for_and_not_added_twice(heroku, api, go):
    plan = "heroku-redis:mini"
    heroku.fail_next("POST", "/apps/*/addons", lose=True)
    assert go(released(), "penguins-addons", addons=(plan,)).golden_rows
    since = len(heroku.requests)
    assert go(released(), "penguins-addons", addons=(plan,)).golden_rows
    assert changes(heroku, since) == []
    assert str(after.config(api, "penguins-addons")["REDIS_URL"]) == "Secret(redacted)"
    with pytest.raises(HerokuRefused, match="refuses to add nothing-there:mini"):
        go(released(), "penguins-addons", addons=("nothing-there:mini",))


@pytest.mark.slow
@pytest.mark.shows("heroku", "promote", how="local server")
def test_what_is_live_is_promoted_along_the_pipeline(heroku, api, go):
    # It has a release phase: where that is still under way, so is the promotion.
    phased = released(processes={"release": "sleep 1"})
    first, second = (go(phased, f"penguins-{stage}") for stage in ("staging", "production"))
    headers = {"Accept": "application/vnd.heroku+json; version=3", "Authorization": f"Bearer {heroku.token}"}
    with httpx.Client(base_url=heroku.url, headers=headers, trust_env=False) as client:
        owner = client.get("/apps/penguins-staging").json()["owner"]["id"]
        pipeline = client.post("/pipelines", json={"name": "penguins", "owner": {"id": owner, "type": "user"}}).json()
        for app in (first.app, second.app):
            body = {"app": app, "pipeline": pipeline["id"], "stage": app.removeprefix("penguins-")}
            assert client.post("/pipeline-couplings", json=body).status_code == 201
    with pytest.raises(UsageError, match="Nothing comes after penguins-production"):
        pipelines.promote(api, second.app)
    with pytest.raises(UsageError, match="is not in the pipeline"):
        pipelines.promote(api, first.app, ["another"])
    assert pipelines.promote(api, first.app, patience=QUICK) == [pipelines.Promoted(second.app)]


@pytest.mark.slow
def test_a_release_phase_that_fails_or_does_not_end_leaves_what_ran(heroku, api, go):
    first = go(released(), "penguins-phase")
    phase = {"phase.py": b"import sys\nprint('no table of that name')\nsys.exit(3)\n"}
    failing = released(processes={"release": "python phase.py 3"}, files=phase)
    with pytest.raises(ReleaseFailed, match="no table of that name"):
        go(failing, "penguins-phase")
    endless = released(processes={"release": "sleep 600"})
    with pytest.raises(ReleaseFailed, match="still pending after 1 s") as caught:
        go(endless, "penguins-phase", patience=Patience(release_s=1, poll_s=0.1))
    assert "runs on" in caught.value.hint
    assert httpx.get(first.url + "/v1/model", trust_env=False).json()["version"] == first.bundle


def test_behind_a_door_the_golden_rows_are_asked_with_a_key_of_its_own(heroku, api, go):
    done = go(released(auth="password"), "penguins-door")
    assert done.golden_rows
    assert re.fullmatch(r"/invite/[\w-]{20,}", done.invite.reveal())
    assert ("people", "are lost whenever the dyno restarts, at least daily: there is no database") in go.told
    assert httpx.get(done.url + "/v1/model", trust_env=False).status_code == 401
    assert httpx.get(done.url + done.invite.reveal(), trust_env=False).status_code == 200
    httpx.get(done.url + "/invite/" + "x" * 43, trust_env=False)  # what somebody else may have written into the log
    assert go(released(auth="password"), "penguins-door").invite == done.invite
    settings = after.config(api, "penguins-door")
    assert str(settings["AWEIGH_DEPLOY_SECRET"]) == "Secret(redacted)"
    assert not any(done.invite.reveal() in text for _, text in go.told)
    with pytest.raises(UsageError, match="Several replicas share nobody"):
        go(released(auth="password"), "penguins-door", size="standard-1x", replicas=2)


@pytest.mark.slow
def test_several_replicas_that_show_pages_get_affinity_and_what_comes_after(heroku, api, go, newer):
    done = go(released(has_ui=True), "penguins-scale", size="standard-1x", replicas=2)
    assert ("affinity", "on: a page's session lives in one dyno") in go.told
    found = after.status(api, "penguins-scale")
    assert (found.state, found.release, found.bundle, found.replicas) == ("up", done.release, done.bundle, {"web": 2})
    assert [one.quantity for one in after.scale(api, "penguins-scale", {"web": 1})] == [1]
    with pytest.raises(UsageError, match="no process 'worker'"):
        after.scale(api, "penguins-scale", {"worker": 1})
    with pytest.raises(UsageError, match="There can be 1 web dyno of the size basic"):
        after.scale(api, "penguins-scale", {"web": 2}, size="basic")
    later = go(newer, "penguins-scale")
    was, now = after.rollback(api, "penguins-scale", patience=QUICK)
    assert (was.label, int(now.label[1:])) == (done.release, int(later.release[1:]) + 1)
    assert after.status(api, "penguins-scale").bundle == done.bundle
    assert after.set_config(api, "penguins-scale", {"AWEIGH_PROXIES": "1", "GONE": None}) == ("AWEIGH_PROXIES",)
    assert any("Release v" in line for line in read_log(api, "penguins-scale"))
    after.destroy(api, "penguins-scale")
    assert after.status(api, "penguins-scale").state == "absent"
    with pytest.raises(HerokuRefused, match="found nothing"):
        after.destroy(api, "penguins-scale")


@pytest.mark.slow
def test_an_app_of_somebodys_own_is_checked_for_being_up(heroku, go, tmp_path):
    web = "streamlit run app.py --server.port $PORT --server.address 0.0.0.0 --server.headless true"
    files = {"app.py": b"import streamlit as st\nst.title('Mine')\n", "Procfile": f"web: {web}\n".encode()}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    own = Release("mine", python, {"web": web}, files, requirements="", own=frozenset({"Procfile"}))
    done = go(own, "penguins-own")
    assert (done.golden_rows, done.bundle) == (0, None)
    assert httpx.get(done.url + "/_stcore/health", trust_env=False).text == "ok"


@pytest.mark.slow
def test_a_code_in_the_log_is_told_with_its_fix_until_the_next_release(api, go):
    done = go(released(), "penguins-codes")
    after.scale(api, "penguins-codes", {"web": 0})
    assert httpx.get(done.url, trust_env=False).status_code == 503
    fix = "no web dyno runs: aweigh scale heroku 1 --app penguins-codes"
    assert after.status(api, "penguins-codes").notes == (f"H14 (No web processes running): {fix}",)
    after.set_config(api, "penguins-codes", {"AWEIGH_SWEEPS": "off"})
    assert after.status(api, "penguins-codes").notes == ()


@pytest.mark.slow
def test_a_log_is_followed_over_a_connection_that_ends(heroku, api, go):
    go(released(), "penguins-tail")
    heroku.cut_streams(300, times=2)
    known = [line for line in heroku.app_log("penguins-tail") if "Release v1 " in line or "State changed" in line]
    told = []
    for line in tail_log(api, "penguins-tail", lines=100):
        told.append(line)
        if line == known[-1]:
            break
    assert len(told) == len(set(told))
    assert [line for line in told if line in known] == known


def test_nobody_listens(free_port):
    api = open_api({"HEROKU_API_KEY": "x"}, endpoint=f"http://127.0.0.1:{free_port()}", pause=lambda _: None)
    with pytest.raises(RemoteError, match="cannot be reached"):
        after.status(api, "penguins")
    api.close()
