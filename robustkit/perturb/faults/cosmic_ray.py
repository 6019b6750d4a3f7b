"""The track of a cosmic ray."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.faults.local import LocalFault
from robustkit.perturb.perturbation import Stage, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams

_POINTS_PER_PIXEL = 8
# imSim: 0.2 per second and CCD of 4072 x 4000 pixels.
RATE = 0.2 / (4072 * 4000)
# Electrons in the brightest pixel of a footprint, 16 and 84 % of imSim's catalogue of LSST dark frames.
PEAK = (1200.0, 5300.0)


@dataclass(frozen=True)
class CosmicRay(LocalFault):
    """A straight track of length L at a uniform angle, with a constant charge per pixel of length.

    Points along the track share their charge among the four nearest pixels, so all charge inside the image is kept, up
    to the full well. Levels: the lengths 4, 8 (median), 20 (84 %), 40 (95 %) and 75 pixels (99 %); 1243
    electrons per pixel are the median. Source: footprints of imSim's catalogue of LSST dark frames.

    Attributes:
        charge: Electrons per pixel of length.
    """

    name = "cosmic-ray"
    unit = "pixels of length"
    stage = Stage.DETECTOR
    levels = (4.0, 8.0, 20.0, 40.0, 75.0)
    valid = (0.0, 4000.0)
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "charge": (736.0, 3027.0)
    }  # 16 to 84 % of the same footprints
    draws = ("row", "column", "angle", "band")

    charge: float = 1243.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.charge > 0:
            raise InputError(f"charge must be above 0 electrons, got {self.charge}")

    @property
    def reach(self) -> int:
        """Half of the track, and the pixels that its ends share."""
        return math.ceil(self.level / 2) + 1

    def fault(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Deposits the track."""
        return self.deposit(images, self.track(images, streams), conditions, streams)

    def track(self, images: Tensor, streams: Streams) -> Tensor:
        """Electrons that the track leaves, shape (N, 1, H, W)."""
        count, _, height, width = images.shape
        drawn = tensor(streams.uniform(3), images)
        points = math.ceil(self.level * _POINTS_PER_PIXEL)
        along = (torch.arange(points, dtype=images.dtype, device=images.device) + 0.5) / points - 0.5
        angle = math.pi * drawn[:, 2:]
        row = drawn[:, :1] * height - 0.5 + self.level * along * angle.sin()  # (N, P)
        column = drawn[:, 1:2] * width - 0.5 + self.level * along * angle.cos()
        left, down = column.floor(), row.floor()
        track = images.new_zeros(count, height * width)
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            share = (1 - (row - down - y).abs()) * (1 - (column - left - x).abs())
            inside = (down + y >= 0) & (down + y < height) & (left + x >= 0) & (left + x < width)
            place = ((down + y) * width + left + x).long().clamp(0, height * width - 1)
            track.scatter_add_(1, place, share * inside)
        return (track * self.charge * self.level / points).reshape(count, 1, height, width)

    def expected_per_image(self, conditions: Conditions, size: tuple[int, int]) -> float:
        """Tracks over a stamp in the whole exposure, before any is rejected."""
        return RATE * size[0] * size[1] * float(conditions.exposure.sum())
