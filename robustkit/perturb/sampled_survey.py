"""More cells than the budget covers: those that look dangerous are tried, and the rest is bounded from a sample.

What is tried first is chosen in any way whatever, because all of it is counted. What is left then is a finite
population, drawn from at random and without repetition, so that the exact interval of the hypergeometric distribution
holds for it: *at most k of the H W V cells flip*. The better the ranking, the fewer flips are left to bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustkit.engine import Evaluator
from robustkit.models import AuditedClassifier
from robustkit.perturb.search.base import Problem
from robustkit.perturb.search.universal import Universal, rank_by_stand_in
from robustkit.perturb.survey import CANDIDATES, Survey
from robustkit.stats import hypergeometric

# Shares of the budget: a first random sample, which says about how many flips there are; the most that the ranking may
# take; and one step along it.
_PILOT, _RANKED, _STEP = 1 / 16, 3 / 4, 1 / 32
# So few flips of the first sample say little about how many are left.
_FEW = 10


class SampledSurvey(Survey):
    """One block of images whose cells the budget does not cover; images that it does cover are tried in every cell.

    Attributes:
        drawn_at_random: How many cells of the rest were drawn, shape (N,).
        harmful: How many of these flip the image or give output that is not finite, shape (N,).
    """

    def __init__(self, problem: Problem, evaluator: Evaluator, network: AuditedClassifier, budget: int) -> None:
        super().__init__(problem, evaluator, network)
        self.budget = budget
        self._ranked: Tensor | None = None
        self.drawn_at_random, self.harmful = (torch.zeros_like(self.asked) for _ in range(2))

    def _pass(self, rows: Tensor, advance: Callable[[int], Any]) -> None:
        covered = self.cells.left[rows] <= self.budget
        super()._pass(rows[covered], advance)
        rows = rows[~covered]
        if len(rows) == 0:
            return
        most = int(_RANKED * self.budget)
        if self._ranked is None:  # images that are gone through again have the same ranking
            # The stand-in costs what one image does, however many share it.
            self._ranked = rank_by_stand_in(self.cells, max(most, 1), effort=min(self.budget, Universal.effort)).int()
        for row in rows.tolist():
            self._sample(row, self._ranked[row, :most].long(), advance)

    def _sample(self, row: int, ranked: Tensor, advance: Callable[[int], Any]) -> None:
        """Tries a random sample, the ranked cells as long as they are worth it, and a random sample of the rest."""
        draw, pilot = self.problem.streams.generators[row], int(_PILOT * self.budget)
        first = self._drawn(row, draw, pilot)
        harmful = self._try(row, first, advance)
        # Where a cell of the pilot stands in the ranking; those beyond it come last.
        place = torch.full((self.cells.count,), len(ranked), device=ranked.device)
        place[ranked] = torch.arange(len(ranked), device=ranked.device)
        beyond = place[first[harmful]].cpu().numpy()
        found, depth, step = [1.0], 0, max(1, int(_STEP * self.budget))
        while depth + step <= len(ranked):
            seen = int((beyond >= depth).sum())
            # Half a flip more than the pilot saw: none seen does not mean none.
            left = (seen + 0.5) * (self.cells.count - depth) / (pilot * (1 - depth / self.cells.count) + 1)
            density, draws = float(np.mean(found[-2:])), self.budget - int(self.asked[row])
            if seen < _FEW:  # a ranking that has found flips at a rate leaves about that rate times its depth
                left = min(left, density * depth)
            # A cell of the ranking is worth more than a random draw while the chance that it flips exceeds the flips
            # left over the draws left.
            if density * draws <= left:
                break
            some = ranked[depth : depth + step]
            some = some[~self.cells.tried[row, some]]
            found.append(float(self._try(row, some, advance).float().mean()) if len(some) else found[-1])
            depth += step
        last = self._drawn(row, draw, self.budget - int(self.asked[row]))
        self.harmful[row] = self._try(row, last, advance).sum()
        self.drawn_at_random[row] = len(last)

    def _drawn(self, row: int, draw: np.random.Generator, n: int) -> Tensor:
        """Untried cells of an image at random, shape (n,)."""
        untried = (~self.cells.tried[row]).nonzero().squeeze(1)
        chosen = draw.choice(len(untried), n, replace=False)
        return untried[torch.from_numpy(chosen).to(untried.device)]

    def _try(self, row: int, asked: Tensor, advance: Callable[[int], Any]) -> Tensor:
        rows = torch.tensor([row], device=asked.device)
        found = [self.ask(rows, part[None])[0] for part in asked.split(CANDIDATES)] if len(asked) else []
        advance(len(asked))
        return torch.cat(found) if found else asked.bool()

    def _forget(self, rows: Tensor) -> None:
        super()._forget(rows)
        self.drawn_at_random[rows], self.harmful[rows] = 0, 0

    def _counted(self, level: float) -> dict[str, np.ndarray]:
        counted = super()._counted(level)
        drawn = self.drawn_at_random.cpu().numpy()
        for i in drawn.nonzero()[0].tolist():
            rest = int(self.cells.left[i]) + int(drawn[i])
            harmful, flipping = int(self.harmful[i]), int(self.flipping[i])
            known = flipping + int(self.broken[i]) - harmful
            low, high = hypergeometric(harmful, int(drawn[i]), rest, level=level)
            # What is not finite is no flip for certain, so that below only flips count.
            least = flipping if int(self.broken[i]) else known + low
            counted["chance_low"][i], counted["chance_high"][i] = (
                least / self.cells.count,
                (known + high) / self.cells.count,
            )
            # One end alone holds at the level with half the tail.
            counted["at_most"][i] = known + hypergeometric(harmful, int(drawn[i]), rest, level=2 * level - 1)[1]
        counted["drawn_at_random"] = drawn
        return counted
