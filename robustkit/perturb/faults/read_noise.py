"""Extra read noise."""

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
class ReadNoise(Perturbation):
    """Read noise added in quadrature to that of the camera, once per visit.

    n' = n + s sqrt(visits) R N(0, 1). Levels: the medians of LSSTCam's two kinds of sensor, the requirement (9 e), an
    amplifier counted as noisy (18 e), twice that. Source: SITCOMTN-148.
    """

    name = "read-noise"
    unit = "electrons per visit"
    stage = Stage.READOUT
    levels = (5.4, 6.2, 9.0, 18.0, 36.0)
    valid = (0.0, 1e4)

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds the noise of all visits at once."""
        sigma = conditions.like(conditions.scale * np.sqrt(conditions.visits) * self.level, images)
        return images + sigma * tensor(streams.normal(*images.shape[1:]), images)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The value, and the variance above."""
        return value, conditions.scale**2 * conditions.visits * self.level**2
