"""What is sent to Dokku, by real git over a real sshd; what Dokku does with it is not shown here."""

import json
import subprocess
import sys
from dataclasses import replace
from getpass import getuser
from pathlib import Path

import pytest
from tests.sshd_server import open_sshd

from aweigh.errors import RemoteError, UsageError
from aweigh.targets.dokku.client import Dokku, remote_of
from aweigh.targets.dokku.deploy import deploy, planned, replicas_of, scale
from aweigh.targets.dokku.render import render
from aweigh.targets.release import Release
from aweigh.targets.releasing import Wishes, release_of
from aweigh.targets.ssh.errors import HostSilent
from aweigh.targets.ssh.place import Address

pytestmark = pytest.mark.needs("ssh", "ssh-keygen", "git")
ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "tests" / "bundles" / "format-1-onnx.aweigh"
RELEASE = Release(
    name="my-model",
    python="3.12",
    processes={"web": "aweigh serve p.aweigh --host 0.0.0.0 --auth password", "release": "aweigh migrate"},
    files={"p.aweigh": b"bundle"},
    requirements="click==8.1 --hash=sha256:00\n",
    config={"AWEIGH_PROXIES": "1"},
    stores=("postgresql",),
    bundle="p.aweigh",
)


@pytest.fixture(scope="module")
def release():
    """The bundle behind a door, without what an index would have to be asked for that."""
    found = release_of(BUNDLE, name="penguins", wishes=Wishes(auth="none", ui=False))
    web = found.processes["web"].replace("--auth none", "--auth password")
    return replace(found, processes={"web": web, "release": "aweigh migrate"}, stores=("postgresql",))


@pytest.fixture
def dokku(tmp_path, monkeypatch):
    """Run what stands in for Dokku: its folder, and the client of it."""
    forced = f"{sys.executable} -I {ROOT}/tests/dokku_stand_in.py {tmp_path}"
    with open_sshd(tmp_path, forced=forced) as port:
        monkeypatch.setenv("AWEIGH_SSH_CONFIG", str(tmp_path / "good"))
        monkeypatch.setenv("AWEIGH_DOKKU_HOST", f"{getuser()}@127.0.0.1:{port}")
        yield tmp_path, Dokku(Address("127.0.0.1", getuser(), port), tmp_path / "good")


def asked(folder):
    return [json.loads(line) for line in (folder / "asked").read_text().splitlines()]


@pytest.mark.shows("dokku", "render", how="documentation")
def test_app_json_is_what_dokku_reads():
    document = json.loads(render(RELEASE, replicas=2)["app.json"])
    assert set(document) == {"name", "description", "env", "formation", "healthchecks", "buildpacks"}
    assert document["formation"] == {"web": {"quantity": 2}}
    (check,) = document["healthchecks"]["web"]
    assert (check["type"], check["path"]) == ("startup", "/health/ready")
    assert document["env"]["AWEIGH_DEPLOY_SECRET"]["generator"] == "secret"


@pytest.mark.parametrize("odd", ["a\nb", "$(id)", "a;b", "a b", "-a", "é", "A", ""])
def test_nothing_odd_is_the_name_of_an_app(odd):
    with pytest.raises(UsageError):
        render(Release(odd, "3.12", RELEASE.processes, RELEASE.files, requirements=RELEASE.requirements))


@pytest.mark.slow
def test_a_release_is_pushed_as_the_same_commit_each_time(dokku, release):
    folder, client = dokku
    first = deploy(client, release, "penguins")
    git = ["git", "-C", str(folder / "apps" / "penguins")]
    listed = subprocess.run([*git, "ls-tree", "-r", "--name-only", "main"], capture_output=True, text=True, check=True)
    names = set(listed.stdout.split())
    assert {".python-version", "Procfile", "app.json", "penguins.aweigh", "requirements.txt"} <= names
    bundle = subprocess.run([*git, "show", "main:penguins.aweigh"], capture_output=True, check=True).stdout
    assert bundle == BUNDLE.read_bytes()
    commands = asked(folder)
    assert ["apps:create", "penguins"] in commands
    assert ["storage:mount", "penguins", "/var/lib/dokku/data/storage/penguins:/data"] in commands
    settings = next(one for one in commands if one[0] == "config:set")
    assert settings[:3] == ["config:set", "--no-restart", "penguins"]
    assert {"AWEIGH_PROXIES=1", "AWEIGH_STATE_DIR=/data"} <= set(settings)
    assert (first.created, first.changed) == (True, True)
    second = deploy(client, release, "penguins")
    assert (second.commit, second.created, second.changed) == (first.commit, False, False)


@pytest.mark.slow
def test_no_key_goes_to_an_address_that_is_not_encrypted(dokku, release):
    folder, client = dokku
    (folder / "url").write_text("http://penguins.example.org\n")
    (note,) = deploy(client, release, "penguins").notes
    assert "golden rows are not asked" in note


def test_a_repository_of_an_ipv6_address_stands_in_brackets():
    assert remote_of(Address("2001:db8::1", "dokku", 2222), "penguins") == "dokku@[2001:db8::1]:penguins"
    assert remote_of(Address("host"), "penguins") == "host:penguins"


def test_who_has_no_key_at_dokku_is_told_where_it_keeps_them(dokku):
    folder, client = dokku
    with pytest.raises(HostSilent, match="does not let this user in") as caught:
        replace(client, config=folder / "stranger").attempt("apps:list")
    assert "dokku ssh-keys:add" in caught.value.hint
    with pytest.raises(HostSilent, match="is not known here") as caught:
        replace(client, config=folder / "unknown").attempt("apps:list")
    assert f"ssh -p {client.address.port} " in caught.value.hint


def test_a_build_that_fails_is_told_with_its_own_words(dokku, release):
    folder, client = dokku
    (folder / "refuses").touch()
    with pytest.raises(RemoteError, match=r"did not take the release live: .*failed to") as caught:
        deploy(client, release, "penguins")
    assert "what ran before runs on" in caught.value.hint


@pytest.mark.slow
def test_scaling_says_each_process_type_in_one_command(dokku):
    folder, client = dokku
    client.run("apps:create", "penguins")
    assert replicas_of(client, "penguins") == {"web": 1}
    assert scale(client, "penguins", {"web": 2, "worker": 1}) == {"web": 2, "worker": 1}
    assert ["ps:scale", "penguins", "web=2", "worker=1"] in asked(folder)
    with pytest.raises(RemoteError, match="does not exist"):
        replicas_of(client, "nothing")


@pytest.mark.slow
def test_the_commands_that_are_shown_are_those_that_are_sent(dokku, release):
    folder, client = dokku
    deploy(client, release, "penguins")
    sent = asked(folder)
    for command in planned(release, "penguins"):
        assert any(one[: len(command)] == command for one in sent), command
