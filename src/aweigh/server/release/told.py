"""What is told of a release: the document of ``/v1/release``, the lines of ``/metrics``, and the audit log."""

from collections.abc import Iterator

import msgspec

from aweigh.guard.identity import Identity
from aweigh.runtime.predictor import Predictor
from aweigh.runtime.release.policy import p95_s, slowness
from aweigh.runtime.release.state import State
from aweigh.runtime.release.tally import Side, Tally
from aweigh.server.access.door import Door
from aweigh.server.metrics import escaped
from aweigh.server.release.trial import Trial

EVENTS = {"canary": "started", "shadow": "started", "promoted": "promoted", "aborted": "aborted", "off": "changed"}
LIMITS = ("errors", "latency", "disagreement", "golden_rows")


def release_document(trial: Trial, tally: Tally) -> dict[str, object]:
    """``GET /v1/release``: what it does, what was counted by all, and when the candidate is given up."""
    state, shadow = trial.state, tally.shadow
    answered = tally.current.requests + tally.candidate.requests
    found = slowness(tally, trial.terms.limits)
    return {
        "state": {
            "mode": state.mode,
            "percent": state.percent if state.mode == "canary" else {"promoted": 100.0}.get(state.mode, 0.0),
            "number": state.number,
            "begun": state.begun,
            "at": state.at,
            "by": state.by,
            "reason": state.reason,
            "limit": state.limit,
        },
        "current": _side(trial.current.predictor, tally.current),
        "candidate": _side(trial.candidate.predictor, tally.candidate)
        | {"share": tally.candidate.requests / answered if answered else 0.0, "fit": trial.is_fit},
        "same_sizes": None if found is None else msgspec.to_builtins(found),
        "shadow": msgspec.to_builtins(shadow)
        | {"mean_ms": round(shadow.seconds / shadow.drawn * 1000, 3) if shadow.drawn else 0.0},
        "limits": msgspec.to_builtins(trial.terms.limits)
        | {"automatic": trial.terms.automatic, "tolerance": trial.terms.tolerance},
    }


def _side(predictor: Predictor, side: Side) -> dict[str, object]:
    return {
        "name": predictor.manifest.name,
        "version": predictor.version,
        "digest": predictor.digest,
        "requests": side.requests,
        "errors": side.errors,
        "p95_ms": round(p95_s(side) * 1000, 3),
    }


def metrics_text(trial: Trial) -> str:
    """The lines of ``/metrics``: of the trial that is under way, counted by all processes and replicas."""
    return "\n".join(_lines(trial)) + "\n"


def _lines(trial: Trial) -> Iterator[str]:
    state, tally = trial.state, trial.total
    percent = {"promoted": 100.0, "canary": state.percent}.get(state.mode, 0.0)
    yield from _head("aweigh_release_info", "gauge", "The release that is under way.")
    labels = {
        "mode": state.mode,
        "current": trial.current.predictor.version,
        "candidate": trial.candidate.predictor.version,
        "limit": state.limit,
    }
    told = ",".join(f'{key}="{escaped(one)}"' for key, one in labels.items())
    yield f"aweigh_release_info{{{told}}} 1"
    yield from _head("aweigh_release_percent", "gauge", "Of requests, those that the candidate is to answer.")
    yield f"aweigh_release_percent {percent:g}"
    sides = (("current", tally.current), ("candidate", tally.candidate))
    yield from _head("aweigh_release_requests_total", "counter", "Requests in the trial, by who was to answer.")
    yield from (f'aweigh_release_requests_total{{model="{name}"}} {side.requests}' for name, side in sides)
    yield from _head("aweigh_release_errors_total", "counter", "Those that the model failed on.")
    yield from (f'aweigh_release_errors_total{{model="{name}"}} {side.errors}' for name, side in sides)
    yield from _head("aweigh_release_p95_seconds", "gauge", "The 95th percentile of the time that a request took.")
    yield from (f'aweigh_release_p95_seconds{{model="{name}"}} {p95_s(side):.6g}' for name, side in sides)
    for name, about, value in (
        ("requests", "Requests that the shadow was asked.", tally.shadow.requests),
        ("errors", "Those that it failed on.", tally.shadow.errors),
        ("rows", "Rows that were compared.", tally.shadow.rows),
        ("differing_rows", "Rows on which it said something else.", tally.shadow.differing),
        ("dropped", "Requests that were left out, as too many waited.", tally.shadow.dropped),
    ):
        yield from _head(f"aweigh_release_shadow_{name}_total", "counter", about)
        yield f"aweigh_release_shadow_{name}_total {value}"
    yield from _head("aweigh_release_aborted", "gauge", "1 where the candidate was given up by itself, and why.")
    for limit in LIMITS:
        yield f'aweigh_release_aborted{{limit="{limit}"}} {int(state.mode == "aborted" and state.limit == limit)}'


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"


def audited(
    door: Door, state: State, candidate: Predictor, *, by: Identity | None = None, client: str = "", event: str = ""
) -> None:
    """Writes into the audit log what a release does from now on, where those who come in are known.

    Raises:
        StorageDown, StorageFull: it cannot be written.
    """
    what = {"mode": state.mode, "candidate": candidate.version}
    if state.mode == "canary":
        what["percent"] = f"{state.percent:g}"
    if state.reason:
        what["reason"] = state.reason
    door.audit(f"release.{event or EVENTS[state.mode]}", by=by, what=what, client=client)
