"""What `aweigh up` runs, and what it says before: of several bundles none, where it listens, what is not kept."""

from pathlib import Path

import pytest

from aweigh.cli.up import _commands, _tell
from aweigh.errors import ConfigError, UsageError
from aweigh.targets.heroku.dynos import DYNOS
from aweigh.targets.local.lines import lines_of
from aweigh.targets.procfile import read_procfile

BASIC = DYNOS["basic"]


def test_of_several_bundles_none_is_chosen(tmp_path):
    for number in range(7):
        (tmp_path / f"m {number}.aweigh").touch()
    with pytest.raises(UsageError, match="There are 7 bundles in") as caught:
        lines_of(tmp_path)
    assert "m 0.aweigh, m 1.aweigh" in caught.value.message
    assert caught.value.message.endswith("and 2 more.")
    assert caught.value.hint == f"name one of them: aweigh up '{tmp_path}/m 0.aweigh'"
    (tmp_path / "Procfile").write_text("web: aweigh serve 'm 3.aweigh'\n")
    assert lines_of(tmp_path).processes == {"web": "aweigh serve 'm 3.aweigh'"}


def test_a_line_without_a_colon_is_no_process(tmp_path):
    (tmp_path / "Procfile").write_text("# web python\n\nweb: python app.py\npython worker.py\n")
    with pytest.raises(ConfigError) as caught:
        lines_of(tmp_path)
    assert caught.value.message == "Line 4 of the Procfile has no colon behind its first word."


def test_a_line_is_read_as_heroku_reads_it_colon_or_not():
    found = read_procfile("web: a\nworker b\n?\n")
    assert found.processes == {"web": "a", "worker": "b"}
    assert found.colonless == (2,)
    assert found.unread == ((3, "?"),)


@pytest.fixture
def told(tmp_path, free_port, capsys, monkeypatch):
    """Return what tells what is said of a folder with this Procfile, and these settings."""
    for name in ("DATABASE_URL", "AWEIGH_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def tell(procfile: str, settings: str = "") -> str:
        (tmp_path / "Procfile").write_text(procfile)
        (tmp_path / ".env").write_text(settings)
        lines = lines_of(tmp_path)
        home = Path("/no/home")
        _tell(lines, _commands(lines, home, port=free_port(), env_file=None, only=(), dyno=BASIC), dyno=BASIC)
        return capsys.readouterr().out

    return tell


def test_where_it_listens_is_said(told):
    assert "at this machine's other addresses: its line says 0.0.0.0" in told("web: app --host 0.0.0.0\n")
    assert "other addresses" not in told("web: app --host 127.0.0.1\n")


SERVE = "web: aweigh serve m.aweigh --host 0.0.0.0 --auth"


def test_that_accounts_end_with_it_is_said_where_there_are_any(told):
    said = told(f"{SERVE} password\n")
    assert "kept in the temporary HOME" in said
    assert "/account/keys" in said
    assert "accounts" not in told(f"{SERVE} none\n")
    assert "accounts" not in told(f"{SERVE} password\n", "DATABASE_URL=postgresql://db/app\n")
