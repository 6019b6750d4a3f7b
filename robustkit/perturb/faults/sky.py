"""Errors of sky subtraction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.perturbation import Perturbation, Stage, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class SkyOffset(Perturbation):
    """A residual of surface brightness mu: n' = n +- s t zero_point 10^(-0.4 (mu - 24)) p^2, in every band.

    Levels: 29 to 25 magnitudes per square arcsec; scattered starlight alone is 28 to 29. Source: Watkins et al. 2024
    (scattered light in LSST); Kelvin et al. 2023 (pipelines subtract too much).

    Attributes:
        sign: 1 for sky left in the image, -1 for sky oversubtracted.
    """

    name = "sky-offset"
    unit = "AB magnitude per square arcsec"
    stage = Stage.PIPELINE
    identity = math.inf
    levels = (29.0, 28.0, 27.0, 26.0, 25.0)
    valid = (10.0, 40.0)

    sign: int = 1

    @classmethod
    def words(cls, level: float, digits: int = 3) -> str:
        """The residual in the unit of sky brightness."""
        return f"{level:.{digits}g} mag/arcsec2"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sign not in (1, -1):
            raise InputError(f"sign must be 1 (sky left in) or -1 (oversubtracted), got {self.sign}")

    def stored(self, conditions: Conditions) -> np.ndarray:
        """The residual of each band in stored units, shape (C,)."""
        rate = conditions.zero_point * 10 ** (-0.4 * (self.level - 24)) * conditions.pixel_scale**2
        return self.sign * conditions.scale * conditions.exposure * rate

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds the residual."""
        return images + conditions.like(self.stored(conditions), images)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """A shift; the variance is unchanged."""
        return value + self.stored(conditions), np.zeros_like(value)


@dataclass(frozen=True)
class SkyGradient(SkyOffset):
    """A residual that rises linearly across the image, of mean 0, in a direction that each image draws.

    n' = n + s t zero_point 10^(-0.4 (mu - 24)) p^2 x, x from -1/2 to 1/2 across the circle around the image, in every
    band. Levels and sources as for `SkyOffset`.

    Attributes:
        sign: Has no effect: both directions are equally likely.
    """

    name = "sky-gradient"

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds the plane."""
        height, width = images.shape[2:]
        angle = 2 * math.pi * tensor(streams.uniform(1, 1, 1), images)
        rows = torch.arange(height, dtype=images.dtype, device=images.device)[:, None] - (height - 1) / 2
        columns = torch.arange(width, dtype=images.dtype, device=images.device) - (width - 1) / 2
        plane = (rows * angle.sin() + columns * angle.cos()) / math.hypot(height, width)  # in (-1/2, 1/2)
        return images + conditions.like(self.stored(conditions), images) * plane

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The value; and the variance of the plane over pixels and directions."""
        squares = size[0] ** 2 + size[1] ** 2
        return value, self.stored(conditions) ** 2 * (squares - 2) / (24 * squares)
