"""Noise for images whose units are unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.perturb.faults.on_input import OnInput
from robustkit.perturb.perturbation import tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class GaussianNoise(OnInput):
    """White noise on network input v, as a fraction of the range from black to white: v' = v + a (high - low) N(0, 1).

    Levels: 0.01 to 0.2 of the range, below and into those of ImageNet-C (0.08 to 0.38); source: Hendrycks & Dietterich
    2019, arXiv:1903.12261.
    """

    name = "gaussian"
    unit = "of the input range"
    levels = (0.01, 0.02, 0.05, 0.1, 0.2)
    valid = (0.0, 1e6)

    @property
    def sigma(self) -> float:
        """Standard deviation in network input."""
        return self.level * self.span

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds the noise."""
        return images + self.sigma * tensor(streams.normal(*images.shape[1:]), images)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The value, and the variance above."""
        return value, np.full_like(value, self.sigma**2)


@dataclass(frozen=True)
class PoissonNoise(OnInput):
    """Photon noise on network input v, where black is no photons and white is 1 / a^2 photons.

    With x = (v - low) / (high - low), x' = a^2 Poisson(x / a^2). Values below black hold no photons and are unchanged.
    Levels: 1 / 60 to 1 / 3 as in ImageNet-C's shot noise (60 to 3 photons); source: Hendrycks & Dietterich 2019,
    arXiv:1903.12261.
    """

    name = "poisson"
    unit = "noise of white, of the input range"
    levels = (60**-0.5, 25**-0.5, 12**-0.5, 5**-0.5, 3**-0.5)
    valid = (0.0, 1e3)

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Counts photons."""
        light = (images.detach().cpu().double().numpy() - self.low).clip(0) / self.span
        photons = light / self.level**2
        counted = np.stack([rng.poisson(mean) for rng, mean in zip(streams.generators, photons, strict=True)])
        return images.clamp_max(self.low) + tensor(counted * self.level**2 * self.span, images)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The value, and the variance of a Poisson count in these units."""
        return value, self.level**2 * self.span * np.maximum(value - self.low, 0)
