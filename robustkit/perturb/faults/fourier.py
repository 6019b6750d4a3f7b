"""Filters in Fourier space with mirrored edges, so that nothing wraps around."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from robustkit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 4


def frequencies(height: int, width: int, images: Tensor) -> tuple[Tensor, Tensor]:
    """Radians per pixel along rows, shape (H, 1), and columns, (W // 2 + 1,), in the layout of `torch.fft.rfft2`."""
    ky = 2 * math.pi * torch.fft.fftfreq(height, device=images.device, dtype=images.dtype)[:, None]
    kx = 2 * math.pi * torch.fft.rfftfreq(width, device=images.device, dtype=images.dtype)
    return ky, kx


def gaussian(height: int, width: int, sigma: float | Tensor, images: Tensor) -> Tensor:
    """The Fourier transform of a Gaussian of unit sum.

    Args:
        height: Height, pixels.
        width: Width, pixels.
        sigma: Sigma, pixels: a number, or one per band as (C, 1, 1).
        images: Images whose device and type are used.
    """
    ky, kx = frequencies(height, width, images)
    return torch.exp(-0.5 * sigma**2 * (kx**2 + ky**2))


def filtered(images: Tensor, *factors: Tensor) -> Tensor:
    """Images (N, C, H, W) times factors in Fourier space, which have the layout of an image (2 H, 2 W).

    A factor is the same for all images, at most (C, 2 H, W + 1), or has N of them, (N, C, 2 H, W + 1).
    """
    # A few images at a time stay in the processor's cache: three times as fast as all of them.
    size = _AT_ONCE if images.device.type == "cpu" else len(images)
    made = torch.empty_like(images, memory_format=torch.contiguous_format)
    for first in range(0, len(images), size):
        part = slice(first, first + size)
        made[part] = _filtered(images[part], [factor[part] if factor.ndim == 4 else factor for factor in factors])
    return made


def _filtered(images: Tensor, factors: list[Tensor]) -> Tensor:
    height, width = images.shape[2:]
    mirrored = torch.cat([images, images.flip(2)], 2)
    mirrored = torch.cat([mirrored, mirrored.flip(3)], 3)
    transform = torch.fft.rfft2(mirrored)
    for factor in factors:
        transform = transform * factor
    return torch.fft.irfft2(transform, s=(2 * height, 2 * width))[..., :height, :width]
