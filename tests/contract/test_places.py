"""What holds at every place alike, typed as a stranger types it, and asked of the app over HTTP.

A test says by ``holds(...)`` of which verbs and which promises it is; it is run for every place that has them all
(`conftest.py`), and stands behind their cells in docs/reference/targets.md as soon as it has passed. Where others show
the same in continuous integration, it names the places that are left to the slow tests.
"""

import re

import pytest
from tests.contract.bundles import TOKEN
from tests.contract.place import refused

DEPLOYED = {"app", "url", "release", "bundle", "created", "changed", "golden_rows", "notes", "has_invite", "source"}
STATUS = {"name", "state", "url", "release", "bundle", "replicas", "notes"}
LISTED = {
    "version", "status", "current", "created", "bundle", "source", "description", "eligible_for_rollback",
}  # fmt: skip
ABSENT = "never-deployed"
WORDS = {"rollback": ["v1"], "scale": ["1"], "config": ["A=b"], "destroy": ["--yes"], "promote": ["--to", "another"]}
"""What a verb needs more to mean something."""
ODD = ["a\nb", "penguins\n", "$(id)", "`id`", "a;id", "a'b", 'a"b', "a b", "-a", "../a", "é", "A", "", "a" * 100]


@pytest.fixture
def live(shell, bundles):
    """What status says of an app that is up, one replica of it: the first bundle, or what an earlier test left."""
    told = shell.type("status", "--json").document
    if told["state"] != "up":
        done = shell.deploy(bundles.first.path, "--replicas", "1")
        assert done.code == 0, done.out + done.err
        told = shell.ask("status")
    return told


def bundle_of(told, bundles):
    return bundles.by_version(told["bundle"])


@pytest.mark.holds(takes=("status",))
def test_of_what_is_not_deployed_is_nothing_known(shell):
    assert shell.type("status", "--json", app=ABSENT).document == {
        "name": ABSENT, "state": "absent", "url": None, "release": None, "bundle": None, "replicas": None, "notes": [],
    }  # fmt: skip


@pytest.mark.holds(takes=("render",))
def test_a_dry_run_shows_the_documents_and_writes_nothing_anywhere(shell, bundles, tmp_path):
    path = bundles.first.path
    command = shell.words("deploy", str(path), *shell.running.deploying(path), "--dry-run")
    before = shell.untouched()
    done = shell.apart([*command, "--json"], TMPDIR=str(tmp_path))
    assert done.code == 0, done.err
    assert done.document["documents"]
    shown = shell.apart(command, TMPDIR=str(tmp_path))
    assert (shown.code, "next " in shown.out) == (0, True), shown.err
    assert (list(tmp_path.iterdir()), shell.untouched()) == ([], before)


@pytest.mark.holds(takes=("render",))
def test_the_documents_are_written_into_a_new_folder_and_nowhere_else(shell, bundles, tmp_path):
    path = bundles.first.path
    words = (str(path), *shell.running.deploying(path), *shell.running.rendering)
    words = (*words, "--output-dir", str(tmp_path / "out"))
    before = shell.untouched()
    told = shell.ask("deploy", *words)
    assert told["folder"] == str(tmp_path / "out")
    there = {str(one.relative_to(tmp_path / "out")) for one in (tmp_path / "out").rglob("*") if one.is_file()}
    assert {one.lstrip("/") for one in told["files"]} == there
    assert "is not empty" in refused(shell.type("deploy", *words), code=2)
    (tmp_path / "file").touch()
    done = shell.type("deploy", *words[:-1], str(tmp_path / "file" / "below"))
    assert "below cannot be written" in refused(done, code=2)
    assert "hint: name another folder: --output-dir" in done.err
    assert shell.untouched() == before


@pytest.mark.holds("deploy", "status")
def test_from_nothing_to_live(shell, bundles):
    shell.type("destroy", "--yes")
    done = shell.deploy(bundles.first.path)
    assert done.code == 0, done.err
    told = done.document
    assert told.keys() >= DEPLOYED
    assert (told["app"], told["created"], told["changed"]) == (shell.app, True, True)
    assert (told["bundle"], told["has_invite"]) == (bundles.first.version, False)
    status = shell.ask("status")
    assert status.keys() == STATUS
    assert (status["name"], status["state"], status["url"]) == (shell.app, "up", told["url"])
    assert status["replicas"]["web"] == 1
    shown = shell.type("status")
    assert (shown.code, f"{shell.app}: up" in shown.out) == (0, True)


@pytest.mark.holds("deploy", "golden rows", takes=("answers",))
def test_what_is_live_gives_the_bundles_own_answers(shell, bundles, live):
    here = bundle_of(live, bundles)
    done = shell.deploy(here.path)
    assert done.code == 0, done.err
    assert f"{len(here.rows)} golden rows agree with the original" in done.err
    assert done.document["golden_rows"] == len(here.rows)
    assert here.holds(*shell.answers(live["url"], here.rows))


@pytest.mark.holds("status", takes=("named",))
def test_status_names_the_release_and_the_bundle(shell, bundles, live):
    assert re.fullmatch(r"v[1-9]\d*", live["release"])
    shown = shell.type("status").out
    assert live["release"] in shown
    assert live["bundle"] in shown


@pytest.mark.holds("deploy", slow=("heroku", "dokku"))
def test_the_same_again_changes_nothing_and_says_so(shell, bundles, live):
    path = bundles.first.path if live["bundle"] is None else bundle_of(live, bundles).path
    told = shell.deploy(path).document
    assert (told["created"], told["changed"], told["release"]) == (False, False, live["release"])
    shown = shell.deploy(path, json=False)
    assert (shown.code, "as it was" in shown.out) == (0, True), shown.out
    assert shell.ask("status") == live


def listed(shell):
    """The releases, held to their form."""
    found = shell.ask("releases")["releases"]
    versions = [one["version"] for one in found]
    assert all(one.keys() == LISTED for one in found)
    assert versions == sorted(set(versions), reverse=True)
    assert [one["current"] for one in found].count(True) == 1
    assert {one["status"] for one in found} <= {"live", "failed", "pending", "expired"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["created"]) for one in found)
    (current,) = (one for one in found if one["current"])
    assert f"v{current['version']}" == shell.ask("status")["release"]
    return found


@pytest.mark.holds("deploy", "releases", "rollback", takes=("answers", "named"), slow=("kubernetes",))
def test_a_second_bundle_is_a_new_release_and_back_goes_to_the_one_before_and_to_a_named_one(shell, bundles, live):
    old = bundle_of(live, bundles)
    new = bundles.second if old is bundles.first else bundles.first
    before = listed(shell)

    done = shell.deploy(new.path)
    assert done.code == 0, done.err
    told = done.document
    assert (told["changed"], told["created"], told["bundle"]) == (True, False, new.version)
    after = listed(shell)
    assert len(after) > len(before)
    assert f"v{after[0]['version']}" == told["release"] != live["release"]
    assert [one["bundle"] for one in after if one["current"]] == [new.version]
    assert new.holds(*shell.answers(told["url"], new.rows))

    back = shell.ask("rollback")
    assert back.keys() == {"to", "as"}
    assert f"v{back['to']}" == live["release"]
    now = listed(shell)[0]
    assert (now["version"], now["current"], now["bundle"]) == (back["as"], True, old.version)
    assert old.holds(*shell.answers(live["url"], old.rows))

    shown = shell.type("rollback", told["release"])
    assert (shown.code, f"to {told['release']}, as v{back['as'] + 1}" in shown.out) == (0, True), shown.err
    assert shell.ask("status")["bundle"] == new.version
    assert new.holds(*shell.answers(live["url"], new.rows))
    table = shell.type("releases").out
    assert re.search(rf"^  v{back['as'] + 1} +current +[-\d]+ [:\d]+ +{new.version}", table, re.MULTILINE), table


@pytest.mark.holds(takes=("rollback",))
def test_a_release_that_is_not_there_is_told_and_nothing_changes(shell, live):
    before = shell.ask("releases")
    for version in ("v9999", "v0", "latest", "v1;id"):
        refused(shell.type("rollback", version), code=2)
    assert (shell.ask("releases"), shell.ask("status")) == (before, live)


@pytest.mark.holds(takes=("scale",), slow=("dokku",))
def test_nothing_says_how_many_there_are_and_nonsense_is_refused(shell, live):
    told = shell.ask("scale")
    assert told.keys() == {"replicas", "size", "changed"}
    assert (told["replicas"]["web"], told["changed"]) == (1, False)
    assert told["size"].keys() == told["replicas"].keys()
    assert re.search(r"^  web +1\b", shell.type("scale").out, re.MULTILINE)
    for nonsense in ("two", "web=two", "web=", "101", "web=99999", "1.5", "$(id)=1", "web=1;id", "-1"):
        refused(shell.type("scale", nonsense), code=2)
    assert shell.ask("scale") == told


@pytest.mark.holds(takes=("scale", "process types"))
def test_a_process_that_the_app_has_not_is_not_scaled(shell, live):
    assert "no process" in refused(shell.type("scale", "nothing=1"), code=2)


@pytest.mark.holds("scale", slow=("dokku", "kubernetes"))
def test_scaled_up_and_down_again(shell, live, bundles):
    most = shell.running.most
    told = shell.ask("scale", str(most))
    assert (told["replicas"]["web"], told["changed"]) == (most, True)
    assert shell.ask("scale", f"web={most}")["changed"] is False
    assert shell.ask("scale", "1")["replicas"]["web"] == 1


@pytest.mark.holds("scale", takes=("answers", "down"), slow=("heroku", "kubernetes"))
def test_scaled_to_nothing_it_is_down_and_with_one_it_answers_again(shell, live, bundles):
    assert shell.ask("scale", "0")["replicas"]["web"] == 0
    down = shell.type("status", "--json")
    assert (down.code, down.document["state"]) == (1, "down")
    assert f"next      aweigh logs {shell.place.name}" in shell.type("status").out
    assert shell.ask("scale", "1")["replicas"]["web"] == 1
    here = bundle_of(live, bundles)
    _until_up(shell)
    assert here.holds(*shell.answers(live["url"], here.rows))


def _until_up(shell):
    """A place may send people to what it has only begun to start: status says so then, and exits with 0."""
    while (told := shell.ask("status"))["state"] in {"starting", "deploying"}:
        pass
    assert told["state"] == "up"


@pytest.mark.holds("config", slow=("kubernetes",))
def test_settings_are_set_hidden_and_taken_away(shell, live):
    value = "a value that nobody is to see"
    told = shell.ask("config", "AWEIGH_SWEEPS=off", "--secret", "MINE", said=f"{value}\n")
    assert told.keys() == {"config", "changed"}
    assert told["changed"] == ["AWEIGH_SWEEPS", "MINE"]
    shown = [shell.type("config"), shell.type("config", "--json"), shell.type("status"), shell.type("logs")]
    assert all(one.code == 0 and value not in one.out + one.err for one in shown)
    assert shown[1].document["config"]["MINE"] is None
    assert re.search(r"^  MINE +\(", shown[0].out, re.MULTILINE)
    if "values" not in shell.place.cannot:
        assert shown[1].document["config"]["AWEIGH_SWEEPS"] == "off"
        before = shell.ask("releases")
        assert shell.ask("config", "AWEIGH_SWEEPS=off")["changed"] == []
        assert "as it was" in shell.type("config", "AWEIGH_SWEEPS=off").out
        assert shell.ask("releases") == before
    done = shell.type("config", "--unset", "MINE", "--unset", "AWEIGH_SWEEPS")
    assert (done.code, "set: AWEIGH_SWEEPS, MINE" in done.out) == (0, True), done.err
    assert not {"MINE", "AWEIGH_SWEEPS"} & shell.ask("config")["config"].keys()
    _until_up(shell)


@pytest.mark.holds("open")
def test_the_address_is_the_one_that_status_says(shell, live):
    done = shell.type("open", "--print")
    assert (done.code, done.out) == (0, f"{live['url']}\n")


@pytest.mark.holds(takes=("config",))
def test_what_is_no_setting_changes_nothing(shell, live):
    before = shell.ask("config")
    for said in ("NOTHING", "A B=c", "A\nB=c", "$(id)=c", "A;id=c", "=c", "'=c"):
        refused(shell.type("config", said), code=2)
    refused(shell.type("config", "--secret", "MINE", said=""), code=2)
    assert shell.ask("config") == before


@pytest.mark.holds("logs", takes=("folders",), slow=("dokku", "kubernetes"))
def test_a_log_has_lines_and_no_invitation(shell, live, bundles):
    if live["bundle"] != bundles.second.version:  # whose web line says one
        done = shell.deploy(bundles.second.path)
        assert done.code == 0, done.err
    done = shell.type("logs")
    assert (done.code, done.err) == (0, "")
    assert "/invite/(withheld)" in done.out
    assert TOKEN not in done.out
    assert "\x1b" not in done.out
    assert 0 < len(shell.type("logs", "--lines", "1").out.splitlines()) <= 2  # one of each container


@pytest.mark.holds("deploy", "golden rows", takes=("answers",), slow=("heroku",))
def test_a_bundle_whose_golden_rows_lie_is_taken_back(shell, live, bundles):
    here = bundle_of(live, bundles)
    done = shell.deploy(bundles.liar.path)
    told = refused(done, code=4)
    assert re.search(r"runs again|runs on, untouched|still serves", told), told
    _until_up(shell)
    assert shell.ask("status")["bundle"] == here.version
    assert here.holds(*shell.answers(live["url"], here.rows))
    again = shell.deploy(here.path)
    assert (again.code, again.document["bundle"]) == (0, here.version), again.err


def _verbs(shell):
    return [verb for verb in shell.verbs if verb not in {"deploy", "status"}]


@pytest.mark.holds(slow=("dokku",))
def test_every_verb_says_that_there_is_no_such_app(shell):
    for verb in _verbs(shell):
        if verb == "config" and "settings of an app" in shell.place.cannot:
            continue
        words = [*WORDS.get(verb, []), *(["--print"] if verb == "open" else [])]
        done = shell.type(verb, *words, app=ABSENT)
        assert ABSENT in refused(done), verb
        if verb != "promote":
            assert done.code == 2, (verb, done.err)
            assert f"--app {ABSENT}" in done.err.splitlines()[-1], (verb, done.err)
    done = shell.type("status", app=ABSENT)
    assert done.code == 1
    assert f"{ABSENT}: absent" in done.out
    assert f"next      aweigh deploy {shell.place.name} PATH --app {ABSENT}" in done.out


@pytest.mark.holds
def test_nothing_odd_is_the_name_of_an_app(shell, bundles):
    before = shell.untouched()
    path = bundles.first.path
    for odd in ODD:
        for verb in shell.verbs:
            more = [str(path), *shell.running.deploying(path)] if verb == "deploy" else WORDS.get(verb, [])
            done = shell.inside(shell.words(verb, *more, app=odd))
            assert done.code == 2, (verb, odd)
            assert "app" in refused(done), (verb, odd)
    assert shell.untouched() == before


@pytest.mark.holds("destroy", "status", slow=("dokku",))
def test_it_is_destroyed_by_who_means_it_and_then_absent(shell, live, bundles):
    before = shell.ask("status")
    assert shell.running.left(shell.app)
    for said in ("", f"{shell.app}\n"):  # nobody is at a terminal
        assert "nothing was destroyed" in refused(shell.type("destroy", said=said), code=2)
        refused(shell.type("destroy", "--json", said=said), code=2)
    other = shell.at_a_terminal(shell.words("destroy"), "another\n")
    assert other.code == 2, other.err
    assert "That is not the app's name: nothing was destroyed." in other.err
    assert shell.ask("status") == before
    assert shell.ask("destroy", "--yes") == {"destroyed": shell.app}
    done = shell.type("status", "--json")
    assert (done.code, done.document["state"]) == (1, "absent")
    assert not shell.running.left(shell.app)
    assert "no app" in refused(shell.type("destroy", "--yes"), code=2)
