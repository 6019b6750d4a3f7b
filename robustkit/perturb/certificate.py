"""The certificate: no change of one pixel, from a declared set of values, flips this image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from robustkit.engine import Candidates, Evaluator, PlainEvaluator, make_evaluator
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier
from robustkit.perturb.search.base import UNTARGETED, Problem
from robustkit.perturb.search.cells import Cells
from robustkit.perturb.search.orders import Walk, ranked_walk
from robustkit.perturb.values import ValueSet
from robustkit.progress import progress
from robustkit.records import Record
from robustkit.seeds import Streams

# Images at once, and candidates at once over all of them: bounds of memory that change no answer.
_BLOCK = 128
_CANDIDATES = 1 << 17
# Cells of an image on which the evaluator is compared with the plain forward, and how much further apart than there the
# two are taken to be at most.
_COMPARED = 64
_SAFETY = 10.0


@dataclass(frozen=True, eq=False)
class CertificateRecord(Record):
    """What every cell of N images does; a cell is a pixel and one of the V options of the value set.

    Attributes:
        ids: Image ids, shape (N,), str.
        labels: The class that each image should keep, shape (N,).
        correct: Whether it had that class before any change, shape (N,), bool; nothing was tried on the others.
        cells: H W V, the number of cells of an image.
        idle: How many cells leave the image as it is, shape (N,); these need no query.
        queries: How many cells were evaluated, shape (N,).
        flipping: How many of them flip the image, shape (N,).
        not_finite: How many gave logits that are not finite: no flips, but nothing is certified with them, shape (N,).
        out_of_memory: Whether memory ran out for the image alone, so that nothing is known of it, shape (N,), bool.
        rechecked: How many were so near the boundary that the plain float32 forward decided, shape (N,).
        chance_low: Lower end of the interval for the chance that a cell drawn at random flips the image, shape (N,).
        chance_high: Its upper end; after a complete pass both are the chance itself, but for cells that are not finite.
        best_margin: Largest margin seen, in logits, shape (N,); minus its distance to the boundary if negative.
        best_row: Row of that pixel, shape (N,).
        best_column: Its column, shape (N,).
        best_value: Its new value, network input, shape (N, C).
        margin_map: Largest margin of each pixel, shape (N, H, W); nan where nothing was tried.
        flips_map: How many options of each pixel flip the image, shape (N, H, W).
        level: Confidence level of the intervals.
        error_bound: How far the evaluator's margins may lie from those of the plain forward, in logits.
        class_names: The K classes.
        settings: Values, budget and seed.
        seconds: How long it took; 0 in the file of a run, whose bytes depend on the answer alone.
    """

    version = 2

    ids: np.ndarray
    labels: np.ndarray
    correct: np.ndarray
    cells: int
    idle: np.ndarray
    queries: np.ndarray
    flipping: np.ndarray
    not_finite: np.ndarray
    out_of_memory: np.ndarray
    rechecked: np.ndarray
    chance_low: np.ndarray
    chance_high: np.ndarray
    best_margin: np.ndarray
    best_row: np.ndarray
    best_column: np.ndarray
    best_value: np.ndarray
    margin_map: np.ndarray
    flips_map: np.ndarray
    level: float
    error_bound: float
    class_names: list[str]
    settings: dict[str, Any]
    seconds: float

    @property
    def complete(self) -> np.ndarray:
        """Which images had every cell tried, shape (N,), bool."""
        return self.correct & (self.queries + self.idle == self.cells)

    @property
    def certified(self) -> np.ndarray:
        """Which images no cell flips, shape (N,), bool."""
        return self.complete & (self.flipping == 0) & (self.not_finite == 0)

    @property
    def flippable(self) -> np.ndarray:
        """Which images some cell flips, shape (N,), bool."""
        return self.flipping > 0

    def class_maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Where a bad pixel hurts, averaged over the correct images of each class.

        Returns:
            The mean number of flipping options and the mean largest margin, each (K, H, W); nan where there is none.
        """
        maps = []
        for values in (np.where(self.correct[:, None, None], self.flips_map, np.nan), self.margin_map):
            by_class = [values[self.labels == k] for k in range(len(self.class_names))]
            seen = [np.isfinite(of_class).sum(0) for of_class in by_class]
            total = [np.nansum(of_class, 0) for of_class in by_class]
            means = [np.where(n > 0, t / np.maximum(n, 1), np.nan) for t, n in zip(total, seen, strict=True)]
            maps.append(np.stack(means))
        return maps[0], maps[1]

    @classmethod
    def unknown(
        cls,
        ids: np.ndarray,
        labels: np.ndarray,
        *,
        shape: tuple[int, int, int],
        options: int,
        class_names: Sequence[str],
        settings: dict[str, Any],
        level: float = 0.95,
    ) -> Self:
        """The record of N images for which memory ran out.

        Args:
            ids: Image ids, shape (N,).
            labels: The class that each image should keep, shape (N,).
            shape: C, H and W.
            options: V, the size of the value set.
            class_names: The K classes.
            settings: Those of the images that did fit.
            level: Likewise.
        """
        n, (bands, height, width) = len(ids), shape
        nan, none = np.full(n, np.nan), np.zeros(n, dtype=np.int64)
        counts = dict.fromkeys(("idle", "queries", "flipping", "not_finite", "rechecked"), none)
        return cls(
            ids=ids, labels=labels, correct=none.astype(bool), cells=height * width * options, **counts,
            out_of_memory=np.ones(n, dtype=bool), chance_low=nan, chance_high=nan,
            best_margin=nan.astype(np.float32), best_row=none - 1, best_column=none - 1,
            best_value=np.full((n, bands), np.nan, dtype=np.float32),
            margin_map=np.full((n, height, width), np.nan, dtype=np.float32),
            flips_map=np.zeros((n, height, width), dtype=np.int32), level=level, error_bound=0.0,
            class_names=list(class_names), settings=settings, seconds=0.0,
        )  # fmt: skip

    @classmethod
    def join(cls, records: Sequence[Self]) -> Self:
        """One record of parts of an image set, certified with the same settings.

        Raises:
            InputError: If the settings differ.
        """
        first = records[0]
        same = [(r.cells, r.level, r.class_names, r.settings) for r in records]
        if any(other != same[0] for other in same):
            raise InputError("these certificates have different values, budgets or seeds; join those of one run")
        arrays = [field.name for field in fields(cls) if isinstance(getattr(first, field.name), np.ndarray)]
        joined = {name: np.concatenate([getattr(record, name) for record in records]) for name in arrays}
        bound, seconds = max(record.error_bound for record in records), sum(record.seconds for record in records)
        return replace(first, **joined, error_bound=bound, seconds=seconds)


def certify(
    classifier: AuditedClassifier,
    images: Tensor,
    labels: Tensor,
    *,
    values: ValueSet,
    ids: Sequence[str] | np.ndarray,
    budget: int | None = None,
    seed: int = 0,
    level: float = 0.95,
    evaluator: Callable[[AuditedClassifier, Tensor], Evaluator] = make_evaluator,
) -> CertificateRecord:
    """Tries every cell of every correctly classified image, or a random sample of them.

    Args:
        classifier: The classifier.
        images: Clean network input, shape (N, C, H, W).
        labels: The class that each image should keep, shape (N,), int64.
        values: What a pixel may become, on the classifier's device.
        ids: A unique id for each image.
        budget: The most queries of an image; where it covers no complete pass, so many cells are drawn at random
            without repetition, and the record bounds the chance of a flip instead. `None` tries them all.
        seed: Of that sample, at least 0.
        level: Confidence level of that bound, in (0, 1).
        evaluator: Makes what scores the candidates.

    Raises:
        InputError: If images, labels and ids differ in number, or the budget is below 1.
    """
    if not len(images) == len(labels) == len(ids) or len(images) == 0:
        raise InputError(f"{len(images)} images need a label and an id each, came {len(labels)} and {len(ids)}")
    if budget is not None and budget < 1:
        raise InputError(f"the budget must be at least 1 query an image, came {budget}")
    settings = {"values": values.to_json(), "budget": budget, "seed": seed}
    total = len(images) * images.shape[2] * images.shape[3] * values.size
    parts = []
    with progress(total=total, label="certifying", unit="cell") as bar:
        for start in range(0, len(images), _BLOCK):
            part = slice(start, start + _BLOCK)
            began = time.perf_counter()
            clean = images[part].to(classifier.device)
            problem = Problem(
                images=clean,
                clean_logits=PlainEvaluator(classifier, clean).clean(),
                labels=labels[part].to(clean.device),
                targets=torch.full((len(clean),), UNTARGETED, device=clean.device),
                values=values,
                streams=Streams(seed, [str(image_id) for image_id in ids[part]], purpose="certificate"),
                budget=budget,
            )
            survey = _Survey(problem, evaluator(classifier, clean), PlainEvaluator(classifier, clean))
            survey.run(bar.update)
            arrays = survey.arrays(level)
            parts.append(
                CertificateRecord(
                    ids=np.array([str(image_id) for image_id in ids[part]]),
                    labels=labels[part].cpu().numpy(),
                    cells=survey.cells.count,
                    level=level,
                    error_bound=survey.bound,
                    class_names=list(classifier.class_names),
                    settings=settings,
                    seconds=time.perf_counter() - began,
                    **arrays,
                )
            )
    return CertificateRecord.join(parts)


class _Survey:
    """One block of images on its way through all cells."""

    def __init__(self, problem: Problem, evaluator: Evaluator, plain: Evaluator) -> None:
        self.problem, self.evaluator, self.plain = problem, evaluator, plain
        self.cells = cells = Cells(problem)
        n = len(problem)
        rows = torch.arange(n, device=cells.left.device)
        self.correct = (problem.clean_logits.argmax(1) == problem.labels) & problem.clean_logits.isfinite().all(1)
        self.clean_margin = problem.margin(rows, problem.clean_logits[:, None])
        self.idle = cells.count - cells.left
        self.idle_somewhere = cells.tried.unflatten(1, (-1, cells.options)).any(2)  # (N, H W)
        self.asked, self.flipping, self.broken, self.rechecked = (torch.zeros_like(cells.left) for _ in range(4))
        self.flips = torch.zeros_like(cells.option)  # (N, H W)
        self.bound = self._error_bound(rows)

    def run(self, advance: Callable[[int], Any]) -> None:
        """Tries all cells of the correct images, or as many random ones as the budget allows."""
        cells, budget = self.cells, self.problem.budget
        rows = self.correct.nonzero().squeeze(1)
        if budget is None or budget >= cells.count:
            walk, wanted = Walk(cells, lambda some, place: place), cells.left.clone()
        else:
            walk, wanted = ranked_walk(cells, self._shuffled()), cells.left.clamp(max=budget)
        while True:
            left = (wanted - self.asked)[rows]
            rows, left = rows[left > 0], left[left > 0]
            if len(rows) == 0:
                return
            asked = walk.fill(rows, min(max(1, _CANDIDATES // len(rows)), int(left.min())))
            self._ask(rows, asked)
            advance(asked.numel())

    def arrays(self, level: float) -> dict[str, np.ndarray]:
        """The array fields of the record that the survey filled."""
        cells, (n, _, height, width) = self.cells, self.problem.images.shape
        # A pixel that some option leaves as it is has the clean margin at least.
        margin = torch.where(self.idle_somewhere, cells.margin.maximum(self.clean_margin), cells.margin)
        margin = margin.masked_fill(margin.isneginf() | ~self.correct[:, None], torch.nan)
        best, pixel = cells.margin.max(1)
        tried = best.isfinite()
        clean = self.problem.images.flatten(2)[torch.arange(n, device=pixel.device), :, pixel]  # (N, C)
        value = self.problem.values.option(clean, cells.option.gather(1, pixel[:, None])[:, 0])
        low, high = self._chance(level)
        tensors = {
            "correct": self.correct,
            "idle": self.idle,
            "queries": self.asked,
            "flipping": self.flipping,
            "not_finite": self.broken,
            "out_of_memory": torch.zeros_like(self.correct),
            "rechecked": self.rechecked,
            "best_margin": torch.where(tried, best, torch.nan),
            "best_row": torch.where(tried, pixel // width, -1),
            "best_column": torch.where(tried, pixel % width, -1),
            "best_value": torch.where(tried[:, None], value, torch.nan),
            "margin_map": margin.view(n, height, width),
            "flips_map": self.flips.view(n, height, width).int(),
        }
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()} | {
            "chance_low": low,
            "chance_high": high,
        }

    def _ask(self, rows: Tensor, asked: Tensor) -> None:
        candidates = self.cells.candidates(rows, asked)
        margins = self.problem.margin(rows, self.evaluator(candidates))
        m, p = (margins.abs() <= self.bound).nonzero(as_tuple=True)
        if len(m):  # so near the boundary that the evaluator's rounding could decide: the plain forward does
            near = Candidates(
                rows[m], candidates.row[m, p, None], candidates.column[m, p, None], candidates.value[m, p, None]
            )
            margins[m, p] = self.problem.margin(near.image, self.plain(near))[:, 0]
            self.rechecked.index_add_(0, near.image, torch.ones_like(near.image))
        self.cells.record(rows, asked, margins)
        flips = margins > 0
        self.asked[rows] += asked.shape[1]
        self.flipping[rows] += flips.sum(1)
        self.broken[rows] += margins.isneginf().sum(1)
        m, p = flips.nonzero(as_tuple=True)
        place = rows[m] * self.flips.shape[1] + self.cells.split(asked[m, p])[0]
        self.flips.view(-1).index_add_(0, place, torch.ones_like(place))

    def _chance(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """The interval for the chance of a flip over all cells; without width where all were tried."""
        low, high = np.full(len(self.problem), np.nan), np.full(len(self.problem), np.nan)
        for i in self.correct.nonzero().squeeze(1).tolist():
            k, n, changing = int(self.flipping[i]), int(self.asked[i]), self.cells.count - int(self.idle[i])
            if n == changing:
                low[i], high[i] = k / self.cells.count, (k + int(self.broken[i])) / self.cells.count
                continue
            interval = binomtest(k, n).proportion_ci(level, "exact")
            low[i], high[i] = (end * changing / self.cells.count for end in (interval.low, interval.high))
        return low, high

    def _shuffled(self) -> Tensor:
        """All cells of each image in an order of its own, shape (N, H W V)."""
        orders = [generator.permutation(self.cells.count) for generator in self.problem.streams.generators]
        return torch.from_numpy(np.stack(orders).astype(np.int32)).to(self.asked.device)

    def _error_bound(self, rows: Tensor) -> float:
        """How far the evaluator's margins are taken to lie from the plain forward's, from a comparison."""
        cells = torch.from_numpy(self.problem.streams.integers(self.cells.count, _COMPARED)).to(rows.device)
        some = rows[:: max(1, len(rows) // 16)]
        candidates = self.cells.candidates(some, cells[some])
        logits = self.plain(candidates)
        apart = self.problem.margin(some, self.evaluator(candidates)) - self.problem.margin(some, logits)
        # What is not finite lies nowhere near the boundary, and says nothing about rounding.
        apart, logits = (torch.where(values.isfinite(), values, 0) for values in (apart, logits))
        rounding = float(logits.abs().max()) * torch.finfo(torch.float32).eps
        # An evaluator may say itself how far one of its logits may lie; a margin is a difference of two.
        own = 2 * float(getattr(self.evaluator, "tolerance", 0.0))
        return max(_SAFETY * float(apart.abs().max()), _SAFETY * rounding, own)
