"""Complete search: every cell of every image, the most promising first."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robustkit.perturb.search.base import Search
from robustkit.perturb.search.cells import Cells, CellSearch, CellSettings
from robustkit.perturb.search.orders import coarse_walk, ranked_walk
from robustkit.perturb.search.ranking import has_gradients, rank_cells


@dataclass(frozen=True)
class Complete(CellSettings):
    """Settings of the complete search: it ends when every cell was tried, so nothing in the value set is missed.

    Cells go in the order of the gradients where the network has any, and from coarse to fine where not.

    Attributes:
        batch: How many of an image's cells are evaluated at once.
    """

    batch: int = 1000

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return "complete"

    def resume(self, cells: Cells) -> Search:
        """Begins the search where others, who share these cells, stopped."""
        return _CompleteSearch(self, cells)


class _CompleteSearch(CellSearch):
    def __init__(self, settings: Complete, cells: Cells) -> None:
        super().__init__(cells)
        self.batch = settings.batch
        gradients = has_gradients(cells.problem.classifier)
        self.walk = ranked_walk(cells, rank_cells(cells, cells.count)) if gradients else coarse_walk(cells)

    def next_cells(self, rows: Tensor) -> Tensor:
        return self.walk.fill(rows, self.batch)
