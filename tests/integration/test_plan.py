"""`aweigh plan` as typed: a real bundle is served, measured and planned for; and a real control group is read."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from aweigh.bundle.verify import open_bundle
from aweigh.runtime.estimate import estimate
from aweigh.runtime.machine import read_machine

AWEIGH = [sys.executable, "-P", "-m", "aweigh"]  # as the installed command: nothing is imported from where one stands
CONTROLLERS = Path("/sys/fs/cgroup")
MB = 10**6
MIB = 2**20


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def run(*arguments, cache, **environ):
    """Run it where a file of the user's has a module's name: no process that it starts may take one for the other."""
    (cache / "csv.py").write_text("raise SystemExit('this is no module')")
    return subprocess.run(
        [*AWEIGH, "plan", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)} | environ,
        cwd=cache,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def fresh(penguins, cache):
    """Return what the first plan of a bundle says, for which it is served."""
    done = run(penguins.path, "--json", cache=cache)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_what_is_measured_can_be_true(fresh):
    document, told = fresh
    assert [line.split()[0] for line in told.splitlines()] == ["measuring", "api", "app", "several", "model"]
    found = document["measured"]
    memory = found["memory"]
    # A Python with numpy and a server takes 40 MB and more; a graph of a small forest not ten times that.
    assert 40 * MB < memory["alone"] < 400 * MB
    assert memory["alone"] + 20 * MB < memory["both"] < memory["alone"] + 300 * MB
    assert 10 * MB < memory["worker"] < memory["alone"]
    assert 10 * MB < memory["ui"] < memory["both"]
    assert memory["parent"] < 100 * MB, "it holds what the app imports, and no model"
    assert 2 * MB < memory["peak"] < 1500 * MB
    assert found["start_cpu_s"] > 0.1
    assert [one["rows"] for one in found["requests"]] == [1, 32, 1024]
    costs = [one["cpu_us"] / one["rows"] for one in found["requests"]]
    assert costs == sorted(costs, reverse=True)
    assert {(one["rows"], one["threads"]) for one in found["calls"]} == {
        (rows, threads) for rows in (1, 8, 32, 128, 1024) for threads in (1, 2)
    }
    assert document["plan"]["fit"] == "fits"
    assert document["sentence"].endswith(".")


def test_a_measurement_is_used_again_until_a_new_one_is_asked_for(fresh, penguins, cache):
    again = run(penguins.path, "--json", cache=cache)
    assert json.loads(again.stdout)["measured"] == fresh[0]["measured"]
    assert again.stderr.split(maxsplit=1)[0] == "measured"
    alone = json.loads(run(penguins.path, "--json", "--no-ui", cache=cache).stdout)
    assert alone["measured"] == fresh[0]["measured"]
    assert not alone["plan"]["ui"]


def test_the_estimate_is_near_what_is_measured(fresh, penguins):
    """On the high side rather than below: what does not fit is killed."""
    found = fresh[0]["measured"]["memory"]
    guessed = estimate(open_bundle(penguins.path).manifest, largest_rows=1, largest_bytes=1).memory
    assert 0.85 < guessed.alone / found["alone"] < 1.7
    assert 0.85 < guessed.both / found["both"] < 1.7
    assert 0.85 < (guessed.worker + guessed.files) / (found["worker"] + found["files"]) < 1.7


@pytest.mark.usefixtures("fresh")
def test_a_server_follows_what_was_measured(start_server, penguins, cache):
    """Where a platform says the port, all CPUs are used; what is told of the processes is what there is."""
    environ = {"XDG_CACHE_HOME": str(cache), "AWEIGH_WORKERS": "", "PORT": "1", "AWEIGH_DRAIN_DELAY_S": "0"}
    server = start_server(penguins.path, "--no-ui", env=environ)
    cpus = int(read_machine().cpus)
    assert server.line("plan").startswith(
        f"{cpus} processes for the API (about " if cpus > 1 else "1 process for the API"
    )
    assert "estimated" not in server.line("plan")
    assert server.line("memory").endswith(f" in {cpus + 1} processes" if cpus > 1 else " in 1 process")
    assert server.url
    assert len(psutil.Process(server.process.pid).children()) == (cpus if cpus > 1 else 0)
    assert server.stop() == 0


def test_on_ones_own_machine_a_server_is_one_process(start_server, penguins, tmp_path):
    machine = read_machine()
    environ = {"XDG_CACHE_HOME": str(tmp_path), "AWEIGH_WORKERS": "", "AWEIGH_DRAIN_DELAY_S": "0"}
    server = start_server(penguins.path, "--no-ui", env=environ)
    assert "estimated)" in server.line("plan")
    if not machine.shared:
        assert server.line("plan").startswith("1 process for the API (about ")
    assert server.url
    assert server.stop() == 0


@pytest.mark.parametrize("workers", ["0", "65", "some"])
def test_a_number_of_processes_that_cannot_be_is_told(penguins, workers):
    done = subprocess.run(
        [*AWEIGH, "serve", str(penguins.path), "--workers", workers], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--workers" in done.stderr


@pytest.mark.usefixtures("fresh")
def test_people_read_what_was_measured_and_why(penguins, cache):
    done = run(penguins.path, "--memory", "512M", "--cpus", "1", cache=cache)
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines() if line[2] != " "]
    assert names == ["measured", "takes", "costs", "machine", "plan", "in", "next"]
    said = " ".join(done.stdout.partition("in short")[2].split())
    assert said.startswith("512 MB and 1 CPU hold 1 process for the API and the app: about ")
    assert done.stdout.splitlines()[-1].split()[1:] == ["aweigh", "serve", str(penguins.path), "--workers", "1"]
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 100


@pytest.mark.usefixtures("fresh")
def test_what_does_not_fit_is_said_with_what_would(penguins, cache):
    done = run(penguins.path, "--memory", "64M", "--cpus", "0.5", cache=cache)
    assert done.returncode == 1
    assert "64 MB do not hold the API and the app, which need" in " ".join(done.stdout.split())
    command = done.stdout.splitlines()[-1].split()
    assert command[1:4] == ["aweigh", "plan", str(penguins.path)]
    assert run(*command[3:], "--cpus", "0.5", cache=cache).returncode == 0


def test_a_size_that_is_none_is_told_before_anything_is_measured(penguins, cache):
    done = run(penguins.path, "--memory", "plenty", cache=cache)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: 'plenty' is no size of memory.")


def test_a_server_that_cannot_start_is_told_in_its_own_words(penguins, tmp_path):
    done = run(penguins.path, cache=tmp_path, AWEIGH_FORM="no-such-form")
    assert done.returncode == 1
    assert "error: The bundle has no form 'no-such-form'." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def group() -> Iterator[dict[str, Path]]:
    """Return the folders of a control group of this test's own: 300 MiB and half a CPU, nested in one of 200 MiB."""
    outer = {name: CONTROLLERS / name / f"aweigh-test-{os.getpid()}" for name in ("memory", "cpu")}
    if not (CONTROLLERS / "memory").is_dir():  # version 2: one hierarchy
        outer = dict.fromkeys(outer, CONTROLLERS / f"aweigh-test-{os.getpid()}")
    inner = {name: folder / "inner" for name, folder in outer.items()}
    made: list[Path] = []
    try:
        for folder in dict.fromkeys([*outer.values(), *inner.values()]):
            folder.mkdir()
            made.append(folder)
        if outer["memory"] == outer["cpu"]:
            (outer["memory"] / "cgroup.subtree_control").write_text("+memory +cpu")
            files = {"memory.max": str(200 * MIB)}, {"memory.max": str(300 * MIB), "cpu.max": "50000 100000"}
        else:
            files = {"memory.limit_in_bytes": str(200 * MIB)}, {"cpu.cfs_quota_us": "50000"}
        for folders, limits in zip((outer, inner), files, strict=True):
            for name, text in limits.items():
                (folders[name.partition(".")[0]] / name).write_text(text)
    except OSError as error:
        for folder in reversed(made):
            folder.rmdir()
        pytest.skip(f"no control group can be made here: {error.strerror}")
    yield inner
    for folder in reversed(made):
        folder.rmdir()


def test_a_real_control_group_is_found(group):
    """A child that joins the group reads its limits, the group's around it included."""
    folders = sorted({str(folder / "cgroup.procs") for folder in group.values()})
    script = (
        "import os, json, sys\n"
        f"for path in {folders!r}: open(path, 'w').write(str(os.getpid()))\n"
        "from aweigh.runtime.machine import read_machine\n"
        "machine = read_machine()\n"
        "print(json.dumps([machine.memory_bytes, machine.cpus, machine.bounded, machine.cpus_source]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    memory, cpus, bounded, source = json.loads(done.stdout)
    assert (memory, cpus, bounded) == (200 * MIB, 0.5, True)
    assert source.startswith("cgroup cpu.")
    assert source.endswith("/inner")


JOINED = """
import os, sys
for path in {paths!r}:
    open(path, "w").write(str(os.getpid()))
from aweigh.__main__ import main
sys.exit(main())
"""


@pytest.mark.slow
def test_a_server_plans_for_the_control_group_that_it_is_in(group, start_server, penguins, tmp_path):
    paths = sorted({str(folder / "cgroup.procs") for folder in group.values()})
    server = start_server(
        penguins.path, "--no-ui",
        env={"XDG_CACHE_HOME": str(tmp_path), "AWEIGH_WORKERS": "", "AWEIGH_DRAIN_DELAY_S": "0"},
        program=("-c", JOINED.format(paths=paths)),
    )  # fmt: skip
    assert server.line("plan").startswith("1 process for the API (about ")
    assert " of 200 MiB" in server.line("plan")
    assert server.url
    assert server.stop() == 0
