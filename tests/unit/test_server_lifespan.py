"""Start and stop: a server that is told to go while it proves its model waits for the proof."""

import asyncio
import threading

import pytest

from aweigh.server.lifespan import lifespan
from aweigh.server.readiness import Readiness


class Trial:
    """Stands at the place of a candidate: its proof takes until somebody lets it go on, and may fail."""

    def __init__(self, *, fails):
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.told = []
        self._fails = fails

    def prove(self):
        self.begun.set()
        assert self.go_on.wait(30)
        self.told.append("proven")
        if self._fails:
            raise ValueError

    async def close(self):
        self.told.append("closed")


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_closed_that_is_still_at_work(fails):
    trial, complaints = Trial(fails=fails), []

    async def start_and_stop():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        manager = lifespan(None, service=None, ui=None, readiness=Readiness(), on_settled=None, trial=trial)
        async with manager:
            await asyncio.to_thread(trial.begun.wait, 30)
            asyncio.get_running_loop().call_later(0.1, trial.go_on.set)

    asyncio.run(start_and_stop())
    assert trial.told == ["proven", "closed"]
    assert complaints == []


def test_who_must_prove_first_fails_where_the_proof_does():
    trial = Trial(fails=True)
    trial.go_on.set()

    async def start():
        async with lifespan(
            None, service=None, ui=None, readiness=Readiness(), on_settled=None, prove_first=True, trial=trial
        ):
            pytest.fail("it was let in before the proof")

    with pytest.raises(BaseExceptionGroup) as failed:
        asyncio.run(start())
    assert failed.group_contains(ValueError)
    assert trial.told == ["proven", "closed"]
