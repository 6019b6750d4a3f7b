"""The trail of a satellite."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.faults.local import LocalFault, offsets
from robustkit.perturb.faults.psf import FWHM_PER_SIGMA
from robustkit.perturb.perturbation import Stage, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class Satellite(LocalFault):
    """A trail across the whole image, through a point and at an angle that each image draws.

    A satellite of magnitude m that moves at an angular speed w over a trail of width d leaves in every pixel of it

        zero_point 10^(-0.4 (m - 24)) p^2 / (w d)  electrons in one visit, p the pixel scale.

    The profile across is a box (the defocused mirror) blurred by the seeing. Levels: AB magnitudes 9, 8, 7 (the goal
    for the industry), 6.1 and 4.5 (first Starlinks in g). Source: Tyson et al. 2020, arXiv:2006.12417; the speed and
    the width belong to an orbit at 550 km.

    Attributes:
        speed: Angular speed, degrees per second.
        width: Width of the trail, arcsec.
    """

    name = "satellite"
    unit = "AB magnitude"
    stage = Stage.DETECTOR
    identity = math.inf
    levels = (9.0, 8.0, 7.0, 6.1, 4.5)
    valid = (-10.0, 30.0)
    draws = ("row", "column", "angle", "band")

    speed: float = 0.5
    width: float = 3.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.speed > 0 and self.width > 0):
            raise InputError(f"speed and width must be above 0, got {self.speed} and {self.width}")

    def fault(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Deposits the trail."""
        scale = conditions.pixel_scale
        peak = conditions.zero_point * 10 ** (-0.4 * (self.level - 24)) * scale**2 / (self.speed * 3600 * self.width)
        rows, columns = offsets(images, streams)
        angle = math.pi * tensor(streams.uniform(1), images)[..., None, None]
        distance = columns * angle.sin() - rows * angle.cos()  # pixels from the middle of the trail
        sigma = conditions.like(conditions.seeing, images) / FWHM_PER_SIGMA / scale * math.sqrt(2)
        half = self.width / scale / 2
        profile = (torch.erf((distance + half) / sigma) - torch.erf((distance - half) / sigma)) / 2
        return self.deposit(images, conditions.like(peak, images) * profile, conditions, streams)
