"""Who signs in to a registry: variables, Docker's and podman's files, and programs that know."""

import base64
import json
import os

import psutil
import pytest

from aweigh.errors import ConfigError
from aweigh.oci.credentials import ask_program, find_credential
from aweigh.secret import Secret

HUB = "registry-1.docker.io"


def entry(username="anna", password="hush: hush"):
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


@pytest.fixture
def environ(tmp_path):
    (tmp_path / "bin").mkdir()
    return {"HOME": str(tmp_path / "home"), "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def docker(tmp_path, environ):
    """Write Docker's config.json."""

    def write(content):
        folder = tmp_path / "docker"
        folder.mkdir(exist_ok=True)
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / "config.json").write_bytes(text)
        environ["DOCKER_CONFIG"] = str(folder)

    return write


@pytest.fixture
def program(tmp_path):
    """Write a credential program; what it was given lands in `given`."""

    def write(name, body):
        path = tmp_path / "bin" / f"docker-credential-{name}"
        path.write_text(f'#!/bin/sh\necho "$@" > {tmp_path / "given"}\ncat >> {tmp_path / "given"}\n{body}\n')
        path.chmod(0o755)

    return write


def test_nobody_is_known(environ):
    assert find_credential("ghcr.io", environ) is None
    assert find_credential("ghcr.io", {}) is None


def test_variables_are_for_the_host_that_they_name(environ, docker):
    docker({"auths": {"ghcr.io": entry("bert")}})
    environ |= {
        "AWEIGH_REGISTRY_HOST": "reg.example:5000",
        "AWEIGH_REGISTRY_USERNAME": "anna",
        "AWEIGH_REGISTRY_PASSWORD": "hush",
    }
    found = find_credential("reg.example:5000", environ)
    assert (found.username, found.password) == ("anna", Secret("hush"))
    assert "hush" not in repr(found)
    assert find_credential("ghcr.io", environ).username == "bert"
    assert find_credential(HUB, environ) is None
    assert find_credential(HUB, environ | {"AWEIGH_REGISTRY_HOST": "docker.io"}).username == "anna"


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"USERNAME": "a", "PASSWORD": "b"}, "nothing says for which registry"),
        ({"USERNAME": "a", "HOST": "ghcr.io"}, "AWEIGH_REGISTRY_PASSWORD is not set"),
        ({"PASSWORD": "a", "HOST": "ghcr.io"}, "AWEIGH_REGISTRY_USERNAME is not set"),
        ({"USERNAME": "a", "PASSWORD": "b", "HOST": "https://ghcr.io"}, "no registry's host"),
        ({"USERNAME": "a:b", "PASSWORD": "b", "HOST": "ghcr.io"}, "characters that none has"),
        ({"USERNAME": "a\nb", "PASSWORD": "b", "HOST": "ghcr.io"}, "characters that none has"),
    ],
)
def test_variables_that_say_half_of_it_are_refused(variables, why):
    with pytest.raises(ConfigError, match=why) as caught:
        find_credential("ghcr.io", {f"AWEIGH_REGISTRY_{name}": value for name, value in variables.items()})
    assert caught.value.hint


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("GHCR.io", "ghcr.io"),
        ("https://index.docker.io/v1/", HUB),
        ("docker.io", HUB),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
    ],
)
def test_dockers_file_names_hosts_in_many_ways(environ, docker, key, host):
    docker({"auths": {"other.example": entry("bert"), key: entry()}, "HttpHeaders": {}, "currentContext": "x"})
    found = find_credential(host, environ)
    assert (found.username, found.password, found.source) == ("anna", Secret("hush: hush"), "Docker's config.json")


@pytest.mark.parametrize("host", ["ghcr.io.example", "hcr.io", "ghcr.io:443", "127.0.0.1"])
def test_a_host_that_only_looks_alike_gets_nothing(environ, docker, host):
    docker({"auths": {"ghcr.io": entry(), "127.0.0.1:5000": entry()}})
    assert find_credential(host, environ) is None


def test_an_identity_stands_for_name_and_password(environ, docker):
    docker({"auths": {"ghcr.io": {**entry("00000000-0000", ""), "identitytoken": "long"}}})
    found = find_credential("ghcr.io", environ)
    assert found.identity_token == Secret("long")
    assert not found.password


def test_a_name_and_a_password_may_stand_there_plainly(environ, docker):
    docker({"auths": {"ghcr.io": {"username": "anna", "password": "hush"}}})
    assert find_credential("ghcr.io", environ).password == Secret("hush")


def test_the_home_folder_is_looked_at_where_nothing_is_said(environ, tmp_path):
    folder = tmp_path / "home" / ".docker"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"auths": {"ghcr.io": entry()}}))
    assert find_credential("ghcr.io", environ).username == "anna"
    assert find_credential("ghcr.io", environ | {"DOCKER_CONFIG": str(tmp_path / "none")}) is None


def test_podmans_files_are_looked_at_too(environ, tmp_path, docker):
    for place, username in (("running", "run"), ("home/.config", "home"), ("named", "named")):
        folder = tmp_path / place / "containers"
        folder.mkdir(parents=True)
        (folder / "auth.json").write_text(json.dumps({"auths": {"quay.io": entry(username)}}))
    assert find_credential("quay.io", environ).username == "home"
    environ["XDG_RUNTIME_DIR"] = str(tmp_path / "running")
    assert find_credential("quay.io", environ).username == "run"
    docker({"auths": {"quay.io": entry("docker")}})
    assert find_credential("quay.io", environ).username == "docker"
    environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "named" / "containers" / "auth.json")
    assert find_credential("quay.io", environ).username == "named"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"auths": []}',
        b'{"auths": {"ghcr.io": 5}}',
        b'{"auths": {"ghcr.io": {"auth": 5}}}',
        b'{"auths": {"ghcr.io": {"auth": "***"}}}',
        b'{"auths": {"ghcr.io": {"auth": "YW5uYQ=="}}}',
        b'{"auths": {"ghcr.io": {"auth": "/w=="}}}',
        b'{"auths": {"ghcr.io": {"username": "a\\nb", "password": "c"}}}',
        b'{"credHelpers": []}',
        b'{"credsStore": {}}',
        b"[" * 200_000,
        b" " * (2**20 + 1),
    ],
)
def test_a_file_that_is_not_as_docker_writes_it_is_told(environ, docker, content):
    docker(content)
    with pytest.raises(ConfigError) as caught:
        find_credential("ghcr.io", environ)
    assert "ocker's config.json" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "content",
    [{}, {"auths": None}, {"auths": {}}, {"auths": {"ghcr.io": None}}, {"auths": {"ghcr.io": {}}}, {"credsStore": ""}],
)
def test_a_file_that_says_nothing_is_no_error(environ, docker, content):
    docker(content)
    assert find_credential("ghcr.io", environ) is None


def test_a_program_is_asked(environ, docker, program, tmp_path):
    program("gh", """echo '{"ServerURL": "x", "Username": "anna", "Secret": "hush"}'""")
    docker({"credHelpers": {"ghcr.io": "gh"}, "credsStore": "absent", "auths": {"ghcr.io": {}}})
    found = find_credential("ghcr.io", environ)
    assert (found.username, found.password, found.source) == ("anna", Secret("hush"), "docker-credential-gh")
    assert (tmp_path / "given").read_text() == "get\nghcr.io"


def test_the_store_of_all_is_asked_by_docker_hubs_own_name(environ, docker, program, tmp_path):
    program("store", """echo '{"Username": "<token>", "Secret": "long"}'""")
    docker({"credsStore": "store"})
    assert find_credential(HUB, environ).identity_token == Secret("long")
    assert (tmp_path / "given").read_text() == "get\nhttps://index.docker.io/v1/"


def test_a_program_that_knows_nobody_leaves_it_to_the_file(environ, docker, program):
    program("store", "echo credentials not found in native keychain; exit 1")
    docker({"credsStore": "store"})
    assert find_credential("ghcr.io", environ) is None
    docker({"credsStore": "store", "auths": {"ghcr.io": entry()}})
    assert find_credential("ghcr.io", environ).username == "anna"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo 'the\x1b[2J keychain is locked' >&2; exit 1", r"fails: the \[2J keychain is locked\."),
        ("exit 3", r"fails\."),
        ("echo hush", "what is no account"),
        ("echo '[]'", "what is no account"),
        ("kill -9 $$", r"fails\."),
        ("""echo '{"Username": "a:b", "Secret": "hush"}'""", "characters that none has"),
    ],
)
def test_a_program_that_fails_is_told_in_a_sentence(environ, program, body, why):
    program("odd", body)
    with pytest.raises(ConfigError, match=why) as caught:
        ask_program("odd", "ghcr.io", environ)
    assert "docker-credential-odd" in f"{caught.value.message} {caught.value.hint}"
    assert "hush" not in caught.value.message


def test_a_program_that_hangs_is_ended_with_its_children(environ, program, tmp_path):
    child = tmp_path / "child"
    program("slow", f"sleep 300 & echo $! > {child}; wait")
    # On a busy machine it may take longer to begin.
    for limit_s in (0.3, 1, 5, 20):
        with pytest.raises(ConfigError, match=f"does not answer within {limit_s} s"):
            ask_program("slow", "ghcr.io", environ, limit_s=limit_s)
        if child.exists() and child.read_text():
            break
    try:
        psutil.Process(int(child.read_text())).wait(10)
    except psutil.NoSuchProcess:
        return


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "-x", "$(id)", "a\n", "x" * 65])
def test_a_programs_name_is_one(environ, docker, name):
    with pytest.raises(ConfigError, match="a name that none has"):
        ask_program(name, "ghcr.io", environ)


def test_a_program_that_is_not_there_or_no_program_is_told(environ, docker, tmp_path):
    docker({"credsStore": "absent"})
    with pytest.raises(ConfigError, match="docker-credential-absent is not installed"):
        find_credential("ghcr.io", environ)
    (tmp_path / "bin" / "docker-credential-text").write_bytes(b"\x7fELF and no more")
    (tmp_path / "bin" / "docker-credential-text").chmod(0o755)
    with pytest.raises(ConfigError, match="docker-credential-text does not start"):
        ask_program("text", "ghcr.io", environ)
