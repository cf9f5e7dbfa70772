"""What a request costs without a clock: the interpreter's instructions, and the calls it makes of functions in C.

``python -m bench.opcodes NAME=BUNDLE,BODIES ...`` prints, as JSON, both for a one-row request to the floor and to each
bundle, and where they are spent; ``BODIES`` is a file of JSON with the bodies that are asked in turn. On one Python
with one set of packages the counts are the same on every machine, busy or not. What would make them jump:

- a request that arrives in two pieces, as many clients send it: that is counted by itself;
- coverage and debuggers, which trace as well: such a process is refused;
- first times (imports, caches, a model that is measured): everything is asked often before anything is counted;
- a stage of a length not seen before, which ``Server-Timing`` writes anew: the least of several rounds is taken;
- the garbage collector, which may call Python anywhere: it is off meanwhile;
- a busy machine on which the model seems slow at the start, and is put behind a queue: it is started again.
"""

import gc
import json
import socket
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from bench.one_request import InProcess, in_two, request
from bench.places import BENCH, ROOT

WARM, ROUNDS = 40, 5
STARTS = 5
QUEUED = b"queue;dur="
IN_TWO = ", head and body apart"


class Count:
    """What has been counted: ``opcodes`` and ``calls`` by the code that did them."""

    def __init__(self) -> None:
        self.opcodes: Counter[CodeType] = Counter()
        self.calls: Counter[CodeType] = Counter()

    def during(self, work: Callable[[], object]) -> None:
        """Count while this runs."""
        sys.settrace(self._entered)
        sys.setprofile(self._called)
        try:
            work()
        finally:
            sys.setprofile(None)
            sys.settrace(None)

    def _entered(self, frame: FrameType, event: str, argument: object) -> Any:
        del event, argument
        if frame.f_code.co_filename in OURS:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if event == "opcode":
            self.opcodes[frame.f_code] += 1
        return self._stepped

    def _called(self, frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event == "c_call" and frame.f_code.co_filename not in OURS:
            self.calls[frame.f_code] += 1


OURS = frozenset({str(BENCH / "one_request.py"), __file__, socket.__file__})
"""Code that asks and counts; and uvloop's pair of sockets for signals, made whenever the loop is started."""


def count(server: InProcess, bodies: Sequence[bytes], *, pieces: bool = False) -> dict[str, Any]:
    """``opcodes`` and ``calls`` of one request, and ``where``: the opcodes by function.

    With ``pieces`` head and body of each request arrive one after the other.

    Raises:
        RuntimeError: this process is traced already.
    """
    if sys.gettrace() is not None or sys.getprofile() is not None:
        msg = "this process is traced already, by coverage or a debugger"
        raise RuntimeError(msg)
    whole = [request(server.path, body) for body in bodies]
    requests = [in_two(one) for one in whole] if pieces else whole
    for _ in range(WARM):
        Count().during(lambda: server.send(requests))
    gc.collect()
    gc.disable()
    try:
        rounds = [Count() for _ in range(ROUNDS)]
        for one in rounds:
            one.during(lambda: server.send(requests))
    finally:
        gc.enable()
    least = min(rounds, key=lambda one: one.opcodes.total())
    where: Counter[str] = Counter()
    for code, times in least.opcodes.items():
        where[_place(code)] += times
    return {
        "opcodes": round(least.opcodes.total() / len(bodies)),
        "calls": round(min(one.calls.total() for one in rounds) / len(bodies)),
        "where": {name: rounded for name, times in where.most_common() if (rounded := round(times / len(bodies)))},
    }


def _place(code: CodeType) -> str:
    """Module and function, without this machine's folders."""
    path = Path(code.co_filename)
    for root in (*(one for one in path.parents if one.name == "site-packages"), ROOT / "src", ROOT):
        if path.is_relative_to(root):
            return f"{path.relative_to(root).with_suffix('').as_posix().replace('/', '.')}:{code.co_qualname}"
    return f"{path.stem}:{code.co_qualname}"


def count_bundle(bundle: Path, bodies: Sequence[bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of a bundle's API, answered at once and not behind a queue; in one piece, and in two.

    Raises:
        RuntimeError: it is always put behind one.
    """
    for _ in range(STARTS):
        with InProcess.aweigh(bundle) as server:
            if QUEUED not in server.ask(bodies):
                return count(server, bodies), count(server, bodies, pieces=True)
    msg = f"of {STARTS} starts every one measured a model too slow to be asked at once"
    raise RuntimeError(msg)


def main(arguments: Sequence[str]) -> dict[str, Any]:
    """The counts of the floor and of each bundle."""
    found: dict[str, Any] = {}
    for argument in arguments:
        name, _, paths = argument.partition("=")
        bundle, _, asked = paths.partition(",")
        bodies = [text.encode() for text in json.loads(Path(asked).read_text(encoding="utf-8"))]
        if not found:
            with InProcess.floor() as server:
                found["floor"] = count(server, bodies)
        found[name], found[name + IN_TWO] = count_bundle(Path(bundle), bodies)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1:]), indent=1) + "\n")
