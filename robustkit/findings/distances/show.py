"""Distances drawn, and what a run of them leaves in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.distances.comparison import Comparison, DistanceComparison, binned
from robustkit.findings.distances.record import BASE_RECORD, PERTURBATIONS, RECORD, DistanceRecord, shared_measures
from robustkit.findings.distances.summary import DistancesResult, caveats, clouds
from robustkit.findings.distances.tables import bins_table, markdown, per_image
from robustkit.findings.distances.tables import rows as distance_rows
from robustkit.findings.finding import ModelRecords
from robustkit.findings.writing import write_finding
from robustkit.report.saving import draw_on
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.distances import DistanceHistograms, Histogram, draw_histograms
from robustkit.report.sections.facts import Facts
from robustkit.stats.estimate import format_p

TABLE, MARKDOWN, IMAGES, BINS, FIGURE = "table.csv", "table.md", "distances.csv", "js-by-bins.csv", "histograms"
_AXES = {
    "euclidean": "d_E, latent units",
    "reach": "1 / (1 + t*), above 0.5 where the class changed",
}


def write_distances(folder: Path, result: DistancesResult, about: dict[str, Any], drawn: bool) -> list[str]:
    """Writes everything about distances.

    Args:
        folder: An existing folder.
        result: The distances.
        about: What else the summary says, JSON values.
        drawn: Whether histograms are drawn.

    Returns:
        Lines for the terminal.
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


def plot(result: DistancesResult, on: Any = None) -> Any:
    """Draws the distances as histograms.

    Args:
        result: The distances.
        on: A Matplotlib axes or figure; by default a new figure.

    Returns:
        The figure.

    Raises:
        InputError: If too few latents moved to be drawn.
    """
    rows = histograms([record for record, _ in result.models], result.comparison)
    if not rows:
        raise InputError("too few latents moved for a histogram; see describe()")
    return draw_on(draw_histograms(rows), on)


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
        if row:
            rows.append(row)
    return rows


def _note(one: Comparison | None) -> str:
    if one is None or one.divergence is None:
        return ""
    js = one.divergence
    return f"JS {js.js:.2f}, null {js.null_mean:.2f}, {format_p(js.p)}, {one.n} pairs"


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
        [DistanceHistograms(rows, said, numbers, columns)]
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
    tests = [(label, str(test)) for label, _, summary in reversed(found) for test in clouds(summary)]
    if tests:
        said = "Are clean and noisy latents one cloud? Tests of the whole clouds, image by image."
        sections.append(Facts("clouds", "Clouds", said, ("model", "clean against noisy latents"), tests))
    texts = tuple(
        f"{label}: {line}." for label, record, summary in reversed(found) for line in caveats(record, summary)
    )
    return Chapter("distances", title, texts, tuple(sections), missing)
