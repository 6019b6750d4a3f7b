"""The same galaxy, farther away."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.faults.fourier import filtered, gaussian
from robustkit.perturb.faults.psf import FWHM_PER_SIGMA
from robustkit.perturb.perturbation import Perturbation, Stage, mixture, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams

_EDGE = 1 + 1e-6  # of the image, so that rounding does not decide about a pixel on the edge


@dataclass(frozen=True)
class Distance(Perturbation):
    """An object at d times its distance: 1 / d of the size, 1 / d^2 of the flux, under the same seeing and sky.

    The image is blurred by the seeing times sqrt(d^2 - 1), so that after shrinking its PSF is unchanged, and
    sampled in steps of d pixels (bicubic) about the centre; surface brightness stays. What was outside the image is
    empty sky. White noise brings the background back to its variance. A redshift dims surface brightness by
    (1 + z)^-4 on top; wavelengths are not shifted. Levels: sizes 0.9, 0.8, 0.65, 0.5 and 0.35 of the original. Source:
    the steps of FERENGI, Barden, Jahnke & Haeussler 2008, arXiv:0710.5170, in Euclidean space.

    Attributes:
        redshift: z, which dims the light.
    """

    name = "distance"
    surveyed = False
    unit = "times the distance"
    stage = Stage.SCENE
    identity = 1.0
    levels = (1 / 0.9, 1.25, 1 / 0.65, 2.0, 1 / 0.35)
    valid = (1.0, 10.0)

    redshift: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.redshift < math.inf:
            raise InputError(f"redshift must be at least 0, got {self.redshift}")

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Blurs, shrinks, and restores the noise."""
        count, _, height, width = images.shape
        seeing = conditions.like(conditions.seeing, images) / FWHM_PER_SIGMA / conditions.pixel_scale
        sigma = seeing * math.sqrt(self.level**2 - 1)  # (C, 1, 1), pixels before the shrinking
        blurred = filtered(images, gaussian(2 * height, 2 * width, sigma, images))
        shrink = images.new_tensor([[self.level, 0, 0], [0, self.level, 0]]).expand(count, 2, 3)
        grid = torch.nn.functional.affine_grid(shrink, list(images.shape), align_corners=False)
        inside = (grid.abs() <= _EDGE).all(-1)[:, None].to(images.dtype)  # (N, 1, H, W)
        light = inside * (1 + self.redshift) ** -4
        small = light * torch.nn.functional.grid_sample(
            blurred, grid, mode="bicubic", padding_mode="border", align_corners=False
        )
        kept = _kept(height, width, sigma, images)
        noise = conditions.like(conditions.scale * conditions.background**0.5, images) * (1 - kept * light**2).sqrt()
        return small + noise * tensor(streams.normal(*images.shape[1:]), images)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The moments of the part that is still the field and of the empty sky around it, each with its noise."""
        places = [np.abs(2 * np.arange(pixels) + 1 - pixels) * self.level <= pixels * _EDGE for pixels in size]
        part, dimmed = places[0].mean() * places[1].mean(), (1 + self.redshift) ** -4
        sigma = conditions.seeing / FWHM_PER_SIGMA / conditions.pixel_scale * math.sqrt(self.level**2 - 1)
        kept = _kept(*size, torch.as_tensor(sigma)[:, None, None], torch.empty(0, dtype=torch.float64))[:, 0, 0].numpy()
        mean, variance = mixture([dimmed * value, 0 * value], [part, 1 - part])
        background = conditions.scale**2 * conditions.background
        return mean, variance + background * (1 - part * kept * dimmed**2)


def _kept(height: int, width: int, sigma: Tensor, images: Tensor) -> Tensor:
    """The fraction of the variance of white noise left by a blur, shape (C, 1, 1)."""
    ky = 2 * math.pi * torch.fft.fftfreq(height, device=images.device, dtype=images.dtype)
    kx = 2 * math.pi * torch.fft.fftfreq(width, device=images.device, dtype=images.dtype)
    rows, columns = (torch.exp(-(sigma**2) * k**2).mean(-1, keepdim=True) for k in (ky, kx))
    return rows * columns
