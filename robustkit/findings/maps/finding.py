"""Maps of the latent space as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from robustkit.findings.finding import ModelRecords, Subject
from robustkit.findings.latents.finding import OfLatents
from robustkit.findings.maps import show
from robustkit.findings.maps.record import RECORD, IsomapRequest, LatentMap
from robustkit.report.section import Chapter


class Mapped(OfLatents):
    """Clean and noisy latents in two and three dimensions, with the flips placed among them."""

    name: ClassVar[str] = "isomap"
    alone: ClassVar[str] = "robustkit isomap --model {model} --run {attack}"
    file: ClassVar[str] = RECORD

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Fits the maps."""
        from robustkit.findings.maps.measure import MAPS

        self.keep(subject, folder, MAPS, IsomapRequest())

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The maps."""
        return {self.name: LatentMap.load(folder / RECORD)}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """The maps of each model."""
        return show.chapter(models)


FINDING = Mapped()
