"""How a request for predictions finds its model: the only one there is, or one of two (``release/ways.py``)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Scope

from aweigh.server.access.door import METER
from aweigh.server.access.meter import Meter, charged
from aweigh.server.reply import Reply
from aweigh.server.service import Seen, Service
from aweigh.table import Table


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked: its scope and body, and ``read``, which makes a table of it that fits a model's schema."""

    scope: Scope
    body: bytes
    read: Callable[[Service], Table]


Attempt = Callable[[Service, Meter | None, Seen | None], Awaitable[Reply]]
"""Asks one model: its rows are charged to the meter, and its answers shown to whoever wants to see them."""

Ask = Callable[[Attempt, Question], Awaitable[Reply]]
"""Chooses the model, or two one after the other, and gives the reply."""


def one_model(service: Service) -> Ask:
    """Whatever is asked, this one answers."""

    async def ask(attempt: Attempt, question: Question) -> Reply:
        return await charged(question.scope.get(METER), lambda meter: attempt(service, meter, None))

    return ask
