"""Errors of calibration: the flat field and the zero point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.perturb.perturbation import Perturbation, Stage, mixture, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class FlatError(Perturbation):
    """Pixels whose response is wrong by a relative error e, independent from pixel to pixel.

    Source and sky are multiplied, and the right sky is subtracted: n' = n + (n + s sky) e N(0, 1). Levels: 0.1 to 3 %
    (what is seen is e times the sky), 10 % as in the mock of Rubin's instrument signature removal, lsst/ip_isr.
    """

    name = "flat"
    unit = "relative error"
    stage = Stage.PIPELINE
    levels = (0.001, 0.003, 0.01, 0.03, 0.1)
    valid = (0.0, 1.0)

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Multiplies source and sky."""
        light = images + conditions.like(conditions.scale * conditions.sky, images)
        return images + light * self.level * tensor(streams.normal(*images.shape[1:]), images)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The value, and the variance above."""
        return value, (self.level * (value + conditions.scale * conditions.sky)) ** 2


@dataclass(frozen=True)
class ZeroPoint(Perturbation):
    """A zero point that is too faint by dm in one band that each image draws: n' = n 10^(-0.4 dm).

    Colours change, and the noise scales with the signal. Levels: 5 (repeatability PA1), 10 (uniformity PA3), 15 mmag
    (outliers PA4), and 50 and 100 as stress. Source: LSST requirement OSS-REQ-0387.
    """

    name = "zero-point"
    unit = "mmag"
    stage = Stage.PIPELINE
    levels = (5.0, 10.0, 15.0, 50.0, 100.0)
    valid = (0.0, 10000.0)
    physical = False

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Dims one band."""
        drawn = streams.integers(images.shape[1], 1) == np.arange(images.shape[1])
        factors = np.where(drawn, 10 ** (-0.4 * self.level / 1000), 1.0)
        return images * tensor(factors, images)[..., None, None]

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The moments of a band that is drawn at random."""
        chance = 1 / len(value)
        return mixture([10 ** (-0.4 * self.level / 1000) * value, value], [chance, 1 - chance])
