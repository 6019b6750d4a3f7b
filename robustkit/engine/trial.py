"""Trial of a fast path against the plain one: does it give the same logits, and how far apart may they lie?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustkit.engine.candidates import Candidates

# Largest difference of logits that float32 rounding explains, relative to the largest logit.
_AGREEMENT = 1e-4

# The error over 6,000 candidates was at most 1.6 times that over 256 of them; this leaves room for more of both.
_SAFETY = 8.0
_FLOOR = 1e-6

_IMAGES = 4
_PER_IMAGE, _LEAST_PER_IMAGE = 64, 24
# Multiplications that a trial may cost, about a quarter of a second on one core; every group of a run makes one.
_WORK = 1e10


@dataclass(frozen=True)
class Trial:
    """What a comparison found.

    Attributes:
        error: Largest difference between a logit of the fast path and of the plain one.
        scale: Largest logit.
    """

    error: float
    scale: float

    @classmethod
    def of(cls, fast: Tensor, plain: Tensor) -> Trial:
        """Compares logits of the same shape."""
        return cls(float((fast - plain).abs().max()), float(plain.abs().max()))

    @property
    def passed(self) -> bool:
        """Whether rounding explains the difference; never where either is not finite."""
        return self.error <= _AGREEMENT * self.scale + 1e-12

    @property
    def tolerance(self) -> float:
        """How far a logit may lie from the plain one: eight times the largest difference, and 1e-6 of the scale."""
        return _SAFETY * self.error + _FLOOR * self.scale


def trial_candidates(
    images: Tensor, low: Tensor, high: Tensor, *, work: float, box: tuple[int, int] = (1, 1)
) -> Candidates:
    """Candidates of the first images: the corners, the borders and the inside, with values from all over a box.

    Args:
        images: Shape (N, C, H, W).
        low: Lowest value of each band, shape (C,).
        high: Highest value of each band, shape (C,).
        work: Multiplications of one full forward pass; where it is large, there are fewer images and candidates.
        box: Height and width of the box of pixels that each changes.

    Returns:
        The same candidates at every call, each in a row of its own.
    """
    n, bands, height, width = images.shape
    most = int(_WORK / (work + 1))
    m, p = min(n, _IMAGES, max(1, most // _LEAST_PER_IMAGE)), _PER_IMAGE
    generator = torch.Generator().manual_seed(0)
    row = torch.randint(height, (m, p), generator=generator)
    column = torch.randint(width, (m, p), generator=generator)
    row[:, :4], column[:, :4] = torch.tensor([0, 0, height - 1, height - 1]), torch.tensor([0, width - 1, 0, width - 1])
    row[:, 4:8], row[:, 8:12], column[:, 12:16], column[:, 16:20] = 0, height - 1, 0, width - 1
    unit = torch.rand(m, p, bands, generator=generator)
    unit[:, ::2] = unit[:, ::2].round()  # corners of the box
    device = images.device
    value = low + (high - low) * unit.to(device)
    kept = min(p, max(_LEAST_PER_IMAGE, most // m))
    cells = torch.arange(box[0] * box[1])
    row = row[:, :kept, None].clamp_max(height - box[0]) + cells // box[1]
    column = column[:, :kept, None].clamp_max(width - box[1]) + cells % box[1]
    # Each pixel of a box has the values of another candidate.
    values = torch.stack([value[:, :kept].roll(int(cell), 1) for cell in cells], 2)
    return Candidates(torch.arange(m, device=device), row.to(device), column.to(device), values).flat()


def widened(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """A box of values with half its width added on every side, so that it is left rarely."""
    room = (high - low) / 2 + 1e-3 * torch.maximum(low.abs(), high.abs()) + 1e-6
    return low - room, high + room
