"""Source images made as noisy as the target, so that a network learns from noisy images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustkit.data import ImageSet
from robustkit.errors import InputError

# The median absolute deviation of a normal distribution, over its standard deviation.
_MAD = 0.6744897501960817


@dataclass(frozen=True)
class AddedNoise:
    """The noise that a source image lacks: variance = background + slope * max(pixel, 0), Gaussian.

    Attributes:
        background: Variance to add to an empty pixel of each band, in units of the images squared.
        slope: Variance to add for each unit of light; 0 where the scales of the images are not known.
        known: Whether the two sets state their noise; otherwise it was measured.
    """

    background: tuple[float, ...]
    slope: float
    known: bool

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Adds the noise to every second image, drawn at random, so that both depths are learned.

        Args:
            images: Calibrated images, shape (N, C, H, W).
            generator: On the device of the images.

        Returns:
            New images of the same shape.
        """
        chosen = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
        background = images.new_tensor(self.background)[:, None, None]
        sigma = (background + self.slope * images.clamp_min(0)).sqrt()
        noise = torch.empty_like(images).normal_(generator=generator)
        return images + chosen * sigma * noise


def added_noise(source: ImageSet, target: ImageSet) -> AddedNoise:
    """The difference in noise between two image sets, from their metadata or measured in their pixels.

    Args:
        source: Calibrated images.
        target: Calibrated images in the same units.

    Raises:
        InputError: If the images are stretched already, or the target is not the noisier of the two.
    """
    if source.stretch is not None or target.stretch is not None:
        raise InputError("the method augment needs calibrated images, and these are stretched already")
    declared = [{"noise_sigma", "scale"} <= images.meta.keys() for images in (source, target)]
    if all(declared):
        before, after = ([images.meta["noise_sigma"][band] for band in images.bands] for images in (source, target))
        slope = float(target.meta["scale"] - source.meta["scale"])
    else:
        before, after = (background_sigma(images.images) for images in (source, target))
        slope = 0.0
    background = tuple(float(b) ** 2 - float(a) ** 2 for a, b in zip(before, after, strict=True))
    if not min(background) > 0 or slope < 0:
        raise InputError(
            f"the method augment needs a target that is noisier than the source in every band; the source has "
            f"{_numbers(before)}, the target {_numbers(after)}; choose another method"
        )
    return AddedNoise(background, slope, all(declared))


def background_sigma(images: np.ndarray, most: int = 200) -> list[float]:
    """Standard deviation of the pixel noise of each band, from differences of neighbours.

    Args:
        images: Shape (N, C, H, W).
        most: Largest number of images to use.
    """
    sample = np.asarray(images[:: max(1, len(images) // most)][:most], dtype=np.float64)
    # A second difference removes any light that is locally straight; its variance is 6 times that of a pixel.
    second = sample[..., 2:] - 2 * sample[..., 1:-1] + sample[..., :-2]
    return [float(np.median(np.abs(second[:, band])) / _MAD / 6**0.5) for band in range(second.shape[1])]


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
