"""Small pictures of a sample, and the noise of its sky."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from robustkit.findings.attack.gallery import to_stamp
from robustkit.findings.pictures.record import MOST, SIDE, Pictures
from robustkit.lazy import torch

if TYPE_CHECKING:
    from robustkit.models import Checkpoint
    from robustkit.runs.sample import Sample


def take_pictures(sample: Sample) -> Pictures:
    """Small pictures of a sample and the noise of its sky."""
    images, checkpoint = sample.images.numpy(), sample.checkpoint
    small = np.stack([to_stamp(image, checkpoint.card.bands, SIDE) for image in images[:MOST]])
    inverse = inverse_of(checkpoint)
    sky = np.full((len(images), images.shape[1]), np.nan)
    if inverse is not None:
        declared = _declared_noise(sample)
        for i, image in enumerate(images):
            sky[i] = sky_noise(inverse(image)) if declared is None else declared
    return Pictures(
        ids=sample.ids,
        true=sample.labels.numpy(),
        small=small,
        sky=sky,
        bands=list(checkpoint.card.bands),
        unit="calibrated units" if sample.whole.units == "unknown" else f"{sample.whole.units}s",
    )


def _declared_noise(sample: Sample) -> np.ndarray | None:
    """The noise of the sky that the image set itself declares for every band; `None` where it declares none.

    Neighbours and the wings of galaxies lie along the borders of images, so that what is measured there is more.
    """
    noise, bands = sample.whole.meta.get("noise_sigma"), sample.checkpoint.card.bands
    if not isinstance(noise, dict) or not set(bands) <= noise.keys():
        return None
    return np.array([float(noise[band]) for band in bands])


def sky_noise(image: np.ndarray) -> np.ndarray:
    """Standard deviation of the sky in each band: 1.4826 times the median absolute deviation along the border.

    Args:
        image: Calibrated values, shape (C, H, W).

    Examples:
        >>> float(sky_noise(np.zeros((1, 20, 20)))[0])
        0.0
    """
    width = max(1, min(image.shape[1:]) // 10)
    border = np.ones(image.shape[1:], dtype=bool)
    border[width:-width, width:-width] = False
    values = image[:, border]
    middle = np.median(values, axis=1, keepdims=True)
    return 1.4826 * np.median(np.abs(values - middle), axis=1)


def inverse_of(checkpoint: Checkpoint) -> Callable[[np.ndarray], np.ndarray] | None:
    """From network input, shape (C, H, W), back to calibrated units; `None` if the stretch cannot be inverted."""
    stretch = checkpoint.stretch
    if not stretch.invertible:
        return None
    return lambda image: np.asarray(stretch.inverse(torch.from_numpy(np.ascontiguousarray(image))), dtype=np.float64)
