"""Church windows as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from robustkit.findings.finding import ModelRecords, Subject
from robustkit.findings.latents.finding import OfLatents
from robustkit.findings.windows import show
from robustkit.findings.windows.record import RECORD, STAMPS, Stamps, WindowRequest, Windows
from robustkit.report.section import Chapter


class Windowed(OfLatents):
    """Slices through the latent space."""

    name: ClassVar[str] = "windows"
    alone: ClassVar[str] = "robustkit window --model {model} --run {attack}"
    file: ClassVar[str] = RECORD
    uses: ClassVar[tuple[str, ...]] = ("certify",)

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Draws windows along the flips and the noise, or along random directions without either.

        Where every cell was tried, an image that none flips is kept with the pixel that comes nearest to it, which is
        shown beside another network's window of the same image.
        """
        from robustkit.findings.windows.measure import WINDOWS

        self.keep(subject, folder, WINDOWS, WindowRequest(seed=subject.seed, certificates=subject.folder("certify")))

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The windows, and pictures of the images to draw them beside those of another network."""
        found: dict[str, Any] = {self.name: Windows.load(folder / RECORD)}
        if (folder / STAMPS).is_file():  # an older audit has none
            found["stamps"] = Stamps.load(folder / STAMPS)
        return found

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """Windows of the same images under each model."""
        return show.chapter(models)


FINDING = Windowed()
