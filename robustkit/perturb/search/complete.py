"""Complete search: every cell of every image, the most promising first."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from robustkit.engine import make_evaluator
from robustkit.errors import InputError
from robustkit.perturb.search.base import Problem, Search
from robustkit.perturb.search.cells import Cells, CellSearch, CellSettings
from robustkit.perturb.search.orders import coarse_walk, ranked_walk
from robustkit.perturb.search.ranking import has_gradients, rank_cells

# Number of cells timed to estimate the time for all of them.
_TIMED = 256


@dataclass(frozen=True)
class Complete(CellSettings):
    """Settings of the complete search: it ends when every cell has been tried, so nothing in the value set is missed.

    Cells are ordered by gradients if the network has them, and from coarse to fine otherwise.

    Attributes:
        batch: Number of cells of an image evaluated at once.
        gradients: Whether the gradients are used; `False` treats the network as a black box.
    """

    batch: int = 1000
    gradients: bool = True

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "complete"

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem.

        Raises:
            InputError: If the budget does not cover a complete pass.
        """
        cells = Cells(problem)
        needed = int(cells.left.max())
        if problem.budget is not None and problem.budget < needed:
            raise InputError(
                f"a complete search of {cells.height} x {cells.width} pixels with {cells.options} options needs "
                f"{needed:,} queries per image{_duration(problem, cells, needed)}, and the budget is "
                f"{problem.budget:,}; raise it, or use the search auto"
            )
        return self.resume(cells)

    def resume(self, cells: Cells) -> Search:
        """Begins where other searches over these cells stopped."""
        return _CompleteSearch(self, cells)


class _CompleteSearch(CellSearch):
    def __init__(self, settings: Complete, cells: Cells) -> None:
        super().__init__(cells)
        self.width = settings.batch
        gradients = settings.gradients and has_gradients(cells.problem.classifier)
        self.walk = ranked_walk(cells, rank_cells(cells, cells.count)) if gradients else coarse_walk(cells)

    def next_cells(self, rows: Tensor) -> Tensor:
        return self.walk.fill(rows, self.width)

    def last_cells(self, rows: Tensor, left: int) -> Tensor:
        return self.walk.fill(rows, left)


def _duration(problem: Problem, cells: Cells, needed: int) -> str:
    """The time for a complete pass, in words, measured on a few cells of one image."""
    if problem.classifier is None:
        return ""
    evaluator = make_evaluator(problem.classifier, problem.images[:1])
    places = torch.linspace(0, cells.count - 1, _TIMED, device=cells.left.device).long()[None]
    trial = cells.candidates(torch.zeros(1, dtype=torch.int64, device=places.device), places)
    evaluator(trial)  # the first call also fills the caches
    began = time.perf_counter()
    evaluator(trial)
    seconds = (time.perf_counter() - began) / _TIMED * needed
    return f" (about {seconds:.0f} s here)" if seconds < 600 else f" (about {seconds / 60:.0f} min here)"
