"""Noise for images of which nobody knows the units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from robustkit.perturb.conditions import Conditions
from robustkit.perturb.perturbation import Perturbation, Stage, tensor
from robustkit.seeds import Streams


@dataclass(frozen=True)
class GaussianNoise(Perturbation):
    """White noise on network input: v' = v + a N(0, 1).

    Levels: 0.01 to 0.2 of a range from 0 to 1, below and into those of ImageNet-C (0.08 to 0.38); source: Hendrycks &
    Dietterich 2019, arXiv:1903.12261.
    """

    name = "gaussian"
    unit = "network input"
    stage = Stage.STRETCHED
    levels = (0.01, 0.02, 0.05, 0.1, 0.2)
    valid = (0.0, 1e6)
    physical = False

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds the noise."""
        return images + self.level * tensor(streams.normal(*images.shape[1:]), images)

    def moments(self, value: np.ndarray, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
        """The value, and the variance above."""
        return value, np.full_like(value, self.level**2)


@dataclass(frozen=True)
class PoissonNoise(Perturbation):
    """Photon noise on network input, where the value 1 stands for 1 / a^2 photons: v' = a^2 Poisson(v / a^2).

    Values below 0 hold no photons and stay. Levels: 1 / 60 to 1 / 3 as in ImageNet-C's shot noise (60 to 3 photons);
    source: Hendrycks & Dietterich 2019, arXiv:1903.12261.
    """

    name = "poisson"
    unit = "noise at the value 1"
    stage = Stage.STRETCHED
    levels = (60**-0.5, 25**-0.5, 12**-0.5, 5**-0.5, 3**-0.5)
    valid = (0.0, 1e3)
    physical = False

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Counts photons."""
        photons = images.detach().clamp_min(0).double().cpu().numpy() / self.level**2
        counted = np.stack([rng.poisson(mean) for rng, mean in zip(streams.generators, photons, strict=True)])
        return images.clamp_max(0) + tensor(counted * self.level**2, images)

    def moments(self, value: np.ndarray, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
        """The value, and the variance of a Poisson count in these units."""
        return value, self.level**2 * np.maximum(value, 0)
