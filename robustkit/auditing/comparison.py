"""Two audits on the same images: is the one more robust than the other? Every test is paired, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.auditing.recorded import check_pair
from robustkit.errors import InputError
from robustkit.findings.attack.chapter import durations
from robustkit.findings.clean.record import domain_names
from robustkit.findings.distances.comparison import compare_models
from robustkit.findings.finding import ModelRecords
from robustkit.findings.sweep.record import third
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.facts import Facts
from robustkit.report.sections.forest import Forest
from robustkit.stats import (
    Estimate,
    benjamini_hochberg,
    bounded_mean,
    flips_sooner,
    holm,
    mcnemar,
    newcombe_paired,
    p_above,
    p_below,
    paired_counts,
    paired_shift,
    what_is_compared,
)

# Above so many images the paired tests of distances take minutes; `robustkit distances` makes them.
_MOST_MOVED, _DRAWS = 2000, 499


@dataclass(frozen=True, eq=False)
class Row:
    """One paired question.

    Attributes:
        name: What is compared.
        first: The rate of the one.
        second: The rate of the other.
        difference: First minus second, with its interval.
        p: The p-value.
        test: Which test.
        planned: Whether it is one of the few that every comparison asks.
        better: Whether a higher rate is the better one.
    """

    name: str
    first: float
    second: float
    difference: Estimate
    p: float
    test: str
    planned: bool
    better: bool


def compare_findings(one: ModelRecords, other: ModelRecords) -> list[Row]:
    """Every paired question that the records of two audits answer.

    Raises:
        InputError: If they cannot be paired.
    """
    check_pair(one, other)
    rows: list[Row] = []
    for domain in [name for name in one.clean if name in other.clean]:
        first, second = one.clean[domain], other.clean[domain]
        if np.array_equal(first.ids, second.ids):
            hits = [record.right for record in (first, second)]
            said = "accuracy" if domain == "images" else f"accuracy on {domain_names(one.clean)[domain]}"
            rows.append(_rates(said, hits[0], hits[1], planned=True, better=True))
    if one.attack is not None and other.attack is not None:
        both = one.attack.correct & other.attack.correct
        if both.any():
            flips = [record.flipped_images()[both] for record in (one.attack, other.attack)]
            rows.append(
                _rates("flipped by one pixel, images that both classify correctly", *flips, planned=True, better=False)
            )
        lost = [~record.correct | record.flipped_images() for record in (one.attack, other.attack)]
        rows.append(_rates("wrong or flipped, all images", *lost, planned=False, better=False))
    if one.certificate is not None and other.certificate is not None:
        known = one.certificate.correct & other.certificate.correct
        if known.any():
            sure = [record.certified[known] for record in (one.certificate, other.certificate)]
            rows.append(_rates("certified, images that both classify correctly", *sure, planned=False, better=True))
    if one.sweep is not None and other.sweep is not None:
        rows += _sweeps(one, other)
    return rows


def comparison(one: ModelRecords, other: ModelRecords) -> Chapter:
    """The chapter of a comparison."""
    rows = compare_findings(one, other)
    title = f"{one.label} against {other.label}"
    if not rows:
        missing = f"{one.label} and {other.label} share no step that ran; run both audits with the same settings."
        return Chapter("comparison", title, missing=(missing,))
    planned, rest = [row for row in rows if row.planned], [row for row in rows if not row.planned]
    adjusted = dict(zip([r.name for r in planned], holm([r.p for r in planned]), strict=True)) if planned else {}
    if rest:
        adjusted |= dict(zip([r.name for r in rest], benjamini_hochberg([r.p for r in rest]), strict=True))
    lines = [
        (
            row.name, row.difference.n, f"{row.first:.3f}", f"{row.second:.3f}", *_cells(row.difference), row.test,
            f"{row.p:.3g}", f"{adjusted[row.name]:.3g}", "Holm" if row.planned else "Benjamini-Hochberg",
        )
        for row in rows
    ]  # fmt: skip
    columns = ("question", "n", one.label, other.label, "difference", "low", "high", "test", "p",
               "adjusted p", "family")  # fmt: skip
    sections: list[Section] = [
        Forest(
            "differences", "Paired differences", f"← {other.label} better        points        {one.label} better →",
            [(_good(row), "", _points(row)) for row in rows],
            said=f"{_tally(rows, one.label, other.label)}. Turned so that right of the dotted line "
            f"{one.label} is better; paired 95% intervals (Newcombe, or empirical likelihood for means over draws).",
            reference=0.0, span=None, series_name="",
        ),
        Facts(
            "tests", "Paired tests",
            f"Exact McNemar tests of whether there is any difference. The {len(planned)} questions that every "
            f"comparison asks are one family (Holm); the other {len(rest)} are an exploration (Benjamini-Hochberg). "
            "p above 0.05 is not equality. The verdict asks for more, to which side and by how much, and decides all "
            "its lines together: it may be undecided where a p here is small.",
            columns, lines,
        ),
    ]  # fmt: skip
    sections += [found for found in (_shifts(one, other), _distances(one, other)) if found is not None]
    text = (
        f"Both models were given the same {len(one.about['ids'])} images and the same tests. With one trained seed "
        f"each this compares {what_is_compared(1, 1)}: how much another training of the same method "
        "would differ is not known.",
    )
    return Chapter("comparison", title, text, tuple(sections), folded=("tests", "shifts", "distance-ratios"))


def _tally(rows: Sequence[Row], one: str, other: str) -> str:
    """How many differences lie on one side of 0 with their whole interval."""
    ends = [(float(points.low), float(points.high)) for points in map(_points, rows)]
    wins, losses = sum(low > 0 for low, _ in ends), sum(high < 0 for _, high in ends)
    return f"Of {len(rows)} paired differences {wins} favour {one} for certain and {losses} {other}"


def _good(row: Row) -> str:
    """What is compared, said so that more of it is better."""
    return row.name if row.better else f"not {row.name}"


def _points(row: Row) -> Estimate:
    """A difference in points, above 0 where the first is better."""
    one = row.difference
    sign = 100.0 if row.better else -100.0
    value, low, high = (sign * float(end) for end in (one.value, one.low, one.high))
    return Estimate(value, min(low, high), max(low, high), one.n, one.level, one.method)


def _cells(one: Estimate) -> tuple[str, str, str]:
    """A number and the ends of its interval, a cell each."""
    value, low, high = (f"{float(end):.4f}" for end in (one.value, one.low, one.high))
    return value, low, high


def _short(one: Estimate | None) -> tuple[str, str, str]:
    """A number and the ends of its interval, a cell each; empty for none."""
    if one is None:
        return "", "", ""
    value, low, high = (f"{float(end):.4g}" for end in (one.value, one.low, one.high))
    return value, low, high


def _distances(one: ModelRecords, other: ModelRecords) -> Facts | None:
    """How far perturbations move the latents of both, image by image."""
    if one.distances is None or other.distances is None or len(one.distances.ids) > _MOST_MOVED:
        return None
    try:
        found = compare_models(other.distances, one.distances, draws=_DRAWS)
    except InputError:
        return None  # one checkpoint under two names, or too few images in common
    lines = [
        (
            row.perturbation, row.measure.name, "yes" if row.measure.invariant else "no", row.n,
            *_short(row.first.median), *_short(row.second.median), *_short(row.ratio_of_means),
            *(("", "") if row.shift is None else (f"{row.p_holm:.3g}", f"{row.shift.rank_biserial:.2f}")),
        )
        for row in found.comparisons
    ]  # fmt: skip
    numbers = (f"median, {other.label}", f"median, {one.label}", "ratio of means")
    columns = ("perturbation", "measure", "comparable", "n",
               *(f"{name}{end}" for name in numbers for end in ("", ": low", ": high")),
               "p (Wilcoxon, Holm)", "rank-biserial r")  # fmt: skip
    return Facts(
        "distance-ratios",
        "How far latents move, one model against the other",
        f"On the images that have the measure under both: {one.label} over {other.label}, with a bootstrap interval of "
        f"{_DRAWS} draws. Measures that are not comparable change with the coordinates of a latent space.",
        columns,
        lines,
    )


def _rates(name: str, first: np.ndarray, second: np.ndarray, *, planned: bool, better: bool) -> Row:
    counts = paired_counts(first, second)
    difference = newcombe_paired(counts.both, counts.first_only, counts.second_only, counts.neither)
    p = float(mcnemar(counts.first_only, counts.second_only).p)
    return Row(name, float(first.mean()), float(second.mean()), difference, p, "McNemar", planned, better)


def _sweeps(one: ModelRecords, other: ModelRecords) -> list[Row]:
    first, second = one.sweep, other.sweep
    assert first is not None
    assert second is not None
    rows = []
    for name in dict.fromkeys(first.name.tolist()):
        step = third(first, name)
        hits = [record.right[step] for record in (first, second)]
        unit = first.settings["perturbations"][step]["unit"]
        said = f"accuracy under {name} ({first.level[step]:.4g} {unit})"
        rows.append(_shares(said, *hits, planned=name == "exposure", better=True))
    return rows


def _shares(name: str, first: np.ndarray, second: np.ndarray, *, planned: bool, better: bool) -> Row:
    """As `_rates`, of shares of draws in which the answer is right."""
    if np.isin([first, second], (0, 1)).all():
        return _rates(name, first == 1, second == 1, planned=planned, better=better)
    change = first - second
    p = 2 * min(float(p_above(change, 0, low=-1)), float(p_below(change, 0, low=-1)))
    means, difference = (float(first.mean()), float(second.mean())), bounded_mean(change, low=-1)
    return Row(name, *means, difference, min(p, 1.0), "empirical likelihood", planned, better)


def _shifts(one: ModelRecords, other: ModelRecords) -> Facts | None:
    """Paired numbers that are not rates: chances of random extreme pixels, queries until the flip."""
    lines: list[Sequence[object]] = []
    first, second = one.certificate, other.certificate
    if first is not None and second is not None:
        both = first.complete & second.complete
        if both.sum() >= 5 and (first.chance_low[both] != second.chance_low[both]).any():
            shift = paired_shift(second.chance_low[both], first.chance_low[both])
            lines.append(("chance of a flip by a random extreme pixel", int(both.sum()), str(shift)))
    if one.attack is not None and other.attack is not None:
        for search in [name for name in one.attack.searches if name in other.attack.searches]:
            (time, flipped, right), (later, too, known) = (durations(r, search) for r in (one.attack, other.attack))
            both = right & known
            if both.any():
                sooner = flips_sooner(time[both], flipped[both], later[both], too[both])
                lines.append((f"which flips sooner by {search}", int(both.sum()), str(sooner)))
    if not lines:
        return None
    return Facts(
        "shifts",
        "Paired numbers",
        f"Of the same images: {one.label} minus {other.label}, with Wilcoxon's signed-rank test and the Hodges-Lehmann "
        "shift, and sign tests of which flips first, where images that never flipped are censored.",
        ("what", "n", "result"),
        lines,
    )
