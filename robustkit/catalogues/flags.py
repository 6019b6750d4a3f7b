"""How far each answer is to be trusted: the record of what was looked at for each object, and its one rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustkit.catalogues.predictions import Objects, PredictionRecord
from robustkit.report.blocks import Axis, Drawing, Panel, Series
from robustkit.report.saving import draw_on

_BINS = 20


@dataclass(frozen=True, eq=False)
class FlagRecord(PredictionRecord):
    """What was found of N objects, beside their predictions. F faults, K classes.

    Attributes:
        agreement: Share of the faults under which the class stays, shape (N,), float32.
        doubt: The larger of two places among unseen images, of 1 minus the probability of the class and of the oddness,
            shape (N,), float32; beyond all of them above 1, and infinite without a class.
        oddness: How far statistics of the pixels lie from those of training images, in units of what one unseen image
            in twenty exceeds, shape (N,), float32.
        least_change: Euclidean length, in network input, of the least change that was found to change the class, shape
            (N,), float32; infinite where none was found, nan where nobody looked.
        distance: How far the latent lies from those of the training images, in units of what is typical of unseen
            images of the training survey, shape (N,), float32; nan where nobody knows.
        sets: Which classes are in the prediction set, shape (N, K), int8; -1 without a calibration.
        faults: The faults, with their levels.
    """

    version = 1
    axis_letters: ClassVar[Mapping[str, str]] = {
        **PredictionRecord.axis_letters,
        **dict.fromkeys(("agreement", "doubt", "oddness", "least_change", "distance"), "N"),
        "sets": "NK",
        "faults": "F",
    }  # fmt: skip

    agreement: np.ndarray
    doubt: np.ndarray
    oddness: np.ndarray
    least_change: np.ndarray
    distance: np.ndarray
    sets: np.ndarray
    faults: list[str]

    def rank(self) -> np.ndarray:
        """The place of each object when the least trustworthy comes first, shape (N,), int64, from 1.

        Equal ones stand in the order of the set, so that no two have one rank.
        """
        order = np.argsort(-self.doubt, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        return rank

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of a table: the rank, what it is made of, and those of the predictions."""
        mine: dict[str, np.ndarray] = {"rank": self.rank(), "doubt": self.doubt}
        if (self.sets >= 0).all():
            mine["set"] = self.set_names()
        mine |= {
            "agreement": self.agreement,
            "oddness": self.oddness,
            "least_change": self.least_change,
            "distance": self.distance,
        }
        predicted = super().columns()
        return {"class": predicted.pop("class"), **mine, **predicted}

    def set_names(self) -> np.ndarray:
        """The prediction set of each object, its classes joined by `+`, shape (N,), str; empty for an empty set."""
        names = np.array(self.class_names)
        return np.array(["+".join(names[row > 0]) for row in self.sets], dtype=str)


@dataclass(frozen=True, eq=False, repr=False)
class Flags(Objects):
    """How far each answer is to be trusted."""

    record: FlagRecord

    @property
    def rank(self) -> np.ndarray:
        """The place of each object when the least trustworthy comes first, shape (N,), int64, from 1."""
        return self.record.rank()

    def summary(self) -> dict[str, Any]:
        """How many objects, and how many of them are in doubt."""
        record = self.record
        known = record.predicted >= 0
        agreement = record.agreement[known]
        found: dict[str, Any] = {
            "objects": len(record.rows), "without_class": int((~known).sum()), "faults": record.faults,
            "keep_their_class_under_every_fault": int((agreement >= 1).sum()),
            "mean_agreement": float(agreement.mean()) if known.any() else None,
            "in_more_than_half_of_the_faults_another_class": int((agreement < 0.5).sum()),
            "in_doubt_as_one_unseen_image_in_twenty": int((record.doubt[known] > 0.95).sum()),
            "odder_than_every_unseen_image": int((record.doubt[known] > 1).sum()),
            "further_than_twice_the_typical": int((record.distance[known] > 2).sum()),
            "distance_known": bool(np.isfinite(record.distance).any()),
            "least_change_known": bool((~np.isnan(record.least_change)).any()),
        }  # fmt: skip
        if (record.sets >= 0).all():
            sizes = (record.sets[known] > 0).sum(1)
            found["sets"] = {"mean_size": float(sizes.mean()), "empty": int((sizes == 0).sum())}
        return found

    def describe(self) -> str:
        """The numbers as a few lines."""
        found = self.summary()
        lines = [
            f"{found['objects']} objects under {len(found['faults'])} faults: "
            f"{found['keep_their_class_under_every_fault']} keep their class under every one, "
            f"{found['in_more_than_half_of_the_faults_another_class']} lose it under more than half"
        ]
        odder = found["odder_than_every_unseen_image"]
        twenty = found["in_doubt_as_one_unseen_image_in_twenty"]
        lines.append(f"{twenty} are in more doubt than one unseen image in twenty, {odder} of them than all")
        if found["distance_known"]:
            lines.append(f"{found['further_than_twice_the_typical']} lie further than twice the typical distance from "
                         "the training images")  # fmt: skip
        if "sets" in found:
            lines.append(f"sets of {found['sets']['mean_size']:.2f} classes on average")
        if found["without_class"]:
            lines.append(f"{found['without_class']} have no class, because a score is not finite or memory ran out")
        lines.append("rank 1 is the least trustworthy; sort by it and look at as many as there is time for")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draws how many objects keep their class under how many of the faults.

        Args:
            ax: A Matplotlib axes or figure to draw on; by default a new figure.

        Returns:
            The figure.
        """
        edges = np.linspace(0, 1, _BINS + 1)
        count, _ = np.histogram(self.record.agreement[self.record.predicted >= 0], edges)
        line = Series(edges, np.append(count, count[-1:]), step=True, filled=True)
        axes = Axis("share of the faults under which the class stays", (0, 1)), Axis("objects")
        return draw_on(Drawing([Panel([line], "", *axes)]), ax)
