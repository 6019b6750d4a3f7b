"""Misregistered bands, and rotated images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.lazy import torch
from robustkit.perturb.faults.fourier import filtered, frequencies
from robustkit.perturb.perturbation import Perturbation, Stage, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class Shift(Perturbation):
    """Every band but the first is shifted by d pixels, each in a random direction.

    The shift is a phase in Fourier space with mirrored edges, so that the noise is unchanged. Levels: 0.1 to 2 pixels
    (20 to 400 mas in LSST; relative astrometry is good to some 10 mas), of our own choice.
    """

    name = "shift"
    unit = "pixels"
    stage = Stage.PIPELINE
    levels = (0.1, 0.25, 0.5, 1.0, 2.0)
    valid = (0.0, 50.0)
    physical = False
    least_bands = 2
    conserves_charge = True

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Shifts the bands."""
        angle = 2 * math.pi * tensor(streams.uniform(images.shape[1]), images)
        shifted = fourier_shift(images, self.level * angle.sin(), self.level * angle.cos())
        return torch.cat([images[:, :1], shifted[:, 1:]], 1)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """A constant field is unchanged."""
        return value, np.zeros_like(value)


@dataclass(frozen=True)
class Rotation(Perturbation):
    """The whole image is rotated about its centre by an angle, bicubic, with mirrored edges.

    Interpolation smooths the noise of oblique angles a little. Levels: 1 to 90 degrees; the sky has no preferred
    direction, so a classifier of galaxies should not respond.
    """

    name = "rotation"
    surveyed = False
    unit = "degrees"
    stage = Stage.PIPELINE
    levels = (1.0, 5.0, 15.0, 45.0, 90.0)
    valid = (0.0, 180.0)
    physical = False

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Rotates the images."""
        count, _, height, width = images.shape
        sine, cosine = math.sin(math.radians(self.level)), math.cos(math.radians(self.level))
        turn = images.new_tensor([[cosine, sine * height / width, 0], [-sine * width / height, cosine, 0]])
        grid = torch.nn.functional.affine_grid(turn.expand(count, 2, 3), list(images.shape), align_corners=False)
        return torch.nn.functional.grid_sample(
            images, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """A constant field is unchanged."""
        return value, np.zeros_like(value)


def fourier_shift(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shifts bands by fractions of a pixel.

    Args:
        images: Shape (N, C, H, W).
        down: Pixels towards higher rows, shape (N, C).
        right: Pixels towards higher columns, shape (N, C).
    """
    height, width = images.shape[2:]
    # In double precision on the CPU, because not every device has it.
    ky, kx = frequencies(2 * height, 2 * width, torch.empty(0, dtype=torch.float64))
    # Image by image, because vectorised sines round differently at different places in a batch.
    rows = torch.stack([_phase(one[:, None, None] * ky) for one in down.cpu().double()])  # (N, C, 2 H, 1)
    columns = torch.stack([_phase(one[:, None, None] * kx) for one in right.cpu().double()])  # (N, C, 1, W + 1)
    kind = torch.complex128 if images.dtype == torch.float64 else torch.complex64
    return filtered(images, rows.to(images.device, kind), columns.to(images.device, kind))


def _phase(angle: Tensor) -> Tensor:
    return torch.complex(angle.cos(), -angle.sin())
