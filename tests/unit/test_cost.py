"""What a model costs, and what follows: batches, kept answers, how much may wait."""

import numpy as np
import pytest

from aweigh.runtime.cost import FEWEST_WAITING, LONG_CALL_S, MOST_WAITING, SIZES, Cost, bounds_for, measure
from aweigh.schema import Answers, Output
from aweigh.table import Table, Values

OUTPUT = Output(task="number", name="y")
ROWS = Table({"x": Values(np.arange(5.0))}, 5)


def cost(*seconds, steady=True, gather_s=1e-5):
    return Cost(SIZES[: len(seconds)], seconds, gather_s=gather_s, switch_s=1e-4, steady=steady)


class Clocked:
    """A model that takes so long a call and so long a row, by a clock of its own."""

    def __init__(self, *, call_s, row_s=0.0):
        self.now = 0.0
        self.calls = []
        self._call_s, self._row_s = call_s, row_s

    def __call__(self, table):
        self.calls.append(table.rows)
        self.now += self._call_s + table.rows * self._row_s
        return Answers(OUTPUT, table.rows, values=table["x"].data.reshape(-1, 1))

    def clock(self):
        return self.now


def test_a_model_quicker_than_any_queue_is_asked_nothing_more():
    model = Clocked(call_s=30e-6)
    found = measure(model, ROWS, clock=model.clock)
    assert (found.sizes, set(model.calls)) == ((1,), {1})
    assert (found.batching_pays, found.keeping_pays, found.sharing_pays) == (False, False, False)
    assert bounds_for(found).batch_rows == 1


def test_a_model_that_takes_as_long_for_many_rows_as_for_one_is_asked_for_many():
    model = Clocked(call_s=0.013, row_s=0.0001)
    found = measure(model, ROWS, clock=model.clock)
    assert found.sizes == SIZES
    assert found.seconds == pytest.approx([0.0131, 0.0138, 0.0162, 0.0258])
    assert found.batching_pays
    assert found.keeping_pays
    assert found.sharing_pays
    bounds = bounds_for(found)
    assert (bounds.batch_rows, bounds.lanes) == (128, 1)
    assert bounds.waiting_rows == MOST_WAITING


def test_a_model_whose_rows_cost_the_same_in_company_is_asked_alone():
    model = Clocked(call_s=0.0, row_s=0.02)
    found = measure(model, ROWS, clock=model.clock)
    assert found.sizes == (1, 8)  # 8 rows take longer than a batch should
    assert not found.batching_pays
    bounds = bounds_for(found, lanes=3)
    assert (bounds.batch_rows, bounds.lanes) == (1, 3)
    assert bounds.waiting_rows == 250  # five seconds' worth
    assert bounds_for(cost(1.0)).waiting_rows == FEWEST_WAITING


def test_a_batch_takes_no_longer_than_it_should():
    assert bounds_for(cost(0.01, 0.02, 0.05, 0.2)).batch_rows == 32
    assert cost(0.01, 0.02, 0.05, 0.2).rows_within(LONG_CALL_S / 4) == 8


def test_a_plan_bounds_what_the_prices_say_and_never_what_was_asked_for():
    slow = cost(0.013, 0.0138, 0.0162, 0.0258)
    assert bounds_for(slow).batch_rows == 128
    assert bounds_for(slow, max_batch_rows=32).batch_rows == 32
    assert bounds_for(slow, max_batch_rows=1, lanes=2).lanes == 2
    assert bounds_for(slow, max_batch_rows=1024).batch_rows == 128
    assert bounds_for(slow, batch_rows=64, max_batch_rows=32).batch_rows == 64
    assert bounds_for(cost(1e-5), max_batch_rows=1024).batch_rows == 1


def test_what_was_asked_for_counts_more_than_prices():
    quick = cost(1e-5)
    assert bounds_for(quick, batch_rows=64, queue_rows=7, wait_s=0.1).batch_rows == 64
    assert bounds_for(quick, batch_rows=64, queue_rows=7, wait_s=0.1).waiting_rows == 7
    slow = cost(0.01, 0.01)
    assert bounds_for(slow, batch_rows=0, lanes=2).batch_rows == 1
    assert bounds_for(slow, batch_rows=0, lanes=2).lanes == 2


def test_a_model_whose_answers_hang_on_the_company_is_neither_batched_nor_kept():
    class Swayed(Clocked):
        def __call__(self, table):
            answers = super().__call__(table)
            return Answers(OUTPUT, table.rows, values=answers.values + 1e-15 * (table.rows > 8))

    model = Swayed(call_s=0.01)
    found = measure(model, ROWS, clock=model.clock)
    assert not found.steady
    assert (found.batching_pays, found.keeping_pays) == (False, False)
    assert bounds_for(found, batch_rows=32).batch_rows == 32  # who asks for it takes the proof's tolerance


class Warming(Clocked):
    """A model whose first calls take four times as long as those to come."""

    def __call__(self, table):
        answers = super().__call__(table)
        if len(self.calls) < 30:
            self.now += 3 * self._call_s
        return answers


def test_the_first_calls_of_a_quick_model_do_not_say_what_it_costs():
    """Such a model was put together with others in some starts and not in others, at half as much again a request."""
    model = Warming(call_s=60e-6)
    found = measure(model, ROWS, clock=model.clock)
    assert found.one_s == pytest.approx(60e-6)
    assert not found.batching_pays


def test_a_model_that_is_warm_is_measured_for_a_moment_only():
    model = Clocked(call_s=60e-6)
    measure(model, ROWS, clock=model.clock)
    assert model.now < 0.021
    slow = Clocked(call_s=0.02)
    measure(slow, ROWS, clock=slow.clock)
    assert slow.calls.count(1) < 10
