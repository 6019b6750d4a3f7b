"""Local random search: several chains per image, each stepping from its best candidate by ever smaller steps.

A step moves one pixel of a chain, changes its option, or both. A chain that finds nothing better shrinks its
steps, and finally restarts elsewhere. Nothing is tried twice.

Source: after Sparse-RS, Croce et al. 2022, doi:10.1609/aaai.v36i6.20595, which draws every step independently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robustkit.engine import Candidates
from robustkit.errors import InputError
from robustkit.perturb.search.base import Problem, Search
from robustkit.perturb.search.cells import Cells, CellSearch, CellSettings, repeated
from robustkit.perturb.search.orders import spread_walk

# Alternatives drawn for every step of a chain; the first that is new is taken.
_DRAWS = 8
# Steps whose random numbers are drawn at once.
_AHEAD = 32
# Several pixels have too many cells to number. What was tried is kept in a hash table of this many slots; two
# that share a slot count as one, so a few are never tried and none is tried twice.
_SLOTS = 1 << 20
# Number of redraws after which several pixels count as exhausted.
_ROUNDS = 20


@dataclass(frozen=True)
class Chains(CellSettings):
    """Settings of the local random search.

    Attributes:
        chains: Number of chains per image.
        reach: How far a pixel may move at first, as a share of the image's longer side, in (0, 1].
        patience: Steps without improvement after which a chain halves its reach; once the reach is below one pixel
            it restarts elsewhere.
        queries: Most queries per image when several pixels change at once and the attack has no budget; a single pixel
            is searched until every cell has been tried.
    """

    chains: int = 8
    reach: float = 0.5
    patience: int = 6
    queries: int = 32_400

    def __post_init__(self) -> None:
        if min(self.chains, self.patience, self.queries) < 1 or not 0 < self.reach <= 1:
            raise InputError(f"chains, patience and queries must be at least 1 and reach in (0, 1], got {self}")

    @property
    def name(self) -> str:
        """Name on the command line."""
        return "chains"

    def start(self, problem: Problem) -> Search:
        """Begins the search on a problem, whatever its number of pixels."""
        return self.resume(Cells(problem)) if problem.pixels == 1 else _ManyPixels(self, problem)

    def resume(self, cells: Cells) -> Search:
        """Begins where other searches over these cells stopped; the first chain starts at the best cell so far."""
        return _OnePixel(self, cells)


class _Links:
    """The chains of N images: the position, best margin and reach of each.

    A place is the row, column and option of L pixels, shape (..., L, 3).
    """

    def __init__(self, settings: Chains, problem: Problem) -> None:
        self.settings, self.problem = settings, problem
        device, shape = problem.images.device, (len(problem), settings.chains)
        self.size = torch.tensor([*problem.images.shape[2:], problem.values.size], device=device)
        self.reach = settings.reach * max(problem.images.shape[2:])
        self.levels = int(math.log2(max(2.0, self.reach))) + 1
        self.place = torch.zeros((*shape, problem.pixels, 3), dtype=torch.int64, device=device)
        self.best = torch.full(shape, -torch.inf, device=device)  # minus infinity: anywhere is better
        self.fails = torch.zeros(shape, dtype=torch.int64, device=device)
        self.level = torch.zeros_like(self.fails)  # how often the reach was halved
        self.step = 0

    def cells(self, place: Tensor) -> Tensor:
        """The cell of each pixel of places, shape (..., L)."""
        return (place[..., 0] * self.size[1] + place[..., 1]) * self.size[2] + place[..., 2]

    def steps(self, rows: Tensor) -> Tensor:
        """Alternatives for every chain, shape (M, draws x chains, L, 3); the first ones of all chains come first."""
        pixels = self.problem.pixels
        u = self._numbers(rows)  # (M, draws, chains, 2 + 3 L)
        which, kind, move = u[..., 0], u[..., 1], u[..., 2:].unflatten(-1, (pixels, 3))
        here = self.place[rows][:, None]
        reach = (self.reach * 0.5 ** self.level[rows]).clamp(min=1.0)[:, None, :, None, None]
        shift = ((2 * move[..., :2] - 1) * (reach + 0.5)).round().long()
        moved = (here[..., :2] + shift * (kind < 2 / 3)[..., None, None]).clamp(min=0).minimum(self.size[:2] - 1)
        other = (here[..., 2] + 1 + (move[..., 2] * (self.size[2] - 1)).long()) % self.size[2]
        option = torch.where((kind > 1 / 3)[..., None], other, here[..., 2])
        chosen = torch.arange(pixels, device=rows.device) == (which * pixels).long()[..., None]
        near = torch.where(chosen[..., None], torch.cat([moved, option[..., None]], -1), here)
        anywhere = (move * self.size).long().minimum(self.size - 1)
        lost = self.best[rows].isneginf()[:, None, :, None, None]
        return torch.where(lost, anywhere, near).flatten(1, 2)

    def choose(self, keys: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
        """One new alternative for every chain, or a second one of another chain if a chain has none.

        Args:
            keys: What tells alternatives apart, shape (M, draws x chains).
            new: Whether an alternative may be queried, the same shape.

        Returns:
            Which alternatives, shape (M, chains), and whether each is new; new ones come first.
        """
        chains = self.settings.chains
        turn = new.unflatten(1, (-1, chains)).cumsum(1).flatten(1) - 1
        order = turn * chains + torch.arange(chains, device=keys.device).repeat(_DRAWS)
        rank, chosen = torch.where(new, order, order.numel()).topk(chains, largest=False, sorted=True)
        return chosen, rank < order.numel()

    def accept(self, rows: Tensor, chain: Tensor, place: Tensor, margins: Tensor) -> None:
        """Moves chains to better candidates, and restarts chains that have stalled.

        Args:
            rows: Images, shape (M,).
            chain: Whose step each candidate was, shape (M, P).
            place: The candidates, shape (M, P, L, 3).
            margins: Margins of the candidates, shape (M, P).
        """
        for slot in range(margins.shape[1]):  # one after the other, because a chain may have been given several
            at, margin = (rows, chain[:, slot]), margins[:, slot]
            better = margin > self.best[at]
            self.best[at] = torch.where(better, margin, self.best[at])
            self.place[at] = torch.where(better[:, None, None], place[:, slot], self.place[at])
            self.fails[at] = torch.where(better, 0, self.fails[at] + 1)
        tired = self.fails[rows] >= self.settings.patience
        level = self.level[rows] + tired
        over = level >= self.levels
        self.fails[rows] = torch.where(tired, 0, self.fails[rows])
        self.level[rows] = torch.where(over, 0, level)
        self.best[rows] = torch.where(over, -torch.inf, self.best[rows])

    def _numbers(self, rows: Tensor) -> Tensor:
        """The random numbers of this step, drawn for all images, so that none depends on the images still searched."""
        if self.step % _AHEAD == 0:
            shape = (_AHEAD, _DRAWS, self.settings.chains, 2 + 3 * self.problem.pixels)
            self.ahead = torch.from_numpy(self.problem.streams.uniform(*shape)).to(self.size.device)
        numbers = self.ahead[rows, self.step % _AHEAD]
        self.step += 1
        return numbers


class _OnePixel(CellSearch):
    def __init__(self, settings: Chains, cells: Cells) -> None:
        super().__init__(cells)
        self.width = settings.chains
        self.links = _Links(settings, cells.problem)
        self.walk = spread_walk(cells)
        best, pixel = cells.margin.max(1)
        self.links.best[:, 0] = best
        self.links.place[:, 0] = self._place(pixel * cells.options + cells.option.gather(1, pixel[:, None])[:, 0])

    def next_cells(self, rows: Tensor) -> Tensor:
        keys = self.links.cells(self.links.steps(rows))[..., 0]
        new = ~self.cells.tried[rows[:, None], keys] & ~repeated(keys)
        chosen, is_new = self.links.choose(keys, new)
        self.chain = chosen % self.width
        return self.walk.fill(rows, self.width, torch.where(is_new, keys.gather(1, chosen), -1))

    def last_cells(self, rows: Tensor, left: int) -> Tensor:
        self.chain = torch.arange(left, device=rows.device).expand(len(rows), -1)
        return self.walk.fill(rows, left)

    def tell(self, candidates: Candidates, logits: Tensor) -> None:
        super().tell(candidates, logits)
        margins = self.cells.problem.margin(candidates.image, logits)
        self.links.accept(candidates.image, self.chain, self._place(self._asked), margins)

    def _place(self, cells: Tensor) -> Tensor:
        """Cells (...) as places (..., 1, 3)."""
        pixel, option = self.cells.split(cells)
        return torch.stack([pixel // self.cells.width, pixel % self.cells.width, option], -1)[..., None, :]


class _ManyPixels:
    def __init__(self, settings: Chains, problem: Problem) -> None:
        self.problem = problem
        self.links = _Links(settings, problem)
        self.left = settings.queries if problem.budget is None else problem.budget
        self.tried = torch.zeros((len(problem), _SLOTS), dtype=torch.bool, device=problem.images.device)

    def propose(self, active: Tensor) -> Candidates | None:
        """The next candidates; see `Search`."""
        for _ in range(_ROUNDS if len(active) and self.left > 0 else 0):
            place = self.links.steps(active)
            cells = self.links.cells(place)
            keys = hashed(cells)
            pixels = (cells // self.links.size[2]).sort(2).values
            apart = (pixels.diff(dim=2) > 0).all(2)  # L pixels, not fewer
            chosen, is_new = self.links.choose(
                keys, apart & ~self.tried[active[:, None], keys] & ~repeated(keys.where(apart, -1))
            )
            full = is_new.all(1)
            if not bool(full.any()):
                continue
            rows, chosen = active[full], chosen[full]
            at = torch.arange(len(active), device=active.device)[full, None], chosen
            self.chain, self.keys, self.place = chosen % self.links.settings.chains, keys[at], place[at]
            self.left -= chosen.shape[1]
            row, column, option = self.place.unbind(-1)  # (M, P, L)
            clean = self.problem.images[rows[:, None, None], :, row, column]
            return Candidates(rows, row, column, self.problem.values.option(clean, option))
        return None

    def tell(self, candidates: Candidates, logits: Tensor) -> None:
        """Records the results, or the first P of them if the budget cut the proposal short."""
        rows, asked = candidates.image, logits.shape[1]
        self.tried[rows[:, None], self.keys[:, :asked]] = True
        self.links.accept(rows, self.chain, self.place, self.problem.margin(rows, logits))


def hashed(cells: Tensor) -> Tensor:
    """A slot for every set of cells, shape (..., L) to (...), whatever the order of the L cells."""
    mixed = (cells + 1) * 6364136223846793005
    mixed = (mixed ^ (mixed >> 29)) * 2862933555777941757
    return (mixed ^ (mixed >> 32)).sum(-1) % _SLOTS
