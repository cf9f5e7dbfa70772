"""Pins that a Python cannot install, and the day that old pins are from: asked of an index on this machine."""

import datetime as dt

import pytest

from aweigh.errors import CannotInstall, ConfigError, RemoteError
from aweigh.locking.ask import Ask
from aweigh.locking.dates import last_release, tells_dates
from aweigh.locking.lock import lock_ask, resolve_ask
from aweigh.locking.need import Need
from aweigh.locking.pins import fitting_pythons, is_only_source, nearest, unfit_pins
from aweigh.locking.resolution import Refusal, Setting, compile_arguments, refusal, resolve

TODAY = dt.datetime.now(dt.UTC).date()


def needs(*texts):
    return tuple(Need(text, f"requirements.txt:{number}") for number, text in enumerate(texts, start=1))


def asked(tmp_path, *texts, **more):
    return Ask(folder=tmp_path, kind="requirements", source="requirements.txt", needs=needs(*texts), **more)


def versions(resolved):
    return {one.name: one.version for one in resolved.packages}


@pytest.mark.parametrize(
    ("pin", "python", "sentence"),
    [
        (
            "arrays==1.23.1",
            "3.11",
            "arrays 1.23.1 has no wheel for Python 3.11 or newer: take Python 3.10, or arrays 1.23.2",
        ),
        (
            "arrays==1.23.1",
            "3.13",
            "arrays 1.23.1 has no wheel for Python 3.11 or newer: take Python 3.10, or arrays 2.0",
        ),
        (
            "arrays==2.0",
            "3.10",
            "arrays 2.0 has no wheel for Python 3.11 or older: take Python 3.12, or arrays 1.23.2",
        ),
        ("arrays==2.0", "3.14", "arrays 2.0 has no wheel for Python 3.14 or newer: take Python 3.13"),
        ("modern==3.0", "3.10", "modern 3.0 needs Python 3.12 or newer: take Python 3.12, or modern 2.0"),
        ("chart==5.0", "3.12", "the index has no chart 5.0: the nearest is 6.0"),
        ("chart==7.0", "3.12", "the index has no chart 7.0: the nearest is 6.0"),
        ("absent==1.0", "3.12", "the index has no package absent (requirements.txt:1)"),
        (
            "chart==4.2+cpu",
            "3.12",
            "chart 4.2+cpu is on no index that was asked: name the one that it is on by --extra-index-url",
        ),
    ],
)
def test_a_pin_that_cannot_be_installed_is_explained(pin, python, sentence):
    assert [one.sentence for one in unfit_pins(needs(pin, "joblib==1.1.0"), Setting(python))] == [sentence]


def test_pins_that_can_be_installed_are_not_spoken_of():
    assert unfit_pins(needs("arrays==1.23.1", "chart==4.2", "modern"), Setting("3.10")) == ()


def test_a_pin_of_later_than_the_day_says_so():
    found = unfit_pins(needs("chart==6.0"), Setting("3.12", as_of=dt.date(2023, 1, 1)))
    assert [one.sentence for one in found] == ["chart 6.0 was released after 2023-01-01: the nearest is 4.2"]


def test_the_python_that_suits_all_pins_is_found():
    pins = needs("arrays==1.23.1", "modern==2.0")
    assert fitting_pythons(pins, Setting("3.13")) == ("3.9", "3.10")
    assert (nearest(("3.9", "3.10"), "3.13"), nearest(("3.9", "3.11"), "3.10"), nearest((), "3.10")) == (
        "3.10",
        "3.11",
        None,
    )


@pytest.mark.slow
def test_several_pins_are_one_error_with_the_python_for_all(tmp_path):
    with pytest.raises(CannotInstall) as caught:
        resolve_ask(asked(tmp_path, "arrays==1.23.1", "chart==5.0", "oldapp==1.0"), python="3.11")
    assert len(caught.value.sentences) == 2
    assert caught.value.message.endswith("(and 1 more pin).")
    assert caught.value.hint == "write arrays==1.23.2, chart==6.0"
    with pytest.raises(CannotInstall) as caught:
        resolve_ask(asked(tmp_path, "arrays==1.23.1", "oldapp==1.0"), python="3.11")
    assert "--python 3.10" in caught.value.hint


@pytest.mark.slow
def test_what_has_sources_only_is_let_be_built(tmp_path):
    assert is_only_source("onlysource", Setting("3.12"))
    assert not is_only_source("arrays==1.23.1", Setting("3.12"))
    assert not is_only_source("absent", Setting("3.12"))
    for text in ("onlysource==1.0", "onlysource"):
        resolved = resolve_ask(asked(tmp_path, text), python="3.12")
        assert versions(resolved) == {"onlysource": "1.0"}
        assert resolved.setting.built == ("onlysource",)
        assert "no Python has a wheel of onlysource" in resolved.notes[0]
        assert all(one.hashes for one in resolved.packages)
    assert versions(resolve_ask(asked(tmp_path, "needs-source"), python="3.12"))["onlysource"] == "1.0"


@pytest.mark.slow
def test_the_day_of_the_newest_pin_is_found():
    found = last_release(needs("oldapp==1.0", "chart==4.2", "arrays"), Setting("3.10"), today=TODAY)
    assert (found.day, found.newest) == (dt.date(2022, 8, 11), "oldapp 1.0")
    assert last_release(needs("arrays", "chart"), Setting("3.10"), today=TODAY) is None
    assert last_release(needs("chart==5.0"), Setting("3.10"), today=TODAY) is None
    assert tells_dates("chart", Setting("3.10"), today=TODAY) is True


def test_old_pins_hold_all_the_rest_to_their_day(tmp_path):
    ask = asked(tmp_path, "oldapp==1.0")
    resolved = resolve_ask(ask, python="3.10")
    assert versions(resolved) == {"oldapp": "1.0", "chart": "4.2"}
    assert resolved.why == "as of 2022-08-12, the day after the pin, oldapp 1.0, was released"
    assert "as of 2022-08-12" in lock_ask(ask, resolved).text.splitlines()[0]
    assert versions(resolve_ask(ask, python="3.10", as_of="today")) == {"oldapp": "1.0", "chart": "6.0"}


@pytest.mark.slow
def test_recent_pins_or_few_among_many_hold_nothing(tmp_path):
    assert resolve_ask(asked(tmp_path, "oldapp==2.0"), python="3.10").setting.as_of is None
    many = asked(tmp_path, "oldapp==1.0", "joblib", "numpy")
    assert resolve_ask(many, python="3.10").setting.as_of is None
    assert versions(resolve_ask(many, python="3.10"))["chart"] == "6.0"
    half = asked(tmp_path, "oldapp==1.0", "joblib")
    assert versions(resolve_ask(half, python="3.10")) == {"oldapp": "1.0", "chart": "4.2", "joblib": "1.1.0"}


@pytest.mark.slow
def test_lines_that_the_day_cannot_meet_are_met_by_today(tmp_path):
    resolved = resolve_ask(asked(tmp_path, "oldapp==1.0", "joblib>=1.4"), python="3.10")
    assert versions(resolved)["joblib"] == "1.5.0"
    assert resolved.setting.as_of is None
    assert "2022-08-12" in resolved.notes[0]


def test_a_day_that_was_named_holds(tmp_path):
    resolved = resolve_ask(asked(tmp_path, "chart", "joblib"), python="3.12", as_of=dt.date(2022, 9, 1))
    assert versions(resolved) == {"chart": "4.2", "joblib": "1.1.0"}
    with pytest.raises(ConfigError, match="lies in the future"):
        resolve_ask(asked(tmp_path, "chart"), python="3.12", as_of=TODAY + dt.timedelta(days=2))  # at midnight, too
    with pytest.raises(ConfigError, match="does not meet all lines") as caught:
        resolve_ask(asked(tmp_path, "chart>=6"), python="3.12", as_of=dt.date(2022, 9, 1))
    assert "--as-of today" in caught.value.hint


def test_the_day_counts_whole_and_in_utc():
    words = compile_arguments(Setting("3.12", as_of=dt.date(2022, 8, 11)))
    assert words[words.index("--exclude-newer") + 1] == "2022-08-12T00:00:00Z"


def test_an_index_without_dates_is_told_and_not_believed(tmp_path, monkeypatch, undated_address):
    monkeypatch.setenv("UV_DEFAULT_INDEX", undated_address)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    resolved = resolve_ask(asked(tmp_path, "oldapp==1.0"), python="3.10")
    assert versions(resolved) == {"oldapp": "1.0", "chart": "6.0"}
    assert "does not tell when its files came" in resolved.notes[0]
    with pytest.raises(ConfigError, match="does not tell when its files came"):
        resolve_ask(asked(tmp_path, "chart"), python="3.10", as_of=dt.date(2022, 9, 1))


@pytest.mark.slow
def test_lines_that_exclude_each_other_give_uvs_reason(tmp_path):
    with pytest.raises(ConfigError, match="shared") as caught:
        resolve_ask(asked(tmp_path, "left", "right"), python="3.12")
    assert caught.value.hint == "loosen one of the lines that it names"


def test_a_python_that_can_meet_all_is_offered(tmp_path):
    with pytest.raises(ConfigError, match="No versions meet all lines") as caught:
        resolve_ask(asked(tmp_path, "arrays<2"), python="3.13")
    assert caught.value.hint == "they can be met on Python 3.11: --python 3.11"


def test_a_guessed_name_that_no_index_has_says_that_it_was_guessed(tmp_path):
    ask = Ask(tmp_path, "imports", "the imports of app.py", (Need("nosuch", "app.py:3", "guessed from its name"),))
    with pytest.raises(ConfigError, match=r"no package nosuch \(app\.py:3\)") as caught:
        resolve_ask(ask, python="3.12")
    assert "guessed" in caught.value.hint


def told(error):
    return f"{error.message} {error.hint}"


def test_no_address_of_an_index_is_told(tmp_path, monkeypatch, open_index):
    ask = asked(tmp_path, "chart")
    resolved = resolve_ask(ask, python="3.12")
    text = lock_ask(ask, resolved).text + repr(resolved)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://someone:secret@127.0.0.1:9/index")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(RemoteError, match="could be reached") as caught:
        resolve_ask(ask, python="3.12")
    text += told(caught.value)
    monkeypatch.setenv("UV_DEFAULT_INDEX", open_index([], status=401))
    with pytest.raises(RemoteError, match="refused") as caught:
        resolve_ask(ask, python="3.12")
    text += told(caught.value)
    text += refusal("error: no\n  cause: bad file at http://someone:secret@127.0.0.1/x and so on").reason
    assert not any(word in text for word in ("://", "127.0.0.1", "secret", "someone"))


def test_an_index_named_in_the_requirements_is_asked_and_not_kept(tmp_path, monkeypatch, address):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/index")
    ask = asked(tmp_path, "chart", variables=(("UV_DEFAULT_INDEX", address),))
    resolved = resolve_ask(ask, python="3.12")
    assert versions(resolved) == {"chart": "6.0"}
    assert "secret" not in repr((ask, resolved)) + lock_ask(ask, resolved).text


def test_twice_the_same_text(tmp_path):
    ask = asked(tmp_path, "oldapp==1.0", "joblib")
    once, again = (lock_ask(ask, resolve_ask(ask, python="3.10")).text for _ in range(2))
    assert once == again


def test_nothing_to_be_installed_on_this_platform_is_no_refusal():
    assert resolve(['chart; sys_platform == "win32"'], Setting("3.12")) == ()
    assert isinstance(resolve(["chart==99"], Setting("3.12")), Refusal)
