"""Which epoch's weights are kept: judged on validation images, and never with target labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustkit.training.domains import Part
from robustkit.training.network import Split

Weights = dict[str, Tensor]

_BATCH = 256


@torch.inference_mode()
def predict(network: Split, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Latents (N, D) and logits (N, K) of a part, in evaluation mode; the network is left in the mode it was in."""
    training = network.training
    network.eval()
    outputs = [network(images) for images in part.images.split(_BATCH)]
    network.train(training)
    latents, logits = (torch.cat(parts).float().cpu().numpy() for parts in zip(*outputs, strict=True))
    return latents, logits


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities, shape (N, K), float64."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over the classes of the fraction that is found."""
    return float(np.mean([np.mean(predicted[labels == k] == k) for k in np.unique(labels)]))


def source_scores(network: Split, part: Part) -> dict[str, float]:
    """Balanced accuracy, accuracy and mean cross-entropy on labelled validation images."""
    assert part.labels is not None
    labels = part.labels.cpu().numpy()
    _, logits = predict(network, part)
    log_p, predicted = log_softmax(logits), logits.argmax(1)
    return {
        "valid_loss": float(-log_p[np.arange(len(labels)), labels].mean()),
        "valid_accuracy": float((predicted == labels).mean()),
        "valid_balanced_accuracy": balanced_accuracy(labels, predicted),
    }


@dataclass(frozen=True, eq=False)
class Candidate:
    """An epoch that may still be chosen."""

    epoch: int
    gate: float
    score: float
    weights: Weights = field(repr=False)


class Selector:
    """Keeps the weights of the best epoch: highest score among those whose gate is near the best gate.

    The gate keeps out collapsed networks, whose label-free scores can be the highest of all. As the best gate rises,
    earlier epochs drop out, so every epoch that no other beats in both numbers is kept until then.

    Args:
        tolerance: How far the gate may lie under the best one.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.candidates: list[Candidate] = []

    def offer(self, epoch: int, gate: float, score: float, network: Split) -> bool:
        """Takes note of an epoch.

        Returns:
            Whether it is now the best.
        """
        floor = max([gate, *(candidate.gate for candidate in self.candidates)]) - self.tolerance
        beaten = any(other.gate >= gate and other.score >= score for other in self.candidates)
        if not beaten and gate >= floor:
            weights = {name: tensor.detach().clone() for name, tensor in network.module.state_dict().items()}
            self.candidates = [c for c in self.candidates if not (gate >= c.gate and score >= c.score)]
            self.candidates.append(Candidate(epoch, gate, score, weights))
        self.candidates = [candidate for candidate in self.candidates if candidate.gate >= floor]
        return self.best.epoch == epoch

    @property
    def best(self) -> Candidate:
        """The best epoch so far."""
        return max(self.candidates, key=lambda candidate: candidate.score)

    def state_dict(self) -> list[dict[str, Any]]:
        """What `load_state_dict` takes: plain values and tensors."""
        return [{"epoch": c.epoch, "gate": c.gate, "score": c.score, "weights": c.weights} for c in self.candidates]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Goes on from a saved state."""
        self.candidates = [Candidate(**candidate) for candidate in state]
