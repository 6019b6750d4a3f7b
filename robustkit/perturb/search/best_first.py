"""Best-first search: an even spread of cells, then the neighbourhood of the best ones, in order.

The margin is smooth in position, and a pixel that nearly flips with one value often flips with another. So the pixel
with the best margin is opened: its other options are tried, and its best option on the eight pixels around it, first
far from it and, when it is opened again, nearer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robustkit.errors import InputError
from robustkit.perturb.search.base import Search
from robustkit.perturb.search.cells import Cells, CellSearch, CellSettings
from robustkit.perturb.search.orders import spread_walk


@dataclass(frozen=True)
class BestFirst(CellSettings):
    """Settings of the best-first search, which continues until every cell has been tried.

    Attributes:
        spread: Least number of evenly spread cells to try first.
        open: Number of pixels opened at once.
        others: Number of other options of a pixel tried each time it is opened.
    """

    spread: int = 120
    open: int = 4
    others: int = 7

    def __post_init__(self) -> None:
        if self.spread < 1 or self.open < 1 or self.others < 0:
            raise InputError(f"spread and open of best-first must be at least 1, got {self}")

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "best-first"

    def resume(self, cells: Cells) -> Search:
        """Begins where other searches over these cells stopped."""
        return _BestFirstSearch(self, cells)


class _BestFirstSearch(CellSearch):
    def __init__(self, settings: BestFirst, cells: Cells) -> None:
        super().__init__(cells)
        self.settings = settings
        self.others = min(settings.others, cells.options - 1)
        self.walk = spread_walk(cells)
        self.opened = torch.zeros_like(cells.margin, dtype=torch.int8)  # how often each pixel was opened
        # From half the distance between the spread cells down to the next pixel.
        halvings = int(math.log2(max(2.0, math.sqrt(cells.height * cells.width / settings.spread)))) - 1
        self.radii = 2 ** torch.arange(halvings, -1, -1, device=cells.margin.device)
        side = torch.tensor([-1, 0, 1], device=cells.margin.device)
        compass = torch.cartesian_prod(side, side)
        self.compass = compass[compass.any(1)]  # (8, 2)
        self.width = settings.open * (len(self.compass) + self.others)
        self.spread_left = settings.spread

    def next_cells(self, rows: Tensor) -> Tensor:
        if self.spread_left > 0:
            self.spread_left -= self.width
            return self.walk.fill(rows, self.width)
        return self.walk.fill(rows, self.width, self._open(rows))

    def last_cells(self, rows: Tensor, left: int) -> Tensor:
        return self.walk.fill(rows, left)

    def _open(self, rows: Tensor) -> Tensor:
        """Opens the best pixels of each row: cells around them, shape (M, Q), -1 for none."""
        cells, opened = self.cells, self.opened[rows]
        margin = cells.margin[rows].masked_fill(opened >= len(self.radii), -torch.inf)
        best, pixel = margin.topk(min(self.settings.open, margin.shape[1]))  # (M, open)
        times = opened.gather(1, pixel).long().clamp(max=len(self.radii) - 1)
        self.opened[rows[:, None], pixel] += best.isfinite()
        option = cells.option[rows].gather(1, pixel)[..., None]
        place = torch.stack([pixel // cells.width, pixel % cells.width], -1)[:, :, None]
        row, column = (place + self.compass * self.radii[times][..., None, None]).unbind(-1)  # (M, open, 8)
        inside = (row >= 0) & (row < cells.height) & (column >= 0) & (column < cells.width)
        around = torch.where(inside, (row * cells.width + column) * cells.options + option, -1)
        # Each time a pixel is opened, the options after those of the last time.
        further = times[..., None] * self.others + torch.arange(1, self.others + 1, device=rows.device)
        other = pixel[..., None] * cells.options + (option + further) % cells.options
        found = torch.cat([around, other], 2)
        return torch.where(best.isfinite()[..., None], found, -1).flatten(1)
