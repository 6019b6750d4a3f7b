"""From records to the chapters of the page: how good it is, and what breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustkit.auditing.findings import Findings
from robustkit.auditing.pictures import exhibits_of, gallery_rule
from robustkit.errors import InputError
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.attack.summary import summarize
from robustkit.findings.clean.measure import CleanRecord
from robustkit.findings.sweep.show import curves
from robustkit.findings.sweep.summary import summarize_sweep
from robustkit.report.palette import BASELINE, Meaning
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.facts import Facts
from robustkit.report.sections.flips import FlipCurves, SurvivalCurves, flip_curve
from robustkit.report.sections.forest import Forest
from robustkit.report.sections.gallery import Gallery
from robustkit.report.sections.matrix import Matrix
from robustkit.report.sections.reliability import ReliabilityCurves
from robustkit.report.sections.sweeps import SweepCurves, SweepGrid, SweepSheet
from robustkit.report.sections.vulnerability import Chances, Vulnerability
from robustkit.stats import Estimate, flips_sooner, kaplan_meier, reliability, wilson

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
    "auto": "the strongest: it ranks the cells beforehand, on one stand-in image and by gradients, and that is not "
    "counted as queries",
    "random": "cells drawn at random, the baseline",
}


def clean(models: Sequence[Findings]) -> Chapter:
    """How good it is before anything is done to the images."""
    missing = tuple(one.why_missing("clean") for one in models if not one.clean)
    have = [one for one in models if one.clean]
    if not have:
        return Chapter("clean", "Clean performance and calibration", missing=missing)
    series = [(_series(one, domain, models), record) for one in have for domain, record in one.clean.items()]
    rows: list[tuple[str, str, Estimate]] = []
    for name, record in series:
        right = record.probabilities.argmax(1) == record.labels
        rows.append(("accuracy", name, wilson(int(right.sum()), len(right))))
    for k, label in enumerate(have[0].class_names):
        for name, record in series:
            of_class = record.labels == k
            hits = int((record.probabilities.argmax(1) == k)[of_class].sum())
            rows.append((f"recall of {label}", name, wilson(hits, int(of_class.sum()))))
    rows += [row for name, record in series if record.threshold != 0.5 for row in _gate(name, record)]
    counts = {name: _confusion(record) for name, record in series}
    means = {_series(one, domain, models): _means(one, domain) for one in have for domain in one.clean}
    sections: list[Section] = [
        Forest(
            "recalls", "Accuracy and recalls", "rate of right answers", rows,
            said="Accuracy and the recall of each class with 95% intervals (Wilson).", series_name="model and domain",
            means=means,
        ),
        Matrix(
            "confusion", "Confusion", counts, {name: matrix.sum(1) for name, matrix in counts.items()},
            have[0].class_names, "predicted class", "Images of each true class by predicted class; the shade is the "
            "share of the true class.",
        ),
        ReliabilityCurves({
            name: reliability(record.scores, record.labels, rng=np.random.default_rng(0))
            for name, record in series
        }, means=means),
    ]  # fmt: skip
    sizes = "; ".join(
        f"{name}: {len(record.labels)} of {record.available} images of the part {record.part} of {record.data}"
        for name, record in series
    )
    return Chapter("clean", "Clean performance and calibration", (f"{sizes}.",), tuple(sections), missing)


def sweeps(models: Sequence[Findings]) -> Chapter:
    """What exposure, seeing, defects and calibration do to it."""
    title = "Sweeps of perturbations"
    missing = tuple(one.why_missing("sweep") for one in models if one.sweep is None)
    have = [one for one in models if one.sweep is not None]
    if not have:
        return Chapter("sweeps", title, missing=missing)
    try:
        drawn = {one.label: (one.sweep, summarize_sweep(one.sweep)) for one in have if one.sweep is not None}
    except InputError as error:  # a perturbation of one's own: its class is not asked for by a file
        return Chapter("sweeps", title, missing=(*missing, f"{error}; see {have[0].folder / 'sweep' / 'sweep.csv'}."))
    all_curves = {label: curves(record, summary) for label, (record, summary) in drawn.items()}
    names = [curve.name for curve in next(iter(all_curves.values()))]
    sections: list[Section] = []
    if "exposure" in names:
        of_exposure = {label: next(c for c in found if c.name == "exposure") for label, found in all_curves.items()}
        said = "The same sky with less exposure: fewer visits, the same flux scale, noise as the camera would make it."
        sections.append(SweepCurves(of_exposure, said, "exposure"))
    sections.append(SweepGrid(all_curves))
    thresholds = [
        (label, one.name, unit, *map(_end, (one.level, one.mildest, one.severest)), f"{one.reached:.3f}")
        for label, (_, summary) in drawn.items()
        for one, unit in zip(summary.thresholds, [c.unit for c in all_curves[label]], strict=True)
    ]
    sections.append(
        Facts(
            "thresholds",
            "The level that costs 5 points of accuracy",
            "Interpolated between levels, with its 95% bootstrap interval over images from the milder to the severer "
            "end, and the share of resamples in which it is reached.",
            ("model", "perturbation", "unit", "level", "mildest", "severest", "share of resamples"),
            thresholds,
        )
    )
    risks = [
        (label, step.name, f"{step.level:.4g}", step.unit, step.right_to_wrong, step.wrong_to_right, f"{step.risk:.3g}")
        for label, (_, summary) in drawn.items()
        for step in summary.steps
        if step.risk is not None
    ]
    if risks:
        sections.append(
            Facts(
                "risks",
                "How often a survey meets it",
                "Expected events an image that turn a right answer wrong: how many such events an image meets, times "
                "the share of the images that one of them turns wrong. Every event counts as if it had this level, "
                "and none as masked, so a risk is an upper end and no forecast.",
                ("model", "perturbation", "level", "unit", "right to wrong", "wrong to right", "events an image"),
                risks,
            )
        )
    for one in have:
        sheet = SweepSheet(all_curves[one.label], one.class_names, one.label, _name("sweep-sheet", one, models))
        sections.append(sheet)
    means = "; ".join(
        f"{label}: mean accuracy over perturbations {summary.mpc:.3f}, relative to clean {summary.rpc:.3f}"
        for label, (_, summary) in drawn.items()
    )
    n = len(have[0].about["ids"])
    text = [f"{n} images, the same for all. {means}."]
    for label, (_, summary) in drawn.items():
        broken = [step for step in summary.steps if step.not_finite]
        if broken:
            worst = max(broken, key=lambda step: step.not_finite)
            text.append(
                f"{label}: at {len(broken)} of {len(summary.steps)} levels some answers are not finite, most at "
                f"{worst.name} {worst.level:.4g} {worst.unit} ({worst.not_finite} of {n} images). They count as wrong, "
                "and as no other class."
            )
    return Chapter("sweeps", title, tuple(text), tuple(sections), missing)


def _end(level: float | None) -> str:
    """A level as a cell of a table; empty where accuracy never falls so far."""
    return "" if level is None else f"{level:.4g}"


def one_pixel(models: Sequence[Findings]) -> Chapter:
    """What one pixel can do."""
    title = "One pixel"
    missing = [one.why_missing("attack") for one in models if one.attack is None]
    missing += [one.why_missing("certify") for one in models if one.certificate is None]
    sections: list[Section] = []
    have = [(one, one.attack) for one in models if one.attack is not None]
    if have:
        sections += _attack_sections(have)
    for one, record in have:
        if one.exhibits is not None and one.pictures is not None and len(one.exhibits.attempt):
            shown = exhibits_of(one.exhibits, one.pictures, record)
            sections.append(Gallery(shown, gallery_rule(), one.label, _name("gallery", one, models)))
    tried = [(one, one.certificate) for one in models if one.certificate is not None]
    whole = {one.label: record.chance_low[record.complete] for one, record in tried if record.complete.any()}
    if whole:
        certified = {one.label: int(record.certified.sum()) for one, record in tried}
        sections.append(Chances(whole, tried[0][1].cells, certified))
    for one, record in tried:
        if not record.complete.any():
            continue
        flips, _ = record.class_maps()
        options = record.cells // flips[0].size
        counts = [int((record.correct & (record.labels == k)).sum()) for k in range(len(one.class_names))]
        name = _name("vulnerability", one, models)
        sections.append(Vulnerability(flips / options, counts, one.class_names, one.label, name))
    text = []
    for one, record in have:
        values = record.settings["values"]
        text.append(
            f"{one.label}: {int(record.correct.sum())} images attacked. A pixel may become any of the values "
            f"{_of_values(values)}. Searches: {_of_searches(record.searches)}. Every flip was written into the "
            "original image and run again alone through the plain network."
        )
        broken = np.unique(record.image[record.not_finite > 0])
        if len(broken):
            text.append(
                f"{one.label}: the answers to {int(record.not_finite.sum()):,} candidates on {len(broken)} images are "
                "not finite. They count neither as flips nor as the old class, and images without a flip among these "
                f"({int((~record.flipped_images()[broken]).sum())}) are not shown to be safe."
            )
    for one, record in tried:
        broken = int((record.not_finite > 0).sum())
        if broken:
            text.append(
                f"{one.label}: in the complete search {int(record.not_finite.sum()):,} cells of {broken} images give "
                "an answer that is not finite: no flips, and these images are not certified."
            )
        if record.too_near.any():
            text.append(
                f"{one.label}: {int(record.too_near.sum())} images are flipped by no cell, but some cell comes nearer "
                "to the boundary than rounding lets one say; they are not certified."
            )
        sampled = int((record.correct & ~record.complete).sum())
        if sampled:
            high = float(np.nanmax(record.chance_high[record.correct & ~record.complete]))
            text.append(
                f"{one.label}: for {sampled} images only a random sample of cells was tried; a random hit flips them "
                f"with chance {high:.2g} at most (95%)."
            )
    return Chapter("one-pixel", title, tuple(text), tuple(sections), tuple(missing))


def _attack_sections(have: Sequence[tuple[Findings, AttackRecord]]) -> list[Section]:
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
            rows.append((f"of {name}", one.label, wilson(flips, int(of_class.sum()))))
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
        ),
        Matrix(
            "flip-matrix", "From which class to which", matrices, totals, names, "class after the flip",
            "Images of each true class that some search flipped, by the class they went to; an image that went to two "
            "counts for both.",
        ),
        FlipCurves(flip_curves),
    ]  # fmt: skip
    survival = _survival(have)
    return sections if survival is None else [*sections, survival]


def _survival(have: Sequence[tuple[Findings, AttackRecord]]) -> SurvivalCurves | None:
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
            test = f"Which flips first, {first} or {second}, on the {int(both.sum())} images that both know: {sooner}."
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


def _gate(name: str, record: CleanRecord) -> list[tuple[str, str, Estimate]]:
    """How pure and how complete a sample is that a threshold on a score lets through."""
    through, wanted = record.probabilities.argmax(1) == 1, record.labels == 1
    both, at = int((through & wanted).sum()), f"{record.class_names[1]} above {record.threshold:g}"
    return [
        (f"purity of {at}", name, wilson(both, int(through.sum()))),
        (f"completeness of {at}", name, wilson(both, int(wanted.sum()))),
    ]


def _confusion(record: Any) -> np.ndarray:
    classes = len(record.class_names)
    found = record.probabilities.argmax(1)
    return np.bincount(record.labels * classes + found, minlength=classes**2).reshape(classes, classes)


def _of_values(settings: dict[str, Any]) -> str:
    """A value set in words."""
    name = settings.get("name", "declared")
    words = VALUE_WORDS.get(name.partition(":")[0], "")
    return f"'{name}'{f' ({words})' if words else ''}"


def _of_searches(names: Sequence[str]) -> str:
    """Searches in words, where there are some."""
    return "; ".join(f"{name}{f' ({SEARCH_WORDS[name]})' if name in SEARCH_WORDS else ''}" for name in names)


def _series(one: Findings, domain: str, models: Sequence[Findings]) -> str:
    named = domain if len(one.clean) > 1 else ""
    return f"{one.label} on {named}" if named and len(models) > 1 else named or one.label


def _means(one: Findings, domain: str) -> Meaning:
    return Meaning(model=one.label, domain=domain if len(one.clean) > 1 else "")


def _name(name: str, one: Findings, models: Sequence[Findings]) -> str:
    """A name of its own for what every model has."""
    return name if one is models[0] else f"{name}-base"
