"""The loss of a step: task + weight * penalty, and the optional terms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustkit.training.alignment import Fisher, Outputs, information_loss, make_alignment, reverse_gradient
from robustkit.training.settings import LEARNED, Settings


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weight of each class, N / (K n_k), shape (K,).

    Source: Ciprijanovic et al. 2022, equation 1.
    """
    return len(labels) / (classes * torch.bincount(labels, minlength=classes).float())


class LearnedWeights(nn.Module):
    """Weights of task and penalty that are trained with the network: task / (2 a^2) + penalty / (2 b^2) + log(a b).

    Source: Pandya et al. 2025, arXiv:2501.14048 (SIDDA), with the bounds of their code: a >= 0.001 and b >= a / 4.
    """

    def __init__(self) -> None:
        super().__init__()
        self.eta = nn.Parameter(torch.ones(2))

    def forward(self, task: Tensor, penalty: Tensor) -> Tensor:
        """The loss of both."""
        with torch.no_grad():
            self.eta[0].clamp_(min=1e-3)
            self.eta[1].clamp_(min=float(self.eta[0]) / 4)
        halves = torch.stack([task, penalty]) / (2 * self.eta.square())
        return halves.sum() + self.eta.log().sum()

    def figures(self) -> dict[str, float]:
        """Both weights, for the log."""
        task, penalty = (1 / (2 * self.eta.detach().square())).tolist()
        return {"task_weight": task, "penalty_weight": penalty}


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
        self.balance = LearnedWeights() if settings.weight == LEARNED else None

    def forward(
        self,
        source: Outputs,
        labels: Tensor,
        target: Outputs | None,
        ramp: float,
        known: tuple[Outputs | None, Tensor | None] = (None, None),
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a step.

        Args:
            source: Outputs of the source images.
            labels: Their classes, shape (N,).
            target: Outputs of the target images, if any.
            ramp: From 0 to 1, how far the terms that look at the target are switched on.
            known: Outputs of the target images whose classes are known, if any, and the classes, shape (M,).

        Returns:
            The loss, and each term for the log, before its weight.
        """
        task = cross_entropy(source.logits, labels, self.weights)
        total, terms = task, {"task": task}
        outputs, classes = known
        if outputs is not None and classes is not None:
            terms["target_task"] = cross_entropy(outputs.logits, classes, self.weights)
            total = total + terms["target_task"]
        if self.alignment is not None:
            assert target is not None
            weight = 0.0 if self.settings.weight == LEARNED else ramp * self.settings.weight
            rows = [self.alignment.view(outputs) for outputs in (source, target)]
            if self.alignment.adversarial:
                # The discriminator learns at full strength from the first step; the weight is that of its gradient.
                rows, weight = [reverse_gradient(row, weight) for row in rows], 1.0
            terms["penalty"] = self.alignment(*rows)
            total = total + weight * terms["penalty"]
            if self.balance is not None and ramp > 0:
                total = self.balance(total, ramp * terms["penalty"])
        if self.fisher is not None:
            terms["fisher"] = self.fisher(source.latents, labels)
            total = total + terms["fisher"]
        if self.settings.entropy and target is not None:
            terms["information_loss"] = information_loss(target.logits)
            total = total + ramp * self.settings.entropy * terms["information_loss"]
        figures = self.alignment.figures() if self.alignment is not None else {}
        figures |= self.balance.figures() if self.balance is not None else {}
        return total, {name: float(term.detach()) for name, term in terms.items()} | figures
