"""The queue in front of a model: who is asked together, who is turned away, who fails alone."""

import asyncio
import threading
from collections.abc import Callable

import anyio.to_thread
import numpy as np
import pytest

from aweigh.errors import Busy
from aweigh.runtime.batching import LARGE_AT_ONCE, Bounds, Left, Queue, outcomes
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output
from aweigh.table import Table, Values

OUTPUT = Output(task="number", name="twice")


def table(*numbers: float) -> Table:
    return Table({"x": Values(np.array(numbers, dtype=np.float64))}, len(numbers))


class Twice:
    """A model that doubles numbers, dies of 13, and notes how many rows each call had; it waits when it is told to."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, asked: Table) -> Answers:
        self.calls.append(asked.rows)
        assert self.may_go.wait(10)
        numbers = asked["x"].data
        if 13 in numbers:
            msg = "thirteen"
            raise RuntimeError(msg)
        return Answers(OUTPUT, asked.rows, values=2 * numbers.reshape(-1, 1))


def queue_of(model: Twice, *, batch_rows=8, waiting_rows=100, here=False, **bounds: float) -> Queue:
    in_thread: Callable[..., object] | None = None if here else anyio.to_thread.run_sync
    return Queue(model, bounds=Bounds(batch_rows, waiting_rows, **bounds), in_thread=in_thread)


async def ask(queue: Queue, *numbers: float) -> list[float]:
    answers = await queue.join(table(*numbers)).answers()
    return answers.values.reshape(-1).tolist()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("here", [True, False], ids=["on the loop", "in a thread"])
def test_everyone_gets_their_own_answers(here):
    async def run():
        queue = queue_of(Twice(), here=here)
        asked = [[i + 0.5] * (i % 3 + 1) for i in range(40)]
        got = await asyncio.gather(*(ask(queue, *numbers) for numbers in asked))
        assert got == [[2 * one for one in numbers] for numbers in asked]
        assert queue.waiting_rows == 0

    asyncio.run(run())


def test_what_arrives_while_the_model_works_is_asked_together_in_order():
    async def run():
        model = Twice()
        model.may_go.clear()
        batches = []
        queue = Queue(
            model,
            bounds=Bounds(8, 100),
            in_thread=anyio.to_thread.run_sync,
            on_batch=lambda rows, _: batches.append(rows),
        )
        first = asyncio.ensure_future(ask(queue, 1))
        await turns()
        done = []
        others = [asyncio.ensure_future(ask(queue, -i)) for i in range(20)]
        for i, one in enumerate(others):
            one.add_done_callback(lambda _, i=i: done.append(i))
        await turns()
        assert queue.waiting_rows == 20
        model.may_go.set()
        await asyncio.gather(first, *others)
        assert model.calls == batches == [1, 8, 8, 4]
        assert done == sorted(done)

    asyncio.run(run())


def test_on_the_loop_those_of_one_turn_are_asked_together():
    async def run():
        model = Twice()
        queue = queue_of(model, here=True)
        await asyncio.gather(*(ask(queue, i) for i in range(12)))
        assert model.calls == [8, 4]

    asyncio.run(run())


def test_an_idle_model_waits_for_company_only_when_told_to():
    async def run():
        model = Twice()
        queue = queue_of(model, wait_s=0.05)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        first = asyncio.ensure_future(ask(queue, 1))
        await asyncio.sleep(0.01)
        assert await asyncio.gather(first, ask(queue, 2)) == [[2.0], [4.0]]
        assert loop.time() - begun >= 0.05
        assert model.calls == [2]
        await asyncio.gather(*(ask(queue, i) for i in range(8)))  # a full batch waits for nobody
        assert model.calls == [2, 8]

    asyncio.run(run())


def test_many_rows_are_asked_by_themselves_and_hold_up_nobody():
    async def run():
        model = Twice()
        model.may_go.clear()
        queue = queue_of(model)
        large = asyncio.ensure_future(ask(queue, *range(-50, -1)))
        await turns()
        small = asyncio.ensure_future(ask(queue, 1))
        await asyncio.sleep(0.05)
        assert sorted(model.calls) == [1, 49]
        model.may_go.set()
        assert len(await large) == 49
        assert await small == [2.0]

    asyncio.run(run())


def test_a_full_queue_turns_away_at_once_and_says_when_to_come_again():
    async def run():
        model = Twice()
        model.may_go.clear()
        queue = Queue(model, bounds=Bounds(4, 6), in_thread=anyio.to_thread.run_sync, seconds_per_row=2.0)
        waiting = [asyncio.ensure_future(ask(queue, i)) for i in range(7)]
        await turns()
        assert queue.waiting_rows == 6
        assert queue.is_full
        with pytest.raises(Busy) as busy:
            queue.join(table(1))
        assert busy.value.retry_after_s == 12
        model.may_go.set()
        await asyncio.gather(*waiting)
        assert not queue.is_full
        assert await ask(queue, 5) == [10.0]
        assert queue.retry_after_s() == 1  # the model has shown that it is quicker

    asyncio.run(run())


def test_more_rows_than_may_wait_are_let_in_when_nothing_waits():
    async def run():
        queue = queue_of(Twice(), waiting_rows=3)
        assert len(await ask(queue, *range(-20, 0))) == 20

    asyncio.run(run())


def test_whoever_leaves_is_not_asked_for_and_frees_the_place():
    async def run():
        model = Twice()
        model.may_go.clear()
        queue = queue_of(model, waiting_rows=3)
        first = asyncio.ensure_future(ask(queue, 1))
        await turns()
        places = [queue.join(table(i)) for i in (2, 3, 4)]
        with pytest.raises(Busy):
            queue.join(table(5))
        places[1].leave()
        assert queue.waiting_rows == 2
        places.append(queue.join(table(5)))
        with pytest.raises(Left):
            await places[1].answers()
        model.may_go.set()
        assert [(await place.answers()).values[0, 0] for place in (places[0], *places[2:])] == [4.0, 8.0, 10.0]
        await first
        assert model.calls == [1, 3]

    asyncio.run(run())


def test_whoever_leaves_with_many_rows_frees_their_place():
    async def run():
        model = Twice()
        model.may_go.clear()
        queue = queue_of(model, batch_rows=2)
        places = [queue.join(table(1, 2, 3)) for _ in range(LARGE_AT_ONCE + 2)]
        assert queue.waiting_rows == 6
        places[-2].leave()
        assert queue.waiting_rows == 3
        model.may_go.set()
        assert [(await one.answers()).rows for one in (*places[:-2], places[-1])] == [3] * (LARGE_AT_ONCE + 1)
        assert model.calls == [3] * (LARGE_AT_ONCE + 1)

    asyncio.run(run())


def test_a_request_that_is_cancelled_frees_its_place():
    async def run():
        model = Twice()
        model.may_go.clear()
        queue = queue_of(model)
        first = asyncio.ensure_future(ask(queue, 1))
        await turns()
        second = asyncio.ensure_future(ask(queue, 2))
        await turns()
        second.cancel()
        await turns()
        assert queue.waiting_rows == 0
        first.cancel()  # its rows are being asked: there is no place to free, and nobody to tell
        model.may_go.set()
        assert await ask(queue, 3) == [6.0]
        assert model.calls == [1, 1]

    asyncio.run(run())


@pytest.mark.parametrize("here", [True, False], ids=["on the loop", "in a thread"])
def test_one_bad_row_fails_alone(here):
    async def run():
        queue = queue_of(Twice(), here=here, batch_rows=32)
        got = await asyncio.gather(*(ask(queue, i) for i in range(20)), return_exceptions=True)
        assert str(got[13]) == "thirteen"
        assert [one for i, one in enumerate(got) if i != 13] == [[2.0 * i] for i in range(20) if i != 13]
        assert await ask(queue, 1) == [2.0]

    asyncio.run(run())


def test_the_guilty_one_is_found_by_halves():
    model = Twice()
    found = outcomes(model, [table(i) for i in range(32)])
    assert [i for i, one in enumerate(found) if isinstance(one, Exception)] == [13]
    assert len(model.calls) == 11  # once together, then two halves on each of five levels


def test_a_stopping_server_leaves_nobody_waiting():
    async def run():
        async def never(_):
            raise asyncio.CancelledError

        queue = Queue(Twice(), bounds=Bounds(8, 100), in_thread=never)
        with pytest.raises(Left):
            await queue.join(table(1)).answers()

    asyncio.run(run())
