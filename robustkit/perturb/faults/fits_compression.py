"""FITS files with lossy compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from robustkit.extras import require
from robustkit.perturb.perturbation import Perturbation, Stage, tensor
from robustkit.perturb.workers import encode

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class Rice(Perturbation):
    """Values in steps of a times the noise that the compressor measures, with subtractive dither, then RICE_1.

    The error of a pixel is uniform in a step, rms a sigma / sqrt(12). Levels: steps of 1/16 (the standard of astropy)
    to one sigma; fpack takes 1/4. Source: Pence, White & Seaman 2010, doi:10.1086/656249. Needs astropy.
    """

    name = "rice"
    unit = "sigma per step"
    stage = Stage.PIPELINE
    levels = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
    valid = (0.001, 10.0)
    physical = False
    in_processes = True
    algorithm: ClassVar[str] = "RICE_1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level != self.identity:  # checked here, before a run begins
            require("astropy.io.fits", extra="fits", purpose="compress images")

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Compresses every band of every image and reads it again."""
        values = images.detach().cpu().numpy().astype(np.float32)
        settings = {"codec": "fits", "algorithm": self.algorithm, "step": self.level}
        seeds = (1 + streams.integers(10000, 1)[:, 0]).tolist()
        return tensor(encode(values, [settings | {"seed": seed} for seed in seeds]), images)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """A constant field has no noise to measure, and is stored without loss."""
        return value, np.zeros_like(value)


@dataclass(frozen=True)
class HCompress(Rice):
    """Values in steps of a times the noise, as for `Rice`, then HCOMPRESS_1, a wavelet transform, lossless here.

    The noise is measured in a whole band, not row by row. Levels and source as for `Rice`. Needs astropy.
    """

    name = "hcompress"
    algorithm: ClassVar[str] = "HCOMPRESS_1"
