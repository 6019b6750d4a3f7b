"""A pixel that loses part of the light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.perturb.faults.hot_pixel import DEFECT_FRACTION
from robustkit.perturb.faults.local import LocalFault, pixel
from robustkit.perturb.perturbation import Stage

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class DeadPixel(LocalFault):
    """A pixel that loses a fraction a of its light, source and sky: n' = n - a (n + s sky) K / visits in K visits.

    Levels: the threshold of a dark defect (0.2), half, nearly all, all (1). Source: LSSTCam's definition of a dark
    defect, at least 20 % below the median, SITCOMTN-148.
    """

    name = "dead-pixel"
    unit = "of the light lost"
    stage = Stage.DETECTOR
    levels = (0.2, 0.5, 0.8, 0.9, 1.0)
    valid = (0.0, 1.0)
    draws = ("pixel", "band")

    @property
    def reach(self) -> int:
        """One pixel."""
        return 0

    def fault(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Takes the light from one pixel."""
        lost = self.level * self.hit(conditions, images) / conditions.like(conditions.visits, images)
        light = images + conditions.like(conditions.scale * conditions.sky, images)
        return images - lost * light * pixel(images, streams) * self.mask(conditions, images, streams)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """One pixel of a random band."""
        hit = conditions.visits if self.visits is None else np.minimum(conditions.visits, self.visits)
        lost = self.level * hit / conditions.visits * (value + conditions.scale * conditions.sky)
        return self.struck(value, -lost, 1 / (size[0] * size[1]))

    def expected_per_image(self, conditions: Conditions, size: tuple[int, int]) -> float:
        """Defects under a stamp in all visits."""
        return DEFECT_FRACTION * size[0] * size[1] * float(conditions.visits.sum())
