"""The plan: a pure function of what was measured and of the machine, held as tables; and what is kept between times."""

import msgspec
import pytest

from aweigh.cli.plan import next_command
from aweigh.cli.plan_words import line, machine_words, memory_words, rounded, sentence
from aweigh.runtime.machine import Machine
from aweigh.runtime.measured import (
    Call,
    Measured,
    Memory,
    Request,
    cache_folder,
    ever_measured,
    keep_measured,
    key_of,
    read_measured,
)
from aweigh.runtime.plan import Wishes, make_plan, memory_needed

MB = 10**6
GB = 10**9


def measured(*, alone, both, worker, ui, peak, two_us=900.0, same=True):
    """Return a measurement in MB; ``two_us`` is what 1,024 rows take on two threads, 1,000 on one."""
    memory = Memory(
        alone=alone * MB,
        both=None if both is None else both * MB,
        parent=15 * MB,
        worker=worker * MB,
        ui=None if ui is None else ui * MB,
        files=45 * MB,
        peak=peak * MB,
    )
    calls = [(1, 1, 50.0), (32, 1, 64.0), (1024, 1, 1000.0), (1, 2, 50.0), (1024, 2, two_us)]
    return Measured(
        memory=memory,
        largest_rows=100_000,
        largest_bytes=16 * MB,
        start_cpu_s=0.4,
        start_s=0.5,
        requests=(Request(rows=1, cpu_us=100.0), Request(rows=1024, cpu_us=8000.0)),
        calls=tuple(Call(rows=r, threads=t, cpu_us=us, wall_us=us, same=same or t == 1) for r, t, us in calls),
    )


SMALL = measured(alone=84, both=130, worker=39, ui=71, peak=60)
FOREST = measured(alone=181, both=217, worker=135, ui=71, peak=150)
HUGE = measured(alone=2100, both=2150, worker=2050, ui=71, peak=400)
NO_STREAMLIT = measured(alone=84, both=None, worker=39, ui=None, peak=60)


def machine(memory_mb, cpus, *, bounded=True):
    return Machine(
        None if memory_mb is None else memory_mb * MB,
        "cgroup memory.max of /" if bounded else "the machine",
        cpus,
        "cgroup cpu.max of /",
        bounded=bounded,
    )


def share(bundle, there, **wishes):
    plan = make_plan(bundle, there, wishes=Wishes(**wishes))
    return plan.workers, plan.ui_processes, plan.fit


@pytest.mark.parametrize(
    ("bundle", "memory_mb", "cpus", "expected"),
    [
        # memory and CPUs -> processes for the API, for the app alone, and whether it fits
        (SMALL, 512, 0.5, (1, 0, "fits")),
        (SMALL, 512, 1, (1, 0, "fits")),
        (SMALL, 512, 2, (2, 1, "fits")),
        (SMALL, 256, 1, (1, 0, "fits")),
        (SMALL, 256, 2, (1, 0, "fits")),
        (SMALL, 192, 1, (1, 0, "tight")),
        (SMALL, 128, 1, (1, 0, "short")),
        (SMALL, 1024, 4, (4, 1, "fits")),
        (SMALL, 4096, 8, (8, 2, "fits")),
        (SMALL, 32_000, 16, (16, 4, "fits")),
        (SMALL, 1_000_000, 128, (64, 32, "fits")),
        (SMALL, None, 4, (4, 1, "fits")),
        (FOREST, 512, 1, (1, 0, "fits")),
        (FOREST, 512, 2, (1, 0, "fits")),
        (FOREST, 384, 1, (1, 0, "tight")),
        (FOREST, 1024, 2, (2, 1, "fits")),
        (FOREST, 1024, 4, (2, 1, "fits")),
        (FOREST, 4096, 8, (8, 2, "fits")),
        (FOREST, 2850, 8, (8, 1, "fits")),
        (HUGE, 512, 1, (1, 0, "short")),
        (HUGE, 4096, 2, (1, 0, "fits")),
        (HUGE, 16_000, 8, (4, 2, "fits")),
        (NO_STREAMLIT, 256, 2, (1, 0, "fits")),
        (NO_STREAMLIT, 512, 4, (3, 0, "fits")),
    ],
)
def test_what_a_machine_holds(bundle, memory_mb, cpus, expected):
    assert share(bundle, machine(memory_mb, cpus)) == expected


def test_no_plan_takes_more_than_there_is():
    for bundle in (SMALL, FOREST, HUGE, NO_STREAMLIT):
        for memory_mb in range(100, 8000, 97):
            for cpus in (0.25, 1, 1.5, 2, 4, 8, 32):
                plan = make_plan(bundle, machine(memory_mb, cpus))
                assert plan.workers <= max(1, cpus)
                if plan.fit == "fits":
                    assert plan.peak_bytes <= plan.budget_bytes < memory_mb * MB
                    assert plan.memory_bytes - bundle.memory.parent <= plan.processes * plan.ceiling_bytes
                else:
                    assert (plan.workers, plan.ui_processes) == (1, 0)
                if plan.fit == "tight":
                    grown = bundle.memory.peak * plan.most_rows / bundle.largest_rows
                    assert plan.memory_bytes + grown <= plan.budget_bytes + bundle.memory.peak / 1000


def test_more_of_a_machine_never_holds_fewer():
    for bundle in (SMALL, FOREST, HUGE):
        found = [make_plan(bundle, machine(memory_mb, 8)).workers for memory_mb in range(200, 9000, 100)]
        assert found == sorted(found)


def test_some_of_a_whole_machine_is_left_to_others():
    """Of 512 MB of one's own machine a quarter is not planned for, of a container's a tenth."""
    assert share(SMALL, machine(512, 2))[0] == 2
    assert share(SMALL, machine(512, 2, bounded=False))[0] == 1


def test_without_the_app():
    assert share(SMALL, machine(192, 1), ui=False) == (1, 0, "fits")
    assert share(SMALL, machine(512, 4), ui=False) == (3, 0, "fits")
    assert memory_needed(SMALL, workers=3, ui=False, ui_processes=0) == (45 + 15 + 3 * 39) * MB


def test_a_wish_is_followed_and_held_against_the_memory():
    assert share(FOREST, machine(512, 1), workers=2) == (2, 1, "tight")
    assert share(FOREST, machine(300, 1), workers=4) == (4, 1, "short")
    assert share(FOREST, machine(4096, 8), workers=1) == (1, 0, "fits")
    assert share(SMALL, machine(4096, 2), ui_processes=3) == (2, 3, "fits")
    assert share(SMALL, machine(4096, 2), workers=1, ui_processes=1) == (1, 1, "fits")
    assert share(SMALL, machine(4096, 2), ui_processes=0) == (2, 1, "fits")
    assert share(SMALL, machine(4096, 2), ui=False, ui_processes=2) == (2, 0, "fits")
    assert make_plan(FOREST, machine(512, 4), wishes=Wishes(threads=4)).threads == 4


@pytest.mark.parametrize(
    ("cpus", "two_us", "same", "threads"),
    [(2, 520.0, True, 2), (2, 520.0, False, 1), (2, 900.0, True, 1), (1, 520.0, True, 1), (1.5, 520.0, True, 1)],
)
def test_two_threads_only_where_they_pay_and_answer_the_same(cpus, two_us, same, threads):
    bundle = measured(alone=181, both=217, worker=135, ui=71, peak=150, two_us=two_us, same=same)
    plan = make_plan(bundle, machine(512, cpus))
    assert plan.workers == 1
    assert plan.threads == threads
    assert plan.reasons["threads"]


def test_threads_never_multiply_beyond_the_cpus():
    bundle = measured(alone=84, both=130, worker=39, ui=71, peak=60, two_us=520.0)
    for cpus in (1, 2, 3, 4, 8, 16):
        for memory_mb in (256, 512, 1024, 8192):
            plan = make_plan(bundle, machine(memory_mb, cpus))
            assert plan.workers * plan.threads <= cpus


def test_rows_a_call_are_as_few_as_give_nearly_all():
    assert make_plan(SMALL, machine(512, 1)).batch_rows == 1024
    calls = [(1, 50.0), (8, 100.0), (32, 320.0), (128, 1152.0)]  # 50, 12.5, 10 and 9 microseconds a row
    bundle = msgspec.structs.replace(
        SMALL, calls=tuple(Call(rows=r, threads=1, cpu_us=us, wall_us=us) for r, us in calls)
    )
    plan = make_plan(bundle, machine(512, 1))
    assert plan.batch_rows == 32
    assert plan.reasons["batch_rows"] == "a row costs 50 µs alone, 10 µs among 32"
    flat = msgspec.structs.replace(SMALL, calls=(Call(rows=1, threads=1, cpu_us=5.0, wall_us=5.0),))
    assert make_plan(flat, machine(512, 1)).batch_rows == 1


def test_a_process_may_grow_only_as_far_as_all_of_them_fit():
    crowd = make_plan(SMALL, machine(1000, 2))
    spare = crowd.budget_bytes - crowd.peak_bytes
    assert crowd.ceiling_bytes == (45 + 39 + 60) * MB + spare // 3
    alone = make_plan(FOREST, machine(512, 1))
    assert alone.ceiling_bytes == alone.budget_bytes
    limited = Machine(512 * MB, "x", 1, "y", bounded=True, process_bytes=200 * MB, process_source="RLIMIT_AS")
    assert make_plan(FOREST, limited).ceiling_bytes == 200 * MB
    assert make_plan(FOREST, machine(None, 1)).ceiling_bytes is None


@pytest.mark.parametrize(
    ("bundle", "there", "said"),
    [
        (
            FOREST,
            machine(512, 1),
            (
                "512 MB and 1 CPU hold 1 process for the API and the app: about 217 MB, 367 MB while it answers its "
                "largest request; some 10,000 one-row requests a second, or 130,000 rows in requests of 1,024."
            ),
        ),
        (
            SMALL,
            machine(4096, 8),
            (
                "4.1 GB and 8 CPUs hold 8 processes for the API and 2 for the app: about 514 MB, 1.1 GB at their peak; "
                "some 80,000 one-row requests a second, or 1,000,000 rows in requests of 1,024."
            ),
        ),
        (
            SMALL,
            machine(192, 0.5),
            (
                "192 MB and 0.5 CPU hold 1 process for the API and the app: about 130 MB, 190 MB while it answers its "
                "largest request; some 5,000 one-row requests a second, or 64,000 rows in requests of 1,024; requests "
                "of more than about 71,000 rows would not fit (AWEIGH_MAX_ROWS limits them)."
            ),
        ),
        (
            FOREST,
            machine(200, 1),
            "200 MB do not hold the API and the app, which need 408 MB; without the app (--no-ui) 368 MB do.",
        ),
        (NO_STREAMLIT, machine(64, 1), "64 MB do not hold the API, which needs 160 MB."),
    ],
)
def test_the_sentence(bundle, there, said):
    assert sentence(make_plan(bundle, there), bundle, there) == said


def test_what_is_needed_is_enough():
    """Whoever is told to take so much gets a plan that fits in it."""
    for bundle in (SMALL, FOREST, HUGE, NO_STREAMLIT):
        said = sentence(make_plan(bundle, machine(64, 1)), bundle, machine(64, 1))
        need = said.partition("need")[2].split()
        size = need[1] if need[0] == "s" else need[0]
        unit = need[2] if need[0] == "s" else need[1]
        megabytes = float(size) * (1000 if unit.startswith("GB") else 1)
        assert make_plan(bundle, machine(int(megabytes) + 50 * unit.startswith("GB"), 1)).fit == "fits"


def test_words_for_processes_and_sizes():
    assert line(make_plan(SMALL, machine(1024, 4)), machine(1024, 4), estimated=True) == (
        "4 processes for the API and 1 for the app (about 287 MB of 1 GB, estimated)"
    )
    assert memory_words(512 * 2**20) == "512 MiB"
    assert memory_words(2 * 2**30) == "2 GiB"
    assert machine_words(machine(None, 3)) == "3 CPUs"
    assert [rounded(one) for one in (0.25, 7, 42, 99.6, 987, 12_345)] == ["0.2", "7", "42", "100", "990", "12,000"]


def test_the_next_command_is_one_that_works(tmp_path):
    def next_for(bundle, there, *, named=True, **wishes):
        plan = make_plan(bundle, there, wishes=Wishes(**wishes))
        return next_command(tmp_path / "b.aweigh", plan, bundle, there, named=named).replace(str(tmp_path), "DIR")

    assert next_for(SMALL, machine(4096, 8)) == "aweigh serve DIR/b.aweigh --workers 8"
    assert next_for(SMALL, machine(4096, 8), named=False) == "aweigh serve DIR/b.aweigh"
    assert next_for(SMALL, machine(4096, 2), ui=False) == "aweigh serve DIR/b.aweigh --no-ui --workers 2"
    assert next_for(SMALL, machine(128, 1)) == "aweigh plan DIR/b.aweigh --memory 212M"
    assert next_for(measured(alone=84, both=400, worker=39, ui=350, peak=20), machine(128, 1)) == (
        "aweigh serve DIR/b.aweigh --no-ui"
    )


@pytest.fixture
def key():
    return key_of("ab" * 32, max_rows=1000, max_body_bytes=1000, cache_bytes=0)


def test_a_measurement_is_kept_for_its_bundle_and_versions(tmp_path, key):
    assert read_measured(key, folder=tmp_path) is None
    assert keep_measured(FOREST, key, folder=tmp_path / "a" / "b")
    assert read_measured(key, folder=tmp_path / "a" / "b") == FOREST
    assert ever_measured("ab" * 32, folder=tmp_path / "a" / "b")
    assert not ever_measured("cd" * 32, folder=tmp_path / "a" / "b")
    assert not ever_measured("ab" * 32, folder=tmp_path / "nowhere")
    assert not ever_measured("ab" * 32, folder=None)
    other = key_of("cd" * 32, max_rows=1000, max_body_bytes=1000, cache_bytes=0)
    assert read_measured(other, folder=tmp_path / "a" / "b") is None
    newer = key | {"aweigh": "999"}
    assert read_measured(newer, folder=tmp_path / "a" / "b") is None


def test_what_is_broken_stale_or_foreign_counts_as_nothing(tmp_path, key):
    assert keep_measured(FOREST, key, folder=tmp_path)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    for text in (b"", b"{", whole[:-5], whole.replace(b'"format":1', b'"format":2'), b"\xff\xfe", b"[]"):
        path.write_bytes(text)
        assert read_measured(key, folder=tmp_path) is None
    for lie in (b'"alone":0', b'"alone":-5', b'"alone":"much"'):
        path.write_bytes(whole.replace(b'"alone":181000000', lie))
        assert read_measured(key, folder=tmp_path) is None
    path.write_bytes(whole.replace(b"abab", b"acab", 1))
    assert read_measured(key, folder=tmp_path) is None
    path.write_bytes(whole)
    assert read_measured(key, folder=tmp_path) == FOREST
    path.chmod(0o622)
    assert read_measured(key, folder=tmp_path) is None


def test_a_folder_that_cannot_be_written_to_is_no_fault(tmp_path, key):
    (tmp_path / "file").write_text("")
    assert not keep_measured(FOREST, key, folder=tmp_path / "file" / "sub")
    assert not keep_measured(FOREST, key, folder=None)
    assert read_measured(key, folder=None) is None
    assert read_measured(key, folder=tmp_path / "file" / "sub") is None


def test_the_cache_is_where_the_user_keeps_such_things(tmp_path):
    assert cache_folder({"XDG_CACHE_HOME": "/c", "HOME": "/h"}).as_posix() == "/c/aweigh/measured"
    assert cache_folder({"XDG_CACHE_HOME": "relative", "HOME": "/h"}).as_posix() == "/h/.cache/aweigh/measured"
    assert cache_folder({}) is None


def test_a_folder_that_may_not_be_entered_holds_nothing(tmp_path, key, monkeypatch):
    def refuse(*_):
        raise PermissionError

    assert keep_measured(FOREST, key, folder=tmp_path)
    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    assert not ever_measured("ab" * 32, folder=tmp_path)
