"""A bright star that bleeds along the columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustkit.lazy import torch
from robustkit.perturb.faults.local import offsets
from robustkit.perturb.perturbation import Perturbation, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams

_BETA = 4.765  # of the Moffat profile that turbulence makes


@dataclass(frozen=True)
class Saturation(Perturbation):
    """A star of magnitude m, of the same magnitude in all bands, in every visit, at a place that each image draws.

    A pixel holds the full well; half of the excess goes up the column and half down, into the next pixels with room.
    Charge is kept as far as it stays on the image. The star at r arcsec from its centre is a Moffat profile of the
    seeing, (1 + (r / a)^2)^-4.765 with the wings of a turbulent atmosphere. Levels: 17 to 12 AB mag; in r a star
    saturates near 16 in 30 s. Source: LSSTCam's full well, SITCOMTN-148; the algorithm of imSim's bleed trails, without
    the edges of amplifiers; Trujillo et al. 2001, doi:10.1046/j.1365-8711.2001.04937.x (the profile).
    """

    name = "saturation"
    unit = "AB magnitude"
    stage = Stage.DETECTOR
    identity = math.inf
    levels = (17.0, 16.0, 15.0, 14.0, 12.0)
    valid = (0.0, 40.0)
    draws = ("row", "column")

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Exposes the star and lets every visit bleed."""
        per_visit = conditions.zero_point * conditions.exposure / conditions.visits * 10 ** (-0.4 * (self.level - 24))
        core = conditions.seeing / conditions.pixel_scale / (2 * math.sqrt(2 ** (1 / _BETA) - 1))  # pixels, shape (C,)
        rows, columns = offsets(images, streams)
        distance = (rows**2 + columns**2) / conditions.like(core**2, images)
        star = torch.exp(-_BETA * torch.log1p(distance)) * conditions.like((_BETA - 1) / (math.pi * core**2), images)
        visits = conditions.like(conditions.visits, images)
        unit = conditions.like(conditions.scale, images) * visits  # stored value of an electron in every visit
        before = images / unit + conditions.like(conditions.sky / conditions.visits, images)
        well = conditions.like(conditions.full_well, images)
        after = bleed(before + conditions.like(per_visit, images) * star, well)
        return images + (after - before) * unit


def bleed(charge: Tensor, full_well: Tensor) -> Tensor:
    """Spreads the charge above the full well along the columns.

    Args:
        charge: Electrons, shape (N, C, H, W).
        full_well: Electrons that a pixel holds, broadcast to `charge`.

    Returns:
        Electrons, none above the full well; what leaves the image is lost.
    """
    half = (charge - full_well).clamp_min(0) / 2
    held = torch.minimum(charge, full_well)
    for turned in (False, True):
        rows = range(held.shape[2] - 1, -1, -1) if turned else range(held.shape[2])
        carried = torch.zeros_like(held[:, :, 0])
        for row in rows:
            taken = torch.minimum(carried, (full_well[..., 0, :] - held[:, :, row]).clamp_min(0))
            held[:, :, row] += taken
            carried = carried - taken + half[:, :, row]
    return held
