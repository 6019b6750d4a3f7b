"""Threat models: what one pixel may become. Declared, finite, printed, and the set that a certificate speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

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

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    @property
    def size(self) -> int:
        """V, the number of options."""
        ...

    @property
    def low(self) -> Tensor:
        """Lowest value of each band, shape (C,), network input."""
        ...

    @property
    def high(self) -> Tensor:
        """Highest value of each band, shape (C,), network input."""
        ...

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
        """A value for searches that move continuously: inside the box, or an option where the set has no inside.

        Args:
            clean: The clean pixel, shape (..., C).
            unit: Position in the unit box, shape (..., C), in [0, 1].

        Returns:
            The new pixel, shape (..., C).
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """The set as JSON values."""
        ...


@dataclass(frozen=True, eq=False)
class Corners:
    """Every combination of each band's lowest and highest value: 2^C options, and the box between them.

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

    def to_json(self) -> dict[str, Any]:
        """The set as JSON values."""
        return {"name": self.name, "low": self.low.tolist(), "high": self.high.tolist()}


@dataclass(frozen=True, eq=False)
class Grid:
    """Every combination of m evenly spaced values of each band, its lowest and highest among them: m^C options.

    Attributes:
        low: Lowest value of each band, shape (C,), network input.
        high: Highest value of each band, shape (C,).
        levels: m, at least 2.
    """

    low: Tensor
    high: Tensor
    levels: int

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return f"grid:{self.levels}"

    @property
    def size(self) -> int:
        """V, the number of options."""
        return self.levels ** len(self.low)

    def option(self, clean: Tensor, index: Tensor) -> Tensor:
        """Digit b of the index, in base m, is the level of band b."""
        place = self.levels ** torch.arange(len(self.low), device=index.device)
        return self._level(index[..., None] // place % self.levels)

    def point(self, clean: Tensor, unit: Tensor) -> Tensor:
        """Each band's level whose share of [0, 1] the unit falls in."""
        return self._level((unit * self.levels).long().clamp(0, self.levels - 1))

    def _level(self, level: Tensor) -> Tensor:
        # The last level is written out, because low + (high - low) is not always high in float32.
        inside = self.low + (self.high - self.low) * (level / (self.levels - 1))
        return torch.where(level == self.levels - 1, self.high, inside)

    def to_json(self) -> dict[str, Any]:
        """The set as JSON values."""
        return {"name": self.name, "low": self.low.tolist(), "high": self.high.tolist(), "levels": self.levels}


@dataclass(frozen=True, eq=False)
class Together:
    """All bands at the same share of their range: m options, for images whose bands are equal.

    Attributes:
        low: Lowest value of each band, shape (C,), network input.
        high: Highest value of each band, shape (C,).
        levels: m, at least 2.
    """

    low: Tensor
    high: Tensor
    levels: int = 2

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return "together" if self.levels == 2 else f"together:{self.levels}"

    @property
    def size(self) -> int:
        """V, the number of options."""
        return self.levels

    def option(self, clean: Tensor, index: Tensor) -> Tensor:
        """The index is the level of all bands."""
        level = index[..., None].expand(*index.shape, len(self.low))
        inside = self.low + (self.high - self.low) * (level / (self.levels - 1))
        return torch.where(level == self.levels - 1, self.high, inside)

    def point(self, clean: Tensor, unit: Tensor) -> Tensor:
        """The level whose share of [0, 1] the mean of the units falls in."""
        return self.option(clean, (unit.mean(-1) * self.levels).long().clamp(0, self.levels - 1))

    def to_json(self) -> dict[str, Any]:
        """The set as JSON values."""
        return {"name": self.name, "low": self.low.tolist(), "high": self.high.tolist(), "levels": self.levels}


@dataclass(frozen=True, eq=False)
class SingleBand:
    """One band goes to its lowest or highest value, the others stay: 2 C options.

    Attributes:
        low: Lowest value of each band, shape (C,), network input.
        high: Highest value of each band, shape (C,).
        name: Its name on the command line.
    """

    low: Tensor
    high: Tensor
    name: str = "single-band"

    @property
    def size(self) -> int:
        """V, the number of options."""
        return 2 * len(self.low)

    def option(self, clean: Tensor, index: Tensor) -> Tensor:
        """Option 2 b sends band b to its lowest value, option 2 b + 1 to its highest."""
        chosen = index[..., None] // 2 == torch.arange(len(self.low), device=index.device)
        return torch.where(chosen, torch.where((index % 2 == 1)[..., None], self.high, self.low), clean)

    def point(self, clean: Tensor, unit: Tensor) -> Tensor:
        """The band whose unit is furthest from the middle goes to the end that is nearer."""
        band = (unit - 0.5).abs().argmax(-1)
        up = unit.gather(-1, band[..., None]).squeeze(-1) > 0.5
        return self.option(clean, 2 * band + up.long())

    def to_json(self) -> dict[str, Any]:
        """The set as JSON values."""
        return {"name": self.name, "low": self.low.tolist(), "high": self.high.tolist()}
