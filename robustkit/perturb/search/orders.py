"""Orders over all cells of an image, and a walk along one that skips what was tried."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from robustkit.perturb.search.cells import Cells

# The positive root of x^4 = x + 1; powers of its inverse spread points evenly over three dimensions.
_ROOT = 1.2207440846057596


class Walk:
    """Walks along an order of cells, image by image, to complete what a search proposes.

    Args:
        cells: The cells.
        order: The cells that images `rows` (M,) have at places `place` (M, Q) of their order, shape (M, Q); every
            image meets each of its cells in the places 0 .. H W V - 1.
    """

    def __init__(self, cells: Cells, order: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.cells = cells
        self.order = order
        self.begin = torch.zeros_like(cells.left)  # where each image continues

    def fill(self, rows: Tensor, width: int, wanted: Tensor | None = None) -> Tensor:
        """Packs the untried of the wanted cells, then the next of the order.

        Args:
            rows: Images, shape (M,), with at least `width` untried cells each.
            width: P.
            wanted: Cells in order of preference, shape (M, Q), -1 for none.

        Returns:
            Untried cells, shape (M, P).
        """
        cells = self.cells
        packed = rows.new_full((len(rows), width), -1) if wanted is None else cells.untried(rows, wanted, width)
        ahead = torch.arange(min(max(width, 256), cells.count), device=rows.device)
        short = (packed[:, -1] < 0).nonzero().squeeze(1)
        while len(short):
            some = rows[short]
            following = self.order(some, (self.begin[some, None] + ahead) % cells.count)
            packed[short] = cells.untried(some, torch.cat([packed[short], following], 1), width)
            # A row still short has taken all untried cells here. Cells cut off by a budget are met in a second round.
            short = short[packed[short, -1] < 0]
            self.begin[rows[short]] = (self.begin[rows[short]] + len(ahead)) % cells.count
        return packed


def spread_walk(cells: Cells) -> Walk:
    """A walk that covers positions and options evenly, shifted by three random numbers of each image's stream."""
    device = cells.left.device
    base = torch.from_numpy(spread_cells(cells.height, cells.width, cells.options)).to(device)
    size = torch.tensor([cells.height, cells.width, cells.options], device=device)
    unit = torch.from_numpy(cells.problem.streams.uniform(3)).to(device)
    shift = (unit * size).long().minimum(size - 1)  # (N, 3)

    def order(rows: Tensor, place: Tensor) -> Tensor:
        pixel, option = cells.split(base[place])
        down, right, up = shift[rows].T[..., None]
        row, column = (pixel // cells.width + down) % cells.height, (pixel % cells.width + right) % cells.width
        return (row * cells.width + column) * cells.options + (option + up) % cells.options

    return Walk(cells, order)


def coarse_walk(cells: Cells) -> Walk:
    """A walk from coarse to fine, with all options of a pixel together."""
    pixels = torch.from_numpy(coarse_to_fine(cells.height, cells.width)).to(cells.left.device)
    return Walk(cells, lambda rows, place: pixels[place // cells.options] * cells.options + place % cells.options)


def ranked_walk(cells: Cells, ranked: Tensor) -> Walk:
    """A walk along a ranking of all cells of each image, shape (N, H W V)."""
    ranked = ranked.to(torch.int32)  # half the memory
    return Walk(cells, lambda rows, place: ranked[rows[:, None], place].long())


def spread_cells(height: int, width: int, options: int) -> np.ndarray:
    """All cells, so ordered that every beginning of the list covers positions and options evenly.

    The beginning follows an additive recurrence in (row, column, option); the cells that it has not met after as many
    steps as there are pixels follow from coarse to fine.

    Args:
        height: H.
        width: W.
        options: V.

    Returns:
        Each cell in [0, H W V) once, shape (H W V,), int64.

    Source: M. Roberts 2018, "The unreasonable effectiveness of quasirandom sequences" (R3).
    """
    step = _ROOT ** -np.arange(1.0, 4.0)
    unit = np.arange(1, height * width + 1)[:, None] * step % 1.0
    row, column, option = (unit * (height, width, options)).astype(np.int64).T
    first = (row * width + column) * options + option
    rest = coarse_to_fine(height, width)[:, None] * options + np.arange(options)
    cells = np.concatenate([first, rest.ravel()])
    _, place = np.unique(cells, return_index=True)
    return cells[np.sort(place)]


def coarse_to_fine(height: int, width: int) -> np.ndarray:
    """All pixels (row * W + column), first those of a wide grid, then of one twice as fine, and so on.

    Args:
        height: H.
        width: W.

    Returns:
        Each pixel once, shape (H W,), int64.
    """
    row, column = np.divmod(np.arange(height * width), width)
    # The lowest bits count most: a pixel whose row and column are divisible by much comes early.
    rank = np.zeros(height * width, dtype=np.int64)
    for bit in range(max(height - 1, width - 1, 1).bit_length()):
        rank = rank * 4 + (row >> bit & 1) * 2 + ((row ^ column) >> bit & 1)
    return np.argsort(rank, kind="stable")
