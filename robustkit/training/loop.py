"""The training loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustkit.errors import RobustkitError
from robustkit.progress import progress
from robustkit.training.batches import Batches
from robustkit.training.domains import Domain
from robustkit.training.journal import Journal
from robustkit.training.network import Split
from robustkit.training.selection import Selector, source_scores
from robustkit.training.settings import Settings
from robustkit.training.symmetry import random_dihedral


@dataclass(frozen=True, eq=False)
class Machinery:
    """What a step changes: the network, the optimiser and the schedule."""

    network: Split
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weight of each class, N / (K n_k), shape (K,).

    Source: Ciprijanovic et al. 2022, equation 1.
    """
    return len(labels) / (classes * torch.bincount(labels, minlength=classes).float())


def make_machinery(network: nn.Module, settings: Settings, steps: int, device: torch.device | str) -> Machinery:
    """Optimiser and schedule for a network.

    Args:
        network: The fresh network.
        settings: The settings of the run.
        steps: Steps of the whole run.
        device: Where training runs.
    """
    split = Split(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    optimiser = kind(
        split.parameters(), lr=settings.learning_rate, betas=settings.betas, weight_decay=settings.weight_decay
    )
    schedule = None
    if settings.schedule == "one-cycle":
        # cycle_momentum would overwrite the first of the betas.
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=steps, cycle_momentum=False
        )
    return Machinery(split, optimiser, schedule)


def run_epochs(
    machinery: Machinery, source: Domain, batches: Batches, settings: Settings, journal: Journal
) -> Selector:
    """Trains, and leaves the best weights in the network.

    Args:
        machinery: Network, optimiser, schedule.
        source: The labelled domain.
        batches: The order of the images.
        settings: The settings of the run.
        journal: Where each epoch is written down.

    Returns:
        The selector, whose best candidate holds the weights that are now in the network.
    """
    network, optimiser, schedule = machinery.network, machinery.optimiser, machinery.schedule
    assert source.train.labels is not None
    images, labels = source.train.images, source.train.labels
    weights = class_weights(labels, int(labels.max()) + 1)
    selector = Selector(tolerance=0.0)
    bar = progress(total=settings.epochs * batches.steps, label="training", unit="step")
    for epoch in range(settings.epochs):
        network.train()
        total = 0.0
        for step, (rows,) in batches.epoch(epoch):
            batch = images[rows]  # (B, C, H, W)
            if settings.dihedral:
                batch = random_dihedral(batch, np.random.default_rng([settings.seed, 1, epoch, step]))
            with torch.autocast(batch.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                _, logits = network(batch)  # (B, K)
            loss = cross_entropy(logits.float(), labels[rows], weights)
            if not torch.isfinite(loss):
                ids = ", ".join(source.train.ids[rows][:5])
                raise RobustkitError(
                    f"the loss became {loss.item()} in epoch {epoch + 1}, step {step + 1} (images {ids} ...); the best "
                    "checkpoint so far is kept; lower --learning-rate or look at these images"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if schedule is not None:
                schedule.step()
            total += loss.item()
            bar.set_postfix(epoch=epoch + 1, loss=f"{loss.item():.3f}", refresh=False)
            bar.update()
        scores = source_scores(network, source.valid)
        chosen = selector.offer(epoch, scores["valid_balanced_accuracy"], -scores["valid_loss"], network)
        journal.write({"epoch": epoch + 1, "loss": total / batches.steps, **scores, "best": chosen})
        if epoch + 1 >= settings.epochs / 2 and epoch - selector.best.epoch >= settings.patience:
            break
    bar.close()
    network.module.load_state_dict(selector.best.weights)
    return selector
