"""Flips against queries: what a budget finds, and how long images hold out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.report.blocks import COLUMN, PAGE, Axis, Drawing, Panel, Series, Words, thin
from robustkit.report.palette import Meaning
from robustkit.report.section import Table
from robustkit.stats.proportions import wilson
from robustkit.stats.survival import Survival

MOST_STEPS = 600
THINNED = f"Curves of more than {MOST_STEPS} steps are drawn through {MOST_STEPS} of them, evenly spread."


@dataclass(frozen=True, eq=False)
class FlipCurve:
    """The rate of images flipped within a number of queries.

    Attributes:
        name: The search.
        queries: Where the rate changes, ascending, shape (Q,); the last is where the search ended.
        rate: Shape (Q,), in [0, 1].
        low: Lower end of each rate's own 95% interval (Wilson), shape (Q,).
        high: Upper end, shape (Q,).
        n: How many images were attacked.
    """

    name: str
    queries: np.ndarray
    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int


def flip_curve(name: str, queries_to_flip: np.ndarray, end: int) -> FlipCurve:
    """The curve of one search.

    Args:
        name: The search.
        queries_to_flip: Queries to the flip of each image attacked, shape (N,), at least 1; infinite without a flip.
        end: The most queries that any image had.
    """
    flips = np.sort(queries_to_flip[np.isfinite(queries_to_flip)])
    queries = np.unique(np.concatenate([[1.0], flips, [float(max(end, 1))]]))
    count = np.searchsorted(flips, queries, side="right")
    rates = wilson(count, np.full_like(count, len(queries_to_flip)))
    return FlipCurve(
        name, queries, np.asarray(rates.value), np.asarray(rates.low), np.asarray(rates.high), len(queries_to_flip)
    )


@dataclass(frozen=True, eq=False)
class FlipCurves:
    """The rate of images flipped within a number of queries, for each model and search.

    Attributes:
        curves: By model, the curves of its searches.
        message: What the comparison of its searches says, with its test; empty for nothing to compare.
        name: Of its files.
        title: Its heading.
    """

    curves: Mapping[str, list[FlipCurve]]
    message: str = ""
    name: str = "flips-by-queries"
    title: str = "Flips against queries"

    def summary(self) -> str:
        """What the searches are worth, and how to read the curves."""
        many = any(len(one.queries) > MOST_STEPS for curves in self.curves.values() for one in curves)
        return (
            f"{self.message} Images flipped within a number of queries, of those classified correctly; bands are 95% "
            f"(Wilson), each rate by itself.{f' {THINNED}' if many else ''}"
        ).strip()

    def table(self) -> Table:
        """The rate at round numbers of queries."""
        rows = []
        for model, curves in self.curves.items():
            for one in curves:
                for queries in _round_numbers(one.queries[-1]):
                    place = int(np.searchsorted(one.queries, queries, side="right")) - 1
                    values = (one.rate[place], one.low[place], one.high[place])
                    rows.append((model, one.name, f"{queries:.0f}", *(f"{v:.4g}" for v in values), one.n))
        return Table(("model", "search", "queries", "rate flipped", "low", "high", "n"), rows)

    def drawing(self) -> Drawing:
        """A panel for each model: steps in bands, each with its name where it ends."""
        ends = [float(one.queries[-1]) for curves in self.curves.values() for one in curves]
        tops = [float(np.nan_to_num(one.high).max()) for curves in self.curves.values() for one in curves]
        end, highest = max(ends, default=2.0), min(1.0, max(0.05, 1.1 * max(tops, default=1.0)))
        # Room on the right for the names.
        x = Axis("queries per image", (1.0, 6 * max(end, 2.0)), log=True)
        panels = []
        for place, (model, curves) in enumerate(self.curves.items()):
            blocks = [_stairs(model, one) for one in curves]
            y = Axis("" if place else "rate of images flipped", (0.0, highest))
            panels.append(Panel([*blocks, *_names(curves, end, highest)], model, x, y))
        count = len(panels)
        size = (PAGE if count > 1 else COLUMN * 1.35, 3.0)
        return Drawing(panels, size=size, height=330, columns=min(count, 2), shared=count > 1, legend="none")


def _stairs(model: str, one: FlipCurve) -> Series:
    at = thin(len(one.queries), MOST_STEPS)
    x, y, low, high = (values[at] for values in (one.queries, one.rate, one.low, one.high))
    hover = [f"{model}, {one.name}: {100 * b:.1f} % within {a:,.0f} queries" for a, b in zip(x, y, strict=True)]
    return Series(x, y, Meaning(search=one.name), low, high, step=True, hover=hover)


def _names(curves: Sequence[FlipCurve], end: float, highest: float) -> list[Words]:
    """Each curve's name at its end, moved apart where two would lie on each other."""
    room, below, words = 0.075 * highest, 0.0, []
    for one in sorted(curves, key=lambda one: float(one.rate[-1])):
        at = max(float(one.rate[-1]), below)
        below = at + room
        words.append(
            Words(1.15 * end, at, f"{one.name} {100 * one.rate[-1]:.0f} %", Meaning(search=one.name), 0.9, "left")
        )
    return words


@dataclass(frozen=True, eq=False)
class SurvivalCurves:
    """How many images hold out a number of queries of one search; those that never flipped are censored.

    Attributes:
        curves: By model.
        search: The search.
        test: What the comparison of two models says, or nothing.
        name: Of its files.
        title: Its heading.
    """

    curves: Mapping[str, Survival]
    search: str
    test: str = ""
    name: str = "survival"
    title: str = "How long images hold out"

    def summary(self) -> str:
        """Medians and restricted means."""
        found = "; ".join(f"{model}: {one}" for model, one in self.curves.items())
        return (
            f"Kaplan-Meier curves of the queries that the search {self.search} needed, with 95% bands; images that "
            f"never flipped are censored where their search ended, not left out. {found}. {self.test}".strip()
        )

    def table(self) -> Table:
        """A line for each step, thinned."""
        rows = []
        for model, one in self.curves.items():
            for i in thin(len(one.times), 60):
                ends = (f"{float(v):.4g}" for v in (one.surviving[i], one.low[i], one.high[i]))
                rows.append((model, f"{one.times[i]:.0f}", *ends, int(one.at_risk[i]), int(one.flips[i])))
        return Table(("model", "queries", "holding out", "low", "high", "at risk", "flips"), rows)

    def drawing(self) -> Drawing:
        """Steps in bands."""
        blocks = []
        for model, one in self.curves.items():
            x, y, low, high = self._steps(one)
            hover = [f"{model}: {b:.3f} hold out {a:,.0f} queries" for a, b in zip(x, y, strict=True)]
            blocks.append(Series(x, y, Meaning(model=model), low, high, step=True, hover=hover))
        x = Axis(f"queries per image by {self.search}", log=True)
        return Drawing([Panel(blocks, x=x, y=Axis("rate that holds out", (-0.02, 1.02)))], height=400)

    def _steps(self, one: Survival) -> tuple[np.ndarray, ...]:
        at = thin(len(one.times), MOST_STEPS)
        first = min(1.0, float(one.times[0]))
        values = (np.nan_to_num(np.asarray(v, dtype=float)[at], nan=1.0) for v in (one.surviving, one.low, one.high))
        return np.append(first, one.times[at]), *(np.append(1.0, v) for v in values)


def _round_numbers(end: float) -> list[float]:
    """1, 2, 5, 10 ... up to the end, and the end."""
    found = [a * 10.0**e for e in range(9) for a in (1, 2, 5)]
    return [*(q for q in found if q < end), float(end)]
