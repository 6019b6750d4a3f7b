"""Does what the classifier claims come true? Confidence against accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from robustkit.report.blocks import COLUMN, Axis, Block, Drawing, Lines, Panel, Series
from robustkit.report.palette import Meaning
from robustkit.report.section import Table
from robustkit.stats.calibration import Reliability


@dataclass(frozen=True, eq=False)
class ReliabilityCurves:
    """Reliability of one or more models or domains.

    Attributes:
        curves: By name.
        name: Of its files.
        title: Its heading.
        means: What each stands for; by default the model of its name.
    """

    curves: Mapping[str, Reliability]
    name: str = "calibration"
    title: str = "Calibration"
    means: Mapping[str, Meaning] = field(default_factory=dict)

    def summary(self) -> str:
        """Calibration errors beside what chance makes of them."""
        found = "; ".join(f"{name}: {curve}" for name, curve in self.curves.items())
        return (
            "Accuracy of the images in each bin of confidence with its 95% interval (Wilson), larger markers for more "
            "images; a calibrated classifier lies on the diagonal. The expected calibration error (ECE) is above 0 "
            "even then. Bins divide the range from 1/K, the lowest confidence that K classes allow, to 1: an error in "
            f"bins from 0 to 1, of which fewer hold images, may be smaller. {found}."
        )

    def table(self) -> Table:
        """A line for each bin that holds images."""
        rows = []
        for name, one in self.curves.items():
            for b in np.flatnonzero(one.counts):
                accuracy = one.accuracy[int(b)]
                ends = (one.confidence[b], accuracy.value, accuracy.low, accuracy.high)
                rows.append((name, int(one.counts[b]), *(f"{float(value):.4g}" for value in ends)))
        return Table(("series", "images", "mean confidence", "accuracy", "low", "high"), rows)

    def drawing(self) -> Drawing:
        """Curves with their intervals, beside the diagonal."""
        blocks: list[Block] = [Lines(np.array([[[0.0, 0.0], [1.0, 1.0]]]), dashed=True, name="calibrated")]
        for name, one in self.curves.items():
            x, y, low, high, counts = self._points(one)
            hover = [
                f"{name}: confidence {a:.3f}, accuracy {b:.3f}\n{n} images"
                for a, b, n in zip(x, y, counts, strict=True)
            ]
            of, sizes = self.means.get(name, Meaning(model=name)), _sizes(counts, 2.5, 7)
            blocks.append(Series(x, y, of, low, high, marked=True, bars=True, sizes=sizes, width=0.8, hover=hover))
        lowest = min((float(self._points(one)[0].min()) for one in self.curves.values()), default=0.0)
        x, y = Axis("mean confidence", (lowest - 0.03, 1.02)), Axis("accuracy", (-0.03, 1.03))
        return Drawing([Panel(blocks, x=x, y=y)], size=(COLUMN * 1.25, 3.3), height=420)

    def _points(self, one: Reliability) -> tuple[np.ndarray, ...]:
        held = one.counts > 0
        accuracy = (np.asarray(getattr(one.accuracy, end))[held] for end in ("value", "low", "high"))
        return (one.confidence[held], *accuracy, one.counts[held])


def _sizes(counts: np.ndarray, least: float, most: float) -> np.ndarray:
    """Diameters of markers whose area grows with the images of a bin."""
    return least + (most - least) * np.sqrt(counts / max(counts.max(initial=1), 1))
