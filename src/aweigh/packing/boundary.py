"""The search for the nearest row with another answer, and for the farthest answer nearby, by asking alone.

Decision-based: nothing is used but what the model answers. For answers that are one of several the search goes along
their boundary after Chen, Jordan and Wainwright, "HopSkipJumpAttack" (IEEE S&P 2020): the direction across is estimated
from random points around, a step is taken along it, and a bisection leads back to the boundary. Trees have boundaries
with corners, where directions say little: so points that are nearer are tried at random as well (Brendel, Rauber and
Bethge, "Decision-Based Adversarial Attacks", ICLR 2018), and columns are set back to where they were, one at a time.
All rows are searched for together: a model is asked few times for many rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Points, shape (points, columns), every column in units of its own."""

Flips = Callable[[NDArray[np.int64], Points], NDArray[np.bool_]]
"""Whether each point gets another answer than the row, by its place among the origins, that it stands for."""

Values = Callable[[NDArray[np.int64], Points], NDArray[np.float64]]
"""The number that each point is answered with."""

ROUNDS, BISECTIONS = 20, 10
MOST_DIRECTIONS = 48
NEARER = 24
"""Points tried at random in each round that are nearer than the best so far."""
SET_BACK = 4
"""Columns that are set back in each round: those that are farthest away."""
HALVINGS = 6
CLIMBS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Where points may lie: between ``low`` and ``high``, on the ``grid`` where a column has one (0: it has none).

    All of shape (columns,), in the columns' units.
    """

    low: Points
    high: Points
    grid: Points

    def fit(self, points: Points) -> Points:
        """The nearest points within."""
        found = np.clip(points, self.low, self.high)
        stepped = self.grid > 0
        if stepped.any():
            step = self.grid[stepped]
            found[..., stepped] = np.rint(found[..., stepped] / step) * step
        return found


def nearest_flips(
    flips: Flips,
    origins: Points,
    best: Points,
    room: Room,
    generator: np.random.Generator,
    *,
    go_on: Callable[[int], bool],
) -> Points:
    """For each origin a point near it that flips the answer, beginning with the ``best`` known, which all do.

    ``go_on`` is asked before each round with its number.
    """
    rows = np.arange(len(origins))
    best = _bisected(flips, rows, origins, best, room)
    for turn in range(ROUNDS):
        if not go_on(turn):
            break
        best = _stepped(flips, rows, origins, best, room, generator, turn=turn)
        best = _nearer(flips, rows, origins, best, room, generator)
        best = _set_back(flips, rows, origins, best, room)
    return _bisected(flips, rows, origins, best, room)


def _distance(origins: Points, points: Points) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.sqrt(((points - origins) ** 2).sum(axis=-1))
    return distance


def _bisected(flips: Flips, rows: NDArray[np.int64], origins: Points, best: Points, room: Room) -> Points:
    """The point on the way from each origin to its best where the answer changes, as near as bisection tells."""
    low, high = np.zeros(len(rows)), np.ones(len(rows))
    found = best.copy()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        points = room.fit(origins + (best - origins) * middle[:, None])
        flipped = flips(rows, points)
        high, low = np.where(flipped, middle, high), np.where(flipped, low, middle)
        found[flipped] = points[flipped]
    return _closer(origins, found, best)


def _closer(origins: Points, found: Points, best: Points) -> Points:
    return np.where((_distance(origins, found) < _distance(origins, best))[:, None], found, best)


def _stepped(
    flips: Flips,
    rows: NDArray[np.int64],
    origins: Points,
    best: Points,
    room: Room,
    generator: np.random.Generator,
    *,
    turn: int,
) -> Points:
    """A step along the estimated direction across the boundary, and back to the boundary."""
    count, wide = best.shape
    directions = min(MOST_DIRECTIONS, 2 * wide + 8)
    far = _distance(origins, best)
    noise = generator.normal(size=(count, directions, wide))
    noise /= np.linalg.norm(noise, axis=2, keepdims=True)
    around = room.fit(best[:, None, :] + noise * (0.1 * far[:, None, None] + 1e-9))
    flipped = flips(np.repeat(rows, directions), around.reshape(-1, wide)).reshape(count, directions)
    signs = np.where(flipped, 1.0, -1.0)
    mean = signs.mean(axis=1, keepdims=True)
    weights = np.where(np.abs(mean) == 1, signs, signs - mean)
    across = (weights[:, :, None] * (around - best[:, None, :])).sum(axis=1)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-300
    size = far / np.sqrt(turn + 1.0)
    found, waiting = best.copy(), np.arange(count)
    for _ in range(HALVINGS):
        points = room.fit(best[waiting] + across[waiting] * size[waiting, None])
        flipped = flips(rows[waiting], points)
        found[waiting[flipped]] = points[flipped]
        waiting = waiting[~flipped]
        if not len(waiting):
            break
        size[waiting] /= 2
    return _closer(origins, _bisected(flips, rows, origins, found, room), best)


def _nearer(
    flips: Flips, rows: NDArray[np.int64], origins: Points, best: Points, room: Room, generator: np.random.Generator
) -> Points:
    """The nearest of some random points that are nearer than the best so far."""
    count, wide = best.shape
    away = (best - origins)[:, None, :]
    far = np.linalg.norm(away, axis=2, keepdims=True) + 1e-300
    noise = generator.normal(size=(count, NEARER, wide))
    noise *= generator.random((count, NEARER, wide)) < 0.5  # most boundaries are crossed in a few columns
    noise /= np.linalg.norm(noise, axis=2, keepdims=True) + 1e-300
    turned = away + noise * far * generator.uniform(0.05, 0.8, (count, NEARER, 1))
    turned *= far / (np.linalg.norm(turned, axis=2, keepdims=True) + 1e-300)
    points = room.fit(origins[:, None, :] + turned * generator.uniform(0.7, 0.99, (count, NEARER, 1)))
    flipped: NDArray[Any] = flips(np.repeat(rows, NEARER), points.reshape(-1, wide)).reshape(count, NEARER)
    distances = np.where(flipped, _distance(origins[:, None, :], points), np.inf)
    chosen = distances.argmin(axis=1)
    found = np.where(flipped[np.arange(count), chosen][:, None], points[np.arange(count), chosen], best)
    return _closer(origins, found, best)


def _set_back(flips: Flips, rows: NDArray[np.int64], origins: Points, best: Points, room: Room) -> Points:
    """The best so far with columns set back to the origin, or half of the way, where the answer stays flipped."""
    count, wide = best.shape
    best = best.copy()
    order = np.argsort(-np.abs(best - origins), axis=1, kind="stable")
    places = np.arange(count)
    for share in (0.0, 0.5):
        for nth in range(min(SET_BACK, wide)):
            column = order[:, nth]
            points = best.copy()
            points[places, column] = origins[places, column] + share * (best[places, column] - origins[places, column])
            points = room.fit(points)
            flipped = flips(rows, points)
            best[flipped] = points[flipped]
    return best


# -- numbers ---------------------------------------------------------------------------------------------------------


def farthest(
    values: Values,
    origins: Points,
    size: float,
    room: Room,
    generator: np.random.Generator,
    *,
    go_on: Callable[[int], bool],
) -> tuple[NDArray[np.float64], Points]:
    """How far each origin's number can be moved, up or down, by a change of at most ``size``, and the points that do.

    The slope around the best point so far is fitted to random points, a step goes along it, and the best of all stays.
    """
    count, wide = origins.shape
    rows = np.tile(np.arange(count), 2)
    signs = np.repeat([1.0, -1.0], count)
    start = np.concatenate([origins, origins])
    own = np.tile(values(np.arange(count), origins), 2)
    best, gained = start.copy(), np.zeros(2 * count)
    directions = min(MOST_DIRECTIONS, 2 * wide + 8)

    def ask(points: Points) -> NDArray[np.float64]:
        """The gain of points of shape (rows, points, columns)."""
        flat = points.reshape(-1, wide)
        many = points.shape[1]
        told = values(np.repeat(rows, many), flat).reshape(-1, many)
        gain: NDArray[np.float64] = np.nan_to_num(
            (told - own[:, None]) * signs[:, None], nan=0.0, posinf=0.0, neginf=0.0
        )
        return gain

    def within(points: Points) -> Points:
        away = points - start[:, None, :]
        far = np.linalg.norm(away, axis=2, keepdims=True)
        return room.fit(start[:, None, :] + away * np.minimum(1.0, size / (far + 1e-300)))

    for turn in range(CLIMBS):
        if not go_on(turn):
            break
        noise = generator.normal(size=(2 * count, directions, wide))
        if turn % 2:
            noise *= generator.random(noise.shape) < 0.3
        noise /= np.linalg.norm(noise, axis=2, keepdims=True) + 1e-300
        points = within(best[:, None, :] + noise * size * (1.0 if turn == 0 else 0.5))
        gains = ask(points)
        moved = points - best[:, None, :]
        slope = np.einsum("rpc,rp->rc", moved, gains - gains.mean(axis=1, keepdims=True))
        if directions > wide:
            inner = np.einsum("rpc,rpd->rcd", moved, moved) + 1e-9 * np.eye(wide)
            slope = np.linalg.solve(inner, np.einsum("rpc,rp->rc", moved, gains - gained[:, None])[:, :, None])[:, :, 0]
        slope /= np.linalg.norm(slope, axis=1, keepdims=True) + 1e-300
        along = within(np.stack([best + slope * size * step for step in (0.3, 1.0, 3.0)], axis=1))
        points = np.concatenate([points, along], axis=1)
        gains = np.concatenate([gains, ask(along)], axis=1)
        chosen = gains.argmax(axis=1)
        better = gains[np.arange(2 * count), chosen] > gained
        best[better] = points[np.arange(2 * count), chosen][better]
        gained = np.maximum(gained, gains[np.arange(2 * count), chosen])
    down = gained[count:] > gained[:count]
    return np.where(down, gained[count:], gained[:count]), np.where(down[:, None], best[count:], best[:count])
