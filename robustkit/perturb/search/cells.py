"""Cells: all (pixel, option) pairs of the value set, numbered, and which of them were tried on which image.

A cell is a pixel and an option of the value set; its number is (row * W + column) * V + option. Searches that share one
`Cells` share what was tried and the best margin of each pixel, so they never repeat a query.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from robustkit.engine import Candidates
from robustkit.errors import InputError
from robustkit.perturb.edges import Placed
from robustkit.perturb.search.base import Problem, Search


class Cells:
    """The cells of N images and the results so far.

    Args:
        problem: The images; its `pixels` must be 1.

    Attributes:
        count: H x W x V, the number of cells per image.
        tried: Whether a cell needs no query, shape (N, H W V): it was queried, or it leaves the pixel unchanged.
        margin: Best margin seen at each pixel, shape (N, H W); minus infinity where nothing was tried.
        option: The option that had it, shape (N, H W).
        left: Number of cells not tried yet, shape (N,).

    Raises:
        InputError: If candidates of more than one pixel are asked for.
    """

    def __init__(self, problem: Problem) -> None:
        if problem.pixels != 1:
            raise InputError(
                f"this search tries the cells of one pixel, but {problem.pixels} pixels at once were asked for; "
                "use chains, de or random"
            )
        images = problem.images
        n, _, self.height, self.width = images.shape
        self.problem = problem
        self.options = problem.values.size
        self.count = self.height * self.width * self.options
        self._placed = Placed(problem.values, images)
        self.tried = torch.zeros((n, self.count), dtype=torch.bool, device=images.device)
        self.margin = torch.full((n, self.height * self.width), -torch.inf, device=images.device)
        self.option = torch.zeros((n, self.height * self.width), dtype=torch.int64, device=images.device)
        for option in range(self.options):  # an option equal to the clean value needs no query
            rows, pixel = torch.arange(n, device=images.device)[:, None], torch.arange(self.height * self.width)
            index = torch.full((n, len(pixel)), option, device=images.device)
            value = self._placed.at(rows, pixel.to(images.device), index)
            self.tried[:, option :: self.options] = (value == images.flatten(2).transpose(1, 2)).all(-1)
        self.left = self.count - self.tried.sum(1)

    def split(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """The pixel (row * W + column) and the option of cells."""
        return cells // self.options, cells % self.options

    def candidates(self, rows: Tensor, cells: Tensor) -> Candidates:
        """Cells, shape (M, P), of the images in `rows`, shape (M,), as candidates."""
        pixel, option = self.split(cells)
        row, column = pixel // self.width, pixel % self.width
        value = self.values(rows[:, None], pixel, option)
        return Candidates(rows, row[..., None], column[..., None], value[..., None, :])

    def values(self, rows: Tensor, pixel: Tensor, option: Tensor) -> Tensor:
        """What options make of pixels, shape (..., C)."""
        return self._placed.at(rows, pixel, option)

    def record(self, rows: Tensor, cells: Tensor, margins: Tensor) -> None:
        """Records the margins of queried cells.

        Args:
            rows: Images, shape (M,).
            cells: Cells, shape (M, P).
            margins: Their margins, shape (M, P).
        """
        self.tried[rows[:, None], cells] = True
        self.left[rows] -= cells.shape[1]
        pixel, option = self.split(cells)
        place = (rows[:, None] * self.margin.shape[1] + pixel).flatten()
        margin, best = margins.flatten(), self.margin.view(-1)
        better = margin > best[place]
        best.scatter_reduce_(0, place, margin, "amax")
        won = (better & (margin == best[place])).nonzero().squeeze(1)
        # Several options of a pixel may share the new best margin: the lowest is kept, on every device.
        self.option.view(-1)[place[won]] = self.options
        self.option.view(-1).scatter_reduce_(0, place[won], option.flatten()[won], "amin")

    def untried(self, rows: Tensor, cells: Tensor, width: int) -> Tensor:
        """The first `width` untried cells of each row of a list.

        Args:
            rows: Images, shape (M,).
            cells: Cells in order of preference, shape (M, Q), -1 for none; repeated ones count once.
            width: P.

        Returns:
            Cells, shape (M, P), packed to the left, then -1.
        """
        wanted = (cells >= 0) & ~self.tried[rows[:, None], cells.clamp(min=0)] & ~repeated(cells)
        place = wanted.cumsum(1) - 1
        packed = cells.new_full((len(cells), width + 1), -1)
        # What is not wanted, or comes too late, goes to a last column that is cut off.
        packed.scatter_(1, torch.where(wanted, place.clamp(max=width), width), cells)
        return packed[:, :width]


def repeated(keys: Tensor) -> Tensor:
    """Whether the same key stands further left in its row, shape (M, Q), bool."""
    ordered, order = keys.sort(dim=1, stable=True)
    again = torch.zeros_like(keys, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(again).scatter(1, order, again)


@dataclass(frozen=True)
class CellSettings(ABC):
    """Base of the settings of searches over cells: they can continue where another search stopped."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name on the command line."""

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem."""
        return self.resume(Cells(problem))

    @abstractmethod
    def resume(self, cells: Cells) -> Search:
        """Begins where other searches over these cells stopped."""

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {"name": self.name, **asdict(self)}


class CellSearch(ABC):
    """Base of the searches over cells: chooses the cells to query next and records the results.

    Images run out of cells at different times. An image with fewer left than one batch waits until the others are
    done, so that no image's cells depend on the images beside it.

    Args:
        cells: The cells, possibly shared with other searches.

    Attributes:
        width: Number of cells of each image queried at once.
    """

    width: int

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._asked = cells.option.new_empty((0, 0))

    @abstractmethod
    def next_cells(self, rows: Tensor) -> Tensor:
        """Untried cells, shape (M, `width`), of rows that have at least `width` left."""

    @abstractmethod
    def last_cells(self, rows: Tensor, left: int) -> Tensor:
        """The last untried cells, shape (M, `left`), of rows with exactly `left` cells, fewer than `width`."""

    def remaining(self, rows: Tensor) -> Tensor:
        """The number of cells left to query in each row, shape (M,)."""
        return self.cells.left[rows]

    def propose(self, active: Tensor) -> Candidates | None:
        """The next candidates; see `Search`."""
        left = self.remaining(active)
        rows, left = active[left > 0], left[left > 0]
        if len(rows) == 0:
            return None
        full = left >= self.width
        if bool(full.any()):
            rows = rows[full]
            self._asked = self.next_cells(rows)
        else:
            least = int(left.min())
            rows = rows[left == least]
            self._asked = self.last_cells(rows, least)
        return self.cells.candidates(rows, self._asked)

    def tell(self, candidates: Candidates, logits: Tensor) -> None:
        """Records the results, or the first P of them if the budget cut the proposal short."""
        margins = self.cells.problem.margin(candidates.image, logits)
        self.cells.record(candidates.image, self._asked[:, : logits.shape[1]], margins)


class RankedSearch(CellSearch):
    """Queries cells in an order that was fixed before the first query.

    Args:
        cells: The cells, possibly shared with other searches.
        ranked: The cells of each image, best first, shape (N, Q); those already tried come last.
        width: Number of cells of each image queried at once.
    """

    def __init__(self, cells: Cells, ranked: Tensor, width: int) -> None:
        super().__init__(cells)
        self.width, self.ranked = width, ranked
        # What needs no query is ranked last, and left out.
        self.end = cells.left.clamp(max=ranked.shape[1])
        self.begin = torch.zeros_like(self.end)

    def remaining(self, rows: Tensor) -> Tensor:
        """The number of ranked cells left in each row, shape (M,)."""
        return (self.end - self.begin)[rows]

    def next_cells(self, rows: Tensor) -> Tensor:
        """The next cells of the ranking; see `CellSearch`."""
        return self.last_cells(rows, self.width)

    def last_cells(self, rows: Tensor, left: int) -> Tensor:
        """The last cells of the ranking; see `CellSearch`."""
        place = self.begin[rows, None] + torch.arange(left, device=rows.device)
        self.begin[rows] += left
        return self.ranked[rows[:, None], place]
