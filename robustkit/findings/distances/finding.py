"""Distances in the latent space as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from robustkit.findings.distances import show
from robustkit.findings.distances.record import RECORD, DistanceRecord, DistancesRequest
from robustkit.findings.distances.summary import read_summary
from robustkit.findings.finding import ModelRecords, Subject
from robustkit.findings.latents.finding import OfLatents
from robustkit.report.section import Chapter
from robustkit.stats.estimate import Estimate


class Moved(OfLatents):
    """How far perturbations move latents."""

    name: ClassVar[str] = "distances"
    alone: ClassVar[str] = "robustkit distances --model {model} --run {attack}"
    file: ClassVar[str] = RECORD
    uses: ClassVar[tuple[str, ...]] = ("certify",)
    meaning: ClassVar[Mapping[str, str]] = {
        "class_changed.PERTURBATION": "rate of images whose class changes under `noisy`, `one-pixel` and others",
        "moved.PERTURBATION": "median distance that their latents move, in units of the scatter within classes",
        "reach.PERTURBATION": "median 1 / t*, above 1 where the class changes; for affine heads",
    }

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Measures them, with the nearest flip where every cell was tried."""
        from robustkit.findings.distances.measure import DISTANCES

        request = DistancesRequest(seed=subject.seed, certificates=subject.folder("certify"))
        self.keep(subject, folder, DISTANCES, request)

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The distances, and their numbers with intervals and tests."""
        record = DistanceRecord.load(folder / RECORD)
        return {self.name: record, "distances_summary": read_summary(folder, record.model)}

    def metrics(self, found: ModelRecords) -> dict[str, Estimate]:
        """What each perturbation does, and how far latents move."""
        numbers = dict[str, Estimate]()
        for one in found.distances_summary.perturbations.values() if found.distances_summary else ():
            name = one.name.replace(" ", "-")
            numbers[f"class_changed.{name}"] = one.changed
            for field, said in (("in_scatter", "moved"), ("reach", "reach")):
                if field in one.measures:
                    numbers[f"{said}.{name}"] = one.measures[field].median
        return numbers

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """The distances of each model."""
        return show.chapter(models)


FINDING = Moved()
