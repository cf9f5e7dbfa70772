"""The requirements of a deployment: pins that stay, what is added, and what is refused before a platform refuses it."""

import hashlib
import re

import pytest

from aweigh.bundle.requirements import Pinned
from aweigh.errors import ConfigError
from aweigh.targets.requirements import Wanted, added_to, locked, locked_anew, locked_with, names_aweigh

WHEEL_LINE = f"./wheels/aweigh-0.1.0-py3-none-any.whl \\\n    --hash=sha256:{hashlib.sha256(b'wheel').hexdigest()}\n"
OLD = "0" * 64


def versions(text):
    return dict(re.findall(r"^([a-z]+)==(\S+)", text, re.MULTILINE))


def test_what_the_bundle_pins_stays_with_its_own_hashes_and_the_rest_is_added(hashes, small_wheel):
    own = [Pinned("alpha", "1.0", (OLD,)), Pinned("beta", "1.5", (OLD,))]
    text = locked_with(Wanted(small_wheel, {"auth"}, "3.12"), pinned=own)
    assert versions(text) == {"alpha": "1.0", "beta": "1.5", "doors": "1.0", "hinges": "3.0"}
    assert text.count(OLD) == 2
    assert hashes["hinges", "3.0"] in text
    assert hashes["beta", "1.5"] not in text
    assert text.endswith(WHEEL_LINE)


def test_a_pin_without_hashes_is_hashed(hashes, small_wheel):
    own = [Pinned("alpha", "1.0", ()), Pinned("beta", "1.5", ())]
    text = locked_with(Wanted(small_wheel, (), "3.12.4"), pinned=own)
    assert versions(text) == {"alpha": "1.0", "beta": "1.5"}
    assert {hashes["alpha", "1.0"], hashes["beta", "1.5"]} <= set(re.findall(r"[0-9a-f]{64}", text))


def test_where_the_bundle_pins_all_no_index_is_asked(small_wheel, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("UV_OFFLINE", "1")
    own = [Pinned("alpha", "1.0", (OLD,)), Pinned("beta", "1.5", (OLD,))]
    text = locked_with(Wanted(small_wheel, (), "3.12"), pinned=own)
    assert versions(text) == {"alpha": "1.0", "beta": "1.5"}
    assert text.endswith(WHEEL_LINE)


def test_pins_that_contradict_what_aweigh_needs_are_refused(hashes, small_wheel):
    own = [Pinned("alpha", "1.0", (OLD,)), Pinned("beta", "2.0", (OLD,))]
    with pytest.raises(
        ConfigError, match="cannot be locked: the package index does not offer what is needed"
    ) as caught:
        locked_with(Wanted(small_wheel, {"redis"}, "3.12"), pinned=own)
    assert "pack the bundle again" in caught.value.hint


def test_without_a_network_it_says_so(small_wheel, monkeypatch, tmp_path):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/index")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(ConfigError, match="no package index could be reached") as caught:
        locked(["alpha"], python="3.12")
    assert "127.0.0.1" not in str(caught.value)


def test_a_folder_without_requirements_is_locked_with_aweigh(hashes, small_wheel):
    text = locked_anew(Wanted(small_wheel, {"ui"}, "3.12"), ["frames"])
    assert versions(text) == {"alpha": "1.0", "beta": "2.0", "frames": "1.0", "streamlit": "1.70.0"}
    assert text.endswith(WHEEL_LINE)


def test_loose_requirements_are_kept_as_they_are_and_get_the_wheel_with_its_extras(small_wheel):
    text = "# mine\nstreamlit\nframes>=1  # why not\n--extra-index-url https://example.org/index"
    made = added_to(text, Wanted(small_wheel, {"ui", "auth"}, "3.12"))
    assert made == text + "\n./wheels/aweigh-0.1.0-py3-none-any.whl[auth,ui]\n"


def test_hashed_requirements_get_hashed_ones_for_what_they_lack(hashes, small_wheel):
    text = f"beta==1.5 \\\n    --hash=sha256:{hashes['beta', '1.5']}\n"
    made = added_to(text, Wanted(small_wheel, {"auth"}, "3.12"))
    assert made.startswith(text)
    assert versions(made) == {"beta": "1.5", "alpha": "1.0", "doors": "1.0", "hinges": "3.0"}
    assert made.count("beta==") == 1
    assert made.endswith(WHEEL_LINE)


def test_hashed_requirements_with_other_lines_cannot_be_added_to(small_wheel):
    with pytest.raises(ConfigError, match="pin no version"):
        added_to(f"beta>=1 --hash=sha256:{OLD}\n", Wanted(small_wheel, (), "3.12"))


@pytest.mark.parametrize(
    "line", ["streamlit==1.12.0", "Streamlit == 1.12.0 # old", "streamlit[x]==1.12.0; python_version > '3'"]
)
def test_a_pin_that_aweigh_does_not_run_with_is_named_before_anything_is_sent(small_wheel, line):
    with pytest.raises(ConfigError, match=r"pins [Ss]treamlit==1\.12\.0, and aweigh, .* needs >=1\.67") as caught:
        added_to(f"pandas==1.4.3\n{line}\n", Wanted(small_wheel, {"ui"}, "3.12"))
    assert "streamlit run app.py --server.port $PORT" in caught.value.hint


@pytest.mark.parametrize("python", ["3.10", "3.9.18"])
def test_a_python_that_aweigh_does_not_run_on_is_named(small_wheel, python):
    with pytest.raises(ConfigError, match=re.escape(f"does not run on Python {python}")):
        Wanted(small_wheel, (), python).check_python()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("aweigh\n", True),
        ("streamlit\nAweigh[ui]==0.1\n", True),
        ("./wheels/aweigh-0.1.0-py3-none-any.whl \\\n", True),
        ("aweigh @ https://example.org/aweigh.whl", True),
        ("aweigh-more==1\n", False),
        ("# aweigh\n", False),
        ("streamlit\n", False),
        ("", False),
    ],
)
def test_whether_aweigh_is_among_somebodys_requirements(text, names):
    assert names_aweigh(text) is names
