"""Every real value of a pixel as a threat model: along which lines it moves, how far, and what that is in real units.

A line begins at the clean pixel and ends where its band ends. In network input it is straight wherever the stretch acts
band by band and one band moves, whatever the stretch; several bands that move together by fixed charges are straight
only under a linear stretch, and bent under an arcsinh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustkit.data import Stretch
from robustkit.errors import InputError

Floats = NDArray[np.float64]

# While no line flips an image, its largest margin is looked for until none is nearer to 0 than this share of it.
NEAR = 0.05

# Stretches of each band by itself, and those of them under which equal charges are equal steps.
_BY_BAND, _LINEAR = ("arcsinh", "meanstd", "none"), ("meanstd", "none")
# Stretches that mix the bands of a pixel, and no pixels: one band's charge moves all bands along a bent line.
_MIXED = ("lupton",)


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """Lines through every pixel: one band at a time, or all bands in one direction.

    Attributes:
        name: Its name on the command line, `line` or `line:W,W,...`.
        low: Lowest value of each band, network input, shape (C,).
        high: Highest value of each band, shape (C,).
        limit: Lowest and highest calibrated value of each band, shape (C, 2); infinite where the stretch clips, so that
            what lies beyond looks the same to the network.
        weights: Calibrated units of each band for one unit of the change, shape (C,); `None` for each band alone.
        stretch: From calibrated values to network input; `None` where changes are in network input.
        units: Of changes.
    """

    name: str
    low: Floats
    high: Floats
    limit: Floats
    weights: Floats | None
    stretch: Stretch | None
    units: str

    @property
    def bands(self) -> int:
        """C."""
        return len(self.low)

    @property
    def kinds(self) -> int:
        """B, the lines through a pixel: C, or 1 for all bands together."""
        return self.bands if self.weights is None else 1

    @property
    def mixed(self) -> bool:
        """Whether the charge of one band changes the network input of the others."""
        return self.stretch is not None and self.stretch.name in _MIXED

    @property
    def straight(self) -> bool:
        """Whether the lines are straight in network input."""
        if self.mixed:
            return False
        return self.weights is None or self.stretch is None or self.stretch.name in _LINEAR

    def ends(self, kind: int, clean: Floats, calibrated: Floats) -> tuple[Floats, Floats]:
        """How far pixels can move down and up a line, at least 0, shape (P,) each.

        In network input for one band alone, and in calibrated units for all together, where the first band that
        reaches its end ends the line, and where the stretch mixes the bands.

        Args:
            kind: Which line.
            clean: The clean pixels, network input, shape (P, C).
            calibrated: The same before the stretch, shape (P, C).
        """
        if self.mixed and self.weights is None:
            value = calibrated[:, kind]
            return np.maximum(value - self.limit[kind, 0], 0), np.maximum(self.limit[kind, 1] - value, 0)
        if self.weights is None:
            value = clean[:, kind]
            return np.maximum(value - self.low[kind], 0), np.maximum(self.high[kind] - value, 0)
        limit = np.where(np.isfinite(self.limit), self.limit, self._charges(np.stack([self.low, self.high])).T)
        with np.errstate(divide="ignore", invalid="ignore"):
            room = (limit[None] - calibrated[:, :, None]) / self.weights[None, :, None]  # (P, C, 2)
        room = np.where(self.weights[None, :, None] == 0, np.nan, room)
        down = np.nanmin(np.maximum(-room.min(2), 0), 1)
        return down, np.nanmin(np.maximum(room.max(2), 0), 1)

    def ways(self, kind: int, sign: int) -> Floats:
        """By how much each band moves at distance 1 of a straight line, shape (C,)."""
        if self.weights is None:
            return np.eye(self.bands)[kind] * sign
        steps = np.asarray(getattr(self.stretch, "std", np.ones(self.bands)), np.float64)
        return self.weights / steps * sign

    def values(self, kind: int, clean: Floats, calibrated: Floats, distance: Floats) -> NDArray[np.float32]:
        """The pixels after they moved, network input, shape (P, C).

        Args:
            kind: Which line.
            clean: As for `ends`.
            calibrated: Likewise.
            distance: How far they moved, with its sign, shape (P,).
        """
        if self.straight:
            moved = clean + self.ways(kind, 1) * distance[:, None]
        else:
            assert self.stretch is not None
            weights = np.eye(self.bands)[kind] if self.weights is None else self.weights
            moved = self.stretch((calibrated + weights * distance[:, None])[:, :, None, None])[:, :, 0, 0]
            if self.mixed:
                return np.asarray(moved, np.float32)
        # No rounding may leave the range.
        return np.clip(moved, np.minimum(self.low, clean), np.maximum(self.high, clean)).astype(np.float32)

    def changes(self, kind: int, clean: Floats, calibrated: Floats, distance: Floats) -> Floats:
        """By how much pixels changed, in `units`, shape (P,); infinite at an end beyond which nothing more is seen.

        Args:
            kind: Which line.
            clean: As for `ends`.
            calibrated: Likewise.
            distance: As for `values`.
        """
        if self.weights is not None or self.stretch is None or self.mixed:
            return distance
        value = clean[:, kind] + distance
        filled = np.repeat(value[:, None], self.bands, 1)
        changed = self._charges(filled)[:, kind] - calibrated[:, kind]
        low, high = self.limit[kind]
        near = 1e-9 * (self.high[kind] - self.low[kind])
        changed = np.where((value >= self.high[kind] - near) & np.isinf(high), np.inf, changed)
        return np.where((value <= self.low[kind] + near) & np.isinf(low), -np.inf, changed)

    def to_json(self) -> dict[str, Any]:
        """The lines as JSON values."""
        return {
            "name": self.name, "low": self.low.tolist(), "high": self.high.tolist(), "units": self.units,
            "weights": None if self.weights is None else self.weights.tolist(),
        }  # fmt: skip

    def describe(self, bands: Sequence[str]) -> str:
        """A line for the terminal.

        Args:
            bands: The C bands.
        """
        ends = self.limit.T if self.mixed else (self.low, self.high)
        ranges = ", ".join(f"{b} {x:.4g} to {y:.4g}" for b, x, y in zip(bands, *ends, strict=True))
        moved = "each band alone" if self.weights is None else "all bands together, " + ":".join(map(str, self.weights))
        clipped = "; the stretch clips there, so that any brightness is meant" if np.isinf(self.limit).any() else ""
        what = self.units if self.mixed else "network input"
        return f"{self.name}: every value of a pixel, {moved}; {what} {ranges}{clipped}"

    def _charges(self, values: Floats) -> Floats:
        """Calibrated values of network input, shape (P, C)."""
        return values if self.stretch is None else self.stretch.inverse(values[:, :, None, None])[:, :, 0, 0]


def is_line(name: object) -> bool:
    """Whether a value set by this name is lines."""
    return isinstance(name, str) and name.partition(":")[0] == "line"


def make_amplitudes(
    name: str,
    *,
    input_range: Sequence[tuple[float, float]],
    stretch: Stretch | None,
    units: str,
    bounds: tuple[float, float] | None,
) -> Amplitudes:
    """Lines from their name.

    Args:
        name: `line` for each band alone, `line:W,W,...` for all bands together with these weights, in calibrated units.
        input_range: Lowest and highest network input of each band in the training data, C pairs.
        stretch: From calibrated values to network input; `None` where nobody knows.
        units: Of the calibrated values.
        bounds: Lowest and highest calibrated value that a pixel can take.

    Raises:
        InputError: If the name is not understood, or no line has a meaning for these data.
    """
    _, colon, argument = name.partition(":")
    bands = len(input_range)
    weights = _weights(name, argument, bands) if colon else None
    if stretch is not None and stretch.name in _MIXED and bounds is not None and np.isfinite(bounds).all():
        wide = np.asarray(input_range, np.float64).T
        limit = np.tile(np.array(bounds, np.float64), (bands, 1))
        return Amplitudes(
            name, wide[0], wide[1], limit, weights, stretch, units if units == "electron" else "calibrated units"
        )
    if stretch is not None and stretch.name in _MIXED:
        raise InputError(
            f"the stretch {stretch.name} mixes the bands, so that a line ends where the calibrated pixel does, which "
            "these images do not say; take an image set that declares its bounds, or use --values corners"
        )
    if stretch is not None and stretch.name not in _BY_BAND:
        raise InputError(
            f"the stretch {stretch.name} mixes the bands or the pixels of an image, so that no pixel moves along a "
            "line; use --values corners"
        )
    wide = np.asarray(input_range, np.float64).T
    if stretch is None:
        return Amplitudes(name, wide[0], wide[1], wide.T.copy(), weights, None, "network input")
    clips = np.array([getattr(stretch, "low", (-math.inf,) * bands), getattr(stretch, "high", (math.inf,) * bands)])
    known = np.array(bounds if bounds is not None else (-math.inf, math.inf), np.float64)[:, None]
    inner = np.stack([np.maximum(clips[0], known[0]), np.minimum(clips[1], known[1])])  # (2, C)
    # Beyond a clip everything looks the same; where the pixel's own bound comes first it is the end.
    limit = np.where(np.isfinite(clips) & (inner == clips), np.array([[-math.inf], [math.inf]]), inner)
    ends = np.where(
        np.isfinite(inner),
        np.asarray(stretch(np.nan_to_num(inner.T, posinf=0, neginf=0).T[:, :, None, None]))[:, :, 0, 0],
        wide,
    )
    limit = np.where(np.isfinite(inner), limit, np.asarray(stretch.inverse(wide[:, :, None, None]))[:, :, 0, 0])
    low, high = np.minimum(ends[0], wide[0]), np.maximum(ends[1], wide[1])
    what = units if units == "electron" else "calibrated units"
    return Amplitudes(name, low, high, limit.T.copy(), weights, stretch, what)


def _weights(name: str, argument: str, bands: int) -> Floats:
    try:
        weights = np.array([float(part) for part in argument.split(",")])
    except ValueError:
        weights = np.array([math.nan])
    if len(weights) != bands or not np.isfinite(weights).all() or not weights.any():
        raise InputError(
            f"expected a weight for each of the {bands} bands after the colon, not all 0, as in "
            f"line:{','.join(['1'] * bands)}, got {name!r}"
        )
    return weights
