"""What a process may use: read from trees of files as real machines have them, and from this machine."""

import os
from pathlib import Path

import pytest

from aweigh.errors import UsageError
from aweigh.runtime.machine import Machine, parse_size, read_machine, with_wishes

MIB = 2**20
GIB = 2**30

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max data size             {data}            unlimited            bytes
Max processes             {processes}                96365                processes
Max address space         {space}            unlimited            bytes
"""


class Tree:
    """A machine of files: 16 GiB and eight CPUs, until something is written that says less."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1000 kB\n")
        self.write("proc/self/status", "Name:\tpython\nCpus_allowed_list:\t0-7\n")
        self.write("sys/devices/system/cpu/online", "0-7\n")
        self.limits()

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def limits(self, *, data: object = "unlimited", processes: object = 96365, space: object = "unlimited") -> None:
        self.write("proc/self/limits", LIMITS.format(data=data, processes=processes, space=space))

    def v2(self, cgroup: str, files: dict[str, str], *, mount: str = V2_MOUNT) -> None:
        """A unified hierarchy; ``files`` by path below its mount."""
        self.write("proc/self/cgroup", f"0::{cgroup}\n")
        self.write("proc/self/mountinfo", f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n{mount}\n")
        for path, text in files.items():
            self.write(f"sys/fs/cgroup/{path}", text)

    def v1(self, cgroup: str, files: dict[str, str], *, mounted: str = "/") -> None:
        """Separate hierarchies for memory, cpu and cpuset; ``files`` by path below /sys/fs/cgroup."""
        names = ("memory", "cpu,cpuacct", "cpuset")
        self.write("proc/self/cgroup", "".join(f"{i}:{name}:{cgroup}\n" for i, name in enumerate(names, 2)) + "0::/\n")
        lines = [
            f"{30 + i} 31 0:{i} {mounted} /sys/fs/cgroup/{n} rw - cgroup cgroup rw,{n}" for i, n in enumerate(names)
        ]
        self.write("proc/self/mountinfo", "\n".join(lines) + "\n")
        for path, text in files.items():
            self.write(f"sys/fs/cgroup/{path}", text)

    def read(self, **environ: str) -> Machine:
        return read_machine(root=self.root, environ=environ)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_a_machine_without_limits_is_all_there_is(tree):
    machine = tree.read()
    assert (machine.memory_bytes, machine.memory_source) == (16 * GIB, "the machine")
    assert (machine.cpus, machine.cpus_source) == (8.0, "the machine")
    assert not machine.bounded
    assert not machine.shared
    assert machine.process_bytes is None


def test_a_container_sees_its_own_group_at_the_mount(tree):
    """Docker and Kubernetes with cgroup namespaces: the path is /, the limits are at the mount."""
    tree.v2("/", {"memory.max": "536870912\n", "memory.high": "max\n", "cpu.max": "50000 100000\n"})
    machine = tree.read()
    assert (machine.memory_bytes, machine.memory_source) == (512 * MIB, "cgroup memory.max of /")
    assert (machine.cpus, machine.cpus_source) == (0.5, "cgroup cpu.max of /")
    assert machine.bounded
    assert machine.shared


def test_of_nested_groups_the_tightest_counts(tree):
    tree.v2(
        "/system.slice/app.service",
        {
            "system.slice/app.service/memory.max": "max\n",
            "system.slice/app.service/memory.high": "2147483648\n",
            "system.slice/app.service/cpu.max": "max 100000\n",
            "system.slice/memory.max": "1073741824\n",
            "system.slice/memory.high": "max\n",
            "system.slice/cpu.max": "150000 100000\n",
            "system.slice/app.service/cpuset.cpus.effective": "0-3\n",
        },
    )
    machine = tree.read()
    assert (machine.memory_bytes, machine.memory_source) == (GIB, "cgroup memory.max of /system.slice")
    assert (machine.cpus, machine.cpus_source) == (1.5, "cgroup cpu.max of /system.slice")


def test_memory_high_is_a_limit_too(tree):
    tree.v2("/a", {"a/memory.max": "max\n", "a/memory.high": "268435456\n"})
    assert tree.read().memory_bytes == 256 * MIB


def test_version_1_with_its_separate_hierarchies(tree):
    tree.v1(
        "/docker/0123",
        {
            "memory/docker/0123/memory.limit_in_bytes": "1073741824\n",
            "memory/docker/memory.limit_in_bytes": "9223372036854771712\n",
            "cpu,cpuacct/docker/0123/cpu.cfs_quota_us": "200000\n",
            "cpu,cpuacct/docker/0123/cpu.cfs_period_us": "100000\n",
            "cpuset/docker/0123/cpuset.cpus": "0-4,7\n",
        },
    )
    machine = tree.read()
    assert (machine.memory_bytes, machine.memory_source) == (GIB, "cgroup memory.limit_in_bytes of /docker/0123")
    assert (machine.cpus, machine.cpus_source) == (2.0, "cgroup cpu.cfs_quota_us of /docker/0123")


def test_version_1_in_a_container_that_sees_only_its_own_mount(tree):
    """A dyno, or Docker before cgroup namespaces: the path names what only the host has."""
    tree.v1(
        "/docker/0123",
        {
            "memory/memory.limit_in_bytes": "536870912\n",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "cpuset/cpuset.cpus": "2-3\n",
        },
        mounted="/docker/0123",
    )
    machine = tree.read()
    assert (machine.memory_bytes, machine.memory_source) == (512 * MIB, "cgroup memory.limit_in_bytes of /")
    assert (machine.cpus, machine.cpus_source) == (2.0, "cgroup cpuset.cpus of /")


@pytest.mark.parametrize("path", ["/../../elsewhere", "/not/there"])
def test_a_path_of_another_namespace_is_read_at_the_mount(tree, path):
    tree.v2(path, {"memory.max": "536870912\n"})
    assert tree.read().memory_bytes == 512 * MIB


def test_a_group_that_allows_more_than_there_is_says_nothing(tree):
    tree.v2("/", {"memory.max": str(64 * GIB), "cpu.max": "1600000 100000", "cpuset.cpus.effective": "0-7"})
    machine = tree.read()
    assert machine.memory_source == machine.cpus_source == "the machine"
    assert not machine.shared


@pytest.mark.parametrize(
    "text", ["", "max", "-1", "none", "0", "1e9", "512M", "9" * 30, "\x00", "12 34", "9223372036854771712"]
)
def test_what_is_no_number_is_no_limit(tree, text):
    tree.v2("/", {"memory.max": text, "cpu.max": f"{text} 100000"})
    machine = tree.read()
    assert machine.memory_bytes == 16 * GIB
    assert machine.cpus == 8


@pytest.mark.parametrize("text", ["", "all", "0-", "3-1", "0,,1", "0-x", "-1"])
def test_what_is_no_list_of_cpus_is_no_limit(tree, text):
    tree.v2("/", {"cpuset.cpus.effective": text})
    assert tree.read().cpus_source == "the machine"


@pytest.mark.parametrize("text", ["", "garbage", "0::", "::::\n1:memory", "30 23 0:26 / /sys - cgroup2", "\x00\xff"])
def test_broken_lists_of_groups_are_none(tree, text):
    tree.write("proc/self/cgroup", text)
    tree.write("proc/self/mountinfo", text)
    assert tree.read().memory_bytes == 16 * GIB


def test_affinity_counts(tree):
    tree.write("proc/self/status", "Cpus_allowed_list:\t1,4-5\n")
    machine = tree.read()
    assert (machine.cpus, machine.cpus_source) == (3.0, "the CPUs that this process may run on")
    assert machine.shared


def test_nothing_at_all_is_said_so(tmp_path):
    machine = read_machine(root=tmp_path, environ={})
    assert machine.memory_bytes is None
    assert (machine.memory_source, machine.cpus) == ("nothing that tells it", 1.0)


def test_a_dyno_tells_its_memory_where_no_group_does(tree):
    assert tree.read(DYNO="web.1", DYNO_RAM="512").memory_source == "DYNO_RAM of Heroku"
    tree.limits(processes=256)
    machine = tree.read(DYNO="web.1")
    assert (machine.memory_bytes, machine.bounded) == (512 * MIB, True)
    assert tree.read().memory_bytes == 16 * GIB  # 256 processes somewhere else mean nothing
    tree.v2("/", {"memory.max": str(GIB)})
    assert tree.read(DYNO="web.1", DYNO_RAM="512").memory_bytes == GIB


def test_a_function_of_lambda_has_cpu_by_its_memory(tree):
    machine = tree.read(AWS_LAMBDA_FUNCTION_MEMORY_SIZE="1769")
    assert (machine.memory_bytes, machine.cpus) == (1769 * MIB, 1.0)
    assert tree.read(AWS_LAMBDA_FUNCTION_MEMORY_SIZE="much").memory_bytes == 16 * GIB


def test_resource_limits_hold_for_a_process(tree):
    tree.limits(data=3 * GIB, space=2 * GIB)
    machine = tree.read()
    assert (machine.process_bytes, machine.process_source) == (2 * GIB, "RLIMIT_AS")
    assert machine.memory_bytes == 16 * GIB


def test_this_machine_is_read():
    machine = read_machine()
    assert machine.memory_bytes is not None
    assert 0 < machine.cpus <= (os.cpu_count() or 1)
    assert machine.memory_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_what_is_asked_for_takes_the_place_of_what_is_there(tree):
    machine = with_wishes(tree.read(), memory_bytes=512 * MIB, cpus=0.5)
    assert (machine.memory_bytes, machine.cpus, machine.bounded) == (512 * MIB, 0.5, True)
    only = with_wishes(tree.read(), memory_bytes=None, cpus=2.0)
    assert (only.memory_bytes, only.cpus, only.bounded) == (16 * GIB, 2.0, False)
    assert with_wishes(tree.read(), memory_bytes=None, cpus=None) == tree.read()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512M", 512 * 10**6),
        ("1G", 10**9),
        ("1Gi", GIB),
        ("512MiB", 512 * MIB),
        ("1.5 gb", 1_500_000_000),
        ("4096", 4096),
    ],
)
def test_sizes_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1M", "lots", "1X", "i", "1ib", "0.0001", "1e9", "NaN"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="is no size of memory"):
        parse_size(text)
