"""What is told of a job: its document, and the names and types of its files."""

from collections.abc import Mapping
from datetime import UTC, datetime

from aweigh.bundle.manifest import short
from aweigh.jobs.job import STATES, Failure, Job
from aweigh.runtime.rows_out import OutKind
from aweigh.server.jobs.asked import JSON_LINES, PARQUET
from aweigh.server.media import ARROW_FILE
from aweigh.server.problems import DOCS, PROBLEMS

MEDIA: dict[OutKind, str] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": JSON_LINES,
    "parquet": PARQUET,
    "arrow": ARROW_FILE,
}


def address(job_id: str) -> str:
    """Where a job is."""
    return f"/v1/jobs/{job_id}"


def job_document(job: Job) -> dict[str, object]:
    """A job as ``GET /v1/jobs/ID`` tells it: only what is known."""
    share = job.rows / job.total if job.total else (1.0 if job.state == "done" else None)
    here = address(job.id)
    links = {"self": here}
    if job.state == "done":
        links["result"] = f"{here}/result"
        if job.told is not None:
            links["bad"] = f"{here}/bad"
    found: dict[str, object | None] = {
        "id": job.id,
        "state": job.state,
        "model": {"name": job.model, "version": short(job.digest)},
        "output": job.wish.output,
        "progress": _known(
            {
                "rows": job.rows,
                "total": job.total,
                "share": None if share is None else round(min(share, 1.0), 4),
                "bad": job.bad,
            }
        ),
        "created": moment(job.created),
        "started": moment(job.started),
        "finished": moment(job.finished),
        "expires": moment(job.expires),
        "attempts": job.attempts,
        "links": links,
    }
    if job.state == "done" and job.bad is not None:
        found["rows"] = {"answered": job.rows - job.bad, "bad": job.bad, "problems": job.problems}
        found["seconds"] = round(job.seconds, 3)
    if job.failure is not None:
        found["error"] = problem_of(job.failure)
    return _known(found)


def _known(found: Mapping[str, object | None]) -> dict[str, object]:
    return {name: value for name, value in found.items() if value is not None}


def problem_of(failure: Failure) -> dict[str, object]:
    """Why a job failed, as the problem document that a request for a prediction would have got."""
    code = failure.code if failure.code in PROBLEMS else "data"
    status, title = PROBLEMS[code]
    document: dict[str, object] = {
        "type": f"{DOCS}#{code}", "title": title, "status": status, "detail": failure.message, "code": code,
    }  # fmt: skip
    if failure.hint is not None:
        document["hint"] = failure.hint
    if failure.problems:
        document["problems"] = list(failure.problems)
        document["total"] = failure.total
    return document


def moment(seconds: float | None) -> str | None:
    """Seconds since 1970 as a moment in UTC (RFC 3339)."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counters_text(counts: Mapping[str, int], tallies: Mapping[str, float]) -> str:
    """What ``/metrics`` tells of jobs: how many there are in each state, and the sums of all that ended."""
    lines = ["# HELP aweigh_jobs Jobs, by state.", "# TYPE aweigh_jobs gauge"]
    lines += [f'aweigh_jobs{{state="{state}"}} {counts.get(state, 0)}' for state in STATES]
    lines += ["# HELP aweigh_jobs_total Jobs that came to an end, by it.", "# TYPE aweigh_jobs_total counter"]
    lines += [f'aweigh_jobs_total{{end="{end}"}} {tallies.get(end, 0):.0f}' for end in ("done", "failed", "cancelled")]
    for name, key, about in (
        ("aweigh_jobs_rows_total", "rows", "Rows of jobs that are done."),
        ("aweigh_jobs_bad_rows_total", "bad_rows", "Rows of jobs that are done, without an answer."),
        ("aweigh_jobs_seconds_total", "seconds", "Seconds that jobs took."),
    ):
        lines += [f"# HELP {name} {about}", f"# TYPE {name} counter", f"{name} {tallies.get(key, 0.0):.10g}"]
    return "\n".join(lines) + "\n"
