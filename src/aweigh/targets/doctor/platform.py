"""What a check has to know of the place that is asked about: its bounds, and its own words for what goes wrong."""

from dataclasses import dataclass

from aweigh.targets.doctor.run import Limits


@dataclass(frozen=True, slots=True)
class Words:
    """How a place's own people would say it; each is put into a finding's sentence as it stands.

    ``place`` is its name, ``machine`` what a process runs on there. ``set_variable`` sets one, where ``{}`` stands for
    it; ``settings`` is what such variables are called. The others say what comes of a fault: where ``slow`` and
    ``quiet`` are empty nobody there ends an answer or a session, and it is a warning alone.
    """

    place: str
    machine: str
    set_variable: str
    settings: str
    disk: str
    keep: str
    """Where to keep what must outlive a restart."""
    router: str
    unheard: str
    """Nothing listens on ``$PORT``."""
    crashed: str = ""
    late: str = ""
    over_quota: str = ""
    killed: str = ""
    slow: str = ""
    quiet: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """Of what is built: more than ``most_bytes`` is refused, from ``large_bytes`` on it is slow; None: no bound."""

    name: str
    most_bytes: int | None = None
    large_bytes: int | None = None
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Platform:
    """A place, as it was chosen: ``size`` is what somebody typed for it, ``target`` its name after ``aweigh deploy``.

    ``pythons`` are those that it can run, ``default_python`` is what a folder gets that names none; ``web_concurrency``
    is what WEB_CONCURRENCY is set to there, None where nobody sets it.
    """

    target: str
    size: str
    limits: Limits
    words: Words
    pythons: tuple[str, ...]
    default_python: str
    web_concurrency: int | None = None
    built: Bound = Bound("build")
    more: str = "give it more"
    """How to give the process more memory; ``{}`` stands for how many MB."""
    reaches_loopback: bool = False
    """Whether a process may listen on the loopback address alone."""
