"""What a process does with its memory once it has started: what the start alone needed goes, the rest stays.

Nothing of it is needed for a right answer. Where the system knows no such thing, nothing is done.
"""

import ctypes
import gc
import mmap
import re
import sys
from pathlib import Path

KEPT_BYTES, KEPT_PIECE_BYTES = 8 * 2**20, 4 * 2**20
"""What glibc keeps of memory that was freed, by each of the few threads that work; pieces that are larger it gives back
at once."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them

SMAPS = Path("/proc/self/smaps")
_MAPPING = re.compile(
    r"""^(?P<begin>[0-9a-f]+)-(?P<end>[0-9a-f]+)\ r-[x-]p\ \S+\ \S+\ \d+\ +(?P<path>/.*)
    (?:\n[A-Z]\w+:.*)*?\nAnonymous:\ +(?P<anonymous>\d+)\ kB
    (?:\n[A-Z]\w+:.*)*?\nSwap:\ +(?P<swap>\d+)\ kB""",
    re.MULTILINE | re.VERBOSE,
)


def settle_memory() -> None:
    """Puts what start-up made out of the garbage collector's sight, which looks through all of it on every rerun.

    From here on it works, whether or not it did during the start.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    give_back_memory()
    give_back_code()
    keep_memory()


def give_back_memory() -> None:
    """Gives the system what loading took and let go of: of a forest of 8 MB as ONNX, 49 of 157 MB.

    glibc keeps freed memory in case it is asked for again; other C libraries have no such call, and no such habit.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def give_back_code() -> None:
    """Gives back what was read of the libraries' code, of which a start runs much that no request does.

    Of ONNX Runtime's 17 MB, most of which register operators, 12 never return. What is run again is mapped again from
    the system's cache of the file, for half a millisecond in all, in the first request. A part of a library of which
    the process has one page of its own is left as it is: that page is not in the file.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "madvise"):
        return
    try:
        smaps = SMAPS.read_text(encoding="utf-8", errors="replace")
    except OSError:  # a kernel that tells less (gVisor)
        return
    for begin, end in unwritten_code(smaps):
        libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_DONTNEED)


def unwritten_code(smaps: str) -> list[tuple[int, int]]:
    """Where the parts of shared libraries are that cannot be written, and of which no page differs from the file."""
    return [
        (int(one["begin"], 16), int(one["end"], 16))
        for one in _MAPPING.finditer(smaps)
        if one["anonymous"] == one["swap"] == "0" and ".so" in one["path"].rpartition("/")[2]
    ]


def keep_memory() -> None:
    """Tells glibc to keep what a request of a few thousand rows takes, for the next one.

    Otherwise each of its megabytes is a page that the system clears anew: a sixth of what such a request costs.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, KEPT_PIECE_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
