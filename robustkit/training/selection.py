"""Choice of the epoch whose weights are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A candidate epoch.

    Attributes:
        epoch: Counted from 0.
        gate: Balanced accuracy on the validation images of the source.
        score: What is maximised among the epochs that pass the gate.
        weights: The state of the network.
    """

    epoch: int
    gate: float
    score: float
    weights: Weights = field(repr=False)


class Selector:
    """Keeps the weights of the best epoch: the highest score among those whose gate is near the best gate.

    The gate keeps out collapsed networks, whose scores without labels can be the highest of all. As the best gate
    rises, earlier epochs drop out, so every epoch that no other beats in both numbers is kept until it does.

    Args:
        tolerance: How far the gate may lie below the best one, at least 0.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.candidates: list[Candidate] = []

    def offer(self, epoch: int, gate: float, score: float, network: nn.Module) -> bool:
        """Takes note of an epoch.

        Returns:
            Whether it is now the best.
        """
        floor = max([gate, *(candidate.gate for candidate in self.candidates)]) - self.tolerance
        self.candidates = [c for c in self.candidates if c.gate >= floor and not (gate >= c.gate and score > c.score)]
        if gate < floor or any(c.gate >= gate and c.score >= score for c in self.candidates):
            return False
        weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self.candidates.append(Candidate(epoch, gate, score, weights))
        return self.best.epoch == epoch

    @property
    def best(self) -> Candidate:
        """The best epoch so far."""
        return max(self.candidates, key=lambda candidate: candidate.score)

    def state_dict(self) -> list[dict[str, Any]]:
        """The state for `load_state_dict`: plain values and tensors."""
        return [{"epoch": c.epoch, "gate": c.gate, "score": c.score, "weights": c.weights} for c in self.candidates]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Resumes from a saved state."""
        self.candidates = [Candidate(**candidate) for candidate in state]
