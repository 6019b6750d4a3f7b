"""A column or a row that reads too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.faults.local import LocalFault
from robustkit.perturb.perturbation import Stage

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class BadColumn(LocalFault):
    """A column with a charge of a times the background noise of one visit: n' = n + s a sqrt(B / visits) K.

    Levels: 3 to 300 sigma of a visit; a hot pixel leaves 0.1 % of its charge along the column. Source: DES data
    quality notes on bad columns.

    Attributes:
        width: Number of adjacent columns.
    """

    name = "bad-column"
    unit = "sigma of one visit"
    stage = Stage.DETECTOR
    levels = (3.0, 10.0, 30.0, 100.0, 300.0)
    valid = (0.0, 1e5)
    draws = ("line", "band")
    axis: ClassVar[int] = 3

    width: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise InputError(f"the width of {self.name} must be at least 1, got {self.width}")

    def fault(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds the charge along a line that each image draws."""
        size = images.shape[self.axis]
        first = torch.as_tensor(streams.integers(max(1, size - self.width + 1), 1), device=images.device)
        place = torch.arange(size, device=images.device)
        line = ((place >= first) & (place < first + self.width)).to(images.dtype)
        line = line[:, None, None, :] if self.axis == 3 else line[:, None, :, None]
        sigma = conditions.like(np.sqrt(conditions.background / conditions.visits), images)
        return self.deposit(images, self.level * sigma * line.expand(-1, -1, *images.shape[2:]), conditions, streams)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The moments in a random band."""
        gain = self.gain(value, self.level * np.sqrt(conditions.background / conditions.visits), conditions)
        return self.struck(value, gain, min(1.0, self.width / size[self.axis - 2]))


@dataclass(frozen=True)
class BadRow(BadColumn):
    """A row with a charge of a times the background noise of one visit: n' = n + s a sqrt(B / visits) K.

    Levels and source as for `BadColumn`.

    Attributes:
        width: Number of adjacent rows.
    """

    name = "bad-row"
    axis: ClassVar[int] = 2
