"""Gradient search (white box): all cells ranked by gradients, the most promising evaluated exactly."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robustkit.perturb.search.base import Search
from robustkit.perturb.search.cells import Cells, CellSearch, CellSettings
from robustkit.perturb.search.ranking import rank_cells


@dataclass(frozen=True)
class Gradient(CellSettings):
    """Settings of the gradient search.

    Attributes:
        top: How many cells are evaluated, best first.
        effort: How much work per image the ranking may cost beside the backward passes, in forward passes; see
            `rank_cells`.
        batch: How many of an image's cells are evaluated at once.
    """

    top: int = 400
    effort: float = 200.0
    batch: int = 50

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return "gradient"

    def resume(self, cells: Cells) -> Search:
        """Begins the search where others, who share these cells, stopped.

        Raises:
            InputError: If the classifier cannot be differentiated.
        """
        return _GradientSearch(self, cells)


class _GradientSearch(CellSearch):
    def __init__(self, settings: Gradient, cells: Cells) -> None:
        super().__init__(cells)
        self.batch = settings.batch
        self.ranked = rank_cells(cells, settings.top, effort=settings.effort, peaks=True)  # (N, top)
        self.begin = 0

    def next_cells(self, rows: Tensor) -> Tensor | None:
        # The ranking puts what needs no query last: no row runs out of untried cells before this slice does.
        stop = min(self.begin + self.batch, self.ranked.shape[1], self.begin + int(self.cells.left[rows].min()))
        cells = self.ranked[rows, self.begin : stop]
        self.begin = stop
        return cells if cells.shape[1] else None
