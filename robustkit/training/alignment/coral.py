"""Deep CORAL: aligns the covariances of the two domains."""

from __future__ import annotations

from torch import Tensor

from robustkit.training.alignment.base import Alignment


def covariance(rows: Tensor) -> Tensor:
    """Unbiased covariance, (N, D) to (D, D)."""
    centred = rows - rows.mean(0)
    return centred.T @ centred / (len(rows) - 1)


class Coral(Alignment):
    """Squared Frobenius norm of the difference of the covariances, over 4 D**2.

    Source: Sun & Saenko 2016, equation 1, doi:10.1007/978-3-319-49409-8_35.
    """

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The penalty; see the base class."""
        difference = covariance(source) - covariance(target)
        return difference.square().sum() / (4 * source.shape[1] ** 2)
