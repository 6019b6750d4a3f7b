"""Chances too small to be met by trying: splitting, which climbs to a rare event through events that are less rare.

Of a population drawn at random the better part is kept, copied, and moved about above the level that it has reached;
the chance is the product of the parts that were kept (subset simulation: Au & Beck 2001,
doi:10.1016/S0266-8920(01)00019-4; adaptive multilevel splitting: Cerou & Guyader 2007,
doi:10.1080/07362990601139628).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

# Of a population, what is kept for the next level; how often its copies are moved; how far, of the width of the cube.
_KEPT, _MOVES, _STEPS = 0.2, 5, (0.5, 0.15, 0.05, 0.015, 0.005)
# Of the moves, how many also choose another subject; and the share of the numbers that a move changes.
_ANOTHER, _CHANGED = 0.2, 0.5


@dataclass(frozen=True)
class Rare:
    """A small chance, estimated once.

    Attributes:
        chance: That the value is above 0; 0 where the climb ended below `least`.
        tried: How many points were looked at.
    """

    chance: float
    tried: int


def rare_chance(
    value: Callable[[Whole, Floats], Floats],
    subjects: int,
    dimensions: int,
    rng: np.random.Generator,
    *,
    population: int = 500,
    least: float = 1e-10,
) -> Rare:
    """The chance that a value is above 0, over subjects and the numbers that are drawn for them.

    Args:
        value: Of some subjects (P,) at points of the unit cube (P, D), shape (P,); higher is nearer to the event.
        subjects: How many there are, each as likely.
        dimensions: D.
        rng: Where the draws come from.
        population: How many points climb together.
        least: A chance below this is called 0.
    """
    who = rng.integers(subjects, size=population)
    points = rng.uniform(0, 1, (population, dimensions))
    found, chance, tried = value(who, points), 1.0, population
    while True:
        above = found > 0
        if above.mean() >= _KEPT:
            return Rare(chance * float(above.mean()), tried)
        level = float(np.quantile(found, 1 - _KEPT))
        better = found > level  # strictly: where nothing changes, all values are the same
        if level >= 0 or not better.any():
            return Rare(chance * float(above.mean()), tried)
        chance *= float(better.mean())
        if chance < least:
            return Rare(0.0, tried)
        chosen = rng.choice(np.flatnonzero(better), population)
        who, points, found = who[chosen], points[chosen], found[chosen]
        for _ in range(_MOVES):
            step = rng.choice(_STEPS, (population, 1)) * (rng.random((population, dimensions)) < _CHANGED)
            moved = (points + step * rng.normal(size=points.shape)) % 1.0
            other = np.where(rng.random(population) < _ANOTHER, rng.integers(subjects, size=population), who)
            there, tried = value(other, moved), tried + population
            stays = there > level
            who, found = np.where(stays, other, who), np.where(stays, there, found)
            points = np.where(stays[:, None], moved, points)
