"""Preflight as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from robustkit.errors import InputError
from robustkit.files import own_folder, read_json, write_json
from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.findings.preflight import show
from robustkit.report.section import Chapter

RECORD = "findings.json"


class Checked(Finding):
    """What would make every number meaningless, looked at before any is made."""

    name: ClassVar[str] = "preflight"
    alone: ClassVar[str] = "robustkit inspect --model {model}"
    file: ClassVar[str] = RECORD

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Looks at the network and the images."""
        from robustkit.findings.preflight.measure import preflight

        own_folder(folder)
        write_json(folder / RECORD, preflight(subject.sample.checkpoint, subject.sample).to_json())

    def require(self, folder: Path) -> None:
        """Refuses what was refused, also when an audit is run again."""
        for seen in read_json(folder / RECORD):
            if seen["verdict"] == "refusal":
                raise InputError(": ".join((seen["name"], "; ".join(filter(None, (seen["text"], seen["advice"]))))))

    def load(self, folder: Path) -> Mapping[str, Any]:
        """What was seen."""
        return {self.name: read_json(folder / RECORD)}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """What was seen of each model."""
        return show.chapter(models)


FINDING = Checked()
