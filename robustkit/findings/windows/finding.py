"""Church windows as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from robustkit.findings.finding import ModelRecords, Subject
from robustkit.findings.latents.finding import OfLatents
from robustkit.findings.windows import show
from robustkit.findings.windows.record import RECORD, WindowRequest, Windows
from robustkit.report.section import Chapter


class Windowed(OfLatents):
    """Slices through the latent space."""

    name: ClassVar[str] = "windows"
    alone: ClassVar[str] = "robustkit window --model {model} --run {attack}"
    file: ClassVar[str] = RECORD

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Draws windows along the flips and the noise, or along random directions without either."""
        from robustkit.findings.windows.measure import WINDOWS

        self.keep(subject, folder, WINDOWS, WindowRequest(seed=subject.seed))

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The windows."""
        return {self.name: Windows.load(folder / RECORD)}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """Windows of the same images under each model."""
        return show.chapter(models)


FINDING = Windowed()
