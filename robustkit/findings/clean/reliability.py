"""Does what the classifier claims come true? Confidence against accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from robustkit.report.blocks import PAGE, Axis, Bars, Block, Drawing, Lines, Panel, Series
from robustkit.report.palette import Meaning
from robustkit.report.section import Table
from robustkit.stats.calibration import Reliability
from robustkit.stats.estimate import format_p


@dataclass(frozen=True, eq=False)
class ReliabilityCurves:
    """Reliability of one or more models or domains.

    Attributes:
        curves: By name, in bins that hold equal numbers of images.
        confidence: By name, of each image, shape (N,), for the histogram.
        name: Of its files.
        title: Its heading.
        means: What each stands for; by default the model of its name.
    """

    curves: Mapping[str, Reliability]
    confidence: Mapping[str, np.ndarray] = field(default_factory=dict)
    name: str = "calibration"
    title: str = "Calibration"
    means: Mapping[str, Meaning] = field(default_factory=dict)

    def summary(self) -> str:
        """Calibration errors beside what chance makes of them."""
        found = "; ".join(
            f"{name}: {one.ece:.3f}, where a calibrated one has {one.null_mean:.3f} on average and up to "
            f"{one.null_high:.3f} in 95% ({format_p(one.p)})"
            for name, one in self.curves.items()
        )
        off = [name for name, one in self.curves.items() if one.p < 0.05]
        message = f"Not calibrated: {', '.join(off)}" if off else "None can be told from a calibrated classifier"
        return (
            f"{message}. Below the diagonal a classifier is overconfident, above it underconfident. Each point is a "
            "bin of equally many images with its 95% interval (Wilson); below, how many images have which confidence. "
            f"ECE: {found}."
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
        """A panel for each series: points with intervals beside the diagonal, and a histogram of confidence below."""
        count, lowest = len(self.curves), self._lowest()
        curves = [self._curve(place, name, lowest) for place, name in enumerate(self.curves)]
        below = (
            [self._histogram(place, name, lowest) for place, name in enumerate(self.curves)] if self.confidence else []
        )
        size = (min(PAGE, 0.6 + 2.4 * count), 3.2 if below else 2.4)
        return Drawing(
            [*curves, *below], size, 330 if below else 290, count, legend="none", heights=(3, 1) if below else ()
        )

    def _curve(self, place: int, name: str, lowest: float) -> Panel:
        x, y, low, high = self._points(self.curves[name])
        counts = self.curves[name].counts[self.curves[name].counts > 0]
        hover = [
            f"{name}: confidence {a:.3f}, accuracy {b:.3f}\n{n} images" for a, b, n in zip(x, y, counts, strict=True)
        ]
        of = self.means.get(name, Meaning(model=name))
        blocks: list[Block] = [
            Lines(np.array([[[lowest, lowest], [1.0, 1.0]]]), dashed=True),
            Series(x, y, of, low, high, marked=True, bars=True, width=0, hover=hover),
        ]
        title = "" if self.confidence else "mean confidence"
        return Panel(blocks, name, Axis(title, (lowest, 1.02)), Axis("" if place else "accuracy", (-0.03, 1.03)))

    def _histogram(self, place: int, name: str, lowest: float) -> Panel:
        counts, edges = np.histogram(self.confidence[name], bins=_BARS, range=(lowest, 1.0))
        of, middles = self.means.get(name, Meaning(model=name)), (edges[1:] + edges[:-1]) / 2
        bars = Bars(middles, counts.astype(float), of, width=0.9 * float(edges[1] - edges[0]))
        return Panel([bars], x=Axis("confidence", (lowest, 1.02)), y=Axis("" if place else "images"))

    def _lowest(self) -> float:
        found = [float(self._points(one)[0].min()) for one in self.curves.values()]
        found += [float(values.min()) for values in self.confidence.values()]
        return max(min(found, default=0.0) - 0.03, 0.0)

    def _points(self, one: Reliability) -> tuple[np.ndarray, ...]:
        held = one.counts > 0
        accuracy = (np.asarray(getattr(one.accuracy, end))[held] for end in ("value", "low", "high"))
        return (one.confidence[held], *accuracy)


_BARS = 15  # of the histogram
