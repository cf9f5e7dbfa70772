"""How the API says no."""

from typing import Any


class ApiError(Exception):
    """An answer of 4xx or 5xx: ``{"id": ..., "message": ...}`` and what more belongs to it."""

    def __init__(
        self,
        status: int,
        id: str,  # noqa: A002  (the API's own word)
        message: str,
        *,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"id": id, "message": message, **more}
        self.headers = headers or {}


def not_found(what: str, resource: str) -> ApiError:
    """Return the error for something that is not there."""
    return ApiError(404, "not_found", f"Couldn't find that {what}.", resource=resource)


def invalid(message: str) -> ApiError:
    """Return the error for what makes no sense."""
    return ApiError(422, "invalid_params", message)
