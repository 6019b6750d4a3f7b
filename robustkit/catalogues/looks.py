"""How odd an image looks, whatever the network says of it: simple statistics of its pixels beside those of others.

A network is often sure of itself on images that it should not be asked about, as one with a trail or a lost band. What
is wrong there shows in the pixels: their level, their noise, the largest step from row to row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_SHRINK = 0.02  # of the covariance towards a multiple of the identity, so that few images have an inverse


@torch.inference_mode()
def statistics(images: Tensor) -> np.ndarray:
    """Numbers that say how images look, shape (N, C, H, W) to (N, 16 C), float64.

    For each band mean, spread and quantiles of its pixels; the typical and the largest difference of a pixel from its
    four neighbours; typical steps along rows and columns; and the largest bend of the means of rows and of columns.
    """
    values = images.cpu().double()
    flat = values.flatten(2)
    quantiles = torch.quantile(flat, flat.new_tensor(_QUANTILES), dim=2)  # (Q, N, C)
    middle = values[:, :, 1:-1, 1:-1]
    around = values[:, :, :-2, 1:-1] + values[:, :, 2:, 1:-1] + values[:, :, 1:-1, :-2] + values[:, :, 1:-1, 2:]
    bumps = (4 * middle - around).abs().flatten(2)
    steps = (values.diff(dim=axis).abs().flatten(2).median(2).values for axis in (2, 3))
    bends = (values.mean(axis).diff(n=2, dim=2).abs().amax(2) for axis in (2, 3))
    found = [flat.mean(2), flat.std(2), *quantiles, bumps.median(2).values, bumps.amax(2), *steps, *bends]
    found.append((4 * middle > around).double().mean((2, 3)))
    return torch.cat(found, 1).cpu().numpy()


@dataclass(frozen=True, eq=False)
class Looks:
    """How images of a survey look.

    Attributes:
        centre: Mean of the statistics that vary, shape (D,).
        spread: Their standard deviations, shape (D,).
        kept: Which statistics vary, shape (16 C,), bool.
        whiten: Makes them independent and of unit variance, shape (D, D).
    """

    centre: np.ndarray
    spread: np.ndarray
    kept: np.ndarray
    whiten: np.ndarray

    @classmethod
    def of(cls, found: np.ndarray) -> Looks:
        """The looks of images whose statistics are given, shape (N, 16 C)."""
        spread = found.std(0)
        kept = spread > 1e-6 * np.abs(found).max(0)
        seen = found[:, kept]
        scaled = (seen - seen.mean(0)) / spread[kept]
        covariance = scaled.T @ scaled / max(1, len(scaled) - 1)
        covariance = (1 - _SHRINK) * covariance + _SHRINK * np.eye(scaled.shape[1])
        whiten = np.linalg.cholesky(np.linalg.inv(covariance))
        return cls(seen.mean(0), spread[kept], kept, whiten)

    def oddness(self, found: np.ndarray) -> np.ndarray:
        """Mahalanobis distance of images to the centre, shape (N, 16 C) to (N,)."""
        return np.linalg.norm((found[:, self.kept] - self.centre) / self.spread @ self.whiten, axis=1)


def oddness(looks: Sequence[Looks], found: np.ndarray) -> np.ndarray:
    """The least oddness among several surveys, shape (N,)."""
    return np.min([one.oddness(found) for one in looks], axis=0)


@dataclass(frozen=True, eq=False)
class Tail:
    """Where a number stands among those of unseen images.

    Attributes:
        known: The numbers of unseen images in ascending order, shape (R,).
    """

    known: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Tail:
        """The tail of some numbers; those that are not finite are left out."""
        return cls(np.sort(values[np.isfinite(values)]))

    @property
    def scale(self) -> float:
        """The number that one unseen image in twenty exceeds."""
        return max(float(np.quantile(self.known, 0.95)), 1e-12)

    def place(self, values: np.ndarray) -> np.ndarray:
        """The share of unseen images with a smaller number, shape (N,); beyond all of them, how often the largest.

        Examples:
            >>> Tail(np.array([1.0, 2.0, 3.0, 4.0])).place(np.array([0.5, 2.5, 4.0, 8.0]))
            array([0. , 0.5, 1. , 2. ])
        """
        share = np.searchsorted(self.known, values, side="right") / len(self.known)
        most = max(float(self.known[-1]), 1e-12)
        return np.where(values > self.known[-1], values / most, np.minimum(share, 1.0))
