"""Distances as tables: as the papers print them, and a line for each image."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from robustkit.findings.distances.comparison import DistanceComparison
from robustkit.findings.distances.record import (
    DANGEROUS,
    NEAREST,
    PERTURBATIONS,
    DistanceRecord,
    Measure,
    shared_measures,
)
from robustkit.findings.distances.summary import Models
from robustkit.stats.divergence import Divergence
from robustkit.stats.estimate import format_p
from robustkit.stats.summary import Summary
from robustkit.tables import Writer, digits


def table(models: Models) -> str:
    """Median, mean and standard error of every measure as CSV: a line for each perturbation, measure and model."""
    text = io.StringIO()
    writer = Writer(text)
    ends = [f"{what}{end}" for what in ("median", "mean") for end in ("", "_low", "_high")]
    writer.writerow(["perturbation", "measure", "model", "n", "censored", *ends, "standard_error", "intervals"])
    for name, measure, record, found in rows(models):
        centres = [x for one in (found.median, found.mean) for x in (one.value, one.low, one.high)]
        censored = int(record.censored.sum()) if name == PERTURBATIONS[1] else 0
        line = [name, measure.name, record.model, found.n, censored]
        writer.writerow([*line, *map(digits, centres), digits(found.standard_error), found.mean.method])
    return text.getvalue()


def markdown(models: Models, comparison: DistanceComparison | None) -> str:
    """The table of the papers, d_E and its twins, as Markdown; with what two models differ by beneath."""
    lines = ["| perturbation | measure | model | n | median | mean | st. err. |", "|---|---|---|---|---|---|---|"]
    for name, measure, record, found in rows(models):
        centres = (float(found.median.value), float(found.mean.value), found.standard_error)
        shown = " | ".join(f"{x:.3g}" if np.isfinite(x) else "" for x in centres)
        lines.append(f"| {name} | {measure.name} | {record.model} | {found.n} | {shown} |")
    for record, summary in models:
        lines += [
            "",
            f"{record.model}: of {summary.attacked} images attacked {summary.flipped} were flipped; the other "
            f"{summary.attacked - summary.flipped} have no distance to a flip and are censored.",
        ]
    if comparison is None:
        return "\n".join(lines) + "\n"
    lines += [
        "",
        f"{comparison.second} against {comparison.first} on the images that have the measure under both; "
        f"this compares {comparison.caution}.",
        "",
        "| perturbation | measure | n | ratio of means | Wilcoxon, Holm | rank-biserial | JS | its null | JS p |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in comparison.comparisons:
        ratio = "" if one.ratio_of_means is None else str(one.ratio_of_means).partition(", n =")[0]
        shift = " | " if one.shift is None else f"{format_p(one.p_holm)} | {one.shift.rank_biserial:.2f}"
        js = one.divergence
        apart = " |  | " if js is None else f"{js.js:.2f} | {js.null_mean:.2f} | {format_p(js.p)}"
        lines.append(f"| {one.perturbation} | {one.measure.name} | {one.n} | {ratio} | {shift} | {apart} |")
    invariant = " and ".join(sorted({one.measure.name for one in comparison.comparisons if one.measure.invariant}))
    lines += ["", f"Only {invariant or 'no measure here'} can be compared between models; the others change with the "
              "coordinates of a latent space, which change no prediction. So does the whitened distance where its "
              "covariance was shrunk."]  # fmt: skip
    return "\n".join(lines) + "\n"


def per_image(records: Sequence[DistanceRecord]) -> str:
    """Every image as CSV: a line for each image, perturbation and model, those never flipped among them."""
    fields = ("euclidean", "in_scatter", "whitened", "crossing", "reach", "decision_share")
    text = io.StringIO()
    writer = Writer(text)
    about = ["model", "id", "true", "clean", "perturbation", "new", "attacked", "flipped", "censored"]
    writer.writerow(
        [
            *about,
            *fields,
            "margin",
            "nearest_floor",
            "best_margin",
            "search",
            "queries",
            "generations",
            "search_flipped",
        ]
    )
    complete = any(record.has(p).any() for record in records for p in (NEAREST, DANGEROUS))
    for record in records:
        names = [*record.class_names, ""]  # -1 is the last one
        for i in range(len(record.ids)):
            for p, name in enumerate(PERTURBATIONS if complete else PERTURBATIONS[:NEAREST]):
                state = [int(x[i]) for x in (record.attempted, record.flipped, record.censored)] if p else ["", "", ""]
                line = [record.model, record.ids[i], names[record.true[i]], names[record.clean_class[i]], name]
                line += [names[record.new_class[p, i]], *state]
                line += [digits(getattr(record, field)[p, i]) for field in fields]
                line += [digits(values[i]) for values in (record.margin, record.nearest_floor, record.best_margin)]
                timed = [record.search, digits(record.queries[i]), digits(record.generations[i]), int(record.fell[i])]
                known = p == 1 and np.isfinite(record.queries[i])
                writer.writerow(line + (timed if known else ["", "", "", ""]))
    return text.getvalue()


def bins_table(divergences: dict[str, Divergence]) -> str:
    """Jensen-Shannon distances for several numbers of bins as CSV."""
    text = io.StringIO()
    writer = Writer(text)
    writer.writerow(["samples", "bins", "chosen", "js", "null_mean", "excess", "p", "base", "n", "m"])
    for name, found in divergences.items():
        for choice in found.sensitivity:
            chosen = choice.bins == len(found.first_counts)
            excess = digits(found.excess) if chosen else ""
            line = [name, choice.bins, int(chosen), digits(choice.js), digits(choice.null_mean), excess]
            writer.writerow([*line, digits(choice.p), f"{found.base:g}", found.n, found.m])
    return text.getvalue()


def rows(models: Models) -> list[tuple[str, Measure, DistanceRecord, Summary]]:
    """Each perturbation, measure and model that has numbers, in the order of the tables."""
    found = []
    for name in PERTURBATIONS:
        for measure in shared_measures([record for record, _ in models]):
            for record, summary in models:
                one = summary.perturbations.get(name)
                if one is not None and measure.field in one.measures:
                    found.append((name, measure, record, one.measures[measure.field]))
    return found
