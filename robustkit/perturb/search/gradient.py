"""Gradient search (white box): all cells ranked by gradients, the most promising evaluated exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
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
        self.width = settings.batch
        self.ranked = rank_cells(cells, settings.top, effort=settings.effort, peaks=True)  # (N, top)
        # What needs no query is ranked last, and left out.
        self.end = cells.left.clamp(max=self.ranked.shape[1])
        self.begin = torch.zeros_like(self.end)

    def remaining(self, rows: Tensor) -> Tensor:
        return (self.end - self.begin)[rows]

    def next_cells(self, rows: Tensor) -> Tensor:
        return self.last_cells(rows, self.width)

    def last_cells(self, rows: Tensor, left: int) -> Tensor:
        place = self.begin[rows, None] + torch.arange(left, device=rows.device)
        self.begin[rows] += left
        return self.ranked[rows[:, None], place]
