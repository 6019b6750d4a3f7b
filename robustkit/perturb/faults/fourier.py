"""Filters in Fourier space with mirrored edges, so that nothing comes back on the other side."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def frequencies(height: int, width: int, images: Tensor) -> tuple[Tensor, Tensor]:
    """Radians per pixel along rows, shape (H, 1), and columns, (W // 2 + 1,), in the layout of `torch.fft.rfft2`."""
    ky = 2 * math.pi * torch.fft.fftfreq(height, device=images.device, dtype=images.dtype)[:, None]
    kx = 2 * math.pi * torch.fft.rfftfreq(width, device=images.device, dtype=images.dtype)
    return ky, kx


def gaussian(height: int, width: int, sigma: float | Tensor, images: Tensor) -> Tensor:
    """The Fourier transform of a Gaussian of unit sum.

    Args:
        height: Pixels.
        width: Pixels.
        sigma: Pixels; a number, or one for each band as (C, 1, 1).
        images: Whose device and type it takes.
    """
    ky, kx = frequencies(height, width, images)
    return torch.exp(-0.5 * sigma**2 * (kx**2 + ky**2))


def filtered(images: Tensor, *factors: Tensor) -> Tensor:
    """Images (N, C, H, W) times factors in Fourier space, which has the layout of an image (2 H, 2 W)."""
    height, width = images.shape[2:]
    mirrored = torch.cat([images, images.flip(2)], 2)
    mirrored = torch.cat([mirrored, mirrored.flip(3)], 3)
    transform = torch.fft.rfft2(mirrored)
    for factor in factors:
        transform = transform * factor
    return torch.fft.irfft2(transform, s=(2 * height, 2 * width))[..., :height, :width].contiguous()
