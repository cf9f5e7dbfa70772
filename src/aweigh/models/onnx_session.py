"""Sessions of ONNX Runtime: on the CPU, with as many threads as the plan says, quiet, and of whole files only."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aweigh.errors import UnsupportedModel
from aweigh.models.onnx_wire import check_wire, may_reach_out

if TYPE_CHECKING:
    import onnxruntime

Run = Callable[[Sequence[str], Mapping[str, Any]], list[Any]]
"""From the names of outputs and the inputs by name to the outputs."""

LOG_FATAL_ONLY = 4
"""What goes wrong is raised as well, and told in a sentence; the log would only stand beside it."""
SMALL_BYTES = 64 * 1024
"""Files up to here are walked whatever they hold; of a forest's 8 MB that took 50 ms of each start."""
_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_TOO_NEW = ("under development and support for this is limited", "Unsupported model IR version")


def open_session(model: bytes, *, threads: int = 1) -> "onnxruntime.InferenceSession":
    """An ONNX Runtime session on the CPU that starts no thread of its own when ``threads`` is 1.

    Raises:
        UnreadableModel: the bytes are no ONNX graph.
        UnsupportedModel: it reaches for other files, or ONNX Runtime cannot run it.
    """
    import onnxruntime

    walked = len(model) <= SMALL_BYTES or may_reach_out(model)
    if walked:
        check_wire(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = LOG_FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no class but Exception
        if not walked:
            check_wire(model)  # which says better what is wrong with the bytes
        if any(word in str(error) for word in _TOO_NEW):
            raise too_new(f"the ONNX Runtime {onnxruntime.__version__} here runs") from error
        raise UnsupportedModel(f"ONNX Runtime cannot load the graph: {_first_line(error)}") from error


def runner(session: "onnxruntime.InferenceSession") -> Run:
    """The session's ``run`` without what it does anew at each call, 1.7 of 8 microseconds: options made once.

    What it checks of names and owners is said by the call underneath as well.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    inner = getattr(session, "_sess", None)
    if inner is None:  # another version of the library: its own door is always there
        return lambda names, feeds: session.run(names, feeds, options)
    run = inner.run
    return lambda names, feeds: run(names, feeds, options)


def too_new(what: str) -> UnsupportedModel:
    """The error for a graph of a later ONNX than ``what``."""
    return UnsupportedModel(
        f"The graph is of a newer ONNX than {what}.",
        hint="export it with an older opset, or install newer packages of onnx and onnxruntime",
    )


def _first_line(error: BaseException) -> str:
    """What ONNX Runtime says, without its own prefix and the paths of the machine that it was built on."""
    line = _PREFIX.sub("", str(error).strip().split("\n", 1)[0])
    return " ".join(word for word in line.split() if not word.startswith("/"))[:200]
