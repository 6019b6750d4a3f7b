"""How far perturbations move latents: histograms of d_E and of its twins that two models can be compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.report.blocks import Axis, Block, Drawing, Lines, Panel, Rule, Series
from robustkit.report.palette import Meaning
from robustkit.report.section import Table


@dataclass(frozen=True, eq=False)
class Histogram:
    """One quantity under one perturbation.

    Attributes:
        title: What is said above it.
        axis: What the horizontal axis is called.
        names: Of the S models.
        values: Of each model, shape (N_s,).
        note: What is said of the difference, such as the JS distance with its null; empty for one model.
    """

    title: str
    axis: str
    names: Sequence[str]
    values: Sequence[np.ndarray]
    note: str = ""


@dataclass(frozen=True, eq=False)
class DistanceHistograms:
    """Histograms, a row for each quantity and a column for each perturbation.

    Attributes:
        rows: The histograms.
        said: What they say.
        numbers: Of each quantity, perturbation and model, for the table.
        columns: Their headings.
        name: Of its files.
        title: Its heading.
    """

    rows: Sequence[Sequence[Histogram]]
    said: str
    numbers: Sequence[Sequence[object]]
    columns: Sequence[str]
    name: str = "distance-histograms"
    title: str = "How far latents move"

    def summary(self) -> str:
        """How to read them."""
        return (
            "d_E, the plain Euclidean distance, belongs to one model: another set of coordinates of the latent space "
            "changes it and no prediction. 1 / t* (above 1 where the class changes) can be compared between models; "
            "the whitened distance only where its covariance was not shrunk, which the table says (comparable). "
            f"Images that were never flipped have no distance to a flip. {self.said}"
        )

    def table(self) -> Table:
        """Medians and means."""
        return Table(self.columns, self.numbers)

    def drawing(self) -> Drawing:
        """Steps over each other, with their medians and means."""
        return draw_histograms(self.rows)


def draw_histograms(rows: Sequence[Sequence[Histogram]]) -> Drawing:
    """Rows of histograms: a row for each quantity, a column for each perturbation."""
    columns = max(len(row) for row in rows)
    nothing = Panel([], x=Axis(shown=False), y=Axis(shown=False))
    panels = [panel for row in rows for panel in [*map(_panel, row), *[nothing] * (columns - len(row))]]
    size = (max(3.5 * columns, 4.5), 2.3 * len(rows) + 0.4)
    return Drawing(panels, size, 60 + 300 * len(rows), columns, legend="below")


def bin_edges(histogram: Histogram, *, most: int = 24) -> np.ndarray:
    """Edges over the pooled range, by Freedman and Diaconis' rule for the narrower sample; 5 bins to so many."""
    widths = [2 * np.subtract(*np.percentile(values, [75, 25])) / len(values) ** (1 / 3) for values in histogram.values]
    pooled, width = np.concatenate(list(histogram.values)), min(widths)
    count = most if width <= 0 else int(np.clip(np.ceil(np.ptp(pooled) / width), 5, most))
    return np.histogram_bin_edges(pooled, count)


def _panel(one: Histogram) -> Panel:
    edges, blocks = bin_edges(one), list[Block]()
    for name, values in zip(one.names, one.values, strict=True):
        counts, _ = np.histogram(values, edges)
        of, y = Meaning(model=name), np.append(counts, counts[-1]).astype(float)
        hover = [f"{name}, from {a:.3g}: {b:.0f} images" for a, b in zip(edges, y, strict=True)]
        blocks.append(Series(edges, y, of, step=True, filled=True, hover=hover))
        centres = (float(np.median(values)), 2.0), (float(np.mean(values)), 0.9)
        blocks += [Rule(centre, "x", of, width, dashed=False) for centre, width in centres]
    none = np.empty((0, 2, 2))
    blocks += [Lines(none, "edge", width=2.0, name="median"), Lines(none, "edge", width=0.9, name="mean")]
    title = f"{one.title}\n{one.note}" if one.note else one.title
    highest = max(float(block.y.max()) for block in blocks if isinstance(block, Series))
    return Panel(blocks, title, Axis(one.axis), Axis("images", (0.0, 1.05 * highest), grid=False))
