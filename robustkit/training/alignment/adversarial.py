"""Domain-adversarial training: a discriminator learns to tell the domains apart, the network learns to fool it."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softmax

from robustkit.training.alignment.base import Alignment, Outputs

_HIDDEN = 1024


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(rows: Tensor, strength: float) -> Tensor:
    """The identity, whose gradient is multiplied by -strength.

    Args:
        rows: Shape (N, D).
        strength: Factor on the gradients, whose sign is reversed; at least 0.
    """
    return _Reverse.apply(rows, strength)  # type: ignore[return-value]


class Adversarial(Alignment):
    """DANN: binary cross-entropy of a discriminator with two hidden layers, fed through a gradient reversal.

    Args:
        width: Number of columns of the rows that it tells apart.

    Attributes:
        right: Fraction of the rows of each domain that were told apart in the last call.

    Source: Ganin et al. 2016, JMLR 17, 59; layers as in Ciprijanovic et al. 2020.
    """

    adversarial = True

    @classmethod
    def of(cls, settings: Any, latents: int, classes: int) -> Self:
        """For all latents."""
        return cls(latents)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.discriminator = nn.Sequential(
            nn.Linear(width, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(_HIDDEN, 1),
        )
        self.right = (0.0, 0.0)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Loss of the discriminator, the mean over the two domains."""
        # One scale for both, so that the network cannot win by making its latents large.
        scale = torch.cat([source, target]).detach().square().mean().sqrt().clamp_min(torch.finfo(source.dtype).tiny)
        scores = [self.discriminator(rows / scale).squeeze(1) for rows in (source, target)]  # source is 1, target 0
        self.right = (float((scores[0] > 0).float().mean()), float((scores[1] <= 0).float().mean()))
        losses = [
            binary_cross_entropy_with_logits(score, torch.full_like(score, domain))
            for score, domain in zip(scores, (1.0, 0.0), strict=True)
        ]
        return (losses[0] + losses[1]) / 2

    def figures(self) -> dict[str, float]:
        """The accuracy of the discriminator on each domain."""
        return {"source_told": self.right[0], "target_told": self.right[1]}


class Conditional(Adversarial):
    """CDAN: the discriminator sees every latent times every class probability.

    Args:
        width: Number of latents times number of classes.

    Source: Long et al. 2018, arXiv:1705.10667.
    """

    @classmethod
    def of(cls, settings: Any, latents: int, classes: int) -> Self:
        """For the products of latents and class probabilities."""
        return cls(latents * classes)

    def view(self, outputs: Outputs) -> Tensor:
        """The outer product of probabilities and latents, shape (N, K D); the probabilities get no gradient."""
        probabilities = softmax(outputs.logits, 1).detach()
        return (probabilities[:, :, None] * outputs.latents[:, None, :]).flatten(1)
