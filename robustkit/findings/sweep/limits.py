"""The levels that cost five points of accuracy, beside those that a survey has: drawn on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.findings.sweep.threshold import Threshold
from robustkit.report.blocks import PAGE, Axis, Block, Drawing, Lines, Panel, Points, Rule
from robustkit.report.palette import Meaning
from robustkit.report.section import Table

_END = 30.0  # times s3: what is not reached stands at the end of the axis


@dataclass(frozen=True, eq=False)
class Limits:
    """The level of each perturbation that costs 5 points, in units of the poorest that is released.

    Attributes:
        thresholds: By model.
        strengths: Of each perturbation the strengths of its levels s1 to s3, which a survey releases.
        units: Of each perturbation.
        name: Of its files.
        title: Its heading.
    """

    thresholds: Mapping[str, Sequence[Threshold]]
    strengths: Mapping[str, tuple[float, float, float]]
    units: Mapping[str, str]
    name: str = "thresholds"
    title: str = "The level that costs 5 points of accuracy, and what a survey has"

    def summary(self) -> str:
        """Which perturbations of a survey's images cost 5 points already."""
        found = []
        for model, all_of in self.thresholds.items():
            typical, poor = ([one.name for one in all_of if one.met == how] for how in ("typical", "poor"))
            said = [f"{how} images of a survey lose 5 points to {', '.join(names)}"
                    for how, names in (("typical", typical), ("poor but released", poor)) if names]  # fmt: skip
            none = "no image that a survey releases is shown to lose 5 points"
            found.append(f"{model}: {', and '.join(said) or none}")
        return (
            f"{'; '.join(found)}. Bars are 95% bootstrap intervals over images; the black line is what a survey "
            "releases, s1 to s3 (poor but released), with a tick at s2, typical; at the right end: not reached."
        )

    def table(self) -> Table:
        """A line for each model and perturbation."""
        rows = [
            (model, one.name, self.units.get(one.name, ""), *map(_end, (one.level, one.mildest, one.severest)),
             f"{one.reached:.3f}", one.at, one.typical, one.poor)
            for model, all_of in self.thresholds.items()
            for one in all_of
        ]  # fmt: skip
        columns = ("model", "perturbation", "unit", "level", "mildest", "severest", "share of resamples",
                   "level in words", "a survey, typical", "a survey, poor but released")  # fmt: skip
        return Table(columns, rows)

    def drawing(self) -> Drawing | None:
        """Strengths relative to s3, on a logarithmic axis; the perturbations that cost first on top."""
        models = list(self.thresholds)
        by_name = {name: [self._place(one.strength, name) for model in models for one in self.thresholds[model]
                          if one.name == name] for name in self.strengths}  # fmt: skip
        names = sorted(by_name, key=lambda name: min(by_name[name], default=_END))
        if not names:
            return None
        blocks: list[Block] = [Rule(1.0)]
        has = [[[self._place(self.strengths[name][end], name), float(i)] for end in (0, 2)]
               for i, name in enumerate(names)]  # fmt: skip
        blocks.append(Lines(np.array(has), "ink", width=2.2, name="what a survey releases"))
        ticks = [[[self._place(self.strengths[name][1], name), i + side] for side in (-0.18, 0.18)]
                 for i, name in enumerate(names)]  # fmt: skip
        blocks.append(Lines(np.array(ticks), "ink", width=1.2))
        for place, model in enumerate(models):
            mine = [one for one in self.thresholds[model] if one.name in self.strengths]
            ends = np.array(
                [[self._place(value, one.name) for value in (one.strength, *one.strengths)] for one in mine]
            )
            rows = np.array([names.index(one.name) for one in mine]) + 0.24 * (place + 1) - 0.02
            hover = [f"{model}, {one.name}: {one.at or 'not reached'}" for one in mine]
            points = np.stack([ends[:, 0], rows], axis=1)
            blocks.append(Points(points, Meaning(model=model), ends[:, 1:].T, size=5, hover=hover))
        low = min(float(block.places[:, 0].min()) for block in blocks if isinstance(block, Points))
        low = min(low, min(one[0][0] for one in has)) / 1.6
        at = [(x, f"{x:g}") for x in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0) if x > low] + [(_END, "not reached")]
        y = Axis(ticks=list(zip(map(float, range(len(names))), names, strict=True)), span=(len(names) - 0.4, -0.5))
        x = Axis("strength, times that of s3", (low, 1.3 * _END), log=True, ticks=at)
        return Drawing([Panel(blocks, x=x, y=y)], (PAGE, 1.0 + 0.3 * len(names)), 100 + 33 * len(names), narrow=True)

    def _place(self, strength: float, name: str) -> float:
        return float(np.clip(strength / self.strengths[name][2], 1e-3, _END))


def _end(level: float | None) -> str:
    """A level as a cell of a table; empty where accuracy never falls so far."""
    return "" if level is None else f"{level:.4g}"
