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

# Cells whose evaluation is timed to say how long all of them take.
_TIMED = 256


@dataclass(frozen=True)
class Complete(CellSettings):
    """Settings of the complete search: it ends when every cell was tried, so nothing in the value set is missed.

    Cells go in the order of the gradients where the network has any, and from coarse to fine where not.

    Attributes:
        batch: How many of an image's cells are evaluated at once.
        gradients: Whether the gradients are used; `False` treats the network as a black box.
    """

    batch: int = 1000
    gradients: bool = True

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return "complete"

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem.

        Raises:
            InputError: If the budget covers no complete pass.
        """
        cells = Cells(problem)
        needed = int(cells.left.max())
        if problem.budget is not None and problem.budget < needed:
            raise InputError(
                f"a complete search of {cells.height} x {cells.width} pixels with {cells.options} options needs "
                f"{needed:,} queries an image{_duration(problem, cells, needed)}, and the budget is "
                f"{problem.budget:,}; raise it, or use the search auto"
            )
        return self.resume(cells)

    def resume(self, cells: Cells) -> Search:
        """Begins the search where others, who share these cells, stopped."""
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
    """How long a complete pass takes here, in words: measured on a few cells of one image."""
    if problem.classifier is None:
        return ""
    evaluator = make_evaluator(problem.classifier, problem.images[:1])
    places = torch.linspace(0, cells.count - 1, _TIMED, device=cells.left.device).long()[None]
    trial = cells.candidates(torch.zeros(1, dtype=torch.int64, device=places.device), places)
    evaluator(trial)  # the first call also makes what later ones find
    began = time.perf_counter()
    evaluator(trial)
    seconds = (time.perf_counter() - began) / _TIMED * needed
    return f" (about {seconds:.0f} s here)" if seconds < 600 else f" (about {seconds / 60:.0f} min here)"
