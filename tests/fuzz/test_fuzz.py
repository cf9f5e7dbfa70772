"""A short part of the fuzzing, without coverage: every input of the repository, and some that are spoilt."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import fuzz  # noqa: E402

MAX_CORPUS_BYTES = 200_000


@pytest.mark.parametrize("module", list(fuzz.MODULES))
def test_parsers_let_out_nothing_but_what_is_documented(module):
    """In a process of its own, since memory is bounded and what is found may be its end."""
    names = fuzz.MODULES[module]
    command = [sys.executable, "-W", "error", HERE / "fuzz.py", "--child", "--chance", "--runs", "40"]
    done = subprocess.run(
        [*map(str, command), "--only", ",".join(names)],
        capture_output=True,
        text=True,
        check=False,
        env=fuzz._environ(),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for name in names:
        assert f"Done {len(fuzz.seeds_of(name)) + 40} runs of {name}" in done.stdout


def test_what_a_parser_lets_out_is_a_failure_and_its_input_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "KEPT", tmp_path)
    monkeypatch.setattr(fuzz, "prepare", lambda name: lambda data: 1 // (b"body_mass" not in data))
    monkeypatch.setattr(fuzz, "seeds_of", lambda name: [b"", b"a body_mass"])
    with pytest.raises(ZeroDivisionError):
        fuzz.by_chance("json", seconds=1, runs=1, bound=lambda: None)
    assert [path.read_bytes() for path in (tmp_path / "json" / "found").iterdir()] == [b"a body_mass"]


def test_an_input_that_takes_too_long_is_a_failure(monkeypatch):
    import fuzz_bounds

    def forever(data):
        while True:
            try:
                sum(range(1000))
            except Exception:  # noqa: BLE001  as parsers pass errors over
                continue

    monkeypatch.setattr(fuzz_bounds, "CPU_S", 0.2)
    with fuzz_bounds.clocked() as bounded, pytest.raises(fuzz_bounds.TooSlow):
        bounded(forever)(b"")


def test_every_target_has_good_inputs_and_all_of_them_are_small():
    assert {path.name for path in fuzz.CORPUS.iterdir()} == set(fuzz.NAMES)
    assert all(len(fuzz.seeds_of(name)) >= 2 for name in fuzz.NAMES)
    assert sum(path.stat().st_size for path in fuzz.CORPUS.rglob("*") if path.is_file()) < MAX_CORPUS_BYTES


def test_an_input_that_takes_too_much_memory_is_a_failure():
    code = "import fuzz_bounds; fuzz_bounds.bound_memory(); bytearray(2 * fuzz_bounds.MEMORY_BYTES)"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr
