"""Prediction sets in numbers: the record of what one pixel does to probabilities, their level, and how they do."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from robustkit.errors import InputError
from robustkit.records import Record
from robustkit.runs.result import Result
from robustkit.stats import wilson
from robustkit.tables import Writer

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class ConformalRecord(Record):
    """What one pixel does to the probability of each class, over every cell of N images.

    Attributes:
        ids: Image ids, shape (N,), str.
        labels: True classes, shape (N,).
        calibration: Which images calibrate, and are not tested on, shape (N,), bool.
        clean: Probabilities of the clean image, shape (N, K).
        lowest: Lowest probability of each class over all cells, less what rounding may hide, shape (N, K).
        highest: Highest, plus what rounding may hide, shape (N, K).
        not_finite: How many cells gave no finite answer; the sets of these are empty, shape (N,).
        faulty: Probability of the class under each fault, shape (F, N); nan where the output is not finite.
        faults: The F faults, with their levels.
        cells: H W V, the number of cells of an image.
        unseen: Whether the model's file says that it was neither trained on these images nor chosen by them.
        target: The share of images whose set is to hold their class.
        class_names: The K classes.
        settings: Values and seed.
        seconds: How long it took; 0 in the file of a run.
    """

    version: ClassVar[int] = 2
    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("ids", "labels", "calibration", "not_finite"), "N"),
        **dict.fromkeys(("clean", "lowest", "highest"), "NK"),
        "faulty": "FN",
        "faults": "F",
        "class_names": "K",
    }
    position_letters: ClassVar[Mapping[str, str]] = {"labels": "K"}

    ids: np.ndarray
    labels: np.ndarray
    calibration: np.ndarray
    clean: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    not_finite: np.ndarray
    faulty: np.ndarray
    faults: list[str]
    cells: int
    unseen: bool
    target: float
    class_names: list[str]
    settings: dict[str, Any]
    seconds: float

    def scores(self, *, worst: bool) -> np.ndarray:
        """1 minus the probability of the class, clean or the worst over all cells and the clean image, shape (N,)."""
        own = np.arange(len(self.labels)), self.labels
        clean = 1 - self.clean[own]
        if not worst:
            return clean
        attacked = np.where(self.not_finite > 0, 1.0, 1 - self.lowest[own])
        return np.maximum(clean, attacked)

    def threshold(self, *, worst: bool) -> float:
        """The largest score that a class of a set may have, from the calibration images."""
        return quantile(self.scores(worst=worst)[self.calibration], self.target)

    @classmethod
    def join(cls, records: Sequence[Self]) -> Self:
        """One record of parts of a sample."""
        first = records[0]
        arrays = [field.name for field in fields(cls) if isinstance(getattr(first, field.name), np.ndarray)]
        joined = {
            name: np.concatenate([getattr(record, name) for record in records], 1 if name == "faulty" else 0)
            for name in arrays
        }
        return replace(first, **joined, seconds=sum(record.seconds for record in records))


def needed(target: float) -> int:
    """How many calibration images a level needs, so that the quantile exists.

    Examples:
        >>> needed(0.9), needed(0.95), needed(0.5)
        (9, 19, 1)
    """
    return math.ceil(target / (1 - target) - _ROUNDING)


def quantile(scores: np.ndarray, target: float) -> float:
    """The score that a new one exceeds with a chance of at most 1 - target, for any distribution.

    Args:
        scores: Of n calibration images, shape (n,).
        target: The share that must not exceed it, in (0, 1).

    Raises:
        InputError: If there are too few scores; the message says how many are needed.

    Examples:
        >>> quantile(np.arange(9.0), 0.9)
        8.0
    """
    rank = math.ceil((len(scores) + 1) * target - _ROUNDING)
    if rank > len(scores):
        raise InputError(f"a level of {target:g} needs at least {needed(target)} calibration images, got {len(scores)}")
    return float(np.sort(scores)[rank - 1])


def _least(coverage: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The lowest coverage of several, in words; `None` of none."""
    name = min(coverage, key=lambda one: coverage[one]["value"], default=None)
    if name is None:
        return None
    found = coverage[name]
    return f"{name}: {found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}], n = {found['n']}"


@dataclass(frozen=True, eq=False, repr=False)
class ConformalResult(Result):
    """Prediction sets of a sample, with their numbers.

    Attributes:
        record: What one pixel does to the probabilities.
    """

    record: ConformalRecord

    def summary(self) -> dict[str, Any]:
        """The numbers, denominators first, for plain sets and for those calibrated on the worst score."""
        record, test = self.record, ~self.record.calibration
        numbers: dict[str, Any] = {
            "drawn": len(record.ids), "calibration": int(record.calibration.sum()), "test": int(test.sum()),
            "calibrated_on_images_that_the_model_never_saw": record.unseen or None,
            "level": record.target, "cells": record.cells, "not_finite": int((record.not_finite > 0).sum()),
            "seconds": record.seconds,
        }  # fmt: skip
        for name, worst in (("plain", False), ("worst", True)):
            numbers[name] = self._sets(record.threshold(worst=worst), test)
        plain = numbers["plain"]["mean_size"]
        numbers["size_ratio"] = numbers["worst"]["mean_size"] / plain if plain else None
        return numbers

    def _sets(self, threshold: float, test: np.ndarray) -> dict[str, Any]:
        """How sets of the classes with scores up to a threshold do on the test images."""
        record = self.record
        clean, attacked = (record.scores(worst=worst)[test] <= threshold for worst in (False, True))
        sizes = (1 - record.clean[test] <= threshold).sum(1)
        faulty = np.nan_to_num(1 - record.faulty[:, test], nan=np.inf) <= threshold  # (F, n)
        return {
            "threshold": threshold,
            "coverage": asdict(wilson(int(clean.sum()), len(clean))),
            "coverage_by_class": self._by_class(clean, test),
            "coverage_under_any_pixel": asdict(wilson(int(attacked.sum()), len(attacked))),
            "coverage_under_any_pixel_by_class": self._by_class(attacked, test),
            "coverage_under_faults": {
                name: asdict(wilson(int(held.sum()), len(held)))
                for name, held in zip(record.faults, faulty, strict=True)
            },
            "mean_size": float(sizes.mean()),
            "empty": int((sizes == 0).sum()),
            "classes_that_some_pixel_puts_in": float((1 - record.highest[test] <= threshold).sum(1).mean()),
        }

    def _by_class(self, held: np.ndarray, test: np.ndarray) -> dict[str, Any]:
        """How often sets hold the class, for the test images of each class that has some."""
        labels = self.record.labels[test]
        return {
            name: asdict(wilson(int(held[labels == k].sum()), int((labels == k).sum())))
            for k, name in enumerate(self.record.class_names)
            if (labels == k).any()
        }

    def describe(self) -> str:
        """The numbers as a few lines."""
        record, numbers = self.record, self.summary()
        test = ~record.calibration
        lines = [
            f"{numbers['drawn']} images: {numbers['calibration']} calibrate, {numbers['test']} test; sets that hold "
            f"the class for {record.target:.0%}"
        ]
        for name, words in (("plain", "plain sets"), ("worst", "worst-score sets")):
            found = numbers[name]
            scores = {worst: record.scores(worst=worst)[test] <= found["threshold"] for worst in (False, True)}
            clean, attacked = (wilson(int(scores[worst].sum()), len(scores[worst])) for worst in (False, True))
            lines += [
                f"  {words}: classes with a probability of at least {1 - found['threshold']:.3g}, "
                f"{found['mean_size']:.2f} classes on average",
                f"    hold the class of a clean image      {clean}",
                f"    hold it under any one declared pixel {attacked}",
            ]
            if (least := _least(found["coverage_under_any_pixel_by_class"])) is not None:
                lines.append(f"      least for the class {least}; classes apart have no level of their own")
            if (least := _least(found["coverage_under_faults"])) is not None:
                lines.append(f"    hold it least under the fault {least}; the level is no promise about faults")
        if numbers["not_finite"]:
            lines.insert(
                0, f"WARNING: {numbers['not_finite']} images have cells whose output is not finite; their sets fail"
            )
        return "\n".join(lines)

    def table(self) -> str:
        """A line of CSV per image."""
        record, buffer = self.record, io.StringIO()
        writer = Writer(buffer)
        writer.writerow(["id", "true", "calibration", "score", "worst_score", "plain_set", "worst_score_set"])
        scores = record.scores(worst=False), record.scores(worst=True)
        limits = record.threshold(worst=False), record.threshold(worst=True)
        for i, (image_id, label) in enumerate(zip(record.ids, record.labels, strict=True)):
            sets = [
                " ".join(name for name, p in zip(record.class_names, record.clean[i], strict=True) if 1 - p <= limit)
                for limit in limits
            ]
            row = [image_id, record.class_names[label], int(record.calibration[i]), scores[0][i], scores[1][i], *sets]
            writer.writerow(row)
        return buffer.getvalue()

    def plot(self, ax: Any = None) -> Any:
        """Draws how many test images each score covers, clean and under any one pixel.

        Args:
            ax: A Matplotlib axes to draw on; by default those of a new figure.
        """
        from robustkit.report.blocks import COLUMN, Axis, Drawing, Panel, Rule, Series
        from robustkit.report.palette import Meaning
        from robustkit.report.saving import draw_on

        test, blocks = ~self.record.calibration, []
        for worst, kind in ((False, "clean"), (True, "attacked")):
            scores = np.sort(self.record.scores(worst=worst)[test])
            shares = np.arange(1, len(scores) + 1) / max(len(scores), 1)
            blocks.append(Series(scores, shares, Meaning(kind=kind), step=True))
        axes = Axis("score, 1 - probability of the class"), Axis("share of test images", (0.0, 1.02))
        panel = Panel([*blocks, Rule(self.record.target, "y", dashed=True)], "", *axes)
        return draw_on(Drawing([panel], size=(COLUMN, 2.6)), ax)
