"""What a process keeps of its memory once it has started, looked at in processes of their own."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from aweigh.server.settling import unwritten_code

BUNDLE = Path(__file__).parents[1] / "bundles" / "format-1-onnx.aweigh"
MB = 10**6
linux = pytest.mark.skipif(sys.platform != "linux", reason="nothing is given back elsewhere")


KEEPING = """
import resource, sys
from aweigh.server.settling import settle_memory
settle_memory()
def work():
    for _ in range(50):
        taken = [bytearray(2**20) for _ in range(5)]
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@linux
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are not told")
def test_a_server_that_has_started_keeps_what_a_request_took_for_the_next():
    """Without it each of the 250 pieces is 256 pages that the system clears anew."""
    done = subprocess.run([sys.executable, "-c", KEEPING], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 5000


SMAPS = """\
7f0000000000-7f0000300000 r-xp 00010000 08:01 132    /usr/lib/one more/libone.so.3
Rss:                2000 kB
Pss_Dirty:             0 kB
Anonymous:             0 kB
AnonHugePages:         0 kB
Swap:                  0 kB
SwapPss:               0 kB
THPeligible:           0
VmFlags: rd ex mr mw me
7f0000300000-7f0000400000 r--p 00310000 08:01 132    /usr/lib/one more/libone.so.3
Anonymous:             0 kB
Swap:                  0 kB
7f0000400000-7f0000500000 r--p 00410000 08:01 132    /usr/lib/relocated.so
Anonymous:             4 kB
Swap:                  0 kB
7f0000500000-7f0000600000 r-xp 00410000 08:01 133    /usr/lib/swapped.so
Anonymous:             0 kB
Swap:                  8 kB
7f0000600000-7f0000700000 rw-p 00410000 08:01 133    /usr/lib/written.so
Anonymous:             0 kB
Swap:                  0 kB
7f0000700000-7f0000800000 r--p 00000000 08:01 134    /srv/so.model/weights
Anonymous:             0 kB
Swap:                  0 kB
7f0000800000-7f0000900000 r--s 00000000 08:01 134    /srv/shared.so
Anonymous:             0 kB
Swap:                  0 kB
7f0000900000-7f0000a00000 r-xp 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
7f0000a00000-7f0000b00000 r-xp 00000000 08:01 135    /usr/lib/tells_little.so
Rss:                2000 kB
"""


def test_only_what_the_file_has_unchanged_is_given_back():
    assert unwritten_code(SMAPS) == [(0x7F0000000000, 0x7F0000300000), (0x7F0000300000, 0x7F0000400000)]


GIVING_BACK = """
import json, os, sys
from aweigh import verify
from aweigh.runtime.load import load
from aweigh.runtime.memory import memory_of
from aweigh.server.settling import give_back_code
predictor = load(verify(sys.argv[1]))
rows = predictor.examples.rows
said = predictor.predict_rows(rows)
before = memory_of(os.getpid())
give_back_code()
after = memory_of(os.getpid())
given = sum(before.files.values()) - sum(after.files.values())
print(json.dumps([given, abs(before.own_bytes - after.own_bytes), predictor.predict_rows(rows) == said]))
"""


@linux
def test_the_code_of_the_start_is_given_back_and_nothing_of_the_process_s_own():
    command = [sys.executable, "-c", GIVING_BACK, str(BUNDLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    given, own, same = json.loads(done.stdout)
    assert given > 10 * MB
    assert own < 2 * MB
    assert same
