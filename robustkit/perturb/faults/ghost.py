"""The out-of-focus reflection of a bright star."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.faults.local import offsets
from robustkit.perturb.perturbation import Perturbation, Stage, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class Ghost(Perturbation):
    """A wide ring, the image of the mirror, whose edge runs across the image; in every band, at a random place.

    Its surface brightness is a times the background noise, n' = n + s a sqrt(B) inside the ring, with edges 2 pixels
    soft. Levels: 0.1 to 10 sigma; a ghost counts above a third (GhostAF). Source: LSST requirement OSS-REQ-0387; ghosts
    in DES: Chang et al. 2021, Tanoglidis et al. 2021.

    Attributes:
        radius: Outer radius of the ring in image heights; the hole has 0.4 of it (LSST's obscuration).
    """

    name = "ghost"
    unit = "sigma of the background"
    stage = Stage.DETECTOR
    levels = (0.1, 0.33, 1.0, 3.0, 10.0)
    valid = (0.0, 1e4)

    radius: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.radius > 0:
            raise InputError(f"radius must be above 0, got {self.radius}")

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds the ring: one of its two edges passes through a point that each image draws."""
        height = images.shape[2]
        outer = self.radius * height
        rows, columns = offsets(images, streams)
        drawn = tensor(streams.uniform(2), images)[..., None, None, None]
        angle = 2 * torch.pi * drawn[:, 0]
        edge = torch.where(drawn[:, 1] < 0.5, 0.4 * outer, outer)
        distance = ((rows + edge * angle.sin()) ** 2 + (columns + edge * angle.cos()) ** 2).sqrt()
        # Written out, because torch.sigmoid rounds differently at different places in a batch.
        ring = 1 / (1 + torch.exp((distance - outer) / 2)) / (1 + torch.exp((0.4 * outer - distance) / 2))
        return images + conditions.like(conditions.scale * self.level * np.sqrt(conditions.background), images) * ring
