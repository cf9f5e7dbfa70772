"""What an identity's rows are charged to: its budget of requests and rows, told when it is used up."""

from typing import TYPE_CHECKING

from aweigh.errors import AweighError

if TYPE_CHECKING:
    from aweigh.guard.identity import Identity
    from aweigh.guard.limits import Limits


class OverBudget(AweighError):  # noqa: N818  named as those of errors.py
    """An identity has asked for as many rows as it may; ``retry_after_s`` says when it may again."""

    code = "over_budget"
    http_status = 429

    def __init__(self, name: str, *, retry_after_s: float) -> None:
        self.retry_after_s = max(1, round(retry_after_s + 0.5))
        super().__init__(
            f"{name} has asked for as much as it may for now.",
            hint=f"ask again in {self.retry_after_s} s; whoever runs this server sets the budget",
        )


class Meter:
    """Charges an identity for each request: ``meter(rows)``."""

    def __init__(self, limits: "Limits", identity: "Identity") -> None:
        self._limits = limits
        self._identity = identity

    def __call__(self, rows: int) -> None:
        """One request of so many rows.

        Raises:
            OverBudget: that is more than there is left.
        """
        wait_s = self._limits.spend(self._identity, 1, rows=rows)
        if wait_s > 0:
            raise OverBudget(self._identity.name, retry_after_s=wait_s)
