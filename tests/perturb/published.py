"""The published one-pixel search, one candidate after the other, as plainly as it can be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def pixel_of(genes: np.ndarray, shape: tuple[int, int, int]) -> tuple[int, int, np.ndarray]:
    """Row, column and values of a candidate: the position is rounded and clipped, the values are clipped."""
    _, height, width = shape
    row = np.clip(np.round(genes[0] * np.float32(height), 0).astype(int), 0, height - 1)
    column = np.clip(np.round(genes[1] * np.float32(width), 0).astype(int), 0, width - 1)
    return int(row), int(column), np.clip(genes[2:], 0, 1)


def published_search(
    generator: np.random.Generator,
    score: Callable[[int, int, np.ndarray], float],
    *,
    shape: tuple[int, int, int],
    population: int,
    rounds: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The population and its fitness, after the start and after each round.

    The random numbers are taken in the order of robustkit's search; everything else is a loop over candidates.
    """
    genes = 2 + shape[0]
    place = generator.random((population, 2), dtype=np.float32)
    value = generator.standard_normal((population, shape[0]), dtype=np.float32)
    candidates = np.concatenate([place, np.clip(np.float32(0.5) + np.float32(0.5) * value, 0, 1)], 1)
    fitness = np.array([score(*pixel_of(one, shape)) for one in candidates])
    yield candidates.copy(), fitness.copy()
    for _ in range(rounds):
        draws = generator.random((population, 3 + genes), dtype=np.float32)
        children = candidates.copy()
        for i in range(population):
            left = list(range(population))  # the parent itself may be a donor
            a, b, c = (left.pop(int(draws[i, j] * np.float32(len(left)))) for j in range(3))
            child = candidates[a] + np.float32(0.5) * (candidates[b] - candidates[c])
            outside = np.logical_or(child < 0, child > 1)
            child[outside] = draws[i, 3:][outside]
            children[i] = child
        children_fitness = np.array([score(*pixel_of(one, shape)) for one in children])
        better = children_fitness > fitness
        candidates[better], fitness[better] = children[better], children_fitness[better]
        yield candidates.copy(), fitness.copy()
