"""A pixel with a dark current."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustkit.perturb.faults.local import LocalFault, pixel
from robustkit.perturb.perturbation import Stage

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams

# SITCOMTN-148: defects are about 0.001 % of LSSTCam's pixels.
DEFECT_FRACTION = 1e-5


@dataclass(frozen=True)
class HotPixel(LocalFault):
    """A pixel with a dark current d: n' = n + s d t in each visit of t seconds that it hits, up to the full well.

    Levels: the threshold of a bright defect (5 e/s), 20, 100, 500 e/s, and one that fills the well. Source: LSSTCam
    defect definitions and counts, SITCOMTN-148.
    """

    name = "hot-pixel"
    unit = "electrons per second"
    stage = Stage.DETECTOR
    levels = (5.0, 20.0, 100.0, 500.0, 5000.0)
    valid = (0.0, 1e6)
    draws = ("pixel", "band")

    @property
    def reach(self) -> int:
        """One pixel."""
        return 0

    def fault(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds the charge to one pixel."""
        seconds = conditions.like(conditions.exposure / conditions.visits, images)
        return self.deposit(images, self.level * seconds * pixel(images, streams), conditions, streams)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """One pixel of a random band."""
        gain = self.gain(value, self.level * conditions.exposure / conditions.visits, conditions)
        return self.struck(value, gain, 1 / (size[0] * size[1]))

    def expected_per_image(self, conditions: Conditions, size: tuple[int, int]) -> float:
        """Defects under a stamp in all visits."""
        return DEFECT_FRACTION * size[0] * size[1] * float(conditions.visits.sum())
