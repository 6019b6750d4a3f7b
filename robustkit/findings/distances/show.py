"""Distances drawn, and what a run of them leaves in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.findings.distances.comparison import Comparison, DistanceComparison, binned
from robustkit.findings.distances.record import (
    BASE_RECORD,
    PERTURBATIONS,
    RECORD,
    DistanceRecord,
    Measure,
    shared_measures,
)
from robustkit.findings.distances.summary import DistancesResult, caveats, clouds
from robustkit.findings.distances.tables import bins_table, markdown, per_image
from robustkit.findings.distances.tables import rows as distance_rows
from robustkit.findings.finding import ModelRecords
from robustkit.findings.writing import write_finding
from robustkit.report.blocks import Axis, Block, Drawing, Lines, Panel, Rule, Series
from robustkit.report.palette import Meaning
from robustkit.report.section import Chapter, Section, Table
from robustkit.report.sections.facts import Facts
from robustkit.stats.estimate import format_p
from robustkit.stats.mmd import MMD
from robustkit.stats.two_sample import ClassifierTest

TABLE, MARKDOWN, IMAGES, BINS, FIGURE = "table.csv", "table.md", "distances.csv", "js-by-bins.csv", "histograms"
_UNITS = "The same in units of the latent space"
_AXES = {
    "euclidean": "distance moved (d_E), latent units",
    "whitened": "distance moved, whitened",
    "reach": "1 / (1 + t*)",
}


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
            f"{self._message()}How far noise and one pixel move each image in the latent space. 1 / (1 + t*) is above "
            "0.5 where the class changed, and compares models; the distance d_E depends on a model's own coordinates, "
            "and the whitened one may, so each model has a row of its own. "
            f"Images that were never flipped have no distance to a flip. {self.said}"
        )

    def _message(self) -> str:
        """Under the first perturbation, how many images of each model have their class changed, or their median."""
        one = self.rows[0][0]
        name, crossed = one.title.partition(",")[0], one.axis == _AXES["reach"]
        # Each model may have a row of its own.
        alike = [row[0] for row in self.rows if row[0].axis == one.axis]
        of = [(model, values) for each in alike for model, values in zip(each.names, each.values, strict=True)]
        if crossed:
            said = " and ".join(
                f"{int((values > 0.5).sum())} of {len(values)} images of {model}" for model, values in of
            )
            return f"{name.capitalize()}: {said} change class. "
        said = ", ".join(f"{np.median(values):.3g} under {model}" for model, values in of)
        return f"{name.capitalize()}: the median image moves by {said} ({one.axis}). "

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
    return Drawing(panels, size, 90 + (230 if len(rows) > 1 else 250) * len(rows), columns, legend="below")


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
    title = one.title.replace(", n = ", "\nn = ") + (f"\n{one.note}" if one.note else "")
    highest = max(float(block.y.max()) for block in blocks if isinstance(block, Series))
    return Panel(blocks, title, Axis(one.axis), Axis("images", (0.0, 1.05 * highest), grid=False))


def write_distances(folder: Path, result: DistancesResult, about: dict[str, Any], drawn: bool) -> list[str]:
    """Writes everything about distances, and returns lines for the terminal; see `write_finding`.

    Args:
        folder: An existing folder.
        result: What was found.
        about: What else the summary says.
        drawn: Whether there are drawings.
    """
    records, comparison = [record for record, _ in result.models], result.comparison
    divergences = {
        f"{record.model}: noisy, one pixel": one.between for record, one in result.models if one.between is not None
    }
    if comparison is not None:
        divergences |= {
            f"{comparison.first}, {comparison.second}: {one.perturbation}, {one.measure.name}": one.divergence
            for one in comparison.comparisons
            if one.divergence is not None
        }
    rows = histograms(records, comparison) if drawn else []
    last = write_finding(
        folder,
        records=dict(zip((RECORD, BASE_RECORD), reversed(records), strict=False)),
        texts={
            TABLE: result.table(),
            MARKDOWN: markdown(result.models, comparison),
            IMAGES: per_image(records),
            BINS: bins_table(divergences),
        },
        drawings={FIGURE: draw_histograms(rows)} if rows else {},
        summary={**result.summary(), **about},
    )
    return [result.describe(), last]


def histograms(
    records: Sequence[DistanceRecord], comparison: DistanceComparison | None = None
) -> list[list[Histogram]]:
    """What is drawn: a row for each of d_E, its whitened twin and, for affine heads, 1 / t*.

    Args:
        records: Of one model, or of the base and the model.
        comparison: What is said of the difference.
    """
    compared = {} if comparison is None else {(c.perturbation, c.measure.field): c for c in comparison.comparisons}
    rows = []
    for measure in shared_measures(records):
        if measure.field not in ("euclidean", "whitened", "reach"):
            continue
        # What does not compare models is drawn model by model.
        for some in [records] if measure.invariant else [[record] for record in records]:
            row = _row(some, measure, compared if len(some) > 1 else {})
            if row:
                rows.append(row)
    return rows


def _row(
    records: Sequence[DistanceRecord], measure: Measure, compared: dict[tuple[str, str], Comparison]
) -> list[Histogram]:
    """The histograms of one quantity, for each perturbation that has numbers."""
    row = []
    for p, name in enumerate(PERTURBATIONS):
        values = [binned(measure, getattr(record, measure.field)[p]) for record in records]
        values = [some[np.isfinite(some)] for some in values]
        if not all(len(some) > 1 and np.ptp(some) > 0 for some in values):
            continue
        row.append(
            Histogram(
                title=f"{name}, n = {' and '.join(str(len(some)) for some in values)}",
                axis=_AXES.get(measure.field, measure.name),
                names=[record.model for record in records],
                values=values,
                note=_note(compared.get((name, measure.field))),
            )
        )
    return row


def _note(one: Comparison | None) -> str:
    if one is None or one.divergence is None:
        return ""
    js = one.divergence
    return f"JS {js.js:.2f}, null {js.null_mean:.2f}, {format_p(js.p)}, {one.n} pairs"


_CLOUDS = ("model", "clean against noisy latents", "value", "one distribution: below in 95%", "p", "n", "noisy n")


def _cloud(test: MMD | ClassifierTest) -> tuple[str, str, str, str, int, int]:
    """A test of whole clouds, a cell for each number."""
    name, value = (
        ("MMD^2", test.squared)
        if isinstance(test, MMD)
        else ("held-out accuracy of a linear classifier", test.accuracy)
    )
    return name, f"{value:.3g}", f"{test.null_high:.3g}", format_p(test.p).removeprefix("p = "), test.n, test.m


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """How far perturbations move latents."""
    title = "Distances in the latent space"
    missing = tuple(one.why_missing("distances") for one in models if one.distances is None)
    have = [one for one in models if one.distances is not None]
    if not have:
        return Chapter("distances", title, missing=missing)
    # The base comes first, as in the papers' tables.
    found = [
        (one.label, one.distances, one.distances_summary)
        for one in reversed(have)
        if one.distances is not None and one.distances_summary is not None
    ]
    moved = [(label, row) for label, record, summary in found for row in distance_rows([(record, summary)])]
    if len(found) > 1:  # what compares models comes first
        moved.sort(key=lambda one: one[1][1].field != "reach")
    numbers = [
        (label, name, measure.name, "yes" if measure.invariant else "no", one.n,
         *(f"{x:.4g}" for each in (one.median, one.mean) for x in (each.value, each.low, each.high)),
         f"{one.standard_error:.3g}")
        for label, (name, measure, _, one) in moved
    ]  # fmt: skip
    columns = ("model", "perturbation", "measure", "comparable", "n", "median", "median: low", "median: high",
               "mean", "mean: low", "mean: high", "standard error")  # fmt: skip
    said = " ".join(
        f"{label}: noisy against one pixel, d_E: {summary.between}." for label, _, summary in found if summary.between
    )
    rows = histograms([record for _, record, _ in found])
    sections: list[Section] = (
        [
            DistanceHistograms(rows[:1], said, numbers, columns),
            *([DistanceHistograms(rows[1:], said, numbers, columns, "distance-units", _UNITS)] if rows[1:] else []),
        ]
        if rows
        else [Facts("distance-table", "How far latents move", f"Too few moved to be drawn. {said}", columns, numbers)]
    )
    bins = [
        (label, each.bins, f"{each.js:.3f}", f"{each.null_mean:.3f}", f"{each.p:.3g}")
        for label, _, summary in reversed(found)
        if summary.between is not None
        for each in summary.between.sensitivity
    ]
    if bins:
        sections.append(
            Facts(
                "js-bins",
                "JS distance against bins",
                "Jensen-Shannon distance (base 2) of d_E under noise and under one pixel, beside its mean when both "
                "are one distribution: that null is far above 0.",
                ("model", "bins", "JS", "null", "p"),
                bins,
            )
        )
    tests = [(label, *_cloud(test)) for label, _, summary in reversed(found) for test in clouds(summary)]
    if tests:
        said = (
            "Do clean and noisy latents have the same distribution? Tests of the whole clouds. MMD^2 is estimated "
            "without bias, so it may lie below 0; what counts is whether it lies above what shuffled clouds give."
        )
        sections.append(Facts("clouds", "Clouds", said, _CLOUDS, tests))
    lines = {label: [f"{line}." for line in caveats(record, summary)] for label, record, summary in reversed(found)}
    texts = tuple(" ".join([f"{label}:", *said]) for label, said in lines.items() if said)
    return Chapter("distances", title, texts, tuple(sections), missing, ("distance-units", "js-bins", "clouds"))
