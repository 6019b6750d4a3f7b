"""The state of a training run: network, loss, optimiser, schedule and history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from robustkit.training.network import Trainee
from robustkit.training.objective import Objective
from robustkit.training.selection import Selector
from robustkit.training.settings import Settings

# Class centres must keep up with moving latents.
_CENTRES_FASTER = 10.0
# The norm that gradients are cut to where the weights of the loss are learned; as in the code of SIDDA.
_LARGEST_GRADIENT = 10.0
# How far the source accuracy may lie below its best when the choice rests on the target.
_TOLERANCE = 0.02


@dataclass(eq=False)
class Run:
    """The state of a training run between two steps.

    Attributes:
        network: The network in training.
        objective: The loss, with its discriminator and centres.
        optimiser: Holds every trained tensor of both, each once.
        schedule: Learning-rate schedule, or `None`.
        selector: The epochs that may still be chosen.
        epoch: The current epoch, counted from 0.
        step: Number of steps done in the current epoch.
        sums: Terms of the loss, summed over these steps.
        history: One row per finished epoch.
    """

    network: Trainee
    objective: Objective
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None
    selector: Selector
    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def update(self, loss: torch.Tensor, terms: dict[str, float]) -> None:
        """One step of optimiser and schedule."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.objective.balance is not None:  # a small weight makes the gradient large
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.step += 1

    def close_epoch(self, scores: dict[str, Any]) -> dict[str, Any]:
        """Adds a row of mean terms and scores to the history, and starts the next epoch."""
        terms = {name: value / self.step for name, value in self.sums.items()}
        assert not terms.keys() & scores.keys()
        row = {"epoch": self.epoch + 1} | terms | scores
        self.history.append(row)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        return row

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on: tensors and plain values."""
        return {
            "network": self.network.module.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "selector": self.selector.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
            "position": {"epoch": self.epoch, "step": self.step, "sums": self.sums, "history": self.history},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes from a saved state."""
        self.network.module.load_state_dict(state["network"])
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.selector.load_state_dict(state["selector"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])
        for name, value in state["position"].items():
            setattr(self, name, value)


def make_run(network: Trainee, weights: torch.Tensor, settings: Settings, *, width: int, steps: int) -> Run:
    """Everything that a run needs to begin.

    Args:
        network: The fresh network, on its device.
        weights: Weight of each class, shape (K,), on the device.
        settings: The settings of the run.
        width: Number of latents D.
        steps: Number of steps per epoch.
    """
    objective = Objective(settings, weights, width).to(weights.device)
    groups: list[dict[str, Any]] = [{"params": list(network.parameters()), "lr": settings.learning_rate}]
    if objective.alignment is not None and list(objective.alignment.parameters()):
        groups.append({"params": list(objective.alignment.parameters()), "lr": settings.learning_rate})
    if objective.balance is not None:
        groups.append(
            {"params": list(objective.balance.parameters()), "lr": settings.learning_rate, "weight_decay": 0.0}
        )
    if objective.fisher is not None:
        faster = _CENTRES_FASTER * settings.learning_rate
        groups.append({"params": list(objective.fisher.parameters()), "lr": faster, "weight_decay": 0.0})
    kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    optimiser = kind(groups, betas=settings.betas, weight_decay=settings.weight_decay)
    schedule = None
    if settings.schedule == "one-cycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            [group["lr"] for group in groups],
            total_steps=settings.epochs * steps,
            cycle_momentum=False,  # it would overwrite the first of the betas
        )
    selector = Selector(tolerance=_TOLERANCE if settings.judged_on_target else 0.0)
    return Run(network, objective, optimiser, schedule, selector)
