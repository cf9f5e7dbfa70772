"""What was measured, held against what the platform allows: each figure with its limit, and what to do beyond it."""

from collections.abc import Iterator

from aweigh.targets.doctor.finding import Finding, Level
from aweigh.targets.doctor.platform import Bound, Platform, Words
from aweigh.targets.doctor.run import Limits, Run
from aweigh.targets.doctor.slug import Slug

MB = 2**20
CLOSE = 0.85
"""From this part of a limit on it is said that there is little left."""
SLOW_BOOT = 0.5


def built_findings(slug: Slug, *, bound: Bound) -> Iterator[Finding]:
    """What is built against the platform's bound, where it has one."""
    size = f"{slug.size_bytes / MB:.0f} MB compressed ({slug.unpacked_bytes / MB:,.0f} MB unpacked)"
    named = ", ".join(f"{name} {size / MB:.0f} MB" for name, size in slug.largest)
    fix = f"take out what is not needed; the largest are {named}" if named else "take out what is not needed"
    name, code = bound.name, f"{bound.name}_size"
    if bound.most_bytes is None:
        yield Finding(code, "pass", f"the {name} is {size}")
    elif slug.size_bytes > bound.most_bytes:
        what = f"the {name} is {size}; more than {bound.most_bytes // MB} MB is not built"
        yield Finding(code, "fail", what, f"{fix}; or {bound.fix}")
    elif bound.large_bytes is not None and slug.size_bytes > bound.large_bytes:
        what = f"the {name} is {size}; from {bound.large_bytes // MB} MB on the build warns, and starts slowly"
        yield Finding(code, "warn", what, fix)
    else:
        yield Finding(code, "pass", f"the {name} is {size}, of {bound.most_bytes // MB} MB")


def run_findings(run: Run, *, platform: Platform, workers: int) -> Iterator[Finding]:
    """One run of the web process against the platform's limits."""
    limits = platform.limits
    if run.end == "memory":
        yield _killed(run, platform, workers=workers)
        return
    if run.boot_s is None:
        yield _unbooted(run, platform)
        return
    yield _boot(run.boot_s, platform)
    if run.end:
        what = f"the web process ended by itself while it was asked ({run.end})"
        yield Finding("crash", "fail", what, _why(run))
    yield _memory(run, platform, workers=workers)
    yield _slowest(run, platform)
    if run.asked.streams:
        yield _keep_alive(run, limits, platform.words)
    if run.exception:
        what = f"the app raises an exception: {run.exception}"
        yield Finding("app_exception", "fail", what, "run it here and look: aweigh up")
    elif run.asked.failures and not run.end:
        what = f"not everything was answered: {run.asked.failures[0]}"
        yield Finding("failures", "fail", what, "run it here and look: aweigh up")


def _unbooted(run: Run, platform: Platform) -> Finding:
    words, limits = platform.words, platform.limits
    if run.end.startswith("status"):
        what = f"the web process ends before it listens ({run.end}){words.crashed}"
        return Finding("boot_crash", "fail", what, _why(run))
    what = f"nothing listens on $PORT within {limits.boot_s:g} s{words.late}"
    fix = "listen first and load the model on the first request (st.cache_resource), or make what is loaded smaller"
    return Finding("slow_boot", "fail", what, fix)


def _why(run: Run) -> str:
    said = run.exception or (run.told[-1][:200] if run.told else "")
    return f"it says: {said}; see all of it with aweigh up" if said else "it says nothing; look at it with aweigh up"


def _boot(boot_s: float, platform: Platform) -> Finding:
    what = f"it listens on $PORT after {boot_s:.1f} s, of {platform.limits.boot_s:g} s"
    if boot_s > platform.limits.boot_s * SLOW_BOOT:
        fix = f"a {platform.words.machine} may be slower: load the model after listening (st.cache_resource)"
        return Finding("slow_boot", "warn", what, fix)
    return Finding("boot", "pass", what)


def _killed(run: Run, platform: Platform, *, workers: int) -> Finding:
    limits = platform.limits
    quota = f"{platform.size} has {limits.quota_bytes // MB:,} MB"
    what = f"it takes more than {limits.kill_bytes // MB:,} MB, at which it is ended{platform.words.killed}; {quota}"
    return Finding("memory", "fail", what, _memory_fix(run.peak_bytes, platform, workers=workers))


def _memory(run: Run, platform: Platform, *, workers: int) -> Finding:
    limits = platform.limits
    figures = f"{run.rest_bytes / MB:.0f} MB at rest, {run.peak_bytes / MB:.0f} MB under load"
    what = f"{figures}; {platform.size} has {limits.quota_bytes // MB:,} MB"
    level: Level = "pass"
    if run.peak_bytes > limits.quota_bytes:
        level, what = "fail", f"{what}{platform.words.over_quota}"
    elif run.peak_bytes > limits.quota_bytes * CLOSE:
        level, what = "warn", f"{what}: little is left"
    fix = "" if level == "pass" else _memory_fix(run.peak_bytes, platform, workers=workers)
    return Finding("memory", level, what, fix)


def _memory_fix(peak_bytes: int, platform: Platform, *, workers: int) -> str:
    set_one = platform.words.set_variable.format("WEB_CONCURRENCY=1")
    fewer = f"{set_one} (each worker holds a model of its own); " if workers > 1 else ""
    return f"{fewer}{platform.more.format(f'{peak_bytes / MB:.0f}')}, or have the model packed: aweigh pack"


def _slowest(run: Run, platform: Platform) -> Finding:
    asked, limits = run.asked, platform.limits
    slowest = f"{asked.slowest_s:.2f} s ({asked.slowest})"
    what = f"the slowest of {asked.requests} answers took {slowest}, of {limits.first_byte_s:g} s"
    fix = "answer first and work in the background (jobs: aweigh worker), or ask for fewer rows at once"
    if asked.slowest_s > limits.first_byte_s:
        level: Level = "fail" if platform.words.slow else "warn"
        return Finding("slow_request", level, f"{what}{platform.words.slow}", fix)
    if asked.slowest_s > limits.first_byte_s * SLOW_BOOT:
        return Finding("slow_request", "warn", f"{what}; a {platform.words.machine} may be slower", fix)
    return Finding("requests", "pass", what)


def _keep_alive(run: Run, limits: Limits, words: Words) -> Finding:
    if run.asked.ping_s is None:
        what = (
            f"a session that is quiet for {limits.idle_s:g} s is cut off by {words.router}{words.quiet}: "
            "the server sends no ping"
        )
        fix = "have the server ping (Streamlit: server.websocketPingInterval = 20), or let aweigh serve it: it pings"
        return Finding("keep_alive", "fail" if words.quiet else "warn", what, fix)
    what = f"a quiet session stays open: the server pings after {run.asked.ping_s:.1f} s, of {limits.idle_s:g} s"
    return Finding("keep_alive", "pass", what)
