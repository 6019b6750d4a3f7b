"""Charge that trails behind during readout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.perturbation import Perturbation, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams

# Length of the trail in pixels; what trails further is put into the last.
_TRAIL = 20


@dataclass(frozen=True)
class ChargeTransfer(Perturbation):
    """Each of T transfers leaves a part c of the charge behind: pixels trail towards higher rows.

    After T transfers a part binom(j; T, c) of a pixel's charge lies j pixels behind; linear in the charge, so that the
    constant sky stays as it is. Levels: c = 1e-6 to 2e-4, with T = 2000 a loss of 0.2 to 33 %. Source: LSSTCam has
    1e-8 to 1.5e-6, required are 5e-6, SITCOMTN-148; the matrix is that of imSim's cte_matrix.

    Attributes:
        transfers: T, the same for all rows of a stamp.
    """

    name = "cti"
    unit = "of the charge per transfer"
    stage = Stage.READOUT
    levels = (1e-6, 5e-6, 1e-5, 5e-5, 2e-4)
    valid = (0.0, 1e-3)
    physical = False
    conserves_charge = True

    transfers: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.transfers < 1:
            raise InputError(f"transfers must be at least 1, got {self.transfers}")

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Convolves the columns; rows before the first are like the first."""
        left = binom.pmf(range(_TRAIL + 1), self.transfers, self.level)
        left[-1] += 1 - left.sum()
        count, bands, height, width = images.shape
        kernel = torch.as_tensor(left[::-1].copy(), dtype=images.dtype, device=images.device)[None, None, :, None]
        planes = torch.nn.functional.pad(images.reshape(-1, 1, height, width), (0, 0, _TRAIL, 0), mode="replicate")
        return torch.nn.functional.conv2d(planes, kernel).reshape(count, bands, height, width)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """A constant field is unchanged."""
        return value, np.zeros_like(value)
