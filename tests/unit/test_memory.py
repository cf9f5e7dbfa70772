"""What processes take: read from the kernel for real processes, and from trees of files as other kernels have them."""

import mmap
import os
import subprocess
import sys

import pytest

from aweigh.runtime.memory import ProcessMemory, children_of, memory_of, shared_files, together

MB = 10**6
linux = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")

SMAPS = """\
55d0c0000000-55d0c0100000 r-xp 00000000 08:01 131    /usr/bin/python3.11
Rss:                 900 kB
Pss:                 300 kB
Anonymous:             0 kB
7f0000000000-7f0000400000 rw-p 00000000 00:00 0
Rss:                4000 kB
Anonymous:          4000 kB
7f0000400000-7f0000500000 rw-p 00000000 08:01 132    /usr/lib/lib one.so
Rss:                 100 kB
Anonymous:            60 kB
7f0000500000-7f0000600000 r--p 00000000 08:01 132    /usr/lib/lib one.so
Rss:                  50 kB
Anonymous:             0 kB
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0      [stack]
Rss:                  30 kB
Anonymous:            30 kB
7f0000600000-7f0000700000 rw-s 00000000 00:01 9      /dev/zero (deleted)
Rss:                  70 kB
Anonymous:             0 kB
"""


TAKING = f"""
import mmap, os
from aweigh.runtime.memory import memory_of
memory_of(os.getpid())
before = memory_of(os.getpid())
taken = mmap.mmap(-1, {20 * MB}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for place in range(0, {20 * MB}, 4096):
    taken[place] = 1
print(memory_of(os.getpid()).own_bytes - before.own_bytes, any("python" in name for name in before.files))
"""


@linux
def test_own_memory_grows_with_what_is_taken():
    """Asked in a process of its own, in which nothing else comes and goes."""
    done = subprocess.run([sys.executable, "-c", TAKING], capture_output=True, text=True, check=True, timeout=60)
    grown, has_python = done.stdout.split()
    assert 19 * MB < int(grown) < 25 * MB
    assert has_python == "True"


@linux
def test_children_are_found_and_share_their_files():
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    assert child.pid in children_of(os.getpid())
    both = [memory_of(os.getpid()), memory_of(child.pid)]
    assert together(both) < sum(together([one]) for one in both)
    child.communicate("")
    assert child.pid not in children_of(os.getpid())
    assert memory_of(child.pid) is None


def test_files_that_several_have_count_once():
    one = ProcessMemory(1, 10, {"a": 5, "b": 2})
    two = ProcessMemory(2, 20, {"a": 3, "c": 1})
    assert shared_files([one, two]) == {"a": 5, "b": 2, "c": 1}
    assert together([one, two]) == 38
    assert together([]) == 0


@linux
def test_pages_of_files_are_told_from_a_process_s_own(tmp_path):
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "smaps").write_text(SMAPS)
    (folder / "smaps_rollup").write_text("Rss: 5000 kB\nPss_Anon:           4090 kB\nPss_Shmem:            35 kB\n")
    assert memory_of(7, proc=tmp_path) == ProcessMemory(
        7, 4125 * 1024, {"/usr/bin/python3.11": 900 * 1024, "/usr/lib/lib one.so": 90 * 1024}
    )


@linux
def test_a_kernel_that_tells_little_tells_the_resident_size(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "statm").write_text("5000 1000 300 1 0 700 0\n")
    assert memory_of(7, proc=tmp_path) == ProcessMemory(7, 1000 * mmap.PAGESIZE)
    (tmp_path / "7" / "statm").write_text("")
    assert memory_of(7, proc=tmp_path) is None
    assert memory_of(8, proc=tmp_path) is None


@linux
def test_a_name_in_brackets_hides_no_child(tmp_path):
    for pid, text in ((9, "9 (a) R 1) S 7 1"), (10, "10 (b) S 8 7"), (11, "")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(text)
    assert children_of(7, proc=tmp_path) == [9]
