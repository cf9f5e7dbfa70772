"""The folder of a project: made for its owner alone, secrets made up once, damage and full disks told in a sentence."""

import errno
import stat

import msgspec
import pytest

from aweigh.errors import ConfigError, StorageFull, UsageError
from aweigh.secret import Secret
from aweigh.targets.compose import kept, settings
from aweigh.targets.compose.errors import refusal
from aweigh.targets.compose.files import unwritable
from aweigh.targets.compose.kept import Project, project_of
from aweigh.targets.compose.plan import Chosen, Wish, plan_of
from aweigh.targets.errors import Occupied
from aweigh.targets.live import Golden
from aweigh.targets.release import Release

RELEASE = Release(
    name="p", python="3.12", processes={"web": "aweigh serve p.aweigh"}, files={}, stores=("postgresql", "redis")
)
PLAN = plan_of(RELEASE, Wish("p"), Chosen("localhost/aweigh-p:1", "sha256:" + "0" * 64))
GOLDEN = Golden("p", "0" * 12, [{"a": 1}], [{"label": "x"}], 1e-6)


@pytest.fixture
def project(tmp_path):
    found = Project("p", tmp_path / "data" / "p")
    found.make()
    return found


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_up_once_and_nobody_else_gets_at_them(project):
    assert project.own.make_secrets(PLAN, named=("AWEIGH_CACHE_SECRET",)) == [
        "AWEIGH_CACHE_SECRET", "AWEIGH_DEPLOY_SECRET", "DATABASE_URL", "REDIS_URL",
    ]  # fmt: skip
    first = {name: one.reveal() for name, one in project.own.secrets(PLAN).items()}
    assert project.own.make_secrets(PLAN, named=("AWEIGH_CACHE_SECRET",)) == []
    assert {name: one.reveal() for name, one in project.own.secrets(PLAN).items()} == first
    password = (project.folder / settings.PASSWORD).read_text()
    assert first["DATABASE_URL"] == f"postgresql://aweigh:{password}@postgres:5432/aweigh"
    assert len(password) == 48
    assert mode(project.folder) == 0o700
    assert mode(project.folder / "secrets") == 0o700
    for name in (settings.ENVIRONMENT, *settings.ADDRESSES.values()):
        assert mode(project.folder / name) == 0o600
    # Read in a container by another user; on this machine the folder lets nobody in.
    assert mode(project.folder / settings.PASSWORD) == 0o444


def test_a_release_without_a_store_is_told_of_none(project):
    project.own.make_secrets(PLAN)
    alone = plan_of(Release("p", "3.12", {"web": "aweigh serve"}, {}), Wish("p"), Chosen("i", "sha256:1"))
    assert project.own.secrets(alone).keys() == {"AWEIGH_DEPLOY_SECRET"}
    assert b"secrets/" not in kept.render(alone)["compose.yaml"]


def test_releases_are_numbered_and_the_last_good_one_is_current(project):
    assert project.current() is None
    one = project.add(PLAN, why="deploy", golden=GOLDEN)
    project.keep(msgspec.structs.replace(one, state="live"))
    two = project.add(PLAN, why="deploy", golden=None)
    project.keep(msgspec.structs.replace(two, state="failed"))
    assert [record.label for record in project.records()] == ["v2", "v1"]
    assert project.current() == msgspec.structs.replace(one, state="live")
    assert project.golden(one) == GOLDEN
    assert project.golden(two) is None
    (project.folder / "releases" / "0002" / "release.json").write_bytes(b"{")
    (project.folder / "releases" / "other").mkdir()
    assert [record.label for record in project.records()] == ["v1"]
    assert project.add(PLAN, why="deploy", golden=None).label == "v3"


def test_no_more_releases_are_kept_than_are_needed(project, monkeypatch):
    monkeypatch.setattr(kept, "MOST_RELEASES", 3)
    for _ in range(5):
        project.add(PLAN, why="deploy", golden=None)
    assert [record.number for record in project.records()] == [5, 4, 3]


def test_settings_and_secrets_change_places(project):
    project.own.make_secrets(PLAN)
    project.own.set({"AWEIGH_SWEEPS": "off"}, {"AWEIGH_METRICS_TOKEN": Secret("abc")})
    assert project.own.plain() == {"AWEIGH_SWEEPS": "off"}
    assert project.own.secrets(PLAN)["AWEIGH_METRICS_TOKEN"] == Secret("abc")
    project.own.set({"AWEIGH_METRICS_TOKEN": "plain", "AWEIGH_SWEEPS": None}, {})
    assert project.own.plain() == {"AWEIGH_METRICS_TOKEN": "plain"}
    assert "AWEIGH_METRICS_TOKEN" not in project.own.secrets(PLAN)


@pytest.mark.parametrize("value", ["a$b", "a'b", 'a"b', "a#b", "a\\b", " a", "a ", "a\nb", "é", "a`b"])
def test_a_secret_that_readers_take_differently_is_refused(project, value):
    with pytest.raises(UsageError, match="not every reader"):
        project.own.set({}, {"AWEIGH_METRICS_TOKEN": Secret(value)})


def test_what_belongs_to_the_stores_cannot_be_set(project):
    with pytest.raises(UsageError, match="belongs to the containers"):
        project.own.set({}, {"DATABASE_URL": Secret("x")})


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"A": 1}', b"\xff"])
def test_damaged_settings_are_told(project, content):
    (project.folder / settings.SETTINGS).write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        project.own.plain()


def test_two_do_not_change_an_app_at_once(project):
    other = Project("p", project.folder)
    with project.locked(), pytest.raises(Occupied), other.locked():
        pass
    with other.locked():
        pass


def test_a_folder_that_an_engine_made_of_a_file_is_no_obstacle(project):
    (project.folder / "compose.yaml").mkdir()
    project.write(PLAN)
    assert (project.folder / "compose.yaml").is_file()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        Project("p", tmp_path / "file" / "p").make()


def test_a_full_disk_is_told():
    assert isinstance(unwritable(OSError(errno.ENOSPC, "full")), StorageFull)


def test_where_the_folder_is(tmp_path):
    assert project_of("p", environ={"XDG_DATA_HOME": "/data"}).folder.as_posix() == "/data/aweigh/compose/p"
    assert (
        project_of("p", environ={"XDG_DATA_HOME": "x", "HOME": "/h"}).folder.as_posix()
        == "/h/.local/share/aweigh/compose/p"
    )
    assert project_of("p", environ={}, folder=tmp_path).folder == tmp_path


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Bind for 127.0.0.1:8000 failed: port is already allocated", "port is taken"),
        ("write /var/lib/docker/tmp: no space left on device", "disk is full"),
        ("exec /opt/venv/bin/aweigh: exec format error", "another architecture"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "another architecture"),
        ("permission denied while trying to connect to the Docker daemon socket at unix:///x", "may not talk"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "does not run"),
        ("pull access denied for x, repository does not exist or may require 'docker login'", "cannot be fetched"),
        ('Get "https://registry.example/v2/": dial tcp: lookup registry.example: no such host', "cannot be reached"),
        ("range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available", "fewer processors"),
        ("first\n\nsomething else\n", "It failed to start it: something else"),
        ("", "It failed to start it."),
    ],
)  # fmt: skip
def test_what_a_program_refuses_is_a_sentence_and_a_fix(said, told):
    error = refusal(said, what="to start it")
    assert told in error.message
    assert error.hint


# -- what was cut off, and what is somebody else's -------------------------------------------------------------------


def live(project, plan=PLAN):
    record = project.add(plan, why="deploy", golden=None)
    project.keep(msgspec.structs.replace(record, state="live"))
    return record


def test_settings_whose_release_did_not_go_live_are_undone_by_whoever_comes_next(project):
    project.own.make_secrets(PLAN)
    live(project)
    project.own.set({"AWEIGH_SWEEPS": "on"}, {"AWEIGH_METRICS_TOKEN": Secret("old")})
    project.own.remember(project.next_number())  # and the process is killed before `tried` ends
    project.own.set({"AWEIGH_SWEEPS": "off"}, {"AWEIGH_METRICS_TOKEN": Secret("new")})
    project.add(PLAN, why="config", golden=None)
    with Project("p", project.folder).locked():
        assert project.own.plain() == {"AWEIGH_SWEEPS": "on"}
        assert project.own.secrets(PLAN)["AWEIGH_METRICS_TOKEN"] == Secret("old")
    assert not (project.folder / settings.UNDO).exists()


def test_settings_whose_release_went_live_stay(project):
    project.own.make_secrets(PLAN)
    live(project)
    project.own.remember(project.next_number())
    project.own.set({"AWEIGH_SWEEPS": "off"}, {})
    live(project)  # and the process is killed
    with project.locked():
        assert project.own.plain() == {"AWEIGH_SWEEPS": "off"}
    assert mode(project.folder / settings.SETTINGS) == 0o600


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_settings_are_undone_however_it_ends(project, error):
    project.own.make_secrets(PLAN)
    with pytest.raises(error), project.tried():
        project.own.set({"AWEIGH_SWEEPS": "off"}, {})
        raise error
    assert project.own.plain() == {}


def test_the_release_that_runs_is_kept_however_many_fail_after_it(project, monkeypatch):
    monkeypatch.setattr(kept, "MOST_RELEASES", 3)
    first = live(project)
    for _ in range(6):
        project.keep(msgspec.structs.replace(project.add(PLAN, why="deploy", golden=None), state="failed"))
    assert project.current().number == first.number


def test_what_a_killed_deployment_left_is_cleared_away(project):
    (project.folder / ".image-x1").mkdir()
    (project.folder / ".image-x1" / "image.tar").write_bytes(b"x")
    (project.folder / ".part-y").write_bytes(b"x")
    (project.folder / "secrets" / ".part-y").write_bytes(b"x")
    with project.locked():
        assert not list(project.folder.rglob(".image-*"))
        assert not list(project.folder.rglob(".part-*"))


def test_the_folder_of_another_app_is_not_touched(project):
    live(project)
    other = Project("q", project.folder)
    with pytest.raises(UsageError, match="that of the app 'p'"):
        other.current()
    with pytest.raises(UsageError, match="that of the app 'p'"), other.locked():
        pass


def test_a_folder_with_other_files_is_not_made_an_apps(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    before = mode(tmp_path)
    with pytest.raises(UsageError, match="other files"):
        Project("p", tmp_path).make()
    assert mode(tmp_path) == before
    (tmp_path / "thesis.tex").rename(tmp_path / "compose.override.yaml")
    Project("p", tmp_path).make()


def test_what_is_not_the_apps_stays_in_its_folder(project):
    project.own.make_secrets(PLAN)
    live(project)
    project.write(PLAN)
    (project.folder / "thesis.tex").write_text("x")
    project.remove()
    assert [one.name for one in project.folder.iterdir()] == ["thesis.tex"]
    (project.folder / "thesis.tex").unlink()
    project.remove()
    assert not project.folder.exists()


def test_a_word_changes_with_the_secrets_and_says_nothing_of_them(project):
    assert project.own.mark(PLAN) == ""
    project.own.make_secrets(PLAN)
    first = project.own.mark(PLAN)
    assert project.own.mark(PLAN) == first
    project.own.set({}, {"AWEIGH_METRICS_TOKEN": Secret("tok-1")})
    assert project.own.mark(PLAN) != first
    project.write(PLAN)
    assert project.own.mark(PLAN) in (project.folder / "compose.yaml").read_text()
    assert "tok-1" not in (project.folder / "compose.yaml").read_text()


def test_the_slot_that_is_asked_is_one_files_being_there(project):
    plan = plan_of(RELEASE, Wish("p", replicas=2), Chosen("i", "sha256:1"))
    project.write(plan)
    assert project.slot() == "a"
    project.write(plan, slot="b", document=kept.NEXT)
    assert "  web:\n" in (project.folder / "compose.yaml").read_text()
    project.point("b")
    assert (project.slot(), mode(project.folder / "live"), mode(project.folder / "live" / "b")) == ("b", 0o755, 0o644)
    assert "  web-b:\n" in (project.folder / "compose.yaml").read_text()
    assert not (project.folder / kept.NEXT).exists()
    project.point("a")
    assert project.slot() == "a"


def test_an_owners_document_that_speaks_of_the_web_containers_is_seen(project):
    assert not project.is_bound()
    (project.folder / "compose.override.yaml").write_text("services:\n  worker:\n    mem_limit: 1G\n")
    assert not project.is_bound()
    (project.folder / "compose.override.yaml").write_text("services: {'web': {mem_limit: 1G}}\n")
    assert project.is_bound()
