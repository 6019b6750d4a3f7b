"""The eight symmetries of a square image, drawn at random for each image of a batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def dihedral(images: Tensor, element: int) -> Tensor:
    """Rotates and mirrors images.

    Args:
        images: Shape (N, C, H, W).
        element: 0 to 7: the first bit mirrors columns, the second mirrors rows, the third swaps rows and columns.

    Returns:
        A view of the images, shape (N, C, H, W), or (N, C, W, H) for elements of 4 and more.
    """
    if element & 4:
        images = images.transpose(-1, -2)
    dims = [dim for bit, dim in ((1, -1), (2, -2)) if element & bit]
    return images.flip(dims) if dims else images


def turn_each(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Applies a random symmetry to every image; images that are not square are mirrored only.

    Args:
        images: Shape (N, C, H, W).
        generator: Source of the random choices.

    Returns:
        New images of the same shape.
    """
    elements = generator.integers(8 if images.shape[-1] == images.shape[-2] else 4, size=len(images))
    turned = torch.empty_like(images)
    for element in np.unique(elements):
        rows = torch.from_numpy(np.flatnonzero(elements == element)).to(images.device)
        turned[rows] = dihedral(images[rows], int(element))
    return turned
