"""What a terminal is told: lines, colours, bars, and text from elsewhere that could do harm."""

import io
import json
import re

import pytest

from aweigh.cli import terminal
from aweigh.cli.ssh import telling_of
from aweigh.cli.terminal import Progress, Steps, aligned, clean, human_size, human_time, pad, paint, width_of


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "67")
    return Screen()


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (412_345, "412 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"),
        (1_340_000, "1.3 MB"), (999_400_000, "999.4 MB"), (999_500_000, "1.0 GB"), (12_340_000_000, "12.3 GB"),
    ],
)  # fmt: skip
def test_sizes(size, told):
    assert human_size(size) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.14, "0.1 s"), (99.94, "99.9 s"), (125, "2:05"), (3725, "1:02:05"), (7200, "2:00:00")]
)
def test_durations(seconds, told):
    assert human_time(seconds) == told


def test_text_from_elsewhere_cannot_drive_the_terminal():
    evil = "ok\x1b]0;title\x07\r\x1b[2K\u202egnp.exe\n"
    assert clean(evil) == "ok\\x1b]0;title\\x07\\r\\x1b[2K\\u202egnp.exe\\n"
    assert clean("Pingüino 企鹅 Ж") == "Pingüino 企鹅 Ж"


def test_width_counts_what_a_terminal_shows():
    assert width_of("企鹅") == 4
    assert width_of("e\u0301") == 1
    assert pad("企", 4) == "企  "
    assert pad("12", 4, right=True) == "  12"


def test_columns_stand_under_each_other():
    assert aligned([("name", "size"), ("a", "5"), ("long\x1b", "1,240")], right=frozenset({1})) == [
        "  name       size",
        "  a             5",
        "  long\\x1b  1,240",
    ]


def test_a_step_is_one_aligned_line(capsys):
    steps = Steps()
    with steps.step("bundle") as step:
        step.says("penguins.aweigh", size_bytes=412_000)
    steps.line("lock", "9 packages", seconds=1.62)
    steps.line("schema", "6 inputs", seconds=0.09)
    steps.more("and a further line")
    steps.next("aweigh serve penguins.aweigh")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  bundle    penguins.aweigh" + " " * 51 + "412 kB"
    assert lines[1].startswith("  lock      9 packages ")
    assert lines[1].endswith("  1.6 s")
    assert len(lines[0]) == len(lines[1])
    assert lines[2:] == [
        "  schema    6 inputs",
        "            and a further line",
        "  next      aweigh serve penguins.aweigh",
    ]


def test_with_json_the_steps_go_to_standard_error(capsys):
    steps = Steps(json=True)
    with steps.step("read") as step:
        step.says("a model")
    terminal.print_document({"b": 1, "a": ["ü"]})
    told = capsys.readouterr()
    assert json.loads(told.out) == {"a": ["ü"], "b": 1}
    assert told.err == "  read      a model\n"


def test_on_a_terminal_a_running_step_shows_and_is_overwritten(screen, monkeypatch):
    monkeypatch.setattr("sys.stdout", screen)
    with Steps().step("proof") as step:
        assert screen.getvalue() == "\r\x1b[K  proof     ...\r"
        step.says("agrees")
    assert screen.getvalue().endswith("\r\x1b[K\r  \x1b[1mproof     \x1b[0magrees\n")


def test_what_a_step_is_doing_takes_the_place_of_its_dots(screen, monkeypatch):
    monkeypatch.setattr("sys.stdout", screen)
    with Steps().step("build") as step:
        step.doing("57 packages: \x1bfetching")
        assert screen.getvalue().endswith("  build     57 packages: \\x1bfetching ...\r")
        step.says("done")
    assert "fetching" not in screen.getvalue().rpartition("\x1b[K")[2]


def test_where_nobody_watches_nothing_is_told_of_what_is_under_way(capsys):
    with Steps().step("build") as step:
        step.doing("fetching")
        step.says("done")
    assert capsys.readouterr().out == "  build     done\n"


def test_what_is_under_way_on_a_server_is_named_while_it_is(screen, monkeypatch):
    monkeypatch.setattr("sys.stdout", screen)
    telling = telling_of(Steps())
    with telling.doing("packages"):
        assert screen.getvalue() == "\r\x1b[K  packages  ...\r"
    telling.line("packages", "by their hashes", 0.0)
    assert screen.getvalue().endswith("\r\x1b[K\r  \x1b[1mpackages  \x1b[0mby their hashes\n")


def test_a_step_that_fails_leaves_no_line(screen, monkeypatch):
    monkeypatch.setattr("sys.stdout", screen)
    with pytest.raises(ValueError, match="no"), Steps().step("proof"):
        raise ValueError("no")
    assert screen.getvalue() == "\r\x1b[K  proof     ...\r\r\x1b[K\r"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_is_left_out_where_it_is_not_wanted(screen, monkeypatch, name, value):
    assert paint("error:", "red", stream=screen) == "\x1b[1;31merror:\x1b[0m"
    monkeypatch.setenv(name, value)
    assert paint("error:", "red", stream=screen) == "error:"


def test_an_empty_no_color_means_nothing(screen, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "")
    assert paint("x", "bold", stream=screen) != "x"


def at(seconds, monkeypatch):
    monkeypatch.setattr(terminal.time, "monotonic", lambda: float(seconds))


def test_a_bar_appears_after_two_seconds_and_is_taken_away(screen, monkeypatch):
    at(0, monkeypatch)
    with Progress("score", total=1000, unit="rows", stream=screen) as progress:
        at(1.9, monkeypatch)
        progress.add(100)
        assert screen.getvalue() == ""
        at(4, monkeypatch)
        progress.add(300)
        assert screen.getvalue() == "\r\x1b[K  score     [#########               ]  40%  100 rows/s  6.0 s lef\r"
        at(4.05, monkeypatch)
        shown = screen.getvalue()
        progress.add(1)
        assert screen.getvalue() == shown
    assert screen.getvalue() == shown + "\r\x1b[K\r"


def test_a_note_stands_behind_the_bar_and_the_total_may_be_told_later(screen):
    progress = Progress("score", total=None, unit="rows", stream=screen)
    progress.total, progress.note, progress.done = 100, "1 file", 50
    assert progress.text(10) == "[############            ]  50%  5 rows/s  10.0 s left  1 file"


def test_what_is_quick_shows_no_bar(screen):
    with Progress("score", total=10, unit="rows", stream=screen) as progress:
        progress.add(10)
    assert screen.getvalue() == ""


def test_without_a_terminal_a_line_comes_every_half_minute(monkeypatch):
    log = io.StringIO()
    at(0, monkeypatch)
    with Progress("score", total=None, unit="bytes", stream=log) as progress:
        for second in range(1, 70):
            at(second, monkeypatch)
            progress.add(2_000_000)
    assert log.getvalue().splitlines() == ["  score     60.0 MB  2.0 MB/s", "  score     120.0 MB  2.0 MB/s"]


def test_a_bar_says_how_long_still():
    progress = Progress("score", total=100_000, unit="rows", stream=io.StringIO())
    progress.done = 10_000
    assert re.fullmatch(r"\[## {22}\]  10%  1,000 rows/s  90\.0 s left", progress.text(10))
    progress.done = 100_000
    assert progress.text(10).endswith("100%  10,000 rows/s  0.0 s left")
