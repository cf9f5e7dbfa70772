"""What somebody is told to type so that an extra is installed: from where aweigh came, and never with a password."""

import json
import shlex
from importlib import metadata

import pytest

from aweigh.errors import MissingExtra
from aweigh.origin import install_command


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return what installs aweigh, as far as the record of it goes, with this direct_url.json (None: without one)."""
    place = tmp_path / "site"

    def install(record: object) -> None:
        info = place / "aweigh-9.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aweigh\nVersion: 9\n")
        if record is not None:
            (info / "direct_url.json").write_text(record if isinstance(record, str) else json.dumps(record))
        monkeypatch.syspath_prepend(str(place))
        assert metadata.version("aweigh") == "9"

    return install


FILL_IN = "pip install 'aweigh[up] @ URL', with the URL of the wheel or the repository that aweigh came from"
GIT = {"vcs": "git", "commit_id": "abc123", "requested_revision": "main"}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"url": "https://example.org/a-9.whl", "archive_info": {}}, "'aweigh[up] @ https://example.org/a-9.whl'"),
        ({"url": "https://me:pass@example.org:8443/a.whl"}, "'aweigh[up] @ https://example.org:8443/a.whl'"),
        (
            {"url": "https://tok-en@example.org/a.git", "vcs_info": GIT},
            "'aweigh[up] @ git+https://example.org/a.git@abc123'",
        ),
        (
            {"url": "ssh://git:pass@example.org/a.git", "vcs_info": GIT, "subdirectory": "py"},
            "'aweigh[up] @ git+ssh://git@example.org/a.git@abc123#subdirectory=py'",
        ),
    ],
)
def test_an_address_is_told_without_what_opens_it(installed, record, told):
    installed(record)
    assert install_command("up") == f"pip install {told}"


@pytest.mark.parametrize(
    "record",
    [
        None,
        "no JSON",
        [],
        {"url": 3},
        {"url": "file:///no/such/folder"},
        {"url": "https://example.org/a.whl?X-Signature=secret"},
        {"url": "https://example.org:port/a.whl"},
        {"url": "https://example.org/a .whl"},
        {"url": "https://example.org/'; rm -rf ~"},
        {"url": "https://example.org/a.git", "vcs_info": GIT, "subdirectory": "a\x1b[2J"},
    ],
)
def test_where_nothing_can_be_typed_it_says_what_to_fill_in(installed, record):
    installed(record)
    assert install_command("up") == FILL_IN


@pytest.mark.parametrize(("info", "option"), [({"editable": True}, ["-e"]), ({}, [])])
def test_a_folder_is_named_as_a_shell_takes_it(installed, tmp_path, info, option):
    folder = tmp_path / "my $HOME's clone"
    folder.mkdir()
    installed({"url": folder.as_uri(), "dir_info": info})
    assert shlex.split(install_command("pack", "up")) == ["pip", "install", *option, f"{folder}[pack,up]"]
    assert install_command("up", elsewhere=True) == FILL_IN


def test_what_uv_has_installed_uv_installs(installed, tmp_path):
    installed({"url": "https://example.org/a.whl"})
    (tmp_path / "site" / "aweigh-9.dist-info" / "INSTALLER").write_text("uv\n")
    assert install_command("up") == "uv pip install 'aweigh[up] @ https://example.org/a.whl'"
    assert install_command("up", elsewhere=True) == "pip install 'aweigh[up] @ https://example.org/a.whl'"


def test_an_error_names_every_extra_that_is_missing(installed):
    installed({"url": "https://example.org/a.whl"})
    one, two = MissingExtra("Packing", extra="pack"), MissingExtra("Packing", extra="pack,sklearn")
    assert one.message == "Packing needs a package that is not installed here."
    assert one.hint == ("install aweigh with its 'pack' extra: pip install 'aweigh[pack] @ https://example.org/a.whl'")
    assert two.message == "Packing needs packages that are not installed here."
    assert two.hint == (
        "install aweigh with its 'pack,sklearn' extras: pip install 'aweigh[pack,sklearn] @ https://example.org/a.whl'"
    )
