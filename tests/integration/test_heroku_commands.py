"""The commands around a deployment, typed as people type them, against a local Heroku."""

import json
import re
import shutil
import sys
from pathlib import Path

import psycopg
import pytest
from tests.heroku import HerokuServer
from tests.heroku.fixtures import run

__all__ = ["run"]

STORED = Path(__file__).parents[1] / "bundles"
SOURCE = Path(__file__).parents[2] / "src"
APP = "typed-penguins"
WEB = "aweigh serve penguins.aweigh --host 0.0.0.0 --auth password --workers 1 --no-ui"


@pytest.fixture(scope="module")
def heroku(postgres):
    dyno_env = {"PYTHONPATH": str(SOURCE), "AWEIGH_WORKERS": "1", "AWEIGH_DRAIN_DELAY_S": "0"}
    # Others' people are in the database of the session: here nobody has come in yet.
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE typed_penguins")
    own = postgres.replace("/postgres?", "/typed_penguins?", 1)
    assert own != postgres
    with HerokuServer(prebuilt=Path(sys.prefix), dyno_env=dyno_env, postgres_url=own) as server:
        yield server
        assert server.violations == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of somebody's own, with a bundle and all that Heroku reads, so that no index is asked."""
    found = tmp_path_factory.mktemp("folder")
    (found / "penguins.aweigh").write_bytes((STORED / "format-1-onnx.aweigh").read_bytes())
    (found / "Procfile").write_text(f"web: {WEB}\n")
    (found / "requirements.txt").write_text("aweigh[auth]\n")
    (found / ".python-version").write_text(f"{sys.version_info.major}.{sys.version_info.minor}\n")
    return found


def test_a_dry_run_asks_nothing_of_anybody_and_shows_all(run, heroku, folder):
    before = len(heroku.requests)
    code, out, err = run("deploy", "heroku", str(folder), "--app", APP, "--dry-run", HEROKU_API_KEY="")
    assert (code, err) == (0, "")
    assert "POST /apps/typed-penguins/builds" in out
    assert '"AWEIGH_DEPLOY_SECRET": "(made up when it is sent)"' in out
    assert "app.json" in out
    assert len(heroku.requests) == before
    code, out, _ = run("deploy", "heroku", str(folder), "--app", APP, "--dry-run", "--json", HEROKU_API_KEY="")
    assert json.loads(out)["requests"][1]["body"] == {"name": APP}


def test_a_readme_of_ones_own_is_kept_and_the_button_is_told(run, folder, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    (own / "README.md").write_text("# Mine\n")
    code, out, _ = run("deploy", "heroku", str(own), "--app", APP, "--output-dir", str(tmp_path / "out"))
    assert code == 0
    assert "button    for your README: [![Deploy]" in out
    assert (tmp_path / "out" / "README.md").read_text() == "# Mine\n"
    code, _, err = run("deploy", "heroku", str(own), "--app", APP, "--repository", "https://github.com/me/m")
    assert (code, "give --output-dir DIR, too" in err) == (2, True)
    (tmp_path / "file").write_text("")
    code, _, err = run("deploy", "heroku", str(own), "--app", APP, "--output-dir", str(tmp_path / "file" / "below"))
    assert (code, "cannot be written" in err) == (2, True)


def test_plans_that_were_asked_for_are_those_of_the_button(run, folder, tmp_path):
    plan = "heroku-postgresql:standard-0"
    out = tmp_path / "out"
    assert run("deploy", "heroku", str(folder), "--app", APP, "--output-dir", str(out), "--addon", plan)[0] == 0
    manifest = json.loads((out / "app.json").read_text())
    assert manifest["addons"] == [plan]
    assert manifest["environments"]["review"]["addons"] == ["heroku-postgresql:essential-0"]
    assert plan in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("environ", "sentence", "code"),
    [
        ({"HEROKU_API_KEY": ""}, "There is no token for Heroku.", 2),
        ({"HEROKU_API_KEY": "wrong"}, "Heroku does not accept the token.", 4),
        ({"HEROKU_API_KEY": "two words"}, "holds what is no token", 2),
        ({"AWEIGH_HEROKU_ENDPOINT": "http://heroku.example"}, "no address to send a token to", 2),
        ({"HEROKU_API_KEY": "", "HEROKU_API_KEY_FILE": "/nothing/there"}, "cannot be read", 2),
    ],
)
def test_what_is_wrong_with_the_token_or_the_endpoint_is_said_without_it(run, environ, sentence, code):
    found, out, err = run("status", "heroku", "--app", APP, **environ)
    assert (found, out) == (code, "")
    assert sentence in err
    assert "hint:" in err
    assert "wrong" not in err
    assert len(err.splitlines()) <= 4


def test_behind_a_door_the_first_administrator_gets_a_link_that_no_log_or_document_tells(run, heroku, folder):
    code, out, err = run("deploy", "heroku", str(folder), "--app", APP)
    assert (code, err) == (0, ""), out
    assert "golden rows agree" in out
    link = re.search(r"http://127\.0\.0\.1:\d+/invite/[\w-]+", out)
    assert link is not None
    assert f"next      aweigh status heroku --app {APP}" in out
    secret = link[0].rpartition("/")[2]
    code, out, err = run("deploy", "heroku", str(folder), "--app", APP, "--json")
    told = json.loads(out)
    assert (code, told["changed"], told["created"], told["has_invite"]) == (0, False, False, True)
    assert secret not in out + err
    out = run("logs", "heroku", "--app", APP)[1]
    assert "/invite/(withheld)" in out
    assert secret not in out
    assert "1 x basic" in run("scale", "heroku", "--app", APP)[1]
    assert run("scale", "heroku", "2", "--app", APP)[0] == 2
    code, _, err = run("rollback", "heroku", "--app", APP)
    assert code == 2
    assert "There is no earlier release that ran something else." in err
    assert run("config", "heroku", "--app", APP, "--secret", "MINE", said="a value\n")[0] == 0
    assert "a value" in run("config", "heroku", "--app", APP, "--reveal")[1]


def test_a_web_line_of_ones_own_has_no_door_and_that_is_said(run, tmp_path):
    (tmp_path / "app.py").write_text("import streamlit as st\nst.write('hello')\n")
    (tmp_path / "requirements.txt").write_text("streamlit==1.67.0\n")
    (tmp_path / "Procfile").write_text("web: streamlit run app.py --server.port $PORT --server.address 0.0.0.0\n")
    code, out, _ = run("deploy", "heroku", str(tmp_path), "--app", APP, "--dry-run")
    assert code == 0
    assert "anybody may come in" in out
    code, _, err = run("deploy", "heroku", str(tmp_path), "--app", APP, "--dry-run", "--auth", "password")
    assert (code, "no --auth password stands before it" in err) == (2, True)
    assert run("deploy", "heroku", str(tmp_path), "--app", APP, "--dry-run", "--auth", "none")[0] == 0
