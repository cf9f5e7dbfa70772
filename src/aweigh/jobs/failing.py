"""Why a job failed, in words for who posted it."""

import errno

from aweigh.errors import AweighError, DataError, MissingExtra, StorageFull, UsageError
from aweigh.jobs.job import Failure, failure_of
from aweigh.runtime.predictor import Predictor

HTTP_HINTS = (
    ("--encoding windows-1252", "Content-Type: text/csv; charset=windows-1252"),
    ("--ignore-extra", "?ignore_extra=true"),
    ("--answers-only", "?answers_only=true"),
    ("--keep", "?keep="),
    ("-o OUT.jsonl", "?output=jsonl"),
)
"""What the command line says of its options, in the words of an address."""


def failure_for(predictor: Predictor, error: Exception) -> Failure:
    """What is told of an error: of one that is nobody's but the program's only that there was one."""
    if isinstance(error, AweighError):
        error.hint = in_http(error.hint)
    if isinstance(error, DataError | StorageFull):
        return failure_of(error)
    if isinstance(error, UsageError):
        return Failure(code="data", message=error.message, hint=error.hint)
    if isinstance(error, MissingExtra):
        return Failure(
            code="unsupported_media", message="Parquet is neither read nor written here.", hint="use CSV or JSON lines"
        )
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return Failure(code="storage_full", message="The worker has no room left for the result.")
    if not isinstance(error, MemoryError | OSError) and _is_well(predictor):
        return Failure(code="no_answer", message="The model has no answer for some of the rows, and fails on them.")
    return Failure(code="internal", message="The worker failed, and has written down why.")


def _is_well(predictor: Predictor) -> bool:
    try:
        return predictor.replay().ok
    except Exception:  # noqa: BLE001  a model that fails on its golden rows is not well
        return False


def in_http(hint: str | None) -> str | None:
    """A hint for the command line, in the words of an address."""
    if hint is not None:
        for option, said in HTTP_HINTS:
            hint = hint.replace(option, said)
    return hint
