"""Apps that Heroku makes from app.json, as the button and a pipeline's review apps do; each checked by golden rows."""

import io
import json
import sys
import tarfile
import time
from pathlib import Path

import httpx
import jsonschema
import psycopg
import pytest
from tests.heroku import HerokuServer
from tests.heroku.fixtures import api, run
from tests.heroku.releases import BUNDLE, DYNO_ENV, PYTHON, QUICK, TESTS, packed, released, short
from tests.heroku.sources import PLAIN, open_client
from tests.heroku.state import OWNER

from aweigh.errors import RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.targets.heroku import pipelines, review
from aweigh.targets.heroku import requests as ask
from aweigh.targets.heroku.boot import Patience
from aweigh.targets.heroku.errors import BuildFailed, HerokuRefused
from aweigh.targets.heroku.review import Wanted
from aweigh.targets.live import golden_of, replay
from aweigh.targets.telling import Telling

__all__ = ["api", "run"]

PIPELINE = "penguins-line"
REPOSITORY = "https://github.com/someone/penguins"
SCHEMA = json.loads((TESTS / "unit" / "targets" / "app.json.schema.json").read_text())


@pytest.fixture(scope="module")
def heroku(postgres):
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE reviewed_penguins")
    own = postgres.replace("/postgres?", "/reviewed_penguins?", 1)
    assert own != postgres
    with HerokuServer(prebuilt=Path(sys.prefix), dyno_env=DYNO_ENV, postgres_url=own) as server:
        yield server
        assert server.violations == []
        assert server.off_schema == []


def guarded(**more):
    """Return a release whose people have a database."""
    return released(auth="password", stores=("postgresql",), processes={"release": "aweigh migrate"}, **more)


# -- the button


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of somebody's own, with a bundle and what has to be installed, so that no index is asked."""
    found = tmp_path_factory.mktemp("folder")
    (found / "penguins.aweigh").write_bytes(BUNDLE.read_bytes())
    web = "aweigh serve penguins.aweigh --host 0.0.0.0 --auth password --workers 1 --no-ui"
    (found / "Procfile").write_text(f"web: {web}\nrelease: aweigh migrate\n")
    (found / "requirements.txt").write_text("aweigh[auth]\n")
    (found / ".python-version").write_text(f"{PYTHON}\n")
    return found


def as_github_gives_it(folder):
    """Return the folder as the archive that the button's template is read from."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        archive.add(folder, ".")
    return raw.getvalue()


def test_the_button_of_a_rendered_folder_makes_an_app_that_answers_as_the_model_did(run, heroku, api, folder, tmp_path):
    out = tmp_path / "out"
    code, told, err = run("deploy", "heroku", str(folder), "--app", "penguins", "--output-dir", str(out), "--size",
                          "standard-1x", "--repository", f"{REPOSITORY}.git")  # fmt: skip
    assert (code, err) == (0, "")
    assert "its README has a button" in told
    link = (
        f"[![Deploy](https://www.herokucdn.com/deploy/button.svg)](https://www.heroku.com/deploy?template={REPOSITORY})"
    )
    assert link in (out / "README.md").read_text()
    manifest = json.loads((out / "app.json").read_text())
    jsonschema.Draft7Validator(SCHEMA).validate(manifest)
    assert manifest["repository"] == REPOSITORY

    # What the button does: the template's archive becomes an app by its app.json.
    with open_client(heroku) as client:
        blob = client.post("/sources").raise_for_status().json()["source_blob"]
        httpx.put(blob["put_url"], content=as_github_gives_it(out), **PLAIN).raise_for_status()
        body = {"source_blob": {"url": blob["get_url"]}, "app": {"name": "pressed-penguins"}}
        setup = client.post("/app-setups", json=body).raise_for_status().json()
        until = time.monotonic() + 60
        while setup["status"] == "pending":
            assert time.monotonic() < until
            short(0.1)
            setup = client.get(f"/app-setups/{setup['id']}").json()
        assert (setup["status"], setup["manifest_errors"], setup["build"]["status"]) == ("succeeded", [], "succeeded")
        config = client.get("/apps/pressed-penguins/config-vars").json()
        (addon,) = client.get("/apps/pressed-penguins/addons").json()
        (web,) = client.get("/apps/pressed-penguins/formation").json()
    assert addon["plan"]["name"] == "heroku-postgresql:essential-0"
    assert config["DATABASE_URL"].startswith("postgres")
    assert (web["type"], web["quantity"], web["size"]) == ("web", 1, "Standard-1X")
    assert len(config["AWEIGH_DEPLOY_SECRET"]) == 64
    assert config["AWEIGH_PROXIES"] == "1"

    url = heroku.app_url("pressed-penguins").rstrip("/")
    until = time.monotonic() + 40
    while httpx.get(f"{url}/health/ready", **PLAIN).status_code != 200:
        assert time.monotonic() < until
        short(0.1)
    assert httpx.get(f"{url}/v1/model", **PLAIN).status_code == 401
    replayed = replay(url, golden_of(out / "penguins.aweigh"), secret=Secret(config["AWEIGH_DEPLOY_SECRET"]))
    assert (replayed.ok, replayed.rows > 5, replayed.skipped) == (True, True, 0)
    assert any("/invite/" in line for line in heroku.app_log("pressed-penguins"))


# -- pipelines


@pytest.mark.shows("heroku", "pipeline", how="local server")
def test_an_app_is_put_into_a_stage_of_a_pipeline_that_is_made_when_there_is_none(run, heroku, api):
    for app in ("coupled-one", "coupled-two"):
        api.send(ask.create_app(app))
    code, _, err = run("pipeline", "heroku", "coupled-line")
    assert (code, "There is no pipeline 'coupled-line'" in err) == (2, True)
    heroku.fail_next("POST", "/pipelines", lose=True)
    heroku.fail_next("POST", "/pipeline-couplings", lose=True)
    code, out, _ = run("pipeline", "heroku", "coupled-line", "--app", "coupled-one", "--stage", "staging")
    assert (code, "coupled-one is staging of coupled-line" in out) == (0, True)
    made = next(one for one in heroku.requests if one.method == "POST" and one.path == "/pipelines")
    assert made.body == {"name": "coupled-line", "owner": {"id": OWNER["id"], "type": "user"}}
    code, out, _ = run("pipeline", "heroku", "coupled-line", "--app", "coupled-two", "--stage", "staging", "--json")
    assert json.loads(out)["changed"]
    since = len(heroku.requests)
    assert "as it was" in run("pipeline", "heroku", "coupled-line", "--app", "coupled-one", "--stage", "staging")[1]
    assert {one.method for one in heroku.requests[since:]} == {"GET"}
    assert run("pipeline", "heroku", "coupled-line", "--app", "coupled-two", "--stage", "production")[0] == 0
    code, out, _ = run("pipeline", "heroku", "coupled-line", "--json")
    assert json.loads(out)["apps"] == [
        {"app": "coupled-one", "stage": "staging"}, {"app": "coupled-two", "stage": "production"},
    ]  # fmt: skip
    assert [line.split() for line in run("pipeline", "heroku", "coupled-line")[1].splitlines()] == [
        ["staging", "coupled-one"], ["production", "coupled-two"],
    ]  # fmt: skip
    heroku.fail_next("GET", "/apps/*", 403, "forbidden", "as was ordered")
    assert "coupled-two" in run("pipeline", "heroku", "coupled-line")[1]
    code, _, err = run("pipeline", "heroku", "other-line", "--app", "coupled-one", "--stage", "staging")
    assert (code, "is in another pipeline already" in err) == (2, True)
    assert api.send(ask.list_couplings(pipelines.the_pipeline(api, "coupled-line").id))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("coupled-line", "--app", "coupled-one"), "An app is put into a stage"),
        (("../apps", "--app", "coupled-one", "--stage", "staging"), "No pipeline can be named"),
        (("line", "--app", "../x", "--stage", "staging"), "No app at Heroku can be named"),
        (("a" * 31,), "No pipeline can be named"),
        (("line", "--app", "x-1", "--stage", "review"), "'review' is not one of"),
    ],
)
def test_what_is_no_pipeline_app_or_stage_is_refused_before_anybody_is_asked(run, heroku, arguments, sentence):
    since = len(heroku.requests)
    code, _, err = run("pipeline", "heroku", *arguments)
    assert (code, sentence in err) == (2, True)
    assert heroku.requests[since:] == []


def test_an_app_in_no_pipeline_is_not_promoted(api):
    api.send(ask.create_app("alone-one"))
    with pytest.raises(UsageError, match="alone-one is in no pipeline"):
        pipelines.promote(api, "alone-one")
    with pytest.raises(HerokuRefused, match="found nothing"):
        pipelines.promote(api, "nobody-there")


# -- review apps


@pytest.fixture
def make(api):
    """Return a function that makes the review app of a branch; what it told is in its ``told``."""

    def making(release, branch, *, patience=QUICK, environment=None, **shape):
        telling = Telling(line=lambda name, text, _: making.told.append((name, text)), hear=making.heard.append)
        wanted = Wanted(PIPELINE, branch, environment or {})
        return review.create(api, release, packed(release, **shape), wanted, telling=telling, patience=patience)

    making.told, making.heard = [], []
    return making


@pytest.fixture(scope="module")
def line(api):
    """A pipeline that has review apps."""
    api.send(ask.create_pipeline(PIPELINE, owner=OWNER["id"]))
    assert review.enable(api, PIPELINE, "someone/penguins")


@pytest.mark.slow
def test_a_branch_gets_an_app_of_its_own_that_is_checked_brought_up_to_date_and_taken_away(heroku, api, make, line):
    done = make(guarded(), "try-it")
    assert (done.created, done.golden_rows > 5) == (True, True)
    assert any("-----> Compressing" in text for text in make.heard)
    asked = next(one for one in heroku.requests if one.method == "POST" and one.path == "/review-apps")
    assert asked.body.keys() == {"branch", "pipeline", "source_blob"}
    assert api.send(ask.list_addons(done.app))[0]["plan"]["name"] == "heroku-postgresql:essential-0"
    (web,) = api.send(ask.list_formation(done.app))
    assert (web["quantity"], web["size"]) == (1, "Basic")

    since = len(heroku.requests)
    again = make(guarded(), "try-it")
    assert (again.app, again.created, again.changed) == (done.app, False, False)
    changing = [one for one in heroku.requests[since:] if one.method != "GET" and not one.path.endswith("log-sessions")]
    assert changing == []

    newer = make(guarded(files={"note.txt": b"new"}), "try-it")
    assert (newer.app, newer.created, newer.changed) == (done.app, False, True)
    other = make(released(), "another", review_size="standard-2x")
    assert other.app != done.app
    assert api.send(ask.list_formation(other.app))[0]["size"] == "Standard-2X"
    secrets = {api.send(ask.get_config(app))["AWEIGH_DEPLOY_SECRET"] for app in (done.app, other.app)}
    assert len(secrets) == 2
    assert [(one.branch, one.status, one.app) for one in review.reviews(api, PIPELINE)] == [
        ("another", "created", other.app), ("try-it", "created", done.app),
    ]  # fmt: skip
    assert review.destroy(api, PIPELINE, "try-it") == done.app
    assert [one.branch for one in review.reviews(api, PIPELINE)] == ["another"]
    with pytest.raises(UsageError, match="no review app of 'try-it'") as caught:
        review.destroy(api, PIPELINE, "try-it")
    assert "another" in caught.value.hint


@pytest.mark.slow
def test_one_that_cannot_be_made_says_why_and_is_made_anew(api, make, line):
    with pytest.raises(BuildFailed, match="Multiple Python package manager files"):
        make(released(files={"uv.lock": b"version = 1\n"}), "broken")
    (broken,) = [one for one in review.reviews(api, PIPELINE) if one.branch == "broken"]
    assert (broken.status, broken.why) == ("errored", "build failed")
    done = make(released(), "broken")
    assert (done.created, done.golden_rows > 5) == (True, True)
    assert ("review", "the one of broken that could not be made is taken away") in make.told


def test_an_app_json_that_heroku_does_not_take_is_told(make, line):
    own = released(files={"app.json": b'{"formation": {"web": {"size": "huge"}}}'}, own=frozenset({"app.json"}))
    with pytest.raises(BuildFailed, match=r"could not make the review app of wrong: .huge. is not one of"):
        make(own, "wrong")


@pytest.mark.slow
def test_one_that_is_being_made_is_waited_for_by_the_next_run(heroku, api, make, line):
    slow = released(files={"bin/post_compile": b"sleep 3\n"})
    heroku.fail_next("POST", "/review-apps", lose=True)
    with pytest.raises(RemoteError, match="still being made"):
        make(slow, "slow", patience=Patience(build_s=0.2, addon_s=0.1, poll_s=0.05))
    since = len(heroku.requests)
    assert make(slow, "slow").golden_rows
    made = [one for one in heroku.requests[since:] if one.method == "POST" and one.path in {"/review-apps", "/sources"}]
    assert made == []


def test_what_only_the_owner_knows_is_told_it(heroku, api, make, line):
    with pytest.raises(UsageError, match=r"told AWEIGH_OIDC_ISSUER, AWEIGH_OIDC_CLIENT_ID, AWEIGH_OIDC_CLIENT_SECRET"):
        review.given_here(released(auth="oidc"), {})
    names = ("AWEIGH_OIDC_ISSUER", "AWEIGH_OIDC_CLIENT_ID", "AWEIGH_OIDC_CLIENT_SECRET")
    given = review.given_here(released(auth="oidc"), {name: f"{name} of mine" for name in names})
    assert str(given["AWEIGH_OIDC_CLIENT_SECRET"]) == "Secret(redacted)"
    done = make(released(), "told", environment=given)
    assert api.send(ask.get_config(done.app))["AWEIGH_OIDC_ISSUER"] == "AWEIGH_OIDC_ISSUER of mine"


def test_a_pipeline_without_review_apps_says_how_to_have_them(api, run):
    api.send(ask.create_pipeline("bare-line", owner=OWNER["id"]))
    with pytest.raises(UsageError, match="makes no review apps") as caught:
        review.create(api, released(), packed(released()), Wanted("bare-line", "b"))
    assert "aweigh review heroku enable --pipeline bare-line" in caught.value.hint
    code, out, _ = run("review", "heroku", "enable", "--pipeline", "bare-line", "--repo", "someone/penguins", "--json")
    assert (code, json.loads(out)) == (0, {"pipeline": "bare-line", "changed": True})
    assert not review.enable(api, "bare-line", "someone/penguins")
    assert review.enable(api, "bare-line", "someone/penguins", stale_days=3)
    assert not review.enable(api, "bare-line", "someone/penguins", stale_days=3)
    with pytest.raises(UsageError, match="is no repository"):
        review.enable(api, "bare-line", "https://github.com/someone/penguins")


@pytest.mark.parametrize("branch", ["", " ", "x" * 201, "a\nb"])
def test_what_is_no_branch_is_refused(api, branch):
    with pytest.raises(UsageError, match="No branch can be named"):
        review.create(api, released(), packed(released()), Wanted(PIPELINE, branch))


@pytest.mark.shows("heroku", "review", how="local server")
def test_review_apps_are_typed_as_people_type_them(run, heroku, folder, line):
    place = ("--pipeline", PIPELINE)
    code, out, err = run("review", "heroku", "create", str(folder), *place, "--branch", "typed")
    assert (code, err) == (0, "")
    assert "golden rows agree" in out
    code, out, _ = run("review", "heroku", "create", str(folder), *place, "--branch", "typed", "--json")
    told = json.loads(out)
    assert (code, told["branch"], told["created"], told["changed"]) == (0, "typed", False, False)
    assert told["app"] in run("review", "heroku", "list", *place)[1]
    code, _, err = run("review", "heroku", "destroy", *place, "--branch", "typed", said="n\n")
    assert (code, "Nothing was destroyed." in err) == (2, True)
    assert run("review", "heroku", "destroy", *place, "--branch", "typed", "--yes")[0] == 0
    assert "typed" not in run("review", "heroku", "list", *place, "--json")[1]
    assert run("review", "heroku")[0] in {0, 2}
