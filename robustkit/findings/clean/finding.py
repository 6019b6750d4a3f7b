"""Predictions of images as they are, as a step of an audit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustkit.files import own_folder
from robustkit.findings.clean import show
from robustkit.findings.clean.record import CleanRecord, gap
from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.report.section import Chapter
from robustkit.stats import Estimate, bounded_mean, claim_of_calibration, reliability, wilson

if TYPE_CHECKING:
    from robustkit.runs.sample import Sample


class Clean(Finding):
    """What a classifier says of all images of the part, in both domains if there are two."""

    name: ClassVar[str] = "clean"
    alone: ClassVar[str] = "robustkit evaluate --model {model}"
    meaning: ClassVar[Mapping[str, str]] = {
        "accuracy": "rate of correct predictions on all images of the part",
        "accuracy.DOMAIN": "the same, of each domain",
        "calibration_error": "expected calibration error on the images of the part, 15 equal bins from 1/K to 1",
        "calibration_rms": "root mean square difference of confidence and accuracy, what chance adds subtracted",
        "domain_gap": "accuracy on the source minus that on the target, the same objects",
    }

    def inputs(self, subject: Subject) -> dict[str, Any]:
        """The files of each domain."""
        return {"domains": {domain: sample.data_sha256 for domain, sample in samples_of(subject).items()}}

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Predicts the images of each domain."""
        from robustkit.findings.clean.measure import predict_clean

        own_folder(folder)
        for domain, sample in samples_of(subject).items():
            predict_clean(sample, domain=domain).save(folder / f"{domain}.npz")

    def load(self, folder: Path) -> Mapping[str, Any]:
        """Predictions by domain."""
        records = [CleanRecord.load(path) for path in sorted(folder.glob("*.npz"))]
        return {self.name: {record.domain: record for record in records}}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """Accuracy, confusion, calibration."""
        return show.chapter(models)

    def metrics(self, found: ModelRecords) -> dict[str, Estimate]:
        """Accuracy by domain, calibration, the gap between domains."""
        if not found.clean:
            return {}
        numbers = {
            f"accuracy.{domain}": wilson(int(record.right.sum()), len(record.labels))
            for domain, record in found.clean.items()
        }
        first = next(iter(found.clean.values()))
        numbers["accuracy"] = numbers[f"accuracy.{first.domain}"]
        if first.confident:
            error = reliability(first.scores, first.labels, rng=np.random.default_rng(0))
            numbers["calibration_error"] = Estimate(
                error.ece, math.nan, math.nan, error.n, 0.95, "no interval; see its null"
            )
            off = claim_of_calibration("calibration_rms", first.scores, first.labels, 0.1)
            ends = off.ends(0.025, 0.025)
            numbers["calibration_rms"] = Estimate(off.value, *ends, off.n, 0.95, "noncentral chi-squared")
        lost = gap(found.clean)
        if lost is not None:
            numbers["domain_gap"] = bounded_mean(lost, low=-1)
        return numbers


def samples_of(subject: Subject) -> dict[str, Sample]:
    """The images of each domain; image sets that are open are not opened again."""
    from robustkit.findings.clean.measure import MOST, target_of
    from robustkit.runs.opening import reopen_sample
    from robustkit.runs.selection import Selection

    data = subject.drawn["data"]
    target = target_of(subject.sample.checkpoint, subject.path) if subject.own_images else None
    domains = {"source" if target else "images": data} | ({"target": str(target)} if target else {})
    alike: dict[str, Any] = {**subject.drawn, "n": MOST, "take_all": True, "options": subject.options}
    del alike["data"]
    return {
        domain: reopen_sample(subject.sample, Selection(data=path, **alike), subject.sets)
        for domain, path in domains.items()
    }


FINDING = Clean()
