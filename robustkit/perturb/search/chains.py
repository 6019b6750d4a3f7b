"""Local random search: several chains per image, each moving from its best candidate by ever smaller steps.

A step moves one pixel of a chain, changes its option, or both. A chain that finds nothing better draws its steps
closer, and at last begins again elsewhere. Nothing is tried twice.

Source: after Sparse-RS, Croce et al. 2022, doi:10.1609/aaai.v36i6.20595, which draws every step anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robustkit.engine import Candidates
from robustkit.perturb.search.base import Problem, Search
from robustkit.perturb.search.cells import Cells, CellSettings, repeated
from robustkit.perturb.search.orders import spread_walk

# Alternatives drawn for every step of a chain; the first that is new is taken.
_DRAWS = 8
# Steps whose random numbers are drawn at once.
_AHEAD = 32
# Several pixels have too many cells to number. What was tried is remembered by a hash of so many slots; two that
# share a slot count as one, so a few are never tried and none is tried twice.
_SLOTS = 1 << 20
# How often steps are drawn again before several pixels are taken to have nothing new left.
_ROUNDS = 20


@dataclass(frozen=True)
class Chains(CellSettings):
    """Settings of the local random search.

    Attributes:
        chains: How many chains each image has.
        reach: How far a pixel may move at first, as a share of the image's longer side, in (0, 1].
        patience: After so many steps without a better candidate a chain halves its reach; with a reach below one pixel
            it begins again elsewhere.
    """

    chains: int = 8
    reach: float = 0.5
    patience: int = 6

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return "chains"

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem."""
        return self.resume(Cells(problem)) if problem.pixels == 1 else _ChainsSearch(self, problem, None)

    def resume(self, cells: Cells) -> Search:
        """Begins the search where others, who share these cells, stopped."""
        return _ChainsSearch(self, cells.problem, cells)


class _ChainsSearch:
    def __init__(self, settings: Chains, problem: Problem, cells: Cells | None) -> None:
        self.settings, self.problem, self.cells = settings, problem, cells
        self.size = torch.tensor([*problem.images.shape[2:], problem.values.size], device=problem.images.device)
        n, chains, device = len(problem), settings.chains, problem.images.device
        self.state = torch.zeros((n, chains, problem.pixels, 3), dtype=torch.int64, device=device)
        self.best = torch.full((n, chains), -torch.inf, device=device)
        self.fails = torch.zeros((n, chains), dtype=torch.int64, device=device)
        self.level = torch.zeros_like(self.fails)  # how often the reach was halved
        self.levels = int(math.log2(max(2.0, settings.reach * max(problem.images.shape[2:])))) + 1
        if cells is None:
            self.tried = torch.zeros((n, _SLOTS), dtype=torch.bool, device=device)
        else:
            self.tried, self.walk = cells.tried, spread_walk(cells)
            self._begin_at_best(cells)
        self.step = 0

    def propose(self, active: Tensor) -> Candidates | None:
        rows = active if self.cells is None else active[self.cells.left[active] > 0]
        for _ in range(_ROUNDS):
            if len(rows) == 0:
                return None
            keys, self.chain, state = self._new_steps(rows)
            if self.cells is not None:
                self.keys = self.walk.fill(rows, self.settings.chains, keys)
                self.chain = self.chain[:, : self.keys.shape[1]]
                self.asked = self._state(self.keys)
                return self.cells.candidates(rows, self.keys)
            full = (keys >= 0).all(1)
            if bool(full.any()):
                self.keys, self.chain, self.asked = keys[full], self.chain[full], state[full]
                return self._candidates(rows[full])
        return None

    def tell(self, candidates: Candidates, logits: Tensor) -> None:
        rows, size = candidates.image, logits.shape[1]
        margins = self.problem.margin(rows, logits)
        if self.cells is None:
            self.tried[rows[:, None], self.keys[:, :size]] = True
        else:
            self.cells.record(rows, self.keys[:, :size], margins)
        for slot in range(size):  # one after the other, because a chain may have been given several
            at = rows, self.chain[:, slot]
            better = margins[:, slot] > self.best[at]
            self.best[at] = torch.where(better, margins[:, slot], self.best[at])
            self.state[at] = torch.where(better[:, None, None], self.asked[:, slot], self.state[at])
            self.fails[at] = torch.where(better, 0, self.fails[at] + 1)
        self._shrink(rows)

    def _shrink(self, rows: Tensor) -> None:
        """Halves the reach of chains that are out of patience; those that cannot go closer begin again."""
        tired = self.fails[rows] >= self.settings.patience
        level = self.level[rows] + tired
        over = level >= self.levels
        self.fails[rows] = torch.where(tired, 0, self.fails[rows])
        self.level[rows] = torch.where(over, 0, level)
        self.best[rows] = torch.where(over, -torch.inf, self.best[rows])

    def _new_steps(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One new candidate for every chain.

        Returns:
            Keys, shape (M, chains), -1 where too few are new; whose chain each is, the same shape; and their states,
            shape (M, chains, L, 3).
        """
        chains = self.settings.chains
        state = self._alternatives(rows)  # (M, draws, chains, L, 3)
        pixel = (state[..., 0] * self.size[1] + state[..., 1]).flatten(1, 2)  # (M, draws x chains, L)
        cell = pixel * self.size[2] + state[..., 2].flatten(1, 2)
        keys = cell[..., 0] if self.cells is not None else hashed(cell)
        apart = (pixel.sort(2).values.diff(dim=2) > 0).all(2)  # L pixels, not fewer
        new = apart & ~self.tried[rows[:, None], keys] & ~repeated(keys)
        # The first new alternative of every chain comes first, then the second ones.
        turn = new.unflatten(1, (-1, chains)).cumsum(1).flatten(1) - 1
        chain = torch.arange(chains, device=rows.device).repeat(_DRAWS)
        order = torch.where(new, turn * chains + chain, keys.shape[1] * chains)
        rank, chosen = order.topk(chains, largest=False, sorted=True)
        picked = torch.where(rank < keys.shape[1] * chains, keys.gather(1, chosen), -1)
        whose = chosen % chains
        return picked, whose, state.flatten(1, 2)[torch.arange(len(rows), device=rows.device)[:, None], chosen]

    def _alternatives(self, rows: Tensor) -> Tensor:
        """Steps drawn for every chain, shape (M, draws, chains, L, 3) of row, column and option."""
        pixels = self.problem.pixels
        u = self._numbers(rows)  # (M, draws, chains, 2 + 3 L)
        which, kind, move = u[..., 0], u[..., 1], u[..., 2:].unflatten(-1, (pixels, 3))
        here = self.state[rows][:, None]
        longest = int(self.size[:2].max())
        reach = (self.settings.reach * longest * 0.5 ** self.level[rows]).clamp(min=1.0)[:, None, :, None, None]
        step = ((2 * move[..., :2] - 1) * (reach + 0.5)).round().long()
        place = (here[..., :2] + torch.where((kind < 2 / 3)[..., None, None], step, 0)).clamp(min=0)
        place = place.minimum(self.size[:2] - 1)
        other = (here[..., 2] + 1 + (move[..., 2] * (self.size[2] - 1)).long()) % self.size[2]
        option = torch.where((kind > 1 / 3)[..., None], other, here[..., 2])
        moved = torch.cat([place, option[..., None]], -1)
        chosen = torch.arange(pixels, device=rows.device) == (which * pixels).long()[..., None]
        moved = torch.where(chosen[..., None], moved, here)
        anywhere = (move * self.size).long().minimum(self.size - 1)
        fresh = self.best[rows].isneginf()[:, None, :, None, None]
        return torch.where(fresh, anywhere, moved)

    def _numbers(self, rows: Tensor) -> Tensor:
        """The random numbers of this step, drawn for all images, so that none depends on which are still wanted."""
        if self.step % _AHEAD == 0:
            shape = (_AHEAD, _DRAWS, self.settings.chains, 2 + 3 * self.problem.pixels)
            self.ahead = torch.from_numpy(self.problem.streams.uniform(*shape)).to(self.size.device)
        numbers = self.ahead[rows, self.step % _AHEAD]
        self.step += 1
        return numbers

    def _state(self, cells: Tensor) -> Tensor:
        """The state of chains of one pixel, cells (M, P) to (M, P, 1, 3)."""
        pixel, option = cells // self.size[2], cells % self.size[2]
        return torch.stack([pixel // self.size[1], pixel % self.size[1], option], -1)[:, :, None]

    def _begin_at_best(self, cells: Cells) -> None:
        """The first chain goes on from the best cell that is known."""
        best, pixel = cells.margin.max(1)
        cell = pixel * cells.options + cells.option.gather(1, pixel[:, None])[:, 0]
        self.best[:, 0], self.state[:, :1] = best, self._state(cell[:, None])

    def _candidates(self, rows: Tensor) -> Candidates:
        row, column, option = self.asked.unbind(-1)  # (M, P, L)
        clean = self.problem.images[rows[:, None, None], :, row, column]
        return Candidates(rows, row, column, self.problem.values.option(clean, option))


def hashed(cells: Tensor) -> Tensor:
    """A slot for every set of cells, shape (..., L) to (...), whatever the order of the L cells."""
    mixed = (cells + 1) * 6364136223846793005
    mixed = (mixed ^ (mixed >> 29)) * 2862933555777941757
    return (mixed ^ (mixed >> 32)).sum(-1) % _SLOTS
