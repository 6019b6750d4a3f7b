"""A sweep drawn: what a run of it leaves in its folder, and its chapter."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.finding import ModelRecords, section_name
from robustkit.findings.sweep.curves import SweepCurve, SweepCurves, SweepGrid, SweepLatents, SweepSheet
from robustkit.findings.sweep.limits import Limits
from robustkit.findings.sweep.record import BASE_RECORD, RECORD, Strips, SweepRecord
from robustkit.findings.sweep.summary import SweepResult, SweepSummary, finite_median, summarize_sweep
from robustkit.findings.sweep.threshold import Threshold
from robustkit.findings.writing import write_finding
from robustkit.records import NOT_FINITE
from robustkit.report.saving import draw_on
from robustkit.report.section import Chapter, Section
from robustkit.stats import wilson_shares
from robustkit.tables import NamedWriter, digits

TABLE, FIGURE, LATENTS = "sweep.csv", "sweep", "sweep-latents"


def write_sweep(folder: Path, result: SweepResult, about: dict[str, Any]) -> list[str]:
    """Writes everything about a sweep, and returns lines for the terminal; see `write_finding`."""
    record, drawn = result.record, curves(result.record, result.numbers)
    last = write_finding(
        folder,
        records={RECORD: record} | ({} if result.base is None else {BASE_RECORD: result.base}),
        texts={TABLE: result.table()},
        drawings={
            FIGURE: SweepSheet(drawn, record.class_names, "").drawing(),
            LATENTS: SweepLatents(drawn).drawing(),
        },
        kinds=("png",),
        summary={**result.summary(), **about},
    )
    return [result.describe(), last]


def plot(result: SweepResult, on: Any = None) -> Any:
    """Draws accuracy and recalls of each perturbation against its levels.

    Args:
        result: The sweep.
        on: A Matplotlib axes or figure; by default a new figure.

    Returns:
        The figure.
    """
    drawn = curves(result.record, result.numbers)
    return draw_on(SweepSheet(drawn, result.record.class_names, "").drawing(), on)


def table(record: SweepRecord, summary: SweepSummary) -> str:
    """The clean images and the steps as CSV, a line each."""
    columns = ["perturbation", "level", "unit", "n", "accuracy", "low", "high"]
    columns += [f"{what}_{name}" for name in record.class_names for what in ("recall", "recall_low", "recall_high")]
    columns += ["right_to_wrong", "wrong_to_right", "latent_distance", "margin", "not_finite", "outside", "risk"]
    several = bool(np.isfinite(record.disagreement).any())
    columns += ["disagreement"] if several else []
    text = io.StringIO()
    writer = NamedWriter(text, columns)
    writer.writeheader()

    def rates(accuracy: Any, recall: Any) -> dict[str, Any]:
        line = {"n": accuracy.n, "accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high}
        for name, one in zip(record.class_names, recall, strict=True):
            line |= {f"recall_{name}": one.value, f"recall_low_{name}": one.low, f"recall_high_{name}": one.high}
        return {key: digits(value) for key, value in line.items()}

    clean = {"perturbation": "clean", "right_to_wrong": 0, "wrong_to_right": 0, "latent_distance": 0}
    clean |= {"margin": digits(finite_median(record.clean_margin))}
    clean |= {"not_finite": int((record.clean_class == NOT_FINITE).sum())}
    clean |= {"disagreement": digits(record.disagreement_at(0))} if several else {}
    writer.writerow(clean | rates(summary.clean, summary.clean_recall))
    for step in summary.steps:
        line = {"perturbation": step.name, "level": f"{step.level:.9g}", "unit": step.unit}
        line |= rates(step.accuracy, step.recall)
        line |= {name: digits(getattr(step, name)) for name in ("right_to_wrong", "wrong_to_right")}
        line |= {name: getattr(step, name) for name in ("not_finite", "outside")}
        line |= {"latent_distance": digits(step.distance), "margin": digits(step.margin)}
        line |= {"disagreement": digits(step.disagreement)} if several else {}
        writer.writerow(line | {"risk": "" if step.risk is None else digits(step.risk)})
    return text.getvalue()


def curves(record: SweepRecord, summary: SweepSummary, strips: Strips | None = None) -> list[SweepCurve]:
    """What is drawn: a curve for each perturbation, and one image at each of its levels where it was kept."""
    if strips is not None and len(strips.pictures) != len(record.name):
        strips = None  # of another sweep
    right = np.vstack([record.clean_class == record.true, record.right])  # (1 + S, N)
    in_class = np.array([record.true == k for k in range(len(record.class_names))])  # (K, N)
    margins = np.vstack([record.clean_margin, record.margin])
    distances = np.vstack([np.zeros_like(record.clean_margin), record.distance])
    made = []
    for threshold in summary.thresholds:
        steps = record.steps(threshold.name)
        rows = np.concatenate([[0], steps + 1])
        made.append(
            SweepCurve(
                name=threshold.name,
                unit=summary.steps[int(steps[0])].unit,
                levels=record.level[steps],
                accuracy=wilson_shares(right[rows]),
                recall=wilson_shares(right[rows], in_class[:, None]),
                threshold=str(threshold),
                distance=_quartiles(distances[rows]),
                margin=_quartiles(margins[rows]),
                strip=() if strips is None else (strips.clean, *strips.pictures[steps]),
            )
        )
    return made


def thresholds_of(record: SweepRecord) -> Sequence[Threshold]:
    """The level of each perturbation that costs 5 points; empty with some of the user's own, which no file imports."""
    try:
        return summarize_sweep(record).thresholds
    except InputError:
        return ()


def _quartiles(values: np.ndarray) -> np.ndarray:
    """Of each row those that are finite, shape (3, rows); nan where none is."""
    finite = [row[np.isfinite(row)] for row in values]
    return np.array([np.quantile(row, (0.25, 0.5, 0.75)) if len(row) else [np.nan] * 3 for row in finite]).T


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """What exposure, seeing, defects and calibration do to it."""
    title = "Sweeps of perturbations"
    missing = tuple(one.why_missing("sweep") for one in models if one.sweep is None)
    have = [one for one in models if one.sweep is not None]
    if not have:
        return Chapter("sweeps", title, missing=missing)
    try:
        drawn = {one.label: (one.sweep, summarize_sweep(one.sweep)) for one in have if one.sweep is not None}
    except InputError as error:  # the user's own perturbation: its class is not imported for a file
        return Chapter("sweeps", title, missing=(*missing, f"{error}; see {have[0].folder / 'sweep' / 'sweep.csv'}."))
    strips = {one.label: one.records.get("strips") for one in have[:1]}  # all models are given the same images
    all_curves = {label: curves(record, summary, strips.get(label)) for label, (record, summary) in drawn.items()}
    names = [curve.name for curve in next(iter(all_curves.values()))]
    sections: list[Section] = []
    if "exposure" in names:
        of_exposure = {label: next(c for c in found if c.name == "exposure") for label, found in all_curves.items()}
        said = "The same sky with less exposure: fewer visits, the same flux scale, noise as the camera would make it."
        if strip := strips[have[0].label]:
            said += f" Above, {strip.id}, the first image drawn, at each level."
        sections.append(SweepCurves(of_exposure, said, "exposure"))
    sections.append(SweepGrid(all_curves))
    first = have[0].sweep
    assert first is not None
    released = {
        one.name: tuple(first.strength[first.steps(one.name)[:3]].tolist())
        for one in next(iter(drawn.values()))[1].thresholds
        if one.typical and len(first.steps(one.name)) >= 3
    }
    units = {curve.name: curve.unit for curve in next(iter(all_curves.values()))}
    sections.append(Limits({label: summary.thresholds for label, (_, summary) in drawn.items()}, released, units))
    for one in have:
        sheet = SweepSheet(all_curves[one.label], one.class_names, one.label, section_name("sweep-sheet", one, models))
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
            front = summary.flagged_by
            what = f"images are flagged by {front} and get no class" if front else "outputs are not finite"
            text.append(
                f"{label}: at {len(broken)} of {len(summary.steps)} levels some {what}, most at "
                f"{worst.name} {worst.level:.4g} {worst.unit} ({worst.not_finite} of {n} images). They count as wrong, "
                "and as no other class."
            )
    sheets = tuple(section.name for section in sections if isinstance(section, SweepSheet))
    return Chapter("sweeps", title, tuple(text), tuple(sections), missing, sheets)
