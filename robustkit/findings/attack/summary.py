"""The numbers of an attack: denominators, rates with intervals, queries, and what the search side by side shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from robustkit.records import BAND, NOT_FINITE, OUT_OF_MEMORY
from robustkit.runs.result import Result
from robustkit.stats.proportions import wilson

if TYPE_CHECKING:
    from robustkit.findings.attack.record import AttackRecord
    from robustkit.stats.estimate import Estimate

ANY = "any"


@dataclass(frozen=True, eq=False)
class SearchSummary:
    """What one search, or any of them, found.

    Attributes:
        flipped: Flip rate of the images attacked.
        per_class: Flip rate of each true class.
        per_pair: Flip rate of each true class to each other class that was reached or asked for, by `true -> new`.
        median_queries: Median queries of the flips; nan without one.
        median_spent: Median queries of all images attacked, those that never flipped with all they cost.
        only_here: How many images no other search flipped.
        doubled: The most queries that an image got, and how many flips took more than half of them: what doubling the
            budget to that number added.
        unproved: How many candidates flipped in a batch and not alone.
        not_finite: How many candidates had output that is not finite; they count neither as flips nor as kept.
        images_not_finite: How many images had such a candidate.
        unsettled: How many of these images were not flipped, and so are not shown to be safe from such candidates.
        candidates_per_second: Those of a stand-in image among them; nan for any of them.
        stand_in: Queries of a stand-in image, which all images share and none counts as its own.
        gradient_passes: Images sent forward and back besides the queries.
        partial_passes: Images sent through the first layers besides.
    """

    flipped: Estimate
    per_class: dict[str, Estimate]
    per_pair: dict[str, Estimate]
    median_queries: float
    median_spent: float
    only_here: int
    doubled: tuple[int, int]
    unproved: int
    not_finite: int
    images_not_finite: int
    unsettled: int
    candidates_per_second: float
    stand_in: int = 0
    gradient_passes: int = 0
    partial_passes: int = 0

    @property
    def besides(self) -> str:
        """What was asked of the network besides the queries, in words; empty where nothing was."""
        words = ("queries of a stand-in image", "gradient passes", "passes through the first layers")
        counts = (self.stand_in, self.gradient_passes, self.partial_passes)
        return ", ".join(f"{count:,} {what}" for count, what in zip(counts, words, strict=True) if count)


@dataclass(frozen=True, eq=False)
class AttackSummary:
    """The numbers of an attack.

    Attributes:
        drawn: How many images were drawn.
        correct: How many of them were classified correctly, which are those attacked.
        broken: How many gave an output that is not finite, or were flagged.
        out_of_memory: For how many memory ran out even alone.
        accuracy: Clean accuracy of the images drawn.
        chance: Accuracy of the best constant answer on them; nan for a regression of which no true values are known.
        searches: By search, and last `any` where there is more than one.
        flagged_by: The front end that flags images, which then get no class; empty without one.
    """

    drawn: int
    correct: int
    broken: int
    out_of_memory: int
    accuracy: Estimate
    chance: float
    searches: dict[str, SearchSummary]
    flagged_by: str = ""

    @property
    def near_chance(self) -> bool:
        """Whether the interval of the clean accuracy includes chance, so that a flip means little."""
        return not np.isnan(self.chance) and not float(self.accuracy.low) > self.chance

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON values; `null` for what has no value."""
        return {
            "drawn": self.drawn,
            "correct": self.correct,
            "attacked": self.correct,
            ("flagged" if self.flagged_by else "not_finite"): self.broken,
            "out_of_memory": self.out_of_memory,
            "clean_accuracy": _estimate(self.accuracy),
            "chance": _number(self.chance),
            "near_chance": self.near_chance,
            "searches": {name: _search(one) for name, one in self.searches.items()},
        }

    def text(self) -> str:
        """A short table for the terminal."""
        constant = "" if np.isnan(self.chance) else f" (a constant answer gets {self.chance:.3g})"
        lines = [f"clean accuracy {self.accuracy}{constant}"]
        if self.near_chance:
            lines.append(
                "WARNING: this classifier is not shown to be better than always giving one answer on these images, so "
                "its flips say little; train it further, or attack more images"
            )
        if self.flagged_by:
            lines.append(
                f"{self.broken} images are flagged by {self.flagged_by} as they are: they get no class, count as wrong "
                "and were not attacked"
            )
        elif self.broken:
            lines.append(f"WARNING: {self.broken} images gave an output that is not finite and were not attacked")
        if self.out_of_memory:
            lines.append(
                f"WARNING: memory ran out for {self.out_of_memory} images, each alone, and they were not attacked; "
                "use a device with more"
            )
        lines.append(f"{self.drawn} images drawn, {self.correct} correct before the attack and attacked")
        width = max(map(len, self.searches), default=0)
        for name, one in self.searches.items():
            flips = round(float(one.flipped.value) * self.correct) if self.correct else 0
            speed = f", {one.candidates_per_second:,.0f} candidates/s" if np.isfinite(one.candidates_per_second) else ""
            median = f", half of them by query {one.median_queries:,.0f}" if flips else ""
            lines.append(f"  {name:<{width}}  flips {flips} of {self.correct}: {one.flipped}{median}{speed}")
            if name != ANY and one.doubled[0] > 1:
                most, late = one.doubled
                lines.append(f"  {'':<{width}}  half of its {most:,} queries would have missed {late} of these flips")
            if one.besides:
                lines.append(f"  {'':<{width}}  besides its queries: {one.besides}")
            if one.not_finite and self.flagged_by:
                lines.append(
                    f"  {'':<{width}}  {one.not_finite:,} candidates were flagged and get no class: none is a flip"
                )
            elif one.not_finite:
                lines.append(
                    f"  {'':<{width}}  WARNING: the outputs for {one.not_finite:,} candidates on "
                    f"{one.images_not_finite} images are not finite, neither flips nor the old class; "
                    f"{one.unsettled} of these images were not flipped and are not shown to be safe"
                )
            if one.unproved:
                lines.append(
                    f"  {'':<{width}}  candidates that flipped in a batch and not alone: {one.unproved}, not counted"
                )
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, repr=False)
class AttackResult(Result):
    """An attack on a sample, with its numbers.

    Attributes:
        record: Every image and every attempt on it.
    """

    record: AttackRecord

    @cached_property
    def numbers(self) -> AttackSummary:
        """The numbers, with intervals."""
        constant = self.sample.constant
        return summarize(self.record, math.nan if constant is None else float(constant[1].mean()))

    @property
    def flip_rate(self) -> Estimate:
        """The rate of correctly classified images that some search flipped, with its interval."""
        searches = self.numbers.searches
        return (searches.get(ANY) or next(iter(searches.values()))).flipped

    def images(self) -> np.ndarray:
        """The images that were flipped, each with the pixels of its first flip written into it.

        Returns:
            Network input, shape (F, C, H, W), float32; the rows of `flips` in `record.ids`.
        """
        found = [self.perturbed(a) for a in self.first_flips().tolist()]
        return np.array(found, dtype=np.float32).reshape(len(found), *self.sample.inputs.shape[1:])

    def perturbed(self, a: int) -> np.ndarray:
        """The image of an attempt with the pixels of its flip written into it, shape (C, H, W), float32."""
        i = int(self.record.image[a])
        image = self.sample.inputs[slice(i, i + 1)][0].numpy().copy()
        for row, column, after in zip(self.record.row[a], self.record.column[a], self.record.after[a], strict=True):
            image[:, row, column] = after
        return image

    def disagreement(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Which share of the members of an ensemble decides otherwise than all together; `None` for one network.

        Returns:
            Of the clean images, shape (N,), and of the flips, shape (A,), nan where an attempt found none.
        """
        import torch

        from robustkit.models.ensemble import Ensemble, disagreement

        classifier, record = self.sample.checkpoint.classifier, self.record
        if not isinstance(classifier.module, Ensemble):
            return None
        images = self.sample.inputs
        clean = [disagreement(classifier, images[slice(i, i + 1)]) for i in range(len(record.ids))]
        after = np.full(len(record.image), np.nan)
        for a in np.flatnonzero(record.flipped).tolist():
            after[a] = disagreement(classifier, torch.from_numpy(self.perturbed(a)[None]))[0]
        return np.concatenate(clean), after

    def first_flips(self) -> np.ndarray:
        """The attempt that flipped each flipped image first, in the order of the images, shape (F,)."""
        flips = np.flatnonzero(self.record.flipped)
        return flips[np.unique(self.record.image[flips], return_index=True)[1]]

    def summary(self) -> dict[str, Any]:
        """The numbers, denominators first."""
        return self.numbers.to_json()

    def describe(self) -> str:
        """The numbers as a few lines."""
        return self.numbers.text()

    def table(self) -> str:
        """The attempts as CSV; a line per pixel of each attempt, and one per image that was not attacked."""
        from robustkit.findings.attack.show import table

        checkpoint, units = self.sample.checkpoint, self.sample.whole.units
        return table(
            self.record, bands=checkpoint.card.bands, stretch=checkpoint.stretch, units=units,
            disagreement=self.disagreement(),
        )  # fmt: skip

    def plot(self, ax: Any = None) -> Any:
        """Draws the share of images flipped against the number of queries."""
        from robustkit.findings.attack.show import plot

        return plot(self.record, ax)

    def gallery(self, n: int = 5, ax: Any = None) -> Any:
        """Draws flips, clean and perturbed, with the pixel that was changed.

        Args:
            n: How many.
            ax: A Matplotlib axes or figure to draw on; by default a new figure.
        """
        from robustkit.findings.attack.show import draw_gallery

        return draw_gallery(self, n, ax)


def summarize(record: AttackRecord, constant: float = math.nan) -> AttackSummary:
    """The numbers of an attack.

    Args:
        record: The attack.
        constant: Accuracy of the best constant answer of a regression, whose record holds no true values.
    """
    drawn, correct = len(record.ids), int(record.correct.sum())
    counts = np.bincount(record.true, minlength=len(record.class_names))
    names = [*record.searches, *([ANY] if len(record.searches) > 1 else [])]
    return AttackSummary(
        drawn=drawn,
        correct=correct,
        broken=int((record.clean_class == NOT_FINITE).sum()),
        out_of_memory=int((record.clean_class == OUT_OF_MEMORY).sum()),
        accuracy=wilson(correct, drawn),
        chance=constant if tuple(record.class_names) == BAND else float(counts.max() / drawn),
        searches={name: _summarize_search(record, name) for name in names},
        flagged_by=record.settings.get("flagged_by", ""),
    )


def _summarize_search(record: AttackRecord, name: str) -> SearchSummary:
    one = None if name == ANY else name
    flipped, correct, true = record.flipped_images(one), record.correct, record.true
    chosen = np.ones(len(record.image), dtype=bool) if one is None else record.of_search(one)
    others = np.zeros_like(flipped)
    for other in record.searches:
        if other != one:
            others |= record.flipped_images(other)
    broken = np.zeros_like(flipped)
    broken[record.image[chosen & (record.not_finite > 0)]] = True
    cost = None if one is None else record.costs.get(one)
    flips = record.queries[chosen & record.flipped]
    most = int(record.queries[chosen].max(initial=0))
    return SearchSummary(
        flipped=wilson(int(flipped.sum()), int(correct.sum())),
        per_class={
            label: wilson(int((flipped & (true == k)).sum()), int((correct & (true == k)).sum()))
            for k, label in enumerate(record.class_names)
        },
        per_pair=_pairs(record, chosen),
        median_queries=float(np.median(flips)) if len(flips) else float("nan"),
        median_spent=float(np.median(record.queries[chosen])) if chosen.any() else float("nan"),
        only_here=0 if one is None else int((flipped & ~others).sum()),
        doubled=(most, int((2 * flips > most).sum())),
        unproved=int(record.unproved[chosen].sum()),
        not_finite=int(record.not_finite[chosen].sum()),
        images_not_finite=int(broken.sum()),
        unsettled=int((broken & ~flipped).sum()),
        candidates_per_second=float("nan")
        if cost is None or not cost["seconds"]
        else (cost["candidates"] + cost.get("stand_in", 0)) / cost["seconds"],
        stand_in=int(record.stand_in[chosen].max(initial=0)),
        gradient_passes=int(record.gradient[chosen].sum()),
        partial_passes=int(record.partial[chosen].sum()),
    )


def _pairs(record: AttackRecord, chosen: np.ndarray) -> dict[str, Estimate]:
    """Of the images of a class, the rate at which they went to each other class."""
    true = record.true[record.image]
    asked_for_all = record.settings["targeted"] == "each"
    pairs: dict[str, Estimate] = {}
    for old, old_name in enumerate(record.class_names):
        n = int((record.correct & (record.true == old)).sum())
        for new, new_name in enumerate(record.class_names):
            reached = chosen & record.flipped & (true == old) & (record.new_class == new)
            k = len(np.unique(record.image[reached]))
            if old != new and n and (k or asked_for_all):
                pairs[f"{old_name} -> {new_name}"] = wilson(k, n)
    return pairs


def _search(one: SearchSummary) -> dict[str, Any]:
    return {
        "flip_rate": _estimate(one.flipped),
        "per_class": {name: _estimate(rate) for name, rate in one.per_class.items()},
        "per_pair": {name: _estimate(rate) for name, rate in one.per_pair.items()},
        "median_queries_of_flips": _number(one.median_queries),
        "median_queries_of_all": _number(one.median_spent),
        "flipped_by_no_other_search": one.only_here,
        "most_queries": one.doubled[0],
        "flips_in_the_second_half_of_them": one.doubled[1],
        "unproved": one.unproved,
        "not_finite_candidates": one.not_finite,
        "not_finite_images": one.images_not_finite,
        "not_finite_images_without_a_flip": one.unsettled,
        "candidates_per_second": _number(one.candidates_per_second),
        "stand_in_queries": one.stand_in,
        "gradient_passes": one.gradient_passes,
        "partial_passes": one.partial_passes,
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": _number(estimate.value),
        "low": _number(estimate.low),
        "high": _number(estimate.high),
        "n": int(estimate.n),
        "level": estimate.level,
        "method": estimate.method,
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
