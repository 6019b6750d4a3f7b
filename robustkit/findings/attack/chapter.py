"""What single pixels can do, as a chapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustkit.findings.attack.flips import FlipCurves, SurvivalCurves, flip_curve
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.attack.summary import summarize
from robustkit.findings.finding import ModelRecords
from robustkit.report.palette import BASELINE
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.forest import Forest
from robustkit.report.sections.matrix import Matrix
from robustkit.stats import Estimate, flips_sooner, format_p, kaplan_meier, mcnemar, wilson

CHAPTER, TITLE = "one-pixel", "On purpose: one pixel"
# Names of value sets and searches in words.
VALUE_WORDS = {
    "corners": "each band at its lowest or highest value in the training data",
    "paper": "each band at 0 or 1 in network input",
    "single-band": "one band at its lowest or highest value in the training data",
    "together": "all bands at their lowest or all at their highest value in the training data",
    "hot": "the pixel gains charge",
    "dead": "the pixel stays dark",
}
SEARCH_WORDS = {
    "de": "differential evolution, the published algorithm; the published attack, --preset paper, is targeted, takes "
    "values in [0, 1] and flips more",
    "auto": "the strongest: it ranks the cells beforehand, on one stand-in image and by gradients, which are counted "
    "beside the queries",
    "random": "cells drawn at random, the baseline",
}


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """What one pixel can do."""
    missing = [one.why_missing("attack") for one in models if one.attack is None]
    have = [(one, one.attack) for one in models if one.attack is not None]
    sections = _sections(have) if have else []
    attacked: dict[str, list[str]] = {}
    for one, record in have:
        how = (
            f"A pixel may become any of the values {_of_values(record.settings['values'])}. Searches: "
            f"{_of_searches(record.searches)}. Every flip was written into the original image and run again alone "
            "through the plain network."
        )
        attacked.setdefault(how, []).append(f"{one.label}: {int(record.correct.sum())} images attacked")
    text = [f"{'; '.join(counts)}. {how}" for how, counts in attacked.items()]
    for one, record in have:
        text += _besides(one.label, record)
        broken = np.unique(record.image[record.not_finite > 0])
        if (front := record.settings.get("flagged_by")) is not None:
            text.append(
                f"{one.label}: {int((record.clean_class < 0).sum())} of {len(record.ids)} images are flagged by "
                f"{front} as they are; they get no class, count as wrong and were not attacked. A flagged candidate "
                f"gets no class either, and is no flip ({int(record.not_finite.sum()):,} of them)."
            )
        elif len(broken):
            text.append(
                f"{one.label}: the outputs for {int(record.not_finite.sum()):,} candidates on {len(broken)} images are "
                "not finite. They count neither as flips nor as the old class, and images without a flip among these "
                f"({int((~record.flipped_images()[broken]).sum())}) are not shown to be safe."
            )
    return Chapter(CHAPTER, TITLE, tuple(text), tuple(sections), tuple(missing), ("flip-rates", "survival"))


def _besides(label: str, record: AttackRecord) -> list[str]:
    """What the searches asked of the network besides the queries of the images, in a sentence each."""
    said = []
    for name in record.searches:
        asked = record.of_search(name)
        stand_in = int(record.stand_in[asked].max(initial=0))
        words = [f"{stand_in:,} queries of one stand-in image (shared by all images)"] if stand_in else []
        for counts, what in ((record.gradient, "gradient passes"), (record.partial, "passes through the first layers")):
            if (total := int(counts[asked].sum())) > 0:
                words.append(f"{total:,} {what}, {total / asked.sum():.3g} per attempt on an image")
        if words:
            said.append(f"{label}: {name} asked, besides the queries below, {' and '.join(words)}.")
    return said


def _sections(have: Sequence[tuple[ModelRecords, AttackRecord]]) -> list[Section]:
    names = have[0][0].class_names
    rows: list[tuple[str, str, Estimate]] = []
    for one, record in have:
        for search, summary in summarize(record).searches.items():
            rows.append(
                (f"found by {search}" if search != "any" else "found by any search", one.label, summary.flipped)
            )
    for k, name in enumerate(names):
        for one, record in have:
            of_class = record.correct & (record.true == k)
            flips = int((record.flipped_images() & of_class).sum())
            rows.append((f"in class {name}", one.label, wilson(flips, int(of_class.sum()))))
    labels = list(dict.fromkeys(label for label, _, _ in rows))
    matrices = {one.label: _flip_matrix(record) for one, record in have}
    totals = {
        one.label: np.array([int((record.correct & (record.true == k)).sum()) for k in range(len(names))])
        for one, record in have
    }
    flip_curves = {}
    for one, record in have:
        flip_curves[one.label] = [
            flip_curve(
                name, record.queries_to_flip(name)[record.correct],
                int(record.queries[record.of_search(name)].max(initial=1)),
            )
            for name in record.searches
        ]  # fmt: skip
    sections: list[Section] = [
        Forest(
            "flip-rates", "Flip rates", "rate of images flipped", rows,
            said="Of the images classified correctly, the rate flipped, by search and by true class, with 95% "
            "intervals (Wilson).",
            parts={"found by": labels[: -len(names)], "in class": labels[-len(names) :]},
        ),
        Matrix(
            "flip-matrix", "From which class to which", matrices, totals, names, "class after the flip",
            "Images of each true class that some search flipped, by the class they went to; an image that went to two "
            "counts for both.",
        ),
        FlipCurves(flip_curves, _worth(have)),
    ]  # fmt: skip
    survival = _survival(have)
    return sections if survival is None else [*sections, survival]


def _worth(have: Sequence[tuple[ModelRecords, AttackRecord]]) -> str:
    """Whether cells drawn at random flip more than the published evolution at the same budget, with its test."""
    said = []
    for one, record in have:
        if not {"de", BASELINE} <= set(record.searches):
            continue
        spent = min(int(record.queries[record.of_search(name)].max(initial=0)) for name in ("de", BASELINE))
        drawn, evolved = (record.queries_to_flip(name)[record.correct] <= spent for name in (BASELINE, "de"))
        more, fewer = int((drawn & ~evolved).sum()), int((evolved & ~drawn).sum())
        test = mcnemar(more, fewer)
        verb = "cannot be told from" if test.p > 0.05 else "beat" if more > fewer else "lose to"
        said.append(
            f"{one.label}: cells drawn at random {verb} differential evolution within {spent:,} queries "
            f"({more} images flipped by random cells alone, {fewer} by evolution alone, of {len(drawn)}; McNemar "
            f"{format_p(float(test.p))})"
        )
    return f"{'; '.join(said)}." if said else ""


def _survival(have: Sequence[tuple[ModelRecords, AttackRecord]]) -> SurvivalCurves | None:
    shared = [name for name in have[0][1].searches if all(name in record.searches for _, record in have)]
    search = next((name for name in ("de", *shared) if name in shared and name != BASELINE), None)
    if search is None or any(not record.correct.any() for _, record in have):
        return None
    found = {one.label: durations(record, search) for one, record in have}
    curves_of = {
        label: kaplan_meier(time[right], flipped[right])
        for label, (time, flipped, right) in found.items()
        if flipped[right].any()
    }
    if not curves_of:
        return None
    test = ""
    if len(found) == 2:
        (one, one_flipped, one_right), (two, two_flipped, two_right) = found.values()
        both = one_right & two_right
        if both.any():
            first, second = found
            sooner = flips_sooner(one[both], one_flipped[both], two[both], two_flipped[both])
            test = (
                f"Which flips first, {first} or {second}, on the {int(both.sum())} images that both classify "
                f"correctly: {sooner}."
            )
    return SurvivalCurves(curves_of, search, test)


def durations(record: AttackRecord, search: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries until the flip or until the search gave up, whether it flipped, and which images were attacked, (N,)."""
    time = record.queries_to_flip(search)
    spent = np.zeros(len(time))
    attempts = record.of_search(search)
    np.add.at(spent, record.image[attempts], record.queries[attempts])
    flipped = np.isfinite(time)
    return np.where(flipped, time, np.maximum(spent, 1)), flipped, record.correct & (spent > 0)


def _flip_matrix(record: AttackRecord) -> np.ndarray:
    classes = len(record.class_names)
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.fill_diagonal(matrix, -1)
    flips = record.flipped
    pairs = {
        (int(i), int(new)) for i, new in zip(record.image[flips], record.new_class[flips], strict=True)
    }  # fmt: skip
    for image, new in pairs:
        matrix[int(record.true[image]), new] += 1
    return matrix


def _of_values(settings: dict[str, Any]) -> str:
    """A value set in words."""
    name = settings.get("name", "declared")
    words = VALUE_WORDS.get(name.partition(":")[0], "")
    return f"'{name}'{f' ({words})' if words else ''}"


def _of_searches(names: Sequence[str]) -> str:
    """Searches in words, where there are some."""
    return "; ".join(f"{name}{f' ({SEARCH_WORDS[name]})' if name in SEARCH_WORDS else ''}" for name in names)
