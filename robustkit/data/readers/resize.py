"""Images of one size: cut or padded about the centre, or resampled."""

from __future__ import annotations

import numpy as np
from PIL import Image

from robustkit.data.readers.found import Fit


def fit_size(images: np.ndarray, size: tuple[int, int], how: Fit) -> np.ndarray:
    """Brings images to a size.

    Cropping and padding keep the centre to within half a pixel; where the excess is odd, the extra row or column goes
    at the high end. Padding takes the median of the image's own outermost pixels, band by band, which is the sky.

    Args:
        images: Shape (N, C, H, W), float32.
        size: The new (H, W).
        how: `crop` cuts or pads; `resize` resamples bilinearly, averaging where it shrinks.

    Returns:
        Shape (N, C, *size); the same array where nothing had to change.
    """
    if images.shape[2:] == size:
        return images
    if how == "resize":
        return _resample(images, size)
    rows, columns = (_overlap(old, new) for old, new in zip(images.shape[2:], size, strict=True))
    fitted = np.empty((*images.shape[:2], *size), dtype=images.dtype)
    fitted[...] = _border_median(images)[:, :, None, None]
    fitted[:, :, rows[1], columns[1]] = images[:, :, rows[0], columns[0]]
    return fitted


def _overlap(old: int, new: int) -> tuple[slice, slice]:
    """Where the pixels that stay are along one axis, before and after."""
    length = min(old, new)
    before, after = (old - length) // 2, (new - length) // 2
    return slice(before, before + length), slice(after, after + length)


def _border_median(images: np.ndarray) -> np.ndarray:
    """Median of the outermost pixels of each image and band, shape (N, C)."""
    inside = np.zeros(images.shape[2:], dtype=bool)
    inside[1:-1, 1:-1] = True
    return np.median(images[:, :, ~inside], axis=2)


def _resample(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    resized = np.empty((*images.shape[:2], height, width), dtype=np.float32)
    for place in np.ndindex(images.shape[:2]):
        plane = Image.fromarray(np.ascontiguousarray(images[place]))
        resized[place] = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
    return resized
