"""Maximum mean discrepancy with Gaussian kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robustkit.training.alignment.base import Alignment

# In place of sigma**2 in the published code of DeepMerge and DeepAdversaries.
PUBLISHED = (*(10.0**k for k in range(-6, 0)), 1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 100.0, 1e3, 1e4, 1e5, 1e6)
_AROUND_MEDIAN = (0.25, 0.5, 1.0, 2.0, 4.0)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances between rows, (N, D) and (M, D) to (N, M), not below 0."""
    # A shift changes no distance; far from the origin the difference of large squares would be rounding.
    centre = y.mean(0).detach()
    x, y = x - centre, y - centre
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)


def off_diagonal_mean(square: Tensor) -> Tensor:
    """Mean over i != j of a matrix of shape (N, N)."""
    n = len(square)
    return (square.sum() - square.diagonal().sum()) / (n * (n - 1))


class MedianMMD(Alignment):
    """Unbiased estimate of the squared MMD, the mean over five kernels around the median distance.

    The kernels are k(a, b) = exp(-|a - b|**2 / (2 s)), where s runs over 1/4, 1/2, 1, 2 and 4 times the median squared
    distance of the pooled rows, so the penalty does not depend on the scale of the latents and stays in [-1, 2]. It
    can be below 0, and is 0 on average for rows of one distribution.

    Source: Gretton et al. 2012, equation 3 and section 8, JMLR 13, 723.
    """

    @classmethod
    def of(cls, settings: Any, latents: int, classes: int) -> Alignment:
        """With the kernels of the settings: these, or the published ones."""
        return PublishedMMD() if settings.kernels == "published" else cls()

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The penalty; see the base class."""
        rows = torch.cat([source, target])
        distances = squared_distances(rows, rows)  # (N + M, N + M)
        n = len(source)
        others = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        median = distances.detach()[others].median().clamp_min(torch.finfo(rows.dtype).tiny)
        values = [self._estimate(torch.exp(-distances / (2 * factor * median)), n) for factor in _AROUND_MEDIAN]
        return torch.stack(values).mean()

    @staticmethod
    def _estimate(kernel: Tensor, n: int) -> Tensor:
        within = off_diagonal_mean(kernel[:n, :n]) + off_diagonal_mean(kernel[n:, n:])
        return within - 2 * kernel[:n, n:].mean()


class PublishedMMD(Alignment):
    """The MMD of the published code: biased, the sum over 19 fixed kernels, and never below 1e-4.

    Two samples of one distribution do not give 0 but up to 19 * 2 / N, nearly all of it constant. On a sum of 19
    kernels a weight of 0.05 is worth 0.95 on their mean, which is why the default weight of `MedianMMD` is 1.

    Source: the code with Ciprijanovic et al. 2021 and 2022, after Zhang et al. 2020.
    """

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The penalty; see the base class."""
        rows = torch.cat([source, target])
        # Differences of rows, as published: kernels as narrow as 1e-6 need a row's distance from itself, and from rows
        # equal to it, to be exactly 0, which |x|^2 + |y|^2 - 2 xy is not in float32.
        distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()
        kernel = torch.stack([torch.exp(-distances / (2 * s)) for s in PUBLISHED]).sum(0)
        n = len(source)
        return (kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()).clamp_min(1e-4)
