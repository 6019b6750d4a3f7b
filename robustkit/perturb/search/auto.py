"""Sequences of searches, each continuing from what those before it tried; and the default sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from robustkit.engine import Candidates
from robustkit.perturb.search.base import Problem, Search, SearchSettings
from robustkit.perturb.search.best_first import BestFirst
from robustkit.perturb.search.cells import Cells, CellSearch, CellSettings
from robustkit.perturb.search.chains import Chains
from robustkit.perturb.search.complete import Complete
from robustkit.perturb.search.gradient import Gradient
from robustkit.perturb.search.ranking import has_gradients
from robustkit.perturb.search.universal import Universal


@dataclass(frozen=True)
class Stage:
    """One search of a sequence.

    Attributes:
        search: Settings of the search.
        queries: Most queries per image; `None` for no limit.
    """

    search: SearchSettings
    queries: int | None = None


@dataclass(frozen=True)
class Stages:
    """A sequence of searches. Those over cells share them, so that nothing is tried twice.

    Attributes:
        stages: The searches, in order.
    """

    stages: tuple[Stage, ...]

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "stages"

    def start(self, problem: Problem) -> Search:
        """Begins the first search on a problem."""
        return _StagesSearch(self.stages, problem)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        stages = [{"search": stage.search.to_json(), "queries": stage.queries} for stage in self.stages]
        return {"name": self.name, "stages": stages}


@dataclass(frozen=True)
class Auto:
    """The default: promising cells first, then every cell if the budget allows.

    Cells ranked on a stand-in image, then by gradients where the network has them, then best-first; then the complete
    pass if the budget covers it, otherwise the searches in `wander`, which several pixels at once use from the start.

    Attributes:
        known: Queries per image for the universal search.
        ranked: Queries per image for the gradient search.
        near: Queries per image for the best-first search.
        wander: Searches that share the rest of the budget evenly; they must support any number of pixels.
        effort: Effort of the gradient search; by default its ranking may cost as much as the queries that it ranks.
        shared: Number of per-image budgets that the universal search may spend on its stand-in, once for all images.
        gradients: Whether the network's gradients are used where it has them; `False` treats it as a black box.
    """

    known: int = 128
    ranked: int = 64
    near: int = 4000
    wander: tuple[SearchSettings, ...] = (Chains(),)
    effort: float = 64.0
    shared: int = 25
    gradients: bool = True

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "auto"

    def of_run(self, images: int) -> Auto:
        """The settings for a run over so many images, whose stand-in costs at most a quarter of their queries."""
        return replace(self, shared=max(1, min(self.shared, images // 4)))

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem; without a budget it ends with the complete pass."""
        return self.stages(problem).start(problem)

    def stages(self, problem: Problem) -> Stages:
        """The sequence of searches for a problem."""
        budget = problem.budget
        if problem.pixels != 1:
            return Stages(self._wandering(budget))
        # The stand-in costs at most what some of the images do, so it does not outweigh a small budget.
        effort = Universal.effort if budget is None else min(Universal.effort, self.shared * budget)
        first = [] if problem.classifier is None else [Stage(Universal(self.known, effort=effort))]
        if self.gradients and has_gradients(problem.classifier):
            first.append(Stage(Gradient(self.ranked, effort=self.effort)))
        # The earlier rankings make a wide spread unnecessary.
        first.append(Stage(BestFirst(spread=32) if first else BestFirst(), self.near))
        if budget is None or budget >= Cells(problem).left.max():
            return Stages((*first, Stage(Complete(gradients=self.gradients))))
        left = budget - self.known - self.ranked - self.near
        return Stages((*first, *(self._wandering(left) if left > 0 else ())))

    def _wandering(self, queries: int | None) -> tuple[Stage, ...]:
        share = None if queries is None else -(-queries // len(self.wander))
        return tuple(Stage(search, share) for search in self.wander)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {
            "name": self.name,
            "known": self.known,
            "ranked": self.ranked,
            "near": self.near,
            "wander": [search.to_json() for search in self.wander],
            "effort": self.effort,
            "shared": self.shared,
            "gradients": self.gradients,
        }


class _StagesSearch:
    def __init__(self, stages: tuple[Stage, ...], problem: Problem) -> None:
        self.waiting = list(stages)
        self.problem = problem
        # Only searches over the cells of one pixel have cells to share.
        self.cells: Cells | None = Cells(problem) if problem.pixels == 1 else None
        self.search: Search | None = None
        self.left: int | None = None
        self.cut = False

    def propose(self, active: Tensor) -> Candidates | None:
        """The next candidates; see `Search`."""
        while True:
            proposal = None if self.search is None or self.left == 0 else self.search.propose(active)
            if proposal is not None:
                self.cut = self.left is not None and proposal.row.shape[1] > self.left
                return _first(proposal, self.left) if self.cut else proposal
            if not self.waiting:
                return None
            stage = self.waiting.pop(0)
            self.search, self.left = self._begin(stage), stage.queries

    def tell(self, candidates: Candidates, logits: Tensor) -> None:
        """Tells the search that asked, unless its last proposal was cut short in which case only cells can use it."""
        if self.search is not None and not (self.cut and not isinstance(self.search, CellSearch)):
            self.search.tell(candidates, logits)
        if self.left is not None:
            self.left -= logits.shape[1]

    def _begin(self, stage: Stage) -> Search:
        if isinstance(stage.search, CellSettings) and self.cells is not None:
            return stage.search.resume(self.cells)
        return stage.search.start(replace(self.problem, budget=stage.queries))


def _first(candidates: Candidates, most: int | None) -> Candidates:
    """The first candidates of each image."""
    row, column, value = (part[:, :most] for part in (candidates.row, candidates.column, candidates.value))
    return Candidates(candidates.image, row, column, value)
