"""Piecewise affine functions of one number: what follows a convolution channel by channel, as pieces."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustkit.engine.chain import Affine, Pointwise


@dataclass(frozen=True)
class Bend:
    """A continuous piecewise affine function: slope[i] x + shift[i] from start[i] on, the first from minus infinity.

    Attributes:
        start: Where each piece begins, rising.
        slope: Its slope.
        shift: Its value at 0, continued.

    Examples:
        >>> relu = Bend((-math.inf, 0.0), (0.0, 1.0), (0.0, 0.0))
        >>> Bend.line(-2.0, 1.0).then(relu)
        Bend(start=(-inf, 0.5), slope=(-2.0, 0.0), shift=(1.0, 0.0))
    """

    start: tuple[float, ...]
    slope: tuple[float, ...]
    shift: tuple[float, ...]

    @classmethod
    def line(cls, slope: float, shift: float) -> Bend:
        """A function without a bend."""
        return cls((-math.inf,), (slope,), (shift,))

    def then(self, other: Bend) -> Bend:
        """This function followed by another."""
        pieces: list[tuple[float, float, float]] = []
        for i, (begin, slope, shift) in enumerate(zip(self.start, self.slope, self.shift, strict=True)):
            end = self.start[i + 1] if i + 1 < len(self.start) else math.inf
            bends = [(q - shift) / slope for q in other.start[1:]] if slope else []
            edges = [begin, *sorted(x for x in bends if begin < x < end), end]
            for low, high in itertools.pairwise(edges):
                k = bisect.bisect_right(other.start, slope * _between(low, high) + shift) - 1
                # Adding zero turns -0.0 into 0.0.
                made = (low, other.slope[k] * slope + 0.0, other.slope[k] * shift + other.shift[k])
                if not pieces or pieces[-1][1:] != made[1:]:
                    pieces.append(made)
        starts, slopes, shifts = zip(*pieces, strict=True)
        return Bend(starts, slopes, shifts)


def _between(low: float, high: float) -> float:
    """A number between two."""
    if math.isinf(low):
        return 0.0 if math.isinf(high) else high - 1 - abs(high)
    return low + 1 + abs(low) if math.isinf(high) else (low + high) / 2


def bends_of(functions: Sequence[Pointwise], channels: int, signs: np.ndarray) -> list[Bend]:
    """Functions one after the other as one, for each channel.

    Args:
        functions: As a chain has them.
        channels: How many channels there are.
        signs: What the number is multiplied with first, shape (channels,).
    """
    made = [Bend.line(float(sign), 0.0) for sign in signs]
    for function in functions:
        for c in range(channels):
            made[c] = made[c].then(_one(function, c))
    return made


def _one(function: Pointwise, channel: int) -> Bend:
    if isinstance(function, Affine):
        return Bend.line(float(function.scale.reshape(-1)[channel]), float(function.shift.reshape(-1)[channel]))
    kind, *settings = function
    if kind == "leaky":
        return Bend((-math.inf, 0.0), (settings[0], 1.0), (0.0, 0.0))
    low, high = settings
    pieces = [(-math.inf, 0.0, low), (low, 1.0, 0.0), (high, 0.0, high)]
    kept = pieces[1 if math.isinf(low) else 0 : 2 if math.isinf(high) else 3]
    starts, slopes, shifts = zip(*kept, strict=True)
    return Bend((-math.inf, *starts[1:]), slopes, shifts)


def apply(functions: Sequence[Pointwise], values: Tensor) -> Tensor:
    """Functions of a chain applied to values of shape (N, C, ...)."""
    for function in functions:
        if isinstance(function, Affine):
            shape = (1, -1, *[1] * (values.ndim - 2))
            values = values * function.scale.to(values).view(shape) + function.shift.to(values).view(shape)
        elif function[0] == "leaky":
            values = torch.maximum(values, values * function[1])
        else:
            values = values.clamp(function[1], function[2])
    return values
