"""Gradient search (white box): all cells ranked by gradients, the most promising evaluated exactly."""

from __future__ import annotations

from dataclasses import dataclass

from robustkit.perturb.search.base import Search
from robustkit.perturb.search.cells import Cells, CellSettings, RankedSearch
from robustkit.perturb.search.ranking import rank_cells


@dataclass(frozen=True)
class Gradient(CellSettings):
    """Settings of the gradient search.

    Attributes:
        top: Number of cells evaluated, best first.
        effort: Work per image that the ranking may cost besides the backward passes, in forward passes; see
            `rank_cells`.
        batch: Number of cells of an image evaluated at once.
    """

    top: int = 400
    effort: float = 200.0
    batch: int = 50

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "gradient"

    def resume(self, cells: Cells) -> Search:
        """Begins where other searches over these cells stopped.

        Raises:
            InputError: If the classifier cannot be differentiated.
        """
        return RankedSearch(cells, rank_cells(cells, self.top, effort=self.effort, peaks=True), self.batch)
