"""The front ends that robustkit has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robustkit.errors import InputError
from robustkit.models.fronts.base import Clipping, FrontEnd, ranked, ring

# The quartiles of a normal distribution, from one to the other, over its standard deviation.
_QUARTILES = 1.35
# Ranges of the means across a pixel, to either side of them.
ROOM = 2.0


class Clip(Clipping):
    """Each pixel clipped to the range of its eight neighbours, band by band; no constants, no threshold to hide under.

    Args:
        rank: 1 for their lowest and highest value, 2 for the second lowest and highest, up to 4. A pair of bad pixels
            side by side needs 2.
    """

    def __init__(self, rank: int = 1) -> None:
        super().__init__()
        if not 1 <= rank <= 4:
            raise InputError(f"expected clip:1 to clip:4, the rank among 8 neighbours, got clip:{rank}")
        self.rank = rank

    def ends(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and highest of the eight neighbours, or those of the rank."""
        low, high = ranked(ring(images), [self.rank - 1, 8 - self.rank])
        return low, high


class Across(Clipping):
    """Each pixel clipped to what its neighbours across it expect, band by band, with room for noise.

    Two neighbours that face each other have a mean; the four means across a pixel all expect it, also on the slope of
    an object, where the range of the neighbours is wide and `Clip` leaves an attacker much. The range of the four is
    widened on both sides by `room` times itself, so that with 2 fewer than four in a hundred pixels of pure noise are
    moved, and a network keeps the noise that it may rely on. No constants, and no threshold to hide under: what lies
    beyond an end is drawn to that end.

    Args:
        room: At least 0.
    """

    def __init__(self, room: float = ROOM) -> None:
        super().__init__()
        if not 0 <= room < math.inf:
            raise InputError(f"expected across:K with K at least 0, as in across:2, got across:{room:g}")
        self.room = room

    def ends(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and highest mean across, and the room beyond them."""
        around = ring(images)  # row by row, so that the first faces the last
        low, high = ranked([(one + other) / 2 for one, other in zip(around[:4], around[:3:-1], strict=True)], [0, 3])
        room = self.room * (high - low)
        return low - room, high + room


class Line(Clipping):
    """Each pixel clipped so that a straight line of bad pixels through it, in any direction, has no say.

    Args:
        width: 1 for a bad column, row or trail of one pixel; 2 for two pixels, by the sixteen pixels two away. Along
            the border, which is mirrored, a line may stay.
    """

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        if width not in (1, 2):
            raise InputError(f"expected line or line:2, got line:{width}")
        self.width = self.radius = width

    def ends(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """A line of one pixel covers 2 of the 8 pixels around; a line of two covers 4 of the 16."""
        low, high = ranked(ring(images, self.width), [2 * self.width, 6 * self.width - 1])
        return low, high


class Median(FrontEnd):
    """Each pixel replaced by the median of the 3 x 3 around it, band by band."""

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), repaired."""
        return ranked([images, *ring(images)], [4])[0]


class Joint(FrontEnd):
    """A pixel that lies far from its neighbours over all bands together is replaced by their median, in every band.

    Far is more than so many sigmas, where sigma is that of the declared noise at the median, or of the neighbours
    themselves where that is larger, and the bands are added in quadrature.

    Args:
        sigmas: The threshold, above 0.
        noise: The noise as `noise_constants` gives it: the standard deviation in network input at `steps` equal steps
            from `low` to `high`, for each band.
    """

    low: Tensor
    scale: Tensor
    sigma: Tensor

    def __init__(self, sigmas: float, noise: dict[str, Any]) -> None:
        super().__init__()
        if not 0 < sigmas < math.inf:
            raise InputError(f"expected joint:K with K sigmas above 0, got joint:{sigmas:g}")
        low, high, sigma = (torch.tensor(noise[name], dtype=torch.float32) for name in ("low", "high", "sigma"))
        if sigma.ndim != 2 or sigma.shape[1] < 2 or not len(low) == len(high) == len(sigma):
            raise InputError("the noise of a joint front end needs low, high and steps of sigma for each band")
        if not bool(((high > low).all() & sigma.isfinite().all() & (sigma >= 0).all()).item()):
            raise InputError("the noise of a joint front end must be finite and not negative, with low below high")
        self.sigmas, self.bands, self.steps = sigmas, *sigma.shape
        self.register_buffer("low", low[:, None, None], persistent=False)
        self.register_buffer("scale", ((self.steps - 1) / (high - low))[:, None, None], persistent=False)
        self.register_buffer("sigma", sigma.flatten(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), repaired."""
        median, sigma = self._expected(images)
        far = ((images - median) / sigma).square().sum(1, keepdim=True)
        # Also where it is not a number: a pixel that is not finite, or that has no noise and equals its neighbours.
        return torch.where(far <= self.sigmas**2, images, median)

    def hides(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The median of the neighbours, and the threshold in each band."""
        median, sigma = self._expected(images)
        return median, self.sigmas * sigma

    def _expected(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The median of the neighbours of each pixel and how far from it a pixel may lie by chance."""
        second, third, fourth, sixth = ranked(ring(images), [2, 3, 4, 5])
        median = (third + fourth) / 2
        return median, torch.maximum(self._noise(median), (sixth - second) / _QUARTILES)

    def _noise(self, value: Tensor) -> Tensor:
        """The declared noise at some network input, between the steps on a straight line."""
        at = ((value - self.low) * self.scale).clamp(0, self.steps - 1)
        step = at.floor().clamp(max=self.steps - 2).nan_to_num(0.0)
        index = step.long() + self.steps * torch.arange(self.bands, device=value.device)[:, None, None]
        below = self.sigma[index]
        return below + (at - step) * (self.sigma[index + 1] - below)


class FillNaN(FrontEnd):
    """Pixels that are not finite become the mean of their finite neighbours, band by band.

    Put it first: after it no other front end sees what is not finite.

    Args:
        fill: Where no neighbour is finite: one value per band, or one for all.
    """

    fill: Tensor

    def __init__(self, fill: Sequence[float] | float = 0.0) -> None:
        super().__init__()
        values = torch.as_tensor(fill, dtype=torch.float32).reshape(-1, 1, 1)
        self.register_buffer("fill", values, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), repaired."""
        finite = (images - images) == 0
        known, value = finite.to(images.dtype), torch.where(finite, images, torch.zeros_like(images))
        count = torch.stack(ring(known)).sum(0)
        mean = torch.stack(ring(value)).sum(0) / count.clamp(min=1)
        return torch.where(finite, images, torch.where(count > 0, mean, self.fill.expand_as(mean)))
