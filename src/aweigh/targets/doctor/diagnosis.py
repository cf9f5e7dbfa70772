"""The measurement of one web process and of what is built, held against a platform: the same for every place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aweigh.targets.doctor import cost, formation, measured
from aweigh.targets.doctor.environment import Environment
from aweigh.targets.doctor.finding import Finding, sort_findings
from aweigh.targets.doctor.folder import Folder
from aweigh.targets.doctor.platform import Platform
from aweigh.targets.doctor.run import Run, Web, measure_web
from aweigh.targets.doctor.slug import Slug, measure_slug

Tell = Callable[[str, str], None]
"""Called before something that takes time: its name, and what is done."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """``measure``: to install it and run it here; ``ask_index``: to ask for wheels; ``build``: to measure its size."""

    measure: bool = True
    ask_index: bool = True
    build: bool = True


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found, the worst first, and the figures behind it where there was a measurement."""

    findings: tuple[Finding, ...]
    run: Run | None = None
    slug: Slug | None = None
    choices: tuple[cost.Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: the files, the process that serves them, and the environment that it runs in, if it is ours."""

    folder: Folder
    web: Web | None
    environment: Environment | None


def measure(subject: Subject, *, platform: Platform, found: Sequence[Finding], wishes: Wishes, tell: Tell) -> Diagnosis:
    """The web process run within the platform's limits, and what is built of it packed."""
    more: list[Finding] = []
    run: Run | None = None
    web, limits = subject.web, platform.limits
    if web is not None:
        tell("run", f"the web process, held to {limits.quota_bytes // 2**20:,} MB; up to {limits.idle_s:g} s")
        run = measure_web(web, limits=limits)
        more += measured.run_findings(run, platform=platform, workers=_workers_of(web))
    slug = None
    if subject.environment is not None and wishes.build:
        tell(platform.built.name, "the app, its packages and Python, compressed")
        slug = measure_slug(subject.folder, subject.environment)
        more += measured.built_findings(slug, bound=platform.built)
    return Diagnosis(sort_findings([*found, *more]), run, slug)


def _workers_of(web: Web) -> int:
    said = web.environ.get("WEB_CONCURRENCY", "")
    return int(said) if said.isdecimal() and said.isascii() and formation.reads_concurrency(web.line) else 1


def not_measured(why: str) -> Finding:
    """Nothing could be run here, and why."""
    fix = "mend what is named above and ask again, or leave it out: --no-measure"
    return Finding("not_measured", "warn", f"size, memory and times were not measured: {why}", fix)
