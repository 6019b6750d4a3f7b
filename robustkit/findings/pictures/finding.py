"""Pictures of the images as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from robustkit.files import own_folder
from robustkit.findings.finding import Finding, Subject
from robustkit.findings.pictures.record import Pictures

RECORD = "pictures.npz"


class Photographed(Finding):
    """Small pictures and the noise of the sky."""

    name: ClassVar[str] = "pictures"
    alone: ClassVar[str] = "robustkit audit --model {model}"
    file: ClassVar[str] = RECORD

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Takes the pictures."""
        from robustkit.findings.pictures.measure import take_pictures

        own_folder(folder)
        take_pictures(subject.sample).save(folder / RECORD)

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The pictures."""
        return {self.name: Pictures.load(folder / RECORD)}


FINDING = Photographed()
