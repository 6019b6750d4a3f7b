"""Flips to look at, as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from robustkit.files import own_folder
from robustkit.findings.attack.record import RECORD as ATTACK
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.exhibits import show
from robustkit.findings.exhibits.record import Exhibits
from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.report.section import Chapter

RECORD = "exhibits.npz"


class Exhibited(Finding):
    """Flips that are shown on the page."""

    name: ClassVar[str] = "exhibits"
    alone: ClassVar[str] = "robustkit attack --model {model}"
    file: ClassVar[str] = RECORD
    needs: ClassVar[tuple[str, ...]] = ("attack",)

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Chooses and draws them."""
        from robustkit.findings.exhibits.measure import take_exhibits

        attack = subject.folder("attack")
        assert attack is not None
        own_folder(folder)
        take_exhibits(subject.sample, AttackRecord.load(attack / ATTACK)).save(folder / RECORD)

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The flips."""
        return {self.name: Exhibits.load(folder / RECORD)}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """A gallery."""
        return show.chapter(models)


FINDING = Exhibited()
