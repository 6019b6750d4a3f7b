"""Accidents as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.findings.hazard import show
from robustkit.findings.hazard.record import CHANGES, MASKED, RECORD, HazardPart, HazardRecord, HazardRequest
from robustkit.findings.hazard.summary import total
from robustkit.progress import quiet
from robustkit.report.section import Chapter
from robustkit.stats import Estimate


class Accidents(Finding):
    """How many of a million objects change class because of the detector."""

    name: ClassVar[str] = "hazard"
    alone: ClassVar[str] = "robustkit hazard --model {model}"
    file: ClassVar[str] = RECORD
    meaning: ClassVar[Mapping[str, str]] = {
        CHANGES: "expected objects of a million whose class is changed by accidents whose rate is known",
        f"{CHANGES}.DEPTH": "the same, at one exposure of the images",
        MASKED: "the same, where only the share `kept` of the events escapes masking",
    }

    def inputs(self, subject: Subject) -> dict[str, Any]:
        """How many events hit each image."""
        return {"settings": asdict(subject.settings(HazardPart))}

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Hits the images, as `robustkit hazard` does."""
        from robustkit.findings.hazard.measure import run_hazard

        asked = HazardRequest(events=subject.settings(HazardPart).events, **subject.drawn)
        run_hazard(subject.sample, asked, out=folder, resume=resume, mix=True, say=quiet)

    def load(self, folder: Path) -> Mapping[str, Any]:
        """What the accidents did."""
        record, shallower = show.read_hazard(folder)
        return {self.name: record, "shallower_hazards": shallower}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """What accidents do, before what is done on purpose."""
        return show.chapter(models)

    def metrics(self, found: ModelRecords) -> dict[str, Estimate]:
        """Expected changes of class of a million objects."""
        record: HazardRecord | None = found.records.get(self.name)
        if record is None or total(record) is None:
            return {}
        others: list[HazardRecord] = found.records.get("shallower_hazards", [])
        numbers = {CHANGES: (record, 1.0), MASKED: (record, record.kept)}
        numbers |= {f"{CHANGES}.{one.depth}": (one, 1.0) for one in ([record, *others] if others else [])}
        return {name: made for name, asked in numbers.items() if (made := _estimate(*asked)) is not None}


def _estimate(record: HazardRecord, kept: float) -> Estimate | None:
    every = total(record, kept=kept)
    if every is None:
        return None
    ends = (every["value"], every["low"], every["high"])
    return Estimate(*ends, int(record.looked.sum()), 0.95, "empirical likelihood")


FINDING = Accidents()
