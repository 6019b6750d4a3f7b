"""Bad pixels in the images of a step, so that a network learns to do without any one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from robustkit.training.feed import Batch
from robustkit.training.network import Trainee, evaluating

SHARE = 0.5
_BATCH = 256


@dataclass(frozen=True)
class BadPixels:
    """Writes one pixel into a share of the source images of a step: at random, or the worst of several by the loss.

    A pixel takes the lowest or the highest value of each band in the training data, drawn band by band. Half of the
    pixels lie anywhere, half in the middle quarter of the image, where objects are.

    Attributes:
        tries: Pixels that are tried for each image; the one with the largest loss is kept.
        share: Share of the images, in (0, 1].
        ends: Lowest and highest network input of each band.
        seed: The run's seed.
    """

    tries: int
    share: float
    ends: Sequence[tuple[float, float]]
    seed: int

    def __call__(self, network: Trainee, batch: Batch, epoch: int, step: int) -> Tensor:
        """The source images of a step with their pixels, new, shape (B, C, H, W).

        Args:
            network: The network in training, which is asked in evaluation mode; left as it is.
            batch: The step's images; left as they are.
            epoch: Counted from 0; with the step it decides which pixels are drawn.
            step: Counted from 0.
        """
        rng = np.random.default_rng([self.seed, 3, 0, epoch, step])
        images, labels = batch.source, batch.labels
        n, bands, height, width = images.shape
        chosen = torch.from_numpy(np.flatnonzero(rng.random(n) < self.share)).to(images.device)
        shape = (n, self.tries)
        central = rng.random(shape) < 0.5
        row, column = (
            np.where(central, rng.integers(size // 4, size - size // 4, shape), rng.integers(size, size=shape))
            for size in (height, width)
        )
        high = torch.from_numpy(rng.random((*shape, bands)) < 0.5)
        low_end, high_end = (torch.tensor(ends, dtype=images.dtype) for ends in zip(*self.ends, strict=True))
        value = torch.where(high, high_end, low_end).to(images.device)[chosen]  # (M, K, C)
        row, column = (torch.from_numpy(at).to(images.device)[chosen] for at in (row, column))  # (M, K)
        painted = images[chosen][:, None].repeat(1, self.tries, 1, 1, 1)  # (M, K, C, H, W)
        m, k = torch.meshgrid(torch.arange(len(chosen)), torch.arange(self.tries), indexing="ij")
        painted[m, k, :, row, column] = value
        made = images.clone()
        worst = self._worst(network, painted, labels[chosen]) if self.tries > 1 else torch.zeros_like(chosen)
        made[chosen] = painted[torch.arange(len(chosen), device=images.device), worst]
        return made

    def _worst(self, network: Trainee, painted: Tensor, labels: Tensor) -> Tensor:
        """Which try of each image has the largest loss, shape (M,)."""
        every = painted.flatten(0, 1)
        if len(every) == 0:
            return labels
        with evaluating(network):
            logits = torch.cat([network.run(part).logits for part in every.split(_BATCH)])
            loss = cross_entropy(logits, labels.repeat_interleave(self.tries), reduction="none")
        return loss.unflatten(0, (-1, self.tries)).argmax(1).clone()
