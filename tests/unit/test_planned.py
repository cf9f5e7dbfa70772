"""What `aweigh serve` takes: who is heard first, where the plan is followed, what is guessed where nobody measured."""

import io
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.test_plan import FOREST, SMALL

from aweigh.bundle.manifest import Alternative, FileEntry, Manifest, Proof
from aweigh.cli.planned import Said, looks_like_a_server, planned, tell, workers_said
from aweigh.cli.serve import _share
from aweigh.cli.terminal import Steps
from aweigh.errors import ConfigError
from aweigh.runtime.estimate import APP_BYTES, MODEL_FACTOR, SERVER_BYTES, estimate
from aweigh.runtime.machine import Machine
from aweigh.runtime.measured import Measured, keep_measured, key_of
from aweigh.server.settings import Settings

MB = 10**6
LAPTOP = Machine(16_000 * MB, "the machine", 8, "the machine")
CONTAINER = Machine(4096 * MB, "cgroup memory.max of /", 4, "cgroup cpu.max of /", bounded=True)
DYNO = Machine(512 * MB, "cgroup memory.limit_in_bytes of /", 8, "the machine", bounded=True)


def manifest(*, size=MB, runtime="onnx", alternatives=()):
    files = {"model/model.onnx": size, "schema.json": 50 * MB} | {one.model_file: 10 * MB for one in alternatives}
    return Manifest(
        format=1,
        name="m",
        family="sklearn",
        model="M",
        runtime=runtime,
        runtime_reason="",
        model_file="model/model.onnx",
        python="3.12",
        made_with={},
        proof=Proof(
            rows=1,
            probe_rows=1,
            single_rows=1,
            absolute_tolerance=0.0,
            relative_tolerance=0.0,
            largest_difference=0.0,
            attempts=(),
        ),
        files={name: FileEntry(sha256="", size_bytes=bytes_) for name, bytes_ in files.items()},
        alternatives=alternatives,
    )


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Return what is planned for a bundle of which `measured` is kept, on a machine, by what was said."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bundle = SimpleNamespace(digest="ab" * 32, manifest=manifest(), schema=SimpleNamespace(columns=(1, 2)))

    def plan(machine: Machine, *, measured: Measured | None = SMALL, environ=None, settings=None, **said):
        settings = settings or Settings()
        if measured is not None:
            key = key_of(
                bundle.digest, max_rows=settings.max_rows, max_body_bytes=settings.max_body_bytes, cache_bytes=0
            )
            assert keep_measured(measured, key, folder=tmp_path / "aweigh" / "measured")
        return planned(bundle, said=Said(**said), settings=settings, machine=machine, environ=environ or {})

    plan.bundle = bundle
    return plan


def shape(planned_):
    return planned_.plan.workers, planned_.plan.ui_processes


def test_on_ones_own_machine_it_is_one_process_until_more_is_asked_for(found):
    assert shape(found(LAPTOP)) == (1, 0)
    assert shape(found(LAPTOP, workers="auto")) == (8, 2)
    assert shape(found(LAPTOP, ui_processes=2)) == (1, 2)


def test_where_it_looks_like_a_server_the_plan_is_followed(found):
    assert shape(found(CONTAINER)) == (4, 1)
    assert shape(found(LAPTOP, public=True)) == (8, 2)
    assert shape(found(LAPTOP, environ={"PORT": "5000"})) == (8, 2)
    assert not looks_like_a_server(LAPTOP, said=Said(), environ={"PORT": " "})


def test_flags_come_before_web_concurrency_before_aweigh_before_the_plan(found):
    ours = Settings(workers=3, threads=2)
    theirs = {"WEB_CONCURRENCY": "02"}
    assert shape(found(CONTAINER, workers=1, environ=theirs, settings=ours)) == (1, 0)
    assert shape(found(CONTAINER, environ=theirs, settings=ours)) == (2, 1)
    assert shape(found(CONTAINER, settings=ours)) == (3, 1)
    assert shape(found(CONTAINER, environ={"WEB_CONCURRENCY": " "})) == (4, 1)
    assert shape(found(CONTAINER, workers="auto", environ=theirs, settings=ours)) == (4, 1)
    assert found(CONTAINER, threads=5, settings=ours).plan.threads == 5
    assert found(CONTAINER, settings=ours).plan.threads == 2


def test_a_batch_is_never_larger_than_the_plan_measured(found, capsys):
    assert found(LAPTOP).plan.batch_rows == 1024
    share = _share(found.bundle, said=Said(), settings=Settings(), steps=Steps())
    assert share.settings.max_batch_rows == 1024
    share = _share(found.bundle, said=Said(), settings=Settings(max_batch_rows=16), steps=Steps())
    assert share.settings.max_batch_rows == 16
    assert "plan" in capsys.readouterr().out


def test_an_estimate_says_nothing_of_batches(found, capsys):
    share = _share(found.bundle, said=Said(), settings=Settings(), steps=Steps())
    assert share.settings.max_batch_rows is None
    assert "estimated" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["0", "-1", "65", "two", "1.5", "9" * 30])
def test_a_concurrency_that_cannot_be_is_told(text):
    with pytest.raises(ConfigError, match="WEB_CONCURRENCY"):
        workers_said(Said(), settings=Settings(), environ={"WEB_CONCURRENCY": text})
    assert workers_said(Said(workers=2), settings=Settings(), environ={"WEB_CONCURRENCY": text}) == 2


def told(found_, machine):
    stream = io.StringIO()
    with redirect_stdout(stream):
        tell(found_, machine=machine, steps=Steps())
    return [line.strip() for line in stream.getvalue().splitlines()]


def test_the_plan_is_a_line_of_the_servers_output(found):
    assert told(found(CONTAINER), CONTAINER) == [
        "plan      4 processes for the API and 1 for the app (about 287 MB of 4.1 GB)"
    ]
    assert told(found(LAPTOP), LAPTOP) == [
        "plan      1 process for the API and the app (about 130 MB of 16 GB)",
        "--workers auto would take 8 processes, as many as this machine holds",
    ]
    assert told(found(LAPTOP, workers=1), LAPTOP) == [
        "plan      1 process for the API and the app (about 130 MB of 16 GB)"
    ]


def test_what_was_asked_for_and_does_not_fit_is_followed_and_told(found):
    """A platform sets WEB_CONCURRENCY by its memory alone, and knows nothing of the model."""
    asked = found(DYNO, measured=FOREST, environ={"WEB_CONCURRENCY": "4"})
    assert shape(asked) == (4, 1)
    assert told(asked, DYNO)[1:] == [
        "512 MB do not hold 4 processes for the API and 1 for the app: they need about 1.4 GB, all at their peak."
    ]
    tight = found(DYNO, measured=FOREST, environ={"WEB_CONCURRENCY": "2"}, ui_processes=1)
    assert told(tight, DYNO)[1:] == [
        f"requests of more than about {tight.plan.most_rows:,} rows would not fit: AWEIGH_MAX_ROWS limits them"
    ]


def test_a_process_has_a_ceiling_only_where_it_was_measured(found):
    assert found(DYNO, measured=None).ceiling_mb is None
    assert found(DYNO, measured=SMALL).ceiling_mb == found(DYNO).plan.ceiling_bytes // MB
    assert found(Machine(None, "", 1, ""), measured=SMALL).ceiling_mb is None


def test_where_nothing_was_measured_it_is_estimated_and_said_so(found):
    guessed = found(CONTAINER, measured=None)
    assert guessed.measured.estimated
    assert told(guessed, CONTAINER)[0].endswith("of 4.1 GB, estimated)")
    assert guessed.plan.threads == 1


def test_the_estimate_is_the_formula_in_its_words(monkeypatch):
    monkeypatch.setattr("aweigh.runtime.estimate.find_spec", lambda name: None if name == "streamlit" else object())
    small = estimate(manifest(size=4 * MB), largest_rows=10, largest_bytes=10)
    assert small.memory.alone == SERVER_BYTES + MODEL_FACTOR * 4 * MB
    assert small.memory.both is small.memory.ui is None
    other = Alternative(runtime="xgboost", model_file="model/other.json", tail_file="model/tail.onnx")
    assert estimate(manifest(size=4 * MB, alternatives=(other,)), largest_rows=10, largest_bytes=10) == small
    locked = Alternative(runtime="xgboost", model_file="model/other.json", tail_file="model/tail.onnx", locked=True)
    both = estimate(manifest(size=4 * MB, alternatives=(locked,)), largest_rows=10, largest_bytes=10)
    assert both.memory.alone > small.memory.alone + 100 * MB
    monkeypatch.setattr("aweigh.runtime.estimate.find_spec", lambda _: object())
    with_app = estimate(manifest(), largest_rows=10, largest_bytes=10).memory
    assert with_app.both == with_app.alone + APP_BYTES
    for runtime in ("sklearn", "xgboost", "lightgbm", "catboost", "python"):
        assert estimate(manifest(runtime=runtime), largest_rows=1, largest_bytes=1).memory.alone > with_app.alone


def test_a_script_of_this_folder_imports_no_numeric_library():
    """The parent of several processes plans and stays small; threads are limited before numpy is imported."""
    import subprocess
    import sys

    asked = (
        "import sys, aweigh.cli.planned, aweigh.runtime.estimate, aweigh.runtime.machine, aweigh.runtime.memory, "
        "aweigh.bundle.verify; print({'numpy', 'onnxruntime', 'pandas'} & sys.modules.keys())"
    )
    root = Path(__file__).parents[2] / "src"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "set()"
