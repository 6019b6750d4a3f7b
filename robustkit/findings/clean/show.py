"""How good a classifier is before anything is done to its images, as a chapter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustkit.findings.clean.record import CleanRecord, domain_names
from robustkit.findings.clean.reliability import ReliabilityCurves
from robustkit.findings.finding import ModelRecords
from robustkit.report.palette import Meaning
from robustkit.report.section import Chapter, Section
from robustkit.report.sections.forest import Forest
from robustkit.report.sections.matrix import Matrix
from robustkit.stats import Estimate, reliability, wilson

_MOST_NARROW = 6  # series of models and domains
_BINS = 8  # of equally many images: enough to see a bend, few enough for short intervals


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """How good it is before anything is done to the images."""
    missing = tuple(one.why_missing("clean") for one in models if not one.clean)
    have = [one for one in models if one.clean]
    if not have:
        return Chapter("clean", "Clean performance and calibration", missing=missing)
    series = [(_series(one, domain, models), record) for one in have for domain, record in one.clean.items()]
    rows: list[tuple[str, str, Estimate]] = []
    for name, record in series:
        rows.append(("accuracy", name, wilson(int(record.right.sum()), len(record.labels))))
    for name, record in series:
        if not record.confident:
            guess = f"always answering {record.constant:.4g}"
            rows.append((guess, name, wilson(int(record.constant_right.sum()), len(record.labels))))
    for k, label in enumerate(have[0].class_names):
        for name, record in series:
            of_class = record.labels == k
            hits = int((record.decided == k)[of_class].sum())
            rows.append((f"recall of {label}", name, wilson(hits, int(of_class.sum()))))
    rows += [row for name, record in series if record.threshold != 0.5 for row in _gate(name, record)]
    counts = {name: _confusion(record) for name, record in series}
    means = {_series(one, domain, models): _means(one, domain) for one in have for domain in one.clean}
    spoken = ", ".join(f"{name} {100 * float(np.mean(record.right)):.0f} %" for name, record in series)
    sections: list[Section] = [
        Forest(
            "recalls", "Accuracy and recalls", "accuracy or recall", rows,
            said=f"Accuracy: {spoken}. Over all images, with the recall of each true class; 95% intervals (Wilson).",
            series_name="model and domain",
            means=means,
            narrow=len(series) <= _MOST_NARROW,
        ),
        Matrix(
            "confusion", "Confusion", counts, {name: matrix.sum(1) for name, matrix in counts.items()},
            have[0].class_names, "predicted class", "Images of each true class by predicted class, and "
            "their share of the true class.",
        ),
    ]  # fmt: skip
    curves = {
        name: reliability(record.scores, record.labels, bins=_BINS, adaptive=True, rng=np.random.default_rng(0))
        for name, record in series
        if record.confident
    }
    confidence = {name: record.scores.max(1) for name, record in series if record.confident}
    sections += [ReliabilityCurves(curves, confidence, means=means)] if curves else []
    sizes = "; ".join(
        f"{name}: {len(record.labels)} of {record.available} images of the part {record.part} of {record.data}"
        for name, record in series
    )
    text = [f"{sizes}."]
    text += [
        f"{name}: {int(record.flagged.sum())} of {len(record.labels)} images are flagged by the front end and get no "
        "class. They count as wrong, and are in no column of the confusion; calibration is that of the network behind."
        for name, record in series
        if record.flagged.any()
    ]
    return Chapter("clean", "Clean performance and calibration", tuple(text), tuple(sections), missing)


def _gate(name: str, record: CleanRecord) -> list[tuple[str, str, Estimate]]:
    """How pure and how complete a sample is that a threshold on a score lets through."""
    through, wanted = record.decided == 1, record.labels == 1
    both, at = int((through & wanted).sum()), f"{record.class_names[1]} above {record.threshold:g}"
    return [
        (f"purity of {at}", name, wilson(both, int(through.sum()))),
        (f"completeness of {at}", name, wilson(both, int(wanted.sum()))),
    ]


def _confusion(record: CleanRecord) -> np.ndarray:
    classes = len(record.class_names)
    labels, found = record.labels[~record.flagged], record.decided[~record.flagged]
    return np.bincount(labels * classes + found, minlength=classes**2).reshape(classes, classes)


def _series(one: ModelRecords, domain: str, models: Sequence[ModelRecords]) -> str:
    named = domain_names(one.clean)[domain] if len(one.clean) > 1 else ""
    return f"{one.label} on {named}" if named and len(models) > 1 else named or one.label


def _means(one: ModelRecords, domain: str) -> Meaning:
    return Meaning(model=one.label, domain=domain_names(one.clean)[domain] if len(one.clean) > 1 else "")
