"""Which images are in which step: a pure function of (seed, epoch, step), so that a run can go on from anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class Batches:
    """The order of the images of one or more domains.

    The domain that needs most steps decides the length of an epoch. Every batch is full: a domain that runs out is
    shuffled anew and goes on, so every image of every domain is seen at least once in each epoch.

    Args:
        sizes: How many images each domain has.
        batch: Images of each domain in a step, at most the size of the smallest domain.
        seed: The run's seed.
    """

    def __init__(self, sizes: tuple[int, ...], batch: int, seed: int) -> None:
        self.sizes, self.batch, self.seed = sizes, batch, seed
        self.steps = max(-(-size // batch) for size in sizes)

    def epoch(self, epoch: int, *, first: int = 0) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
        """The steps of one epoch: (step, one array of positions for each domain).

        Args:
            epoch: Counted from 0.
            first: The step to begin with.
        """
        orders = [self._order(domain, epoch) for domain in range(len(self.sizes))]
        for step in range(first, self.steps):
            yield step, tuple(order[step * self.batch : (step + 1) * self.batch] for order in orders)

    def _order(self, domain: int, epoch: int) -> np.ndarray:
        """Enough permutations of a domain, one after the other, to fill an epoch."""
        size, needed = self.sizes[domain], self.steps * self.batch
        passes = -(-needed // size)
        generator = np.random.default_rng([self.seed, domain, epoch])
        return np.concatenate([generator.permutation(size) for _ in range(passes)])[:needed]
