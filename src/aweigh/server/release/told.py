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
PREFIX = "aweigh_release_"
COUNTERS = {
    "aweigh_release_info": ("gauge", "The release that is under way, and which limit ended it."),
    "aweigh_release_percent": ("gauge", "Of a hundred requests, those that the candidate is to answer."),
    "aweigh_release_requests_total": ("counter", "Requests in the trial, by the model that was to answer."),
    "aweigh_release_errors_total": ("counter", "Those that it failed on."),
    "aweigh_release_p95_seconds": ("gauge", "The 95th percentile of the time that a request took."),
    "aweigh_release_shadow_requests_total": ("counter", "Requests that the shadow was asked."),
    "aweigh_release_shadow_errors_total": ("counter", "Those that it failed on."),
    "aweigh_release_shadow_rows_total": ("counter", "Rows that were compared."),
    "aweigh_release_shadow_differing_rows_total": ("counter", "Rows on which the shadow said something else."),
    "aweigh_release_shadow_dropped_total": ("counter", "Requests that were left out, as too many waited."),
    "aweigh_release_aborted": ("gauge", "1 for the limit by which the candidate was given up."),
}
"""Kind and what is counted: all in the trial that is under way, by all processes and replicas."""

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
    state, tally, shadow = trial.stands, trial.total, trial.total.shadow
    labels = {
        "mode": state.mode,
        "current": trial.current.predictor.version,
        "candidate": trial.candidate.predictor.version,
        "limit": state.limit,
    }
    told = ",".join(f'{key}="{escaped(one)}"' for key, one in labels.items())
    sides = (("current", tally.current), ("candidate", tally.candidate))
    found: dict[str, list[tuple[str, float]]] = {
        "info": [(f"{{{told}}}", 1)],
        "percent": [("", {"promoted": 100.0, "canary": state.percent}.get(state.mode, 0.0))],
        "requests_total": [(f'{{model="{name}"}}', side.requests) for name, side in sides],
        "errors_total": [(f'{{model="{name}"}}', side.errors) for name, side in sides],
        "p95_seconds": [(f'{{model="{name}"}}', p95_s(side)) for name, side in sides],
        "shadow_requests_total": [("", shadow.requests)],
        "shadow_errors_total": [("", shadow.errors)],
        "shadow_rows_total": [("", shadow.rows)],
        "shadow_differing_rows_total": [("", shadow.differing)],
        "shadow_dropped_total": [("", shadow.dropped)],
        "aborted": [
            (f'{{limit="{limit}"}}', int(state.mode == "aborted" and state.limit == limit)) for limit in LIMITS
        ],
    }
    for name, (kind, about) in COUNTERS.items():
        yield f"# HELP {name} {about}"
        yield f"# TYPE {name} {kind}"
        yield from (f"{name}{labelled} {value:.6g}" for labelled, value in found[name.removeprefix(PREFIX)])


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
