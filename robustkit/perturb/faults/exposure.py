"""A shorter exposure of the same sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.perturb.perturbation import Perturbation, Stage, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class Exposure(Perturbation):
    """A fraction f of the exposure, on the flux scale of the full one: equally bright, but noisier.

    A pixel that recorded K electrons of source and sky would have recorded a binomial part of them; scaled back to the
    full exposure, its variance grows by K (1 - f) / f. There are fewer visits, so their read noise grows in the same
    way:

        n' = n + s N(0, (1 - f) / f ((n / s + sky)_+ + visits read_noise^2)),  s the stored value of an electron.

    Levels: half, a fifth, ten years to one (0.1), half a year, one visit in g (1 / 80). Source: exposures and visits of
    LSSTDESC/WeakLensingDeblending, descwl/survey.py; the noise model of `robustkit.data.survey`.
    """

    name = "exposure"
    unit = "of the exposure"
    stage = Stage.EXPOSURE
    identity = 1.0
    levels = (0.5, 0.2, 0.1, 0.05, 0.0125)
    valid = (1e-4, 1.0)

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds the extra noise of a shorter exposure."""
        return thinned(images, conditions, np.full(len(conditions.bands), self.level), streams)

    def after(self, conditions: Conditions) -> Conditions:
        """Fewer visits under less sky, each electron worth more."""
        return conditions.exposed(self.level)

    def strength(self) -> float:
        """The growth factor of the noise variance, minus 1."""
        return 1 / self.level - 1

    @classmethod
    def level_of(cls, strength: float) -> float:
        """The fraction that has this strength."""
        return 1 / (1 + strength)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The value, and the variance above."""
        electrons = np.maximum(value / conditions.scale + conditions.sky, 0)
        variance = electrons + conditions.visits * conditions.read_noise**2
        return value, conditions.scale**2 * (1 / self.level - 1) * variance


def thinned(images: Tensor, conditions: Conditions, fraction: np.ndarray, streams: Streams) -> Tensor:
    """Images after a part of the exposure of each band, on the flux scale of the full one.

    Args:
        images: Calibrated values, shape (N, C, H, W).
        conditions: Of the full exposure.
        fraction: The part, shape (C,), above 0 and at most 1.
        streams: Of the noise.
    """
    scale = conditions.like(conditions.scale, images)
    arrived = images / scale + conditions.like(conditions.sky, images)
    readout = conditions.like(conditions.visits * conditions.read_noise**2, images)
    variance = conditions.like((1 - fraction) / fraction, images) * (arrived.clamp_min(0) + readout)
    return images + scale * variance.sqrt() * tensor(streams.normal(*images.shape[1:]), images)
