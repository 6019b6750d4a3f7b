"""Bands that are missing or in the wrong place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.perturbation import Perturbation, Stage, mixture, tensor

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class BandDrop(Perturbation):
    """One band, which each image draws, keeps 1 - a of its values: n' = (1 - a) n.

    Levels: 10 % (thin cloud), 30 %, 50 %, 80 %, and a missing band filled with zeros. A fault of
    pipelines and users; the levels are our own.

    Attributes:
        missing: Whether the lost band was filled with NaN instead of zeros; only for the level 1.
    """

    name = "band-drop"
    surveyed = False
    unit = "of one band lost"
    stage = Stage.PIPELINE
    levels = (0.1, 0.3, 0.5, 0.8, 1.0)
    valid = (0.0, 1.0)
    physical = False

    missing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.missing and self.level not in (0, 1):
            raise InputError(f"missing=true loses the whole band and needs --levels 1, got {self.level:g}")

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Dims one band."""
        drawn = streams.integers(images.shape[1], 1) == np.arange(images.shape[1])
        rest = np.nan if self.missing else 1 - self.level
        return images * tensor(np.where(drawn, rest, 1.0), images)[..., None, None]

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The moments of a band that is drawn at random."""
        chance = 1 / len(value)
        return mixture([(1 - self.level) * value, value], [chance, 1 - chance])


@dataclass(frozen=True)
class BandSwap(Perturbation):
    """A part x of two neighbouring bands, which each image draws, is exchanged; at 1 they have swapped places.

    n_a' = (1 - x) n_a + x n_b, and the other way round. Levels: 10 % to all; a fault of pipelines and users, the levels
    are our own.
    """

    name = "band-swap"
    surveyed = False
    unit = "of two bands exchanged"
    stage = Stage.PIPELINE
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)
    valid = (0.0, 1.0)
    physical = False
    least_bands = 2

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Mixes two bands."""
        bands = images.shape[1]
        first = streams.integers(bands - 1, 1)[:, 0]
        order = np.tile(np.arange(bands), (len(images), 1))
        everyone = np.arange(len(images))
        order[everyone, first], order[everyone, first + 1] = first + 1, first
        index = torch.as_tensor(order, device=images.device)
        other = images.gather(1, index[..., None, None].expand_as(images))
        # A band that keeps its place keeps its values to the last bit.
        moved = (index != torch.arange(bands, device=images.device))[..., None, None]
        return torch.where(moved, (1 - self.level) * images + self.level * other, images)

    def moments(
        self, value: np.ndarray, conditions: Conditions, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The moments over the pairs that can be drawn."""
        found = []
        for first in range(len(value) - 1):
            mixed = value.copy()
            mixed[first : first + 2] += self.level * (value[first : first + 2][::-1] - value[first : first + 2])
            found.append(mixed)
        return mixture(found, [1 / len(found)] * len(found))
