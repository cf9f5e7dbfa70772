"""Whether this process may answer: not before its golden rows agree, and not for new callers once it is to stop."""

from dataclasses import dataclass

from aweigh.errors import ModelDiffers, NotReady
from aweigh.server.board import Board


@dataclass(slots=True)
class Readiness:
    """What ``/health/ready`` says. Starts unproven; ``prove`` or ``refuse`` comes once, ``drain`` at the end.

    While it is ``warming`` after the proof, predictions are given (the first page asks for one), but nobody is invited.
    ``board`` is that of a process among others: nobody is invited before all have started, those of the app as well,
    and how many of them answer is told beside.
    """

    proven: bool = False
    warming: bool = False
    refused: bool = False
    draining: bool = False
    golden_rows: int = 0
    board: Board | None = None

    def prove(self, *, golden_rows: int) -> None:
        """The golden rows were answered as the original answered them."""
        self.golden_rows = golden_rows
        self.proven = True

    def refuse(self) -> None:
        """A golden row was answered differently: this process never answers."""
        self.refused = True

    def drain(self) -> None:
        """The process is to stop: what is under way is finished, and nobody new should come."""
        self.draining = True

    def require_proof(self) -> None:
        """Passes only when predictions may be given, which they may while draining.

        Raises:
            NotReady: the golden rows have not been replayed yet, or did not agree.
        """
        if not self.proven:
            raise self.reason()

    def require_ready(self) -> None:
        """Passes only when new callers are welcome.

        Raises:
            NotReady: unproven, refused, warming, draining, or one of the first processes that has not started yet.
        """
        if self.draining or self.warming or not self.proven:
            raise self.reason()
        if self.board is not None and not self.board.is_open:
            raise NotReady("Not all processes of the server have started yet.", hint="ask again in a moment")

    def reason(self) -> NotReady:
        """Why not."""
        if self.refused:
            return ModelDiffers(
                "The model does not give the answers that it gave when it was packed, so it gives none.",
                hint="the server's log names the rows that differ",
            )
        if self.draining:
            return NotReady("The server is shutting down.")
        return NotReady("The model is still being loaded and checked.", hint="ask again in a moment")
