"""What was measured, held against what the platform allows: each figure with its limit, and what to do beyond it."""

from collections.abc import Iterator

from aweigh.targets.doctor.finding import Finding, Level
from aweigh.targets.doctor.run import Limits, Run
from aweigh.targets.doctor.slug import Slug

MB = 2**20
CLOSE = 0.85
"""From this part of a limit on it is said that there is little left."""
SLOW_BOOT = 0.5


def slug_findings(slug: Slug, *, most_bytes: int, large_bytes: int) -> Iterator[Finding]:
    """The slug against the platform's bound."""
    size = f"{slug.size_bytes / MB:.0f} MB compressed ({slug.unpacked_bytes / MB:,.0f} MB unpacked)"
    named = ", ".join(f"{name} {size / MB:.0f} MB" for name, size in slug.largest)
    fix = f"take out what is not needed; the largest are {named}" if named else "take out what is not needed"
    if slug.size_bytes > most_bytes:
        what = f"the slug is {size}; more than {most_bytes // MB} MB is not built"
        yield Finding("slug_size", "fail", what, f"{fix}; or deploy an image, which has no such bound")
    elif slug.size_bytes > large_bytes:
        what = f"the slug is {size}; from {large_bytes // MB} MB on the build warns, and dynos start slowly"
        yield Finding("slug_size", "warn", what, fix)
    else:
        yield Finding("slug_size", "pass", f"the slug is {size}, of {most_bytes // MB} MB")


def run_findings(run: Run, *, limits: Limits, workers: int, size: str) -> Iterator[Finding]:
    """One run of the web process against a dyno's limits."""
    if run.end == "memory":
        yield _killed(run, limits=limits, workers=workers, size=size)
        return
    if run.boot_s is None:
        yield _unbooted(run, limits)
        return
    yield _boot(run.boot_s, limits)
    if run.end:
        what = f"the web process ended by itself while it was asked ({run.end})"
        yield Finding("crash", "fail", what, _why(run))
    yield _memory(run, limits=limits, workers=workers, size=size)
    yield _slowest(run, limits)
    if run.asked.streams:
        yield _keep_alive(run, limits)
    if run.exception:
        what = f"the app raises an exception: {run.exception}"
        yield Finding("app_exception", "fail", what, "run it here and look: aweigh up")
    elif run.asked.failures and not run.end:
        what = f"not everything was answered: {run.asked.failures[0]}"
        yield Finding("failures", "fail", what, "run it here and look: aweigh up")


def _unbooted(run: Run, limits: Limits) -> Finding:
    if run.end.startswith("status"):
        what = f"the web process ends before it listens ({run.end}): H10, App crashed"
        return Finding("boot_crash", "fail", what, _why(run))
    what = f"nothing listens on $PORT within {limits.boot_s:g} s: R10, and the dyno is ended"
    fix = "listen first and load the model on the first request (st.cache_resource), or make what is loaded smaller"
    return Finding("slow_boot", "fail", what, fix)


def _why(run: Run) -> str:
    said = run.exception or (run.told[-1][:200] if run.told else "")
    return f"it says: {said}; see all of it with aweigh up" if said else "it says nothing; look at it with aweigh up"


def _boot(boot_s: float, limits: Limits) -> Finding:
    what = f"it listens on $PORT after {boot_s:.1f} s, of {limits.boot_s:g} s"
    if boot_s > limits.boot_s * SLOW_BOOT:
        fix = "a dyno is slower than this machine: load the model after listening (st.cache_resource)"
        return Finding("slow_boot", "warn", what, fix)
    return Finding("boot", "pass", what)


def _killed(run: Run, *, limits: Limits, workers: int, size: str) -> Finding:
    quota = f"{size} has {limits.quota_bytes // MB:,} MB"
    what = f"it takes more than {limits.kill_bytes // MB:,} MB, at which it is ended (R15); {quota}"
    return Finding("memory", "fail", what, _memory_fix(run.peak_bytes, workers=workers))


def _memory(run: Run, *, limits: Limits, workers: int, size: str) -> Finding:
    figures = f"{run.rest_bytes / MB:.0f} MB at rest, {run.peak_bytes / MB:.0f} MB under load"
    what = f"{figures}; {size} has {limits.quota_bytes // MB:,} MB"
    level: Level = "pass"
    if run.peak_bytes > limits.quota_bytes:
        level, what = "fail", f"{what} (R14: it swaps, and becomes slow)"
    elif run.peak_bytes > limits.quota_bytes * CLOSE:
        level, what = "warn", f"{what}: little is left"
    return Finding("memory", level, what, "" if level == "pass" else _memory_fix(run.peak_bytes, workers=workers))


def _memory_fix(peak_bytes: int, *, workers: int) -> str:
    fewer = "heroku config:set WEB_CONCURRENCY=1 (each worker holds a model of its own); " if workers > 1 else ""
    return f"{fewer}take a dyno with more than {peak_bytes / MB:.0f} MB, or have the model packed: aweigh pack"


def _slowest(run: Run, limits: Limits) -> Finding:
    asked = run.asked
    slowest = f"{asked.slowest_s:.2f} s ({asked.slowest})"
    what = f"the slowest of {asked.requests} answers took {slowest}, of {limits.first_byte_s:g} s"
    fix = "answer first and work in the background (jobs: aweigh worker), or ask for fewer rows at once"
    if asked.slowest_s > limits.first_byte_s:
        return Finding("slow_request", "fail", f"{what}: H12", fix)
    if asked.slowest_s > limits.first_byte_s * SLOW_BOOT:
        return Finding("slow_request", "warn", f"{what}; a dyno is slower than this machine", fix)
    return Finding("requests", "pass", what)


def _keep_alive(run: Run, limits: Limits) -> Finding:
    if run.asked.ping_s is None:
        what = (
            f"a session that is quiet for {limits.idle_s:g} s is cut off by the router (H15): the server sends no ping"
        )
        fix = "have the server ping (Streamlit: server.websocketPingInterval = 20), or let aweigh serve it: it pings"
        return Finding("keep_alive", "fail", what, fix)
    what = f"a quiet session stays open: the server pings after {run.asked.ping_s:.1f} s, of {limits.idle_s:g} s"
    return Finding("keep_alive", "pass", what)
