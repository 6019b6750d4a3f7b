"""Sweeps of perturbations as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.findings.sweep import show
from robustkit.findings.sweep.record import RECORD, STRIPS, Strips, SweepPart, SweepRecord, SweepRequest, losses, third
from robustkit.progress import quiet
from robustkit.report.section import Chapter
from robustkit.stats import Estimate, bounded_mean

# Perturbations of a quick audit: one of each family, none that starts worker processes.
QUICK = ("exposure", "psf", "cosmic-ray", "hot-pixel", "bad-column", "sky-offset", "zero-point", "shift")


class Swept(Finding):
    """What exposure, seeing, defects and calibration do."""

    name: ClassVar[str] = "sweep"
    alone: ClassVar[str] = "robustkit sweep --model {model} --suite lsst"
    file: ClassVar[str] = RECORD
    meaning: ClassVar[Mapping[str, str]] = {
        "loss.PERTURBATION": "accuracy lost at the third of its levels, the same images",
        "mpc": "mean accuracy over perturbations and levels",
    }

    def inputs(self, subject: Subject) -> dict[str, Any]:
        """Every perturbation at every level."""
        from robustkit.findings.sweep.measure import steps_of

        asked, card = _request(subject), subject.sample.checkpoint.card
        lows, highs = zip(*card.input_range, strict=True)
        steps = steps_of(asked, (min(lows), max(highs)), len(card.bands))
        return {"settings": {"draws": asked.draws, "steps": [step.to_json() for step in steps]}}

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Sweeps, as `robustkit sweep` does."""
        from robustkit.findings.sweep.measure import run_sweep
        from robustkit.findings.sweep.strips import take_strips

        run_sweep(subject.sample, _request(subject), out=folder, resume=resume, mix=True, say=quiet)
        take_strips(subject.sample, _request(subject)).save(folder / STRIPS)

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The record of the sweep, and one image at each of its steps."""
        found: dict[str, Any] = {self.name: SweepRecord.load(folder / RECORD)}
        if (folder / STRIPS).is_file():  # an older audit has none
            found["strips"] = Strips.load(folder / STRIPS)
        return found

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """Accuracy against the level of each perturbation."""
        return show.chapter(models)

    def metrics(self, found: ModelRecords) -> dict[str, Estimate]:
        """What each perturbation costs, and the mean accuracy."""
        record = found.sweep
        if record is None:
            return {}
        numbers = {f"loss.{name}": bounded_mean(change, low=-1) for name, change in losses(record).items()}
        by_name = [record.right[record.name == name].mean(0) for name in dict.fromkeys(record.name.tolist())]
        return numbers | {"mpc": bounded_mean(np.mean(by_name, axis=0))}

    def columns(self, found: ModelRecords) -> dict[str, list[Any]]:
        """How many perturbations each image survived."""
        record = found.sweep
        if record is None:
            return dict.fromkeys(("perturbations_survived", "perturbations"), [""] * len(found.about["ids"]))
        survived = [f"{right:.6g}" for right in record.right.sum(0)]
        return {"perturbations_survived": survived, "perturbations": [len(record.right)] * len(survived)}

    def outcomes(self, found: ModelRecords) -> dict[str, list[float | None]]:
        """Which images are wrong under each perturbation at its third level."""
        record = found.sweep
        if record is None:
            return {}
        wrong: dict[str, list[float | None]] = {"wrong": [float(one) for one in record.clean_class != record.true]}
        for name in dict.fromkeys(record.name.tolist()):
            wrong[f"wrong under {name}"] = [round(1 - float(one), 6) for one in record.right[third(record, name)]]
        return wrong


def _request(subject: Subject) -> SweepRequest:
    """Perturbations in the units that the images allow."""
    part = subject.settings(SweepPart)
    names, suite = part.perturbations, part.suite
    if not names and suite in ("auto", "quick"):
        physical = _has_conditions(subject)
        names = QUICK if suite == "quick" and physical else ()
        suite = "lsst" if physical else "plain"
    return SweepRequest(perturbations=names, suite=None if names else suite, draws=part.draws, **subject.drawn)


def _has_conditions(subject: Subject) -> bool:
    """Whether the images say how they were taken, so that physical perturbations can be made."""
    from robustkit.perturb.conditions import calibrated, conditions_of

    try:
        conditions_of(calibrated(subject.sample.image_set))
    except InputError:
        return False
    return True


FINDING = Swept()
