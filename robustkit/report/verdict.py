"""The verdict drawn: each claim's number with its interval, by how much it lies on the good side of its margin."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.report.blocks import PAGE, Axis, Drawing, Panel, Points, Rule
from robustkit.report.palette import Meaning
from robustkit.report.section import Check, Status

MARKS: dict[Status, str] = {"pass": "✓", "warn": "!", "fail": "✗", "not run": "–"}
_ORDER: tuple[Status, ...] = ("fail", "warn", "pass", "not run")
_CLAIM = 52  # letters of a claim on one line of the printed drawing


@dataclass(frozen=True)
class Bar:
    """A claim on the axis that all claims share.

    Attributes:
        check: The claim.
        low: Where its interval begins, percent of the axis; nan where it has no number.
        value: Where its number lies.
        high: Where its interval ends.
    """

    check: Check
    low: float
    value: float
    high: float

    @property
    def drawn(self) -> bool:
        """Whether it has a number."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Bars:
    """All claims on one axis: points of percentage beyond the margin, those that hold on the right.

    Attributes:
        rows: The claims: failed, undecided, passed, not run.
        zero: Where the margin lies, percent of the axis.
        ticks: Places and names.
    """

    rows: tuple[Bar, ...]
    zero: float
    ticks: tuple[tuple[float, str], ...]


def in_order(checks: Sequence[Check]) -> list[Check]:
    """The lines of a verdict, what failed first."""
    return sorted(checks, key=lambda check: _ORDER.index(check.status))


def bars_of(checks: Sequence[Check]) -> Bars:
    """The lines of a verdict on one axis."""
    low, high = _span(checks)

    def place(spare: float) -> float:
        return round(100 * (min(max(spare, low), high) - low) / (high - low), 2)

    rows = [Bar(one, *(place(one.spare(end)) for end in ("low", "value", "high"))) for one in in_order(checks)]
    step = next(one for one in (5, 10, 20, 25, 50) if (high - low) / one <= 5)
    ticks = range(math.ceil(low / step) * step, math.floor(high / step) * step + 1, step)
    return Bars(tuple(rows), place(0.0), tuple((place(at), f"{at:+d}" if at else "0") for at in ticks))


def draw_verdict(checks: Sequence[Check]) -> Drawing | None:
    """The same for print; hollow points are undecided. `None` where no claim has a number."""
    rows = [one for one in in_order(checks) if math.isfinite(one.spare())]
    if not rows:
        return None
    ends = np.array([[one.spare("low"), one.spare(), one.spare("high")] for one in rows])
    places = np.arange(len(rows), dtype=float)
    blocks: list[Points | Rule] = [Rule(0.0, dashed=False)]
    for undecided in (False, True):
        mine = np.array([(one.status == "warn") == undecided for one in rows])
        if mine.any():
            at = np.stack([ends[mine, 1], places[mine]], axis=1)
            blocks.append(Points(at, Meaning(), ends[mine][:, [0, 2]].T, size=5, hollow=undecided))
    names = ["\n".join(textwrap.wrap(f"{MARKS[one.status]} {one.claim}", _CLAIM)) for one in rows]
    y = Axis(ticks=list(zip(places.tolist(), names, strict=True)), span=(len(rows) - 0.5, -0.5), grid=False)
    x = Axis("points on the good side of the margin", _span(checks))
    lines = sum(name.count("\n") + 1 for name in names)
    return Drawing([Panel(blocks, x=x, y=y)], (PAGE, 0.6 + 0.19 * lines), 100 + 28 * lines, legend="none")


def _span(checks: Sequence[Check]) -> tuple[float, float]:
    """The ends of the axis, points: all intervals, with some room, and never beyond 100."""
    ends = [one.spare(end) for one in checks for end in ("low", "high")]
    ends = [end for end in ends if math.isfinite(end)]
    low, high = min([*ends, -10.0]), max([*ends, 10.0])
    room = 0.04 * (high - low)
    return max(low - room, -104.0), min(high + room, 104.0)
