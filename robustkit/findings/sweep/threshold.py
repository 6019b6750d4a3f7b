"""The level of a perturbation that costs five points of accuracy, beside what a survey has."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from robustkit.findings.sweep.record import SweepRecord
    from robustkit.perturb.perturbation import Perturbation

DROP = 0.05


@dataclass(frozen=True, eq=False)
class Threshold:
    """The level at which accuracy has fallen by `DROP`, interpolated between levels in strength.

    Attributes:
        name: The perturbation.
        level: The level, or `None` when the accuracy never falls so far.
        mildest: The mildest end of the bootstrap interval; `None` as above.
        severest: The most severe end; `None` as above.
        reached: Share of the resamples in which it is reached.
        before_first: Whether it lies between the clean images and the mildest level swept, where nothing was measured.
        at: The level in words; empty where it is not reached.
        typical: In words, what the survey has typically: the second of its five levels.
        poor: Likewise what is poor but released: the third.
        strength: That of the level; infinite where it is not reached.
        strengths: Those of the mildest and the most severe end.
        met: Whether images that the survey releases lie beyond it: `typical`, `poor` or empty.
    """

    name: str
    level: float | None
    mildest: float | None
    severest: float | None
    reached: float
    before_first: bool = False
    at: str = ""
    typical: str = ""
    poor: str = ""
    met: str = ""
    strength: float = math.inf
    strengths: tuple[float, float] = (math.inf, math.inf)

    def __str__(self) -> str:
        if self.level is None:
            return "not reached"
        ends = [end for end in (self.mildest, self.severest) if end is not None]
        spread = " to ".join(f"{end:.3g}" for end in sorted(ends)) if len(ends) == 2 else ""
        spread = spread or (f"{ends[0]:.3g} to not reached" if ends else "not reached in most resamples")
        return f"{self.level:.3g} ({spread}{'; milder than all levels' if self.before_first else ''})"


def threshold_of(
    record: SweepRecord, name: str, kind: type[Perturbation], rates: np.ndarray, here: np.ndarray
) -> Threshold:
    """Where one perturbation costs `DROP`.

    Args:
        record: The sweep.
        name: The perturbation, with its options.
        kind: Its class.
        rates: Accuracy on the clean images and at all steps in resamples of the images, shape (draws, 1 + S).
        here: The same as measured, shape (1 + S,).
    """
    steps = record.steps(name)
    strength = np.concatenate([[0.0], record.strength[steps]])
    columns = np.concatenate([[0], steps + 1])
    found = float(crossing(strength, here[None, columns])[0])
    resampled = crossing(strength, rates[:, columns])
    ends = np.quantile(resampled, (0.025, 0.975), method="inverted_cdf")
    levels = [kind.level_of(float(value)) if np.isfinite(value) else None for value in (found, *ends)]
    reached = float(np.isfinite(resampled).mean())
    bars = float(ends[0]), float(ends[1])
    at = "" if levels[0] is None else kind.words(levels[0])
    has: dict[str, str] = {}
    if kind.surveyed:
        named = dict(zip(("typical", "poor"), kind.levels[1:3], strict=True))
        has = {how: kind.words(level) for how, level in named.items()}
        if levels[0] is not None:
            at = _told_apart(kind, levels[0], named.values(), at)
        swept = {how: np.isclose(record.level[steps], level) for how, level in named.items()}
        beyond = [how for how, there in swept.items() if (found <= record.strength[steps][there]).any()]
        has["met"] = beyond[0] if beyond else ""
    return Threshold(
        name,
        levels[0],
        levels[1],
        levels[2],
        reached,
        found < strength[1],
        at=at,
        strength=found,
        strengths=bars,
        **has,
    )


def _told_apart(kind: type[Perturbation], level: float, others: Iterable[float], said: str) -> str:
    """A level in words, with as many digits as tell it from others that are not the same."""
    for digits in (4, 5, 6):
        if not any(said == kind.words(one) and not math.isclose(one, level, rel_tol=1e-9) for one in others):
            break
        said = kind.words(level, digits)
    return said


def crossing(strength: np.ndarray, accuracy: np.ndarray, drop: float = DROP) -> np.ndarray:
    """Where accuracy first falls by `drop`, between levels on a straight line; infinite where it does not.

    Args:
        strength: Ascending, the first 0 (clean), shape (S,).
        accuracy: Shape (B, S).
        drop: How far.

    Returns:
        Strengths, shape (B,).

    Examples:
        >>> crossing(np.array([0.0, 1.0, 2.0]), np.array([[0.9, 0.9, 0.8], [0.9, 0.9, 0.9]])).round(6).tolist()
        [1.5, inf]
    """
    # A hair of tolerance, so that a fall of exactly `drop` counts whatever the rounding.
    below = accuracy <= accuracy[:, :1] - drop + 1e-12
    first = below.argmax(1)
    rows = np.arange(len(accuracy))
    previous = np.maximum(first - 1, 0)
    high, low = accuracy[rows, previous], accuracy[rows, first]
    share = (high - (accuracy[:, 0] - drop)) / np.where(high > low, high - low, 1.0)
    found = strength[previous] + np.clip(share, 0, 1) * (strength[first] - strength[previous])
    return np.where(below.any(1), found, np.inf)
