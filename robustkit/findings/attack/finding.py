"""The one-pixel attack as a step of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robustkit.findings.attack import chapter
from robustkit.findings.attack.record import RECORD, AttackPart, AttackRecord, AttackRequest
from robustkit.findings.attack.summary import ANY, summarize
from robustkit.findings.finding import Finding, ModelRecords, Subject
from robustkit.report.section import Chapter
from robustkit.stats import Estimate


class Attacked(Finding):
    """Single pixels that change the prediction."""

    name: ClassVar[str] = "attack"
    alone: ClassVar[str] = "robustkit attack --model {model}"
    file: ClassVar[str] = RECORD
    meaning: ClassVar[Mapping[str, str]] = {
        "flip_rate": "rate of correctly classified images that some search flipped by one pixel",
        "flip_rate.CLASS": "the same, of each true class",
    }

    def inputs(self, subject: Subject) -> dict[str, Any]:
        """The settings of the attack."""
        return {"settings": asdict(subject.settings(AttackPart))}

    def make(self, subject: Subject, folder: Path, *, resume: bool) -> None:
        """Attacks, as `robustkit attack` does."""
        from robustkit.findings.attack.measure import run_attack

        part = subject.settings(AttackPart)
        asked = AttackRequest(
            searches=part.searches, values=part.values, budget=part.budget or None, **subject.drawn
        )  # fmt: skip
        run_attack(subject.sample, asked, out=folder, resume=resume, mix=True, say=subject.say_engine(self.name))

    def load(self, folder: Path) -> Mapping[str, Any]:
        """The record of the attack."""
        return {self.name: AttackRecord.load(folder / RECORD)}

    def chapter(self, models: Sequence[ModelRecords]) -> Chapter:
        """What one pixel can do."""
        return chapter.chapter(models)

    def metrics(self, found: ModelRecords) -> dict[str, Estimate]:
        """Flip rates."""
        if found.attack is None:
            return {}
        summary = summarize(found.attack)
        one = summary.searches.get(ANY) or next(iter(summary.searches.values()))
        return {"flip_rate": one.flipped} | {f"flip_rate.{name}": rate for name, rate in one.per_class.items()}

    def columns(self, found: ModelRecords) -> dict[str, list[Any]]:
        """What was said of each image before and after, and the flip that took the fewest queries."""
        names = ("clean", "correct", "p_true", "flipped", "new", "queries", "row", "column")
        record = found.attack
        if record is None:
            return {name: [""] * len(found.about["ids"]) for name in names}
        first, classes, lines = _first_flips(record), [*found.class_names, "not finite"], []
        for i in range(len(record.ids)):
            line: list[Any] = [
                classes[record.clean_class[i]], int(record.correct[i]),
                f"{record.clean_probabilities[i, record.true[i]]:.6g}", int(i in first) if record.correct[i] else "",
                "", "", "", "",
            ]  # fmt: skip
            if i in first:
                a = first[i]
                counts = (int(record.queries[a]), int(record.row[a, 0]), int(record.column[a, 0]))
                line[4:] = [classes[record.new_class[a]], *counts]
            lines.append(line)
        return {name: list(cells) for name, cells in zip(names, zip(*lines, strict=True), strict=True)}

    def outcomes(self, found: ModelRecords) -> dict[str, list[float | None]]:
        """Which images are wrong, and which are wrong or flipped."""
        if found.attack is None:
            return {}
        correct, flipped = found.attack.correct, found.attack.flipped_images()
        return {
            "wrong": [float(not one) for one in correct],
            "wrong or flipped": [float(not ok or flip) for ok, flip in zip(correct, flipped, strict=True)],
        }


def _first_flips(record: AttackRecord) -> dict[int, int]:
    """The attempt that flipped each image with the fewest queries."""
    first: dict[int, int] = {}
    for a in np.flatnonzero(record.flipped).tolist():
        i = int(record.image[a])
        if i not in first or record.queries[a] < record.queries[first[i]]:
            first[i] = a
    return first


FINDING = Attacked()
