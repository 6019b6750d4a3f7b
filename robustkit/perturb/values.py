"""Threat models: what one pixel may become. Declared, finite, printed, and the set that a certificate speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class ValueSet(Protocol):
    """What a pixel may become: `size` options, each a value for every band, inside a box.

    Attributes:
        name: Its name on the command line.
        size: V, the number of options of a pixel; a complete search tries H x W x V cells.
        low: Lowest value of each band, shape (C,), network input.
        high: Highest value of each band, shape (C,).
    """

    name: str
    size: int
    low: Tensor
    high: Tensor

    def option(self, clean: Tensor, index: Tensor) -> Tensor:
        """The value of an option.

        Args:
            clean: The clean pixel, shape (..., C).
            index: Which option, shape (...), int64 in [0, V).

        Returns:
            The new pixel, shape (..., C).
        """
        ...

    def point(self, clean: Tensor, unit: Tensor) -> Tensor:
        """A value inside the box, for searches that move continuously.

        Args:
            clean: The clean pixel, shape (..., C).
            unit: Position in the box, shape (..., C), in [0, 1].

        Returns:
            The new pixel, shape (..., C).
        """
        ...


@dataclass(frozen=True, eq=False)
class Corners:
    """Every combination of each band's lowest and highest value: 2^C options.

    Attributes:
        low: Lowest value of each band, shape (C,), network input.
        high: Highest value of each band, shape (C,).
        name: `corners` for the range of the training data, `paper` for [0, 1].
    """

    low: Tensor
    high: Tensor
    name: str = "corners"

    @property
    def size(self) -> int:
        """V, the number of options."""
        return 2 ** len(self.low)

    def option(self, clean: Tensor, index: Tensor) -> Tensor:
        """Bit b of the index chooses the lowest (0) or the highest (1) value of band b."""
        bits = index[..., None] >> torch.arange(len(self.low), device=index.device) & 1
        return torch.where(bits.bool(), self.high, self.low)

    def point(self, clean: Tensor, unit: Tensor) -> Tensor:
        """Linear between the lowest and the highest value."""
        return self.low + (self.high - self.low) * unit
