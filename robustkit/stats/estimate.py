"""An estimate with its interval, and how numbers are printed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustkit.errors import InputError


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number, or an array of numbers, with a confidence interval for each.

    Attributes:
        value: The estimate, a float or an array.
        low: Lower end of the interval, the same shape; nan where no interval exists.
        high: Upper end of the interval, the same shape.
        n: How many observations (images, pairs, objects) the estimate rests on, the same shape or one number.
        level: Confidence level of the interval, in (0, 1).
        method: How the interval was made, such as `Wilson` or `BCa`.

    Examples:
        >>> print(Estimate(0.90667, 0.8493, 0.9437, 150))
        0.907 [0.849, 0.944], n = 150
    """

    value: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray
    n: int | np.ndarray
    level: float = 0.95
    method: str = ""

    def __len__(self) -> int:
        return len(np.atleast_1d(self.value))

    def __getitem__(self, index: int | slice | np.ndarray) -> Estimate:
        """Some of an array of estimates; one of them holds plain numbers."""
        fields = (np.broadcast_to(field, np.shape(self.value)) for field in (self.value, self.low, self.high, self.n))
        value, low, high, n = (plain(field[index]) for field in fields)
        return Estimate(value, low, high, n, self.level, self.method)

    def __iter__(self) -> Iterator[Estimate]:
        return (self[i] for i in range(len(self))) if np.ndim(self.value) else iter((self,))

    def __str__(self) -> str:
        if np.ndim(self.value):
            return "\n".join(str(one) for one in self)
        places = decimals(self.low, self.high)
        value, low, high = (_fixed(float(x), places) for x in (self.value, self.low, self.high))
        interval = f"[{low}, {high}]" if np.isfinite(self.low) or np.isfinite(self.high) else "[no interval]"
        return f"{value} {interval}, n = {self.n}"


def plain(values: np.ndarray | np.generic) -> Any:
    """An array as it is, and an array of no dimension as a Python number."""
    return values if np.ndim(values) else values.item()


def decimals(low: float | np.ndarray, high: float | np.ndarray) -> int | None:
    """How many decimals an interval justifies: two significant digits of its half-width; None if it has no width."""
    half = (float(high) - float(low)) / 2
    if not (math.isfinite(half) and half > 0):
        return None
    places = 1 - math.floor(math.log10(half))
    return max(places, 0) if places <= 6 else None


def _fixed(value: float, places: int | None) -> str:
    return f"{value:.3g}" if places is None else f"{value:.{places}f}"


def as_percent(one: Estimate) -> str:
    """A single rate with its interval in percent.

    Examples:
        >>> as_percent(Estimate(0.6864, 0.574, 0.773, 118))
        '69 % (57 to 77 %)'
        >>> as_percent(Estimate(0.0042, 0.0011, 0.009, 118))
        '0.42 % (0.11 to 0.90 %)'
    """
    value, interval = _hundredths(one)
    return f"{value} %{f' ({interval} %)' if interval else ''}"


def as_points(one: Estimate, *, signed: bool = False) -> str:
    """A difference of rates with its interval in percentage points.

    Args:
        one: A single difference.
        signed: Whether a gain carries its sign.

    Examples:
        >>> as_points(Estimate(0.2, 0.113, 0.286, 240), signed=True)
        '+20 points (11 to 29)'
        >>> as_points(Estimate(-0.0001, -0.064, 0.073, 114))
        '0 points (-6 to 7)'
    """
    value, interval = _hundredths(one)
    sign = "+" if signed and not value.startswith("-") and float(value) else ""
    unit = "point" if value in ("1", "-1") else "points"
    return f"{sign}{value} {unit}{f' ({interval})' if interval else ''}"


def _hundredths(one: Estimate) -> tuple[str, str]:
    """A number and its interval times 100, with as many decimals as the interval justifies."""
    value, low, high = (100 * float(end) for end in (one.value, one.low, one.high))
    places = decimals(low, high)
    # Two significant digits of a half-width of several points are one too many to read.
    places = None if places is None else max(places - (1 if high - low > 2 else 0), 0)
    said = [_positive_zero(_fixed(end, places)) for end in (value, low, high)]
    return said[0], f"{said[1]} to {said[2]}" if math.isfinite(low) and math.isfinite(high) else ""


def _positive_zero(text: str) -> str:
    return text.removeprefix("-") if float(text) == 0 else text


def format_p(p: float) -> str:
    """A p-value as it is printed: `p = 0.070`, and `p < 0.001` below that.

    Examples:
        >>> format_p(0.0703)
        'p = 0.070'
        >>> format_p(2e-9)
        'p < 0.001'
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def check_level(level: float) -> float:
    """The confidence level, or a refusal.

    Raises:
        InputError: If it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}; a confidence level lies between 0 and 1, such as 0.95")
    return float(level)
