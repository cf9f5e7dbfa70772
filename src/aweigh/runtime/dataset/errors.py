"""What goes wrong with a data set as a whole; what is wrong with one of its files is told as a ``Failed``."""

from aweigh.errors import AweighError, RemoteError


class StoreFailed(RemoteError):
    """A store of objects could not be asked, or refused."""

    code = "store"


class WorkerFailed(AweighError):
    """A process that was to score could not begin; ``code`` and ``exit_code`` are those of what stopped it."""

    code = "worker"

    def __init__(self, message: str, *, hint: str | None = None, code: str = "worker", exit_code: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.exit_code = exit_code
