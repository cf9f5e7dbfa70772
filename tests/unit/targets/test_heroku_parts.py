"""What a deployment decides by itself: settings, dynos, where to go back to, what a log says. Values in, values out."""

import pytest

from aweigh.errors import UsageError
from aweigh.secret import Secret
from aweigh.targets.heroku.after import is_plain, state_of
from aweigh.targets.heroku.boot import why_down
from aweigh.targets.heroku.building import code_before, current_of, is_live
from aweigh.targets.heroku.codes import CODES, Code, codes_in, crashes_in, since_release
from aweigh.targets.heroku.documents import Build, DynoDocument, Formation, HerokuRelease, Named
from aweigh.targets.heroku.formation import formation_updates
from aweigh.targets.heroku.planned import WITHHELD, planned, shown
from aweigh.targets.heroku.settings import config_changes, plans_of
from aweigh.targets.heroku.stream import Lines
from aweigh.targets.heroku.wish import Packed, Wish, check_wish
from aweigh.targets.invitations import discreet, invitations
from aweigh.targets.quantities import parse_quantities
from aweigh.targets.release import Release

TOKEN = "Zm9vYmFyYmF6cXV4cXV1eGNvcmdlZ3JhdWx0"  # an invitation's, made up
RELEASE = Release(
    name="penguins",
    python="3.12",
    processes={"web": "aweigh serve p.aweigh", "worker": "aweigh worker p.aweigh", "release": "aweigh migrate"},
    files={"p.aweigh": b"bundle"},
    config={"AWEIGH_PROXIES": "1", "AWEIGH_JOBS": "worker"},
    secrets=("AWEIGH_CACHE_SECRET",),
    stores=("postgresql", "redis"),
    bundle="p.aweigh",
)


def release(version, slug=None, **more):
    return HerokuRelease(id=f"r{version}", version=version, slug=None if slug is None else Named(id=slug), **more)


def dyno(state, kind="web"):
    return DynoDocument(name=f"{kind}.1", type=kind, state=state)


# -- names, sizes, numbers


@pytest.mark.parametrize(
    "name", ["", "a", "ab", "Penguins", "9lives", "ends-", "under_score", "x" * 31, "ü-name", "a b", "../x"]
)
def test_a_name_that_heroku_would_refuse_is_refused_here(name):
    with pytest.raises(UsageError, match="can be named"):
        check_wish(Wish(app=name))


def test_sizes_and_how_many_there_may_be():
    check_wish(Wish("penguins", size="Standard-1X", replicas=3))
    check_wish(Wish("penguins", size="private-m", replicas=3))
    with pytest.raises(UsageError, match="no dynos of the size"):
        check_wish(Wish("penguins", size="huge"))
    with pytest.raises(UsageError, match="There can be 1 dyno of the size basic"):
        check_wish(Wish("penguins", size="basic", replicas=2))


def test_quantities():
    assert parse_quantities(["3"]) == {"web": 3}
    assert parse_quantities(["web=2", "worker=0"]) == {"web": 2, "worker": 0}


@pytest.mark.parametrize("word", ["", "web", "web=", "=", "web=-1", "web=1.5", "web=٣", "web=9999999", "a b=1", "-1"])
def test_what_scales_nothing_is_refused(word):
    with pytest.raises(UsageError, match="scales nothing"):
        parse_quantities([word])


# -- settings


def test_only_settings_that_differ_are_changed_and_secrets_made_up_where_there_are_none():
    there = {"AWEIGH_PROXIES": "1", "AWEIGH_JOBS": "inline", "AWEIGH_CACHE_SECRET": "kept", "MINE": "mine"}
    changes = config_changes(RELEASE, there)
    assert changes.keys() == {"AWEIGH_JOBS", "AWEIGH_DEPLOY_SECRET", "AWEIGH_REDIS_UNVERIFIED"}
    assert changes["AWEIGH_JOBS"] == "worker"
    made = changes["AWEIGH_DEPLOY_SECRET"]
    assert isinstance(made, Secret)
    assert len(made.reveal()) >= 43
    assert made != config_changes(RELEASE, there)["AWEIGH_DEPLOY_SECRET"]
    set_already = {"AWEIGH_JOBS": "worker", "AWEIGH_DEPLOY_SECRET": "x", "AWEIGH_REDIS_UNVERIFIED": "1"}
    assert config_changes(RELEASE, there | set_already) == {}


def test_a_store_that_a_setting_names_gets_no_addon_nor_one_that_was_asked_for():
    assert plans_of(RELEASE, Wish("penguins"), {}) == ("heroku-postgresql:essential-0", "heroku-redis:mini")
    asked = Wish("penguins", addons=("heroku-postgresql:standard-0",))
    assert plans_of(RELEASE, asked, {"REDIS_URL": "redis://x"}) == ("heroku-postgresql:standard-0",)


@pytest.mark.parametrize("name", ["AWEIGH_PROXIES", "WEB_CONCURRENCY", "STREAMLIT_SERVER_PORT", "PYTHONHASHSEED"])
def test_what_is_known_to_be_no_secret_is_shown(name):
    assert is_plain(name)


@pytest.mark.parametrize(
    "name",
    ["AWEIGH_CACHE_SECRET", "AWEIGH_DEPLOY_SECRET", "AWEIGH_METRICS_TOKEN", "DATABASE_URL", "MINE", "aweigh_x", "",
     "AWEIGH_PRIVACY_KEY", "AWEIGH_OIDC_CLIENT_SECRET", "AWEIGH_KEY_PASSPHRASE"],
)  # fmt: skip
def test_what_may_be_a_secret_is_not(name):
    assert not is_plain(name)


# -- dynos


def test_a_first_formation_has_one_of_each_process_but_the_release_phase():
    updates, web = formation_updates(RELEASE, (), Wish("penguins", size="standard-1x"), first=True)
    size = {"dyno_size": {"name": "standard-1x"}}
    assert updates == [{"type": "web", "quantity": 1, **size}, {"type": "worker", "quantity": 1, **size}]
    assert web == 1


def test_what_is_as_it_was_asked_for_is_left_alone():
    there = [Formation(type="web", quantity=2, size="Standard-1X"), Formation(type="worker", quantity=0)]
    assert formation_updates(RELEASE, there, Wish("penguins"), first=False) == ([], 2)
    with pytest.raises(UsageError, match="1 web dyno of the size basic"):
        formation_updates(RELEASE, (Formation(type="web", size="Basic"),), Wish("a", replicas=2), first=True)
    updates, web = formation_updates(RELEASE, there, Wish("penguins", replicas=3), first=False)
    assert (updates, web) == ([{"type": "web", "quantity": 3}], 3)


def test_a_web_process_that_was_stopped_is_started_again():
    there = [Formation(type="web", quantity=0), Formation(type="worker", quantity=0)]
    assert formation_updates(RELEASE, there, Wish("penguins"), first=False) == ([{"type": "web", "quantity": 1}], 1)


@pytest.mark.parametrize(
    ("states", "said"),
    [([], "down"), (["up"], "up"), (["idle"], "up"), (["up", "starting"], "starting"), (["up", "crashed"], "crashed"),
     (["down"], "down")],
)  # fmt: skip
def test_the_state_of_an_app_is_that_of_its_worst_web_dyno(states, said):
    assert state_of(release(3, "s"), [dyno(state) for state in states] + [dyno("crashed", "worker")]) == said


# -- where to go back to


def test_it_goes_back_to_what_is_current_unless_that_is_the_new_one():
    known = [release(5, "b", current=True), release(4, "b"), release(3, "a"), release(2), release(1)]
    assert current_of(known) is known[0]
    assert code_before(known) is known[0]
    assert code_before(known, but="b") is known[2]
    assert code_before(known[3:]) is None


def test_it_does_not_go_back_to_what_failed_or_is_no_longer_kept():
    known = [
        release(6, "c", current=True),
        release(5, "b", status="failed"),
        release(4, "b", status="expired"),
        release(3, "a", eligible_for_rollback=False),
    ]
    assert code_before(known, but="c") is None


def test_a_build_is_live_when_the_current_release_runs_its_slug():
    build = Build(id="b1", status="succeeded", slug=Named(id="s1"), release=Named(id="r4"))
    assert is_live(build, release(9, "s1"))
    assert not is_live(build, release(9, "s2"))
    assert not is_live(build, None)
    image = Build(id="b1", status="succeeded", release=Named(id="r9"))
    assert is_live(image, release(9))


# -- what a log says

LOG = [
    "2026-11-01T10:00:00.1+00:00 heroku[web.1]: Error R10 (Boot timeout) -> Web process failed to bind to $PORT",
    "2026-11-01T10:00:01.1+00:00 app[api]: Release v7 created by user captain@example.org",
    "2026-11-01T10:00:02.1+00:00 app[web.1]: Error R99 (made up by the app itself)",
    "2026-11-01T10:00:02.2+00:00 app[web.1]: ModuleNotFoundError: No module named 'altair.vegalite.v4'",
    "2026-11-01T10:00:02.3+00:00 heroku[web.1]: State changed from starting to crashed",
    "2026-11-01T10:00:02.4+00:00 heroku[web.1]: Error R14 (Memory quota exceeded)",
    '2026-11-01T10:00:03.1+00:00 heroku[router]: at=error code=H10 desc="App crashed" method=GET path="/"',
    "2026-11-01T10:00:04.3+00:00 heroku[web.1]: State changed from starting to crashed",
]


def test_codes_are_herokus_own_words_and_not_the_apps():
    assert [one.told for one in codes_in(LOG)] == [
        "R10 (Boot timeout)", "R14 (Memory quota exceeded)", "H10 (App crashed)",
    ]  # fmt: skip
    assert [one.code for one in codes_in(since_release(LOG, 7))] == ["R14", "H10"]
    assert since_release(LOG, 8) == LOG
    assert crashes_in(LOG) == 2


def test_what_does_not_come_up_is_told_in_a_sentence_with_a_fix():
    error = why_down(since_release(LOG, 7), what="v7 crashes")
    assert error.message == (
        "v7 crashes: R14 (Memory quota exceeded). Its last words: "
        "ModuleNotFoundError: No module named 'altair.vegalite.v4'"
    )
    assert "--size" in error.hint
    assert why_down([], what="v7 crashes").message == "v7 crashes."


@pytest.mark.parametrize(
    "code",
    ["H10", "H11", "H12", "H13", "H14", "H15", "H18", "H20", "H21", "H80", "H99", "R10", "R12", "R14", "R15"],
)
def test_every_code_that_an_app_meets_is_one_sentence_with_a_fix(code):
    line = f't heroku[router]: at=error code={code} desc="As Heroku says" method=GET'
    (found,) = codes_in([line if code[0] == "H" else f"t heroku[web.1]: Error {code} (As Heroku says)"])
    sentence = found.sentence("penguins")
    assert sentence.startswith(f"{code} (As Heroku says): ")
    assert "NAME" not in sentence
    assert "\n" not in sentence
    error = why_down([line if code[0] == "H" else f"t heroku[web.1]: Error {code} (As Heroku says)"], what="v7 crashes")
    assert error.hint == CODES[code][1]


def test_a_code_that_nobody_here_knows_is_told_as_it_stands():
    (found,) = codes_in(["t heroku[router]: at=error code=H98 method=GET"])
    assert (found.sentence("penguins"), found.fix) == ("H98", None)
    assert Code("H98", "New").sentence("penguins") == "H98 (New)"


def test_the_last_words_of_a_dyno_of_fir_are_heard():
    assert "ValueError: x" in why_down(["t app[web-1234abcde-123ab]: ValueError: x"], what="v7 crashes").message


def test_an_invitation_is_found_and_shown_to_nobody():
    lines = ["x", f"admin nobody can sign in yet: http://0.0.0.0:5006/invite/{TOKEN}", "y"]
    assert invitations([*lines, f"/invite/{TOKEN[::-1]}", *lines]) == [f"/invite/{TOKEN}", f"/invite/{TOKEN[::-1]}"]
    assert invitations(["nothing"]) == []
    assert TOKEN not in discreet(lines[1])
    assert TOKEN not in why_down([f"t app[web.1]: {lines[1]}"], what="v7 crashes").message


def test_lines_are_put_together_and_signs_of_life_left_out():
    heard = []
    lines = Lines(heard.append)
    for piece in (b"one\ntw", b"\0", b"o\r\n\xc3", b"\xa4\n", b"rest"):
        lines.take(piece)
    lines.end()
    assert heard == ["one", "two", "ä", "rest"]
    assert lines.bytes_read == len(b"one\ntwo\r\n\xc3\xa4\nrest")


def test_a_line_without_an_end_is_told_before_it_fills_the_memory():
    heard = []
    lines = Lines(heard.append)
    for _ in range(40):
        lines.take(b"x" * 4096)
    assert heard
    assert sum(map(len, heard)) <= 40 * 4096


# -- a dry run


def test_a_dry_run_names_every_request_and_no_secret():
    wish = Wish("penguins", region="eu", size="standard-1x", replicas=2)
    requests = planned(RELEASE, Packed(b"source"), wish)
    assert [(one.method, one.path) for one in requests] == [
        ("GET", "/apps/penguins"),
        ("POST", "/apps"),
        ("POST", "/apps/penguins/addons"),
        ("POST", "/apps/penguins/addons"),
        ("PATCH", "/apps/penguins/config-vars"),
        ("POST", "/sources"),
        ("PUT", "(as Heroku says)"),
        ("POST", "/apps/penguins/builds"),
        ("PATCH", "/apps/penguins/features/http-session-affinity"),
        ("PATCH", "/apps/penguins/formation"),
    ]
    config = next(one["body"] for one in shown(requests) if one["path"].endswith("config-vars"))
    assert config["AWEIGH_CACHE_SECRET"] == config["AWEIGH_DEPLOY_SECRET"] == WITHHELD
    assert config["AWEIGH_PROXIES"] == "1"
