"""Detector defects as a threat model: a pixel that is hot or dead, in all bands or in one, in electrons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from robustkit.data import Stretch


@dataclass(frozen=True, eq=False)
class Defect:
    """A pixel gains a charge or falls to a level, in every band at once or in one band: 1 + C options, 1 for C = 1.

    The change is made in calibrated units: the pixel is taken back through the stretch, changed, and stretched again.
    Where the stretch clips, so does the defect, because that is what the network would see.

    Attributes:
        name: Its name on the command line, such as `hot:5000` or `dead`.
        stretch: The stretch in front of the network; it must be invertible.
        charge: What is added, in electrons; 0 when the pixel falls to a level.
        level: What the pixel becomes, in electrons; `None` when a charge is added.
        clean_range: Lowest and highest network input of each band in the training data, shape (2, C).
    """

    name: str
    stretch: Stretch
    charge: float
    level: float | None
    clean_range: Tensor

    @property
    def size(self) -> int:
        """V, the number of options."""
        bands = self.clean_range.shape[1]
        return 1 if bands == 1 else 1 + bands

    def option(self, clean: Tensor, index: Tensor) -> Tensor:
        """Option 0 is the defect in every band, option 1 + b the defect in band b alone."""
        band = torch.arange(self.clean_range.shape[1], device=index.device)
        chosen = (index == 0)[..., None] | (index[..., None] == band + 1)
        return self._changed(clean, chosen)

    def point(self, clean: Tensor, unit: Tensor) -> Tensor:
        """The option that the first unit points at: a defect has no inside."""
        return self.option(clean, (unit[..., 0] * self.size).long().clamp(0, self.size - 1))

    @property
    def low(self) -> Tensor:
        """Lowest value of each band, shape (C,), network input."""
        return self._reach[0]

    @property
    def high(self) -> Tensor:
        """Highest value of each band, shape (C,), network input."""
        return self._reach[1]

    @cached_property
    def _reach(self) -> tuple[Tensor, Tensor]:
        everywhere = torch.ones_like(self.clean_range, dtype=torch.bool)
        ends = torch.cat([self.clean_range, self._changed(self.clean_range, everywhere)])
        return ends.amin(0), ends.amax(0)

    def _changed(self, clean: Tensor, chosen: Tensor) -> Tensor:
        # A stretch maps images (..., C, H, W); here every pixel is an image of its own.
        calibrated = self.stretch.inverse(clean[..., None, None])
        defect = calibrated + self.charge if self.level is None else torch.full_like(calibrated, self.level)
        changed = self.stretch(torch.where(chosen[..., None, None], defect, calibrated))
        # A band that the defect does not reach keeps its value to the last bit, free of the round trip's rounding.
        return torch.where(changed == self.stretch(calibrated), clean[..., None, None], changed)[..., 0, 0]

    def to_json(self) -> dict[str, Any]:
        """The set as JSON values."""
        return {
            "name": self.name,
            "charge": self.charge,
            "level": self.level,
            "low": self.low.tolist(),
            "high": self.high.tolist(),
        }
