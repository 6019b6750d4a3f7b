"""The batch of each step: a pure function of (seed, epoch, step), so that a run can resume anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        known: Target images whose classes are known, shape (M, C, H, W), or `None`.
        known_labels: Their classes, shape (M,), or `None`.
    """

    source: Tensor
    labels: Tensor
    target: Tensor | None
    ids: np.ndarray
    target_ids: np.ndarray | None
    known: Tensor | None = None
    known_labels: Tensor | None = None

    @property
    def beside(self) -> Tensor | None:
        """All target images, those of known class last; `None` if there are none."""
        return joined([self.target, self.known])


def joined(rows: Sequence[Tensor | None]) -> Tensor | None:
    """The tensors that are there, one after the other; `None` if none is."""
    there = [one for one in rows if one is not None]
    return torch.cat(there) if len(there) > 1 else there[0] if there else None


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
        known: Training images of the target whose classes are known; where they are fewer than a batch, every step
            has all of them.
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
        known: PartTensors | None = None,
    ) -> None:
        self.source, self.target, self.known = source, target, known
        self.batch, self.seed, self.dihedral, self.noise, self.stretch = batch, seed, dihedral, noise, stretch
        self.steps = max(-(-len(part) // batch) for part in (source, target, known) if part is not None)

    @property
    def known_batch(self) -> int:
        """Target images of known class in a step."""
        return 0 if self.known is None else min(self.batch, len(self.known))

    @property
    def labels(self) -> Tensor:
        """Classes of the source images, shape (N,)."""
        labels = self.source.labels
        assert labels is not None
        return labels

    def epoch(self, epoch: int, *, first: int = 0) -> Iterator[tuple[int, Batch]]:
        """The steps of one epoch, counted from 0, beginning with `first`."""
        shown = [(0, self.source, self.batch)]
        shown += [] if self.target is None else [(1, self.target, self.batch)]
        shown += [] if self.known is None else [(2, self.known, self.known_batch)]
        orders = [order(len(part), self.steps * size, self.seed, domain, epoch) for domain, part, size in shown]
        for step in range(first, self.steps):
            images, rows = dict[int, Tensor](), dict[int, np.ndarray]()
            for (domain, part, size), whole in zip(shown, orders, strict=True):
                rows[domain] = whole[step * size : (step + 1) * size]
                images[domain] = self._images(domain, part, rows[domain], (epoch, step))
            yield (
                step,
                Batch(
                    images[0],
                    self.labels[torch.from_numpy(rows[0])],
                    images.get(1),
                    self.source.ids[rows[0]],
                    self.target.ids[rows[1]] if self.target is not None else None,
                    images.get(2),
                    self.known.labels[torch.from_numpy(rows[2])]
                    if self.known and self.known.labels is not None
                    else None,
                ),
            )

    def sample(self, epoch: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """A few of the batches of an epoch: enough pixels for the statistics of a batch norm."""
        for _, batch in islice(self.epoch(epoch), -(-_SAMPLE // self.batch)):
            yield batch.source, batch.beside

    def _images(self, domain: int, part: PartTensors, rows: np.ndarray, when: tuple[int, int]) -> Tensor:
        images = part.images[torch.from_numpy(rows)].to(self.labels.device)
        if domain == 0 and self.noise is not None:
            assert self.stretch is not None
            key = int(np.random.default_rng([self.seed, 1, domain, *when]).integers(2**62))
            images = self.stretch(self.noise(images, torch.Generator(images.device).manual_seed(key)))
        if self.dihedral:
            images = turn_each(images, np.random.default_rng([self.seed, 2, domain, *when]))
        return images
