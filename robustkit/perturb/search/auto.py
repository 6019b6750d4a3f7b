"""Searches in a row, each going on with what those before it tried; and the row that is used by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from robustkit.engine import Candidates
from robustkit.perturb.search.base import Problem, Search, SearchSettings
from robustkit.perturb.search.best_first import BestFirst
from robustkit.perturb.search.cells import Cells, CellSettings
from robustkit.perturb.search.chains import Chains
from robustkit.perturb.search.complete import Complete
from robustkit.perturb.search.gradient import Gradient
from robustkit.perturb.search.ranking import has_gradients


@dataclass(frozen=True)
class Stage:
    """One search of a row.

    Attributes:
        search: Its settings.
        queries: How many queries per image it may take; `None` for as many as it wants.
    """

    search: SearchSettings
    queries: int | None = None


@dataclass(frozen=True)
class Stages:
    """Searches in a row. Those over cells share them, so that nothing is tried twice.

    Attributes:
        stages: The searches, in order.
    """

    stages: tuple[Stage, ...]

    @property
    def name(self) -> str:
        """Its name on the command line."""
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
    """The default: the promising first, then everything where the budget allows.

    Gradients where the network has them, then best-first; then the complete pass where the budget covers it, else the
    searches that wander. Several pixels at once go to the latter from the beginning.

    Attributes:
        budget: Queries per image where the attack sets no budget: enough for all corners of 100x100 pixels in 3 bands.
        ranked: Queries per image for the gradient search.
        near: Queries per image for the best-first search.
        wander: Searches for what is left, which share it evenly; they must take any number of pixels.
    """

    budget: int = 100_000
    ranked: int = 50
    near: int = 2000
    wander: tuple[SearchSettings, ...] = (Chains(),)

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return "auto"

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem."""
        return self.stages(problem).start(problem)

    def stages(self, problem: Problem) -> Stages:
        """The row of searches that suits a problem."""
        budget = self.budget if problem.budget is None else problem.budget
        left = budget
        stages: list[Stage] = []
        cells = problem.images.shape[2] * problem.images.shape[3] * problem.values.size
        if problem.pixels == 1:
            if has_gradients(problem.classifier):
                stages.append(Stage(Gradient(top=self.ranked)))
                left -= self.ranked
            if budget >= cells:
                return Stages((*stages, Stage(BestFirst(), self.near), Stage(Complete())))
            # Half of what is left may go to the neighbourhoods, the rest looks elsewhere.
            near = min(self.near, left - left // 2)
            stages.append(Stage(BestFirst(), near))
            left -= near
        share = max(1, left // len(self.wander))
        stages += [Stage(search, share) for search in self.wander[:-1]]
        return Stages((*stages, Stage(self.wander[-1])))

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {
            "name": self.name,
            "budget": self.budget,
            "ranked": self.ranked,
            "near": self.near,
            "wander": [search.to_json() for search in self.wander],
        }


class _StagesSearch:
    def __init__(self, stages: tuple[Stage, ...], problem: Problem) -> None:
        self.waiting = list(stages)
        self.problem = problem
        # Only searches over the cells of one pixel have cells to share.
        self.cells: Cells | None = Cells(problem) if problem.pixels == 1 else None
        self.search: Search | None = None
        self.left: int | None = None

    def propose(self, active: Tensor) -> Candidates | None:
        while True:
            if self.search is None:
                if not self.waiting:
                    return None
                stage = self.waiting.pop(0)
                self.left = stage.queries
                self.search = self._begin(stage.search)
            proposal = None if self.left == 0 else self.search.propose(active)
            if proposal is not None:
                return proposal if self.left is None else _first(proposal, self.left)
            self.search = None

    def tell(self, candidates: Candidates, logits: Tensor) -> None:
        assert self.search is not None, "answers came before a proposal"
        self.search.tell(candidates, logits)
        if self.left is not None:
            self.left -= logits.shape[1]

    def _begin(self, settings: SearchSettings) -> Search:
        if isinstance(settings, CellSettings) and self.cells is not None:
            return settings.resume(self.cells)
        return settings.start(self.problem)


def _first(candidates: Candidates, most: int) -> Candidates:
    """The first candidates of each image."""
    return Candidates(
        candidates.image, candidates.row[:, :most], candidates.column[:, :most], candidates.value[:, :most]
    )
