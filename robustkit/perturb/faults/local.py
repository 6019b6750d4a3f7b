"""The base of defects and passing light: they hit one band of some visits, at a random place in each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.perturb.perturbation import Perturbation, mixture, tensor
from robustkit.words import no_such

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.perturb.conditions import Conditions
    from robustkit.seeds import Streams


@dataclass(frozen=True)
class LocalFault(Perturbation):
    """Base of faults in single visits.

    Dithers move the sky over the detector, so that a defect meets an object in few visits and in one band.

    Attributes:
        visits: Number of visits hit; `None` (`all` on the command line) for all. Most faults are found and left out of
            a coadd; the default 1 is a fault that survives in one visit.
        band: The band, `all`, or `any` for one that each image draws.
        missing: Whether a pipeline has found it and marked every pixel that it touched as missing (NaN).
    """

    visits: float | None = 1
    band: str = "any"
    missing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.visits is not None and not self.visits > 0:
            raise InputError(f"visits of {self.name} must be above 0, got {self.visits}")

    def apply(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """The image with the fault, or with gaps where it was."""
        made = self.fault(images, conditions, streams)
        return torch.where(made != images, torch.nan, made) if self.missing else made

    def fault(self, images: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Applies the fault."""
        raise NotImplementedError

    def hit(self, conditions: Conditions, images: Tensor) -> Tensor:
        """The number of visits hit in each band, shape (C, 1, 1)."""
        most = conditions.like(conditions.visits, images)
        return most if self.visits is None else most.clamp_max(self.visits)

    def mask(self, conditions: Conditions, images: Tensor, streams: Streams) -> Tensor:
        """1 for bands that are hit and 0 elsewhere, shape (N, C, 1, 1)."""
        count, bands = images.shape[:2]
        drawn = torch.as_tensor(streams.integers(bands, 1)[:, 0], device=images.device)
        if self.band == "any":
            chosen = drawn[:, None] == torch.arange(bands, device=images.device)
        elif self.band == "all":
            chosen = torch.ones(count, bands, dtype=torch.bool, device=images.device)
        elif self.band in conditions.bands:
            chosen = (torch.arange(bands, device=images.device) == conditions.bands.index(self.band)).expand(count, -1)
        else:
            raise InputError(no_such("band", self.band, ("any", "all", *conditions.bands)))
        return chosen.to(images.dtype)[..., None, None]

    def deposit(self, images: Tensor, charge: Tensor, conditions: Conditions, streams: Streams) -> Tensor:
        """Adds charge (electrons in one visit, broadcast to (N, C, H, W)), at most what a pixel still holds."""
        room = conditions.like(conditions.full_well - conditions.sky / conditions.visits, images).clamp_min(0)
        # The light of the source takes up room as well.
        held = (images / conditions.like(conditions.scale * conditions.visits, images)).clamp_min(0)
        gained = torch.minimum(charge, (room - held).clamp_min(0)) * self.mask(conditions, images, streams)
        return images + gained * self.hit(conditions, images) * conditions.like(conditions.scale, images)

    def gain(self, value: np.ndarray, charge: np.ndarray | float, conditions: Conditions) -> np.ndarray:
        """The amount that `deposit` adds to a pixel of this value where it hits, shape (C,)."""
        held = np.maximum(value / (conditions.scale * conditions.visits), 0)
        room = np.maximum(conditions.full_well - conditions.sky / conditions.visits, 0)
        visits = conditions.visits if self.visits is None else np.minimum(conditions.visits, self.visits)
        return np.minimum(charge, np.maximum(room - held, 0)) * visits * conditions.scale

    def struck(self, value: np.ndarray, gain: np.ndarray, part: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Moments when a fraction of the pixels of a random band, or of all bands, changes by `gain`."""
        if self.band not in ("any", "all"):
            return None
        chance = part / len(value) if self.band == "any" else part
        return mixture([value + gain, value], [chance, 1 - chance])


def pixel(images: Tensor, streams: Streams) -> Tensor:
    """1 at a pixel that each image draws and 0 elsewhere, shape (N, 1, H, W)."""
    count, _, height, width = images.shape
    place = torch.as_tensor(streams.integers(height * width, 1)[:, 0], device=images.device)
    chosen = torch.zeros(count, height * width, dtype=images.dtype, device=images.device)
    return chosen.scatter_(1, place[:, None], 1.0).reshape(count, 1, height, width)


def offsets(images: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
    """Rows and columns of all pixels as seen from a place that each image draws, two tensors (N, 1, H, W)."""
    height, width = images.shape[2:]
    where = tensor(streams.uniform(2), images)[..., None, None, None]
    rows = torch.arange(height, dtype=images.dtype, device=images.device)[:, None].expand(height, width)
    columns = torch.arange(width, dtype=images.dtype, device=images.device).expand(height, width)
    return rows + 0.5 - where[:, 0] * height, columns + 0.5 - where[:, 1] * width
