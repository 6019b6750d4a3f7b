"""The loss of a step: task + weight * penalty, and the optional terms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustkit.training.alignment import Fisher, Outputs, information_loss, make_alignment, reverse_gradient
from robustkit.training.settings import Settings


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weight of each class, N / (K n_k), shape (K,).

    Source: Ciprijanovic et al. 2022, equation 1.
    """
    return len(labels) / (classes * torch.bincount(labels, minlength=classes).float())


class Objective(nn.Module):
    """Every term of the loss, with their trainable parts: a discriminator, the class centres.

    Args:
        settings: The settings of the run.
        weights: Weight of each class, shape (K,).
        latents: Number of latents D.
    """

    weights: Tensor

    def __init__(self, settings: Settings, weights: Tensor, latents: int) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("weights", weights, persistent=False)
        self.alignment = make_alignment(settings.method, settings, latents, len(weights))
        self.fisher = Fisher(len(weights), latents, form=settings.fisher) if settings.fisher else None

    def forward(
        self, source: Outputs, labels: Tensor, target: Outputs | None, ramp: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a step.

        Args:
            source: Outputs of the source images.
            labels: Their classes, shape (N,).
            target: Outputs of the target images, if any.
            ramp: From 0 to 1, how far the terms that look at the target are switched on.

        Returns:
            The loss, and each term for the log, before its weight.
        """
        task = cross_entropy(source.logits, labels, self.weights)
        total, terms = task, {"task": task}
        if self.alignment is not None:
            assert target is not None
            weight = ramp * self.settings.weight
            rows = [self.alignment.view(outputs) for outputs in (source, target)]
            if self.alignment.adversarial:
                # The discriminator learns at full strength from the first step; the weight is that of its gradient.
                rows, weight = [reverse_gradient(row, weight) for row in rows], 1.0
            terms["penalty"] = self.alignment(*rows)
            total = total + weight * terms["penalty"]
        if self.fisher is not None:
            terms["fisher"] = self.fisher(source.latents, labels)
            total = total + terms["fisher"]
        if self.settings.entropy and target is not None:
            terms["information_loss"] = information_loss(target.logits)
            total = total + ramp * self.settings.entropy * terms["information_loss"]
        figures = self.alignment.figures() if self.alignment is not None else {}
        return total, {name: float(term.detach()) for name, term in terms.items()} | figures
