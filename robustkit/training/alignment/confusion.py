"""Minimum class confusion: target predictions should not hesitate between two classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softmax

from robustkit.training.alignment.base import Alignment, Outputs

_TEMPERATURE = 2.5


class Confusion(Alignment):
    """MCC: the share of the class correlation of target predictions that lies between different classes.

    Certain predictions count more; each class counts the same. In [0, 1]; the source rows are not used.

    Source: Jin et al. 2020, equations 2 to 6, doi:10.1007/978-3-030-58589-1_28.
    """

    def view(self, outputs: Outputs) -> Tensor:
        """The logits."""
        return outputs.logits

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The penalty; see the base class."""
        p = softmax(target / _TEMPERATURE, 1)  # (M, K)
        entropy = -(p * p.clamp_min(1e-12).log()).sum(1).detach()
        certainty = 1 + torch.exp(-entropy)
        weights = len(p) * certainty / certainty.sum()
        correlation = p.T @ (weights[:, None] * p)  # (K, K)
        correlation = correlation / correlation.sum(1, keepdim=True)
        return (correlation.sum() - correlation.trace()) / p.shape[1]
