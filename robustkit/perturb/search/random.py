"""Random search, the baseline of every other search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from robustkit.engine import Candidates
from robustkit.errors import InputError
from robustkit.perturb.search.base import Problem, Search

# Up to this many cells the whole order of an image is drawn and nothing is tried twice; above it, a realistic budget
# repeats almost nothing.
_ORDERED_CELLS = 4_000_000


@dataclass(frozen=True)
class RandomSearch:
    """Settings of the random search: position and option are drawn uniformly.

    One pixel is drawn without replacement, so that with enough queries everything is tried once.

    Attributes:
        queries: Most queries per image when the attack has no budget.
        batch: Number of candidates per image proposed at once; it does not change the result.
    """

    queries: int = 32_400
    batch: int = 400

    def __post_init__(self) -> None:
        if self.queries < 1 or self.batch < 1:
            raise InputError(f"queries and batch of the random search must be at least 1, got {self}")

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "random"

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem."""
        return _Random(self, problem)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {"name": self.name, **asdict(self)}


class _Random:
    def __init__(self, settings: RandomSearch, problem: Problem) -> None:
        self.problem = problem
        height, width = problem.images.shape[2:]
        self.cells = height * width * problem.values.size
        self.clean = problem.images.permute(0, 2, 3, 1).flatten(0, 2)  # one clean pixel per row
        queries = settings.queries if problem.budget is None else problem.budget
        self.queries = min(queries, self.cells) if problem.pixels == 1 else queries
        self.batch = settings.batch
        self.asked = 0
        self.order = self._order() if problem.pixels == 1 and self.cells <= _ORDERED_CELLS else None

    def propose(self, active: torch.Tensor) -> Candidates | None:
        """The next candidates; see `Search`."""
        size = min(self.batch, self.queries - self.asked)
        if size <= 0 or len(active) == 0:
            return None
        rows = active.cpu().numpy()
        if self.order is not None:
            cells = self.order[rows, self.asked : self.asked + size, None].astype(np.int64)
        else:
            cells = self.problem.streams.select(rows).integers(self.cells, size, self.problem.pixels)
        self.asked += size
        return self._candidates(active, torch.from_numpy(cells).to(active.device))

    def tell(self, candidates: Candidates, logits: torch.Tensor) -> None:
        """Ignores the results."""

    def _order(self) -> np.ndarray:
        """Each image's own order of the cells, up to the budget, shape (N, Q), int32."""
        order = np.empty((len(self.problem), self.queries), dtype=np.int32)
        everything = np.arange(self.cells, dtype=np.int32)
        for row, generator in zip(order, self.problem.streams.generators, strict=True):
            row[...] = generator.permutation(everything)[: self.queries]
        return order

    def _candidates(self, rows: torch.Tensor, cells: torch.Tensor) -> Candidates:
        values, images = self.problem.values, self.problem.images
        pixel, option = cells // values.size, cells % values.size  # (M, P, L)
        row, column = pixel // images.shape[3], pixel % images.shape[3]
        place = (rows[:, None, None] * images.shape[2] * images.shape[3] + pixel).view(-1)
        clean = self.clean.index_select(0, place).view(*pixel.shape, images.shape[1])  # (M, P, L, C)
        return Candidates(rows, row, column, values.option(clean, option))
