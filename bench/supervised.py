"""The processes of one server as seen from outside: which there are, and whether all of them are up."""

import json
from urllib.request import urlopen

import psutil


def born(process: psutil.Process) -> tuple[float, int]:
    """When; two that were started at once have one time, told in steps of 10 ms."""
    return process.create_time(), process.pid


def children(pid: int) -> list[psutil.Process]:
    """Those that the server has started and that live.

    Raises:
        RuntimeError: the server itself has ended.
    """
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess as error:
        msg = "the server itself has ended"
        raise RuntimeError(msg) from error


def all_up(port: int, count: int) -> bool:
    """Whether the server says that so many processes are up, and that it wants no more."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            found = json.load(answer)["processes"]
    except OSError:
        return False
    return bool(found["up"] == found["wanted"] == count)
