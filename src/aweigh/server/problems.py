"""Errors as RFC 9457 problem documents: one table says which status and title each code has."""

import json
from collections.abc import Sequence

import msgspec

from aweigh.errors import AweighError, InvalidRows

PROBLEM_JSON = b"application/problem+json"

PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed_request": (400, "The request is not HTTP"),
    "bad_parameter": (400, "A parameter of the request cannot be"),
    "malformed_body": (400, "The body cannot be read"),
    "not_signed_in": (401, "Say who you are"),
    "forbidden": (403, "This address is not for everybody"),
    "not_allowed": (403, "This takes another role or key"),
    "cross_site": (403, "The request comes from another site"),
    "not_found": (404, "There is nothing at this address"),
    "no_job": (404, "There is no such job"),
    "method_not_allowed": (405, "This address takes another method"),
    "not_acceptable": (406, "None of the content types asked for can be written"),
    "slow_body": (408, "The body did not arrive in time"),
    "wrong_state": (409, "The release is not in a state for that"),
    "no_result": (409, "The job has no result"),
    "expired": (410, "The job has expired"),
    "too_large": (413, "That is more than one request may hold"),
    "unsupported_media": (415, "The content type is none that is read here"),
    "unsatisfiable_range": (416, "The file has no such bytes"),
    "unknown_host": (421, "The server has another name"),
    "data": (422, "The table cannot be used"),
    "invalid_rows": (422, "The rows do not fit the model"),
    "outside_domain": (422, "The rows lie outside what the model has seen"),
    "no_answer": (422, "The model has no answer for these rows"),
    "over_budget": (429, "That is more than may be asked for now"),
    "throttled": (429, "Too many tries"),
    "head_too_large": (431, "The address and headers are too large"),
    "internal": (500, "Something failed inside"),
    "worker_lost": (500, "No worker survived the job"),
    "not_ready": (503, "The model is not ready"),
    "model_differs": (503, "The model does not answer as it did when it was packed"),
    "busy": (503, "More is asked than can be answered in time"),
    "queue_full": (503, "Too many jobs wait"),
    "storage_down": (503, "What is stored cannot be read or written just now"),
    "storage_full": (507, "There is no room left to store it"),
}
"""Every code that the server answers with: the status and the title that always go with it."""

DOCS = "/v1/docs"
FAILED = "The server failed, and has written down why."


class Refused(AweighError):  # noqa: N818  named as those of errors.py
    """What HTTP itself refuses, before any table is looked at."""

    def __init__(
        self, code: str, message: str, *, hint: str | None = None, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.headers = headers


def not_found() -> Refused:
    """404: no such address."""
    return Refused("not_found", "There is nothing at this address.", hint=f"the addresses are listed at {DOCS}")


def method_not_allowed(allowed: Sequence[str]) -> Refused:
    """405: the address is right and the method is not."""
    words = " or ".join(one for one in allowed if one != "HEAD")
    return Refused(
        "method_not_allowed", f"This address takes {words}.", headers=[(b"allow", ", ".join(allowed).encode())]
    )


def status_of(error: AweighError) -> int:
    """The HTTP status of an error: 500 for what no client brought about."""
    return PROBLEMS.get(error.code, PROBLEMS["internal"])[0]


def document_of(error: AweighError) -> dict[str, object]:
    """The problem document of an error; of one that no client brought about only that there was one."""
    status = status_of(error)
    if status == 500:
        return internal_document(None)
    document: dict[str, object] = {
        "type": f"{DOCS}#{error.code}",
        "title": PROBLEMS[error.code][1],
        "status": status,
        "detail": error.message,
        "code": error.code,
    }
    if error.hint is not None:
        document["hint"] = error.hint
    if isinstance(error, InvalidRows):
        document["problems"] = [one.document() for one in error.problems]
        document["total"] = error.total
    return document


def sentence_of(error: AweighError) -> str:
    """An error in one line, as the Open Inference Protocol has it: the sentence, and what to do."""
    if status_of(error) == 500:
        return FAILED
    return f"{error.message} ({error.hint})" if error.hint else error.message


def internal_document(log_id: str | None) -> dict[str, object]:
    """What is said of an error inside: nothing but the id under which the log has all of it."""
    document: dict[str, object] = {
        "type": f"{DOCS}#internal",
        "title": PROBLEMS["internal"][1],
        "status": 500,
        "detail": f"{FAILED} Nothing is wrong with the request as such.",
        "code": "internal",
    }
    if log_id is not None:
        document["id"] = log_id
    return document


def encode(document: object) -> bytes:
    """JSON bytes; text that is no Unicode (a lone surrogate in a name that a client made up) with question marks."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def headers_of(error: AweighError, *, size_bytes: int, media: bytes = PROBLEM_JSON) -> list[tuple[bytes, bytes]]:
    """The headers of a problem document of that size."""
    headers = [(b"content-type", media), (b"content-length", b"%d" % size_bytes)]
    if isinstance(error, Refused):
        headers.extend(error.headers)
    if status_of(error) in {429, 503}:
        after_s = getattr(error, "retry_after_s", 1)
        if after_s is None:  # waiting changes nothing
            return headers
        headers.append((b"retry-after", b"%d" % after_s))
    return headers
