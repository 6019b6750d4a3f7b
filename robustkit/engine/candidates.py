"""Candidates: perturbed images that differ from a clean one in a few pixels, described instead of made."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustkit.errors import InputError


@dataclass(frozen=True, eq=False)
class Candidates:
    """P candidates for each of M images; each overwrites L pixels of its image.

    Attributes:
        image: Which image of the evaluator each row belongs to, shape (M,), int64.
        row: Pixel rows, shape (M, P, L), int64 in [0, H).
        column: Pixel columns, shape (M, P, L), int64 in [0, W).
        value: The new value of every band, in network input, shape (M, P, L, C), float32. Where two of the L pixels
            coincide, the last one holds.
    """

    image: Tensor
    row: Tensor
    column: Tensor
    value: Tensor

    def __post_init__(self) -> None:
        m, p, pixels, _ = self.value.shape
        assert self.image.shape == (m,), f"image {tuple(self.image.shape)} beside value {tuple(self.value.shape)}"
        assert self.row.shape == self.column.shape == (m, p, pixels), "row, column and value must agree in (M, P, L)"

    def __len__(self) -> int:
        """How many candidates there are, M x P."""
        return self.row.shape[0] * self.row.shape[1]

    @property
    def pixels(self) -> int:
        """L, the number of pixels that a candidate overwrites."""
        return self.row.shape[2]

    def select(self, indices: Tensor) -> Candidates:
        """The candidates of some of the M rows."""
        return Candidates(self.image[indices], self.row[indices], self.column[indices], self.value[indices])

    def flat(self) -> Candidates:
        """The same candidates, each in a row of its own: (M, P, L) becomes (M x P, 1, L)."""
        parts = (part.flatten(0, 1)[:, None] for part in (self.row, self.column, self.value))
        return Candidates(self.image.repeat_interleave(self.row.shape[1]), *parts)

    def check_places(self, images: Tensor) -> None:
        """Refuses pixels outside the images, which index arithmetic would take for others.

        Args:
            images: The clean images, shape (N, C, H, W).

        Raises:
            InputError: If an image, row or column is below 0 or too large.
        """
        limits = (len(images), *images.shape[2:])
        places = (self.image, self.row, self.column)
        outside = [((place < 0) | (place >= limit)).any() for place, limit in zip(places, limits, strict=True)]
        if bool(torch.stack(outside).any()):
            raise InputError(
                f"candidates lie outside the {limits[0]} images of {limits[1]} x {limits[2]} pixels; give image, row "
                "and column counted from 0"
            )


def paint(images: Tensor, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
    """Writes pixels into images.

    Args:
        images: Shape (B, C, H, W); left untouched.
        row: Shape (B, L).
        column: Shape (B, L).
        value: Shape (B, L, C).

    Returns:
        The painted images, shape (B, C, H, W).
    """
    painted = images.clone()
    batch = torch.arange(len(images), device=images.device)
    for pixel in range(row.shape[1]):  # one after the other, so that the last of coinciding pixels holds
        painted[batch, :, row[:, pixel], column[:, pixel]] = value[:, pixel]
    return painted
