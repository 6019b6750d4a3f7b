"""Values that lie just inside the threshold of a front end: what hides under it, which the corners lie far above."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from robustkit.errors import InputError
from robustkit.models import AuditedClassifier
from robustkit.models.fronts.base import FrontEnd
from robustkit.models.fronts.splitting import split_front
from robustkit.perturb.values import ValueSet

SUFFIX = "+edge"
# Of the way to the threshold: what lies on it may be repaired by rounding.
_INSIDE = 0.999


@dataclass(frozen=True, eq=False)
class Edged:
    """A value set, and for each pixel of each image the values just inside the threshold of a front end.

    The threshold is met in each band alone, up and down, and in all bands together with every combination of signs: 2
    values for one band, 2^C + 2 C for C. They depend on the neighbours of the pixel, so only a complete search has
    them.

    Attributes:
        base: The value set.
        front: The front end, which has a threshold.
    """

    base: ValueSet
    front: FrontEnd

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.base.name + SUFFIX

    @property
    def size(self) -> int:
        """V, the number of options."""
        return self.base.size + len(self.directions)

    @property
    def low(self) -> Tensor:
        """Lowest value of each band, shape (C,), network input."""
        return self.base.low

    @property
    def high(self) -> Tensor:
        """Highest value of each band, shape (C,), network input."""
        return self.base.high

    @cached_property
    def directions(self) -> Tensor:
        """From the middle of the threshold to it, in half axes, shape (E, C)."""
        bands = len(self.base.low)
        alone = torch.eye(bands).repeat_interleave(2, 0) * torch.tensor([1.0, -1.0]).repeat(bands)[:, None]
        if bands == 1:
            return alone.to(self.base.low)
        together = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=bands)))
        if not self.front.boxed:
            together /= math.sqrt(bands)
        return torch.cat([alone, together]).to(self.base.low)

    def option(self, clean: Tensor, index: Tensor) -> Tensor:
        """Refused: a value depends on the place of the pixel; see `Placed`."""
        raise InputError(f"the values {self.name} depend on the neighbours of a pixel; only robustkit certify has them")

    def point(self, clean: Tensor, unit: Tensor) -> Tensor:
        """Inside the box of the value set."""
        return self.base.point(clean, unit)

    def to_json(self) -> dict[str, Any]:
        """The set as JSON values."""
        return {**self.base.to_json(), "name": self.name, "front": self.front.name, "inside": _INSIDE}


class Placed:
    """The values of a set at the pixels of some images.

    Args:
        values: The value set.
        images: Clean network input, shape (N, C, H, W).
    """

    def __init__(self, values: ValueSet, images: Tensor) -> None:
        self.values, self.images = values, images
        found = values.front.hides(images) if isinstance(values, Edged) else None
        self._hidden = None if found is None else [one.flatten(2) for one in found]

    def at(self, rows: Tensor, pixel: Tensor, option: Tensor) -> Tensor:
        """New values of pixels.

        Args:
            rows: Images, shape (...), or what broadcasts to it.
            pixel: row * W + column, shape (...).
            option: Which option, shape (...).

        Returns:
            Shape (..., C).
        """
        clean = self.images.flatten(2)[rows, :, pixel]
        values = self.values
        if self._hidden is None or not isinstance(values, Edged):
            return values.option(clean, option)
        middle, reach = (one[rows, :, pixel] for one in self._hidden)
        of_base = values.base.option(clean, option.clamp(max=values.base.size - 1))
        direction = values.directions[(option - values.base.size).clamp(min=0)]
        edge = (middle + _INSIDE * reach * direction).clamp(values.low, values.high)
        return torch.where((option < values.base.size)[..., None], of_base, edge)


def has_threshold(front: FrontEnd, bands: int) -> bool:
    """Whether something may hide under a front end: what it does not touch at all is anything but the clean value."""
    side = 2 * front.radius + 1
    return front.hides(torch.zeros(1, bands, side, side)) is not None


def hiding_front(classifier: AuditedClassifier) -> FrontEnd | None:
    """The front end of a classifier if something may hide under its threshold; `None` without one."""
    parts = split_front(classifier)
    return parts[0] if parts is not None and has_threshold(parts[0], classifier.input_shape[0]) else None


def with_edges(values: ValueSet, classifier: AuditedClassifier) -> ValueSet:
    """A value set with the values just inside the threshold of a classifier's front end.

    Raises:
        InputError: If it has no front end, or one without a threshold.
    """
    front = hiding_front(classifier)
    if front is None:
        parts = split_front(classifier)
        what = "no front end" if parts is None else f"the front end {parts[0].name}, which has no threshold"
        raise InputError(f"the model has {what}, so nothing hides under one; use --values {values.name}")
    return Edged(values, front)
