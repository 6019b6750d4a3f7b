"""The batch of each step: a pure function of (seed, epoch, step), so that a run can resume anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from robustkit.data import Stretch
from robustkit.training.domains import PartTensors
from robustkit.training.noise import AddedNoise
from robustkit.training.symmetry import turn_each

# Images of the source that the statistics of a batch norm are taken from: counted in pixels, more than enough.
_SAMPLE = 128


def order(size: int, needed: int, seed: int, domain: int, epoch: int) -> np.ndarray:
    """The order of the images in an epoch: as many permutations, one after the other, as are needed.

    Args:
        size: Number of images in the domain.
        needed: Number of positions to return.
        seed: The run's seed.
        domain: 0 for the source, 1 for the target.
        epoch: Counted from 0.
    """
    generator = np.random.default_rng([seed, 0, domain, epoch])
    return np.concatenate([generator.permutation(size) for _ in range(-(-needed // size))])[:needed]


@dataclass(frozen=True)
class Batch:
    """The images of one step.

    Attributes:
        source: Shape (B, C, H, W).
        labels: Classes of the source images, shape (B,).
        target: Shape (B, C, H, W), or `None`.
        ids: Ids of the source images.
        target_ids: Ids of the target images, or `None`.
    """

    source: Tensor
    labels: Tensor
    target: Tensor | None
    ids: np.ndarray
    target_ids: np.ndarray | None


class Feed:
    """The batches of a run.

    The domain that needs the most steps sets the length of an epoch. Every batch is full: a domain that runs out is
    reshuffled and continues, so every image of every domain is seen at least once in each epoch.

    Args:
        source: Labelled training images.
        target: Training images of the target, where steps look at them.
        batch: Images of each domain in a step, at most the size of the smaller domain.
        seed: The run's seed.
        dihedral: Whether images are rotated and mirrored at random.
        noise: Noise to add to the source; its images are calibrated then, and `stretch` is applied afterwards.
        stretch: The stretch of the run.
    """

    def __init__(
        self,
        source: PartTensors,
        target: PartTensors | None,
        *,
        batch: int,
        seed: int,
        dihedral: bool,
        noise: AddedNoise | None = None,
        stretch: Stretch | None = None,
    ) -> None:
        self.parts = (source,) if target is None else (source, target)
        self.batch, self.seed, self.dihedral, self.noise, self.stretch = batch, seed, dihedral, noise, stretch
        self.steps = max(-(-len(part) // batch) for part in self.parts)

    @property
    def labels(self) -> Tensor:
        """Classes of the source images, shape (N,)."""
        labels = self.parts[0].labels
        assert labels is not None
        return labels

    def epoch(self, epoch: int, *, first: int = 0) -> Iterator[tuple[int, Batch]]:
        """The steps of one epoch, counted from 0, beginning with `first`."""
        orders = [
            order(len(part), self.steps * self.batch, self.seed, domain, epoch)
            for domain, part in enumerate(self.parts)
        ]
        for step in range(first, self.steps):
            rows = [order[step * self.batch : (step + 1) * self.batch] for order in orders]
            images = [self._images(domain, chosen, epoch, step) for domain, chosen in enumerate(rows)]
            ids = [part.ids[chosen] for part, chosen in zip(self.parts, rows, strict=True)]
            target, target_ids = (images[1], ids[1]) if len(images) > 1 else (None, None)
            yield step, Batch(images[0], self.labels[torch.from_numpy(rows[0])], target, ids[0], target_ids)

    def sample(self, epoch: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """A few of the batches of an epoch: enough pixels for the statistics of a batch norm."""
        for _, batch in islice(self.epoch(epoch), -(-_SAMPLE // self.batch)):
            yield batch.source, batch.target

    def _images(self, domain: int, rows: np.ndarray, epoch: int, step: int) -> Tensor:
        images = self.parts[domain].images[torch.from_numpy(rows)].to(self.labels.device)
        if domain == 0 and self.noise is not None:
            assert self.stretch is not None
            key = int(np.random.default_rng([self.seed, 1, domain, epoch, step]).integers(2**62))
            images = self.stretch(self.noise(images, torch.Generator(images.device).manual_seed(key)))
        if self.dihedral:
            images = turn_each(images, np.random.default_rng([self.seed, 2, domain, epoch, step]))
        return images
