"""What would help, as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from robustkit.files import own_folder, write_json
from robustkit.findings.attack.record import AttackPart
from robustkit.findings.clean.finding import samples_of
from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.findings.hazard.record import HazardPart
from robustkit.findings.remedy import show
from robustkit.findings.remedy.record import RECORD, RemedyPart, RemedyRecord
from robustkit.findings.remedy.summary import certified_rate, flip_rate, recommended, summary
from robustkit.report.section import Chapter
from robustkit.runs.folder import SUMMARY
from robustkit.stats import Estimate


class Remedies(Finding):
    """What each remedy does to the same images; only where it is asked for."""

    name: ClassVar[str] = "remedy"
    alone: ClassVar[str] = "robustkit audit --model {model} --remedy"
    file: ClassVar[str] = RECORD
    meaning: ClassVar[Mapping[str, str]] = {
        "remedied_flip_rate": "rate of correctly classified images that some cell flips with the recommended remedy",
        "remedied_certified_rate": "rate of correctly classified images that no cell flips with the recommended remedy",
    }

    def asked(self, subject: Subject) -> bool:
        """With `--remedy` or `--full`."""
        return subject.settings(RemedyPart).tried

    def inputs(self, subject: Subject) -> dict[str, Any]:
        """The remedies, the values, and the files of further models."""
        from robustkit.findings.remedy.measure import models_sha256

        part = subject.settings(RemedyPart)
        values, events = subject.settings(AttackPart).values, subject.settings(HazardPart).events
        domains = {name: sample.data_sha256 for name, sample in samples_of(subject).items()}
        settings = {**asdict(part), "values": values, "events": events, "models": models_sha256(part.models)}
        return {"settings": settings, "domains": domains}

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Tries them one after the other."""
        from robustkit.findings.remedy.measure import measure_remedies

        own_folder(folder)
        record = measure_remedies(
            subject.sample, samples_of(subject), subject.settings(RemedyPart), folder,
            values=subject.settings(AttackPart).values, events=subject.settings(HazardPart).events, resume=resume,
            sets=subject.sets, say=subject.say_of(self.name),
        )  # fmt: skip
        write_json(folder / SUMMARY, summary(record))

    def load(self, folder: Path) -> Mapping[str, Any]:
        """What they did."""
        return {self.name: RemedyRecord.load(folder / RECORD)}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """The frontier, and one remedy recommended."""
        return show.chapter(models)

    def metrics(self, found: ModelRecords) -> dict[str, Estimate]:
        """Flips and certificates with the recommended remedy."""
        record: RemedyRecord | None = found.records.get(self.name)
        best = None if record is None else recommended(record)
        if record is None or best is None:
            return {}
        return {
            "remedied_flip_rate": flip_rate(record, best), "remedied_certified_rate": certified_rate(record, best),
        }  # fmt: skip


FINDING = Remedies()
