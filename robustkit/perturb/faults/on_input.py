"""The base of faults on network input: the range of that input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.perturb.perturbation import Perturbation, Stage


@dataclass(frozen=True)
class OnInput(Perturbation):
    """Base of faults on network input, whose levels are fractions of the range from black to white.

    Attributes:
        low: Network input that is black; an audit takes the lowest of the training images.
        high: Network input that is white; an audit takes the highest.
    """

    stage = Stage.STRETCHED
    physical = False
    surveyed = False
    fitted: ClassVar[tuple[str, ...]] = ("low", "high")

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -np.inf < self.low < self.high < np.inf:
            raise InputError(f"low must be below high, got {self.low} and {self.high}")

    @property
    def span(self) -> float:
        """Network input from black to white."""
        return self.high - self.low
