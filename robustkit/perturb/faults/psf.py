"""Worse seeing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.lazy import torch
from robustkit.perturb.faults.fourier import filtered, gaussian
from robustkit.perturb.perturbation import Perturbation, Stage, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
_MEDIAN_SEEING = 0.70  # arcsec, in r


@dataclass(frozen=True)
class PSFBlur(Perturbation):
    """A Gaussian blur of FWHM b, so that a seeing F becomes sqrt(F^2 + b^2).

    In Fourier space the image is multiplied by T = exp(-k^2 sigma^2 / 2), sigma = b / 2.355, with mirrored edges: the
    sum stays. A blur also smooths the noise, which worse seeing does not, so noise of power (1 - T^2) times that of the
    background is added: the background is white again, with its original variance. (The noise of bright sources stays
    smoothed.)

    Levels: a seeing of 0.70" becomes 0.8, 1.0, 1.2, 1.5 and 2.0". Source: median seeing in r, Ivezic et al. 2008,
    arXiv:0805.2366, Table 2.

    Attributes:
        restore_noise: Whether the noise is added; if not, a plain blur is applied to signal and noise.
    """

    name = "psf"
    unit = "arcsec of added FWHM"
    stage = Stage.SCENE
    levels = (0.387, 0.714, 0.975, 1.327, 1.873)
    valid = (0.0, 20.0)
    conserves_charge = True

    restore_noise: bool = True

    @classmethod
    def words(cls, level: float, digits: int = 3) -> str:
        """The seeing that a blur makes of the median one."""
        return f"a seeing of {math.hypot(_MEDIAN_SEEING, level):.{digits}g} arcsec"

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Blurs, and restores the noise of the background."""
        height, width = images.shape[2:]
        sigma = self.level / FWHM_PER_SIGMA / conditions.pixel_scale  # pixels
        blurred = filtered(images, gaussian(2 * height, 2 * width, sigma, images))
        if not self.restore_noise:
            return blurred
        lost = (1 - gaussian(height, width, sigma, images) ** 2).clamp_min(0).sqrt()
        white = torch.fft.rfft2(tensor(streams.normal(*images.shape[1:]), images))
        noise = torch.fft.irfft2(white * lost, s=(height, width))
        return blurred + conditions.like(conditions.scale * conditions.background**0.5, images) * noise

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The value; and the part of the variance of white noise that the blur takes away, where it is restored."""
        sigma = self.level / FWHM_PER_SIGMA / conditions.pixel_scale
        kept = [np.exp(-((sigma * 2 * np.pi * np.fft.fftfreq(pixels)) ** 2)).mean() for pixels in size]
        lost = 1 - kept[0] * kept[1] if self.restore_noise else 0.0
        return value, conditions.scale**2 * conditions.background * lost
