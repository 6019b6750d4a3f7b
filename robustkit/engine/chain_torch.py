"""Candidates through a chain in PyTorch: only the changed window of every map, as dense matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from robustkit.engine.chain_cache import CleanCache
from robustkit.engine.chain_plan import StagePlan
from robustkit.engine.chain_stages import Chain, Stage, UnsupportedChain

# Rows of one product. On a CPU a window of them stays in the second-level cache: larger ones are twice as slow.
_CPU_ROWS_PER_THREAD = 256
_CUDA_ROWS = 1 << 14

# Numbers in the matrices of one stage, above which another way is better.
_MOST_MATRIX = 1 << 26


class TorchChain:
    """Scores changed pixels with PyTorch operations, on any device.

    The change of the window times the convolution, as one dense matrix per alignment of the window to the pooling
    grid, is added to the clean outputs there; what the rest of the stage makes of it, less what it made of the clean
    outputs, is the next stage's change.

    Args:
        chain: The chain in float32, on the device.
        plan: Its window arithmetic.

    Raises:
        UnsupportedChain: If the windows are so large that their matrices would not fit.
    """

    def __init__(self, chain: Chain, plan: Sequence[StagePlan]) -> None:
        for at in plan:
            entries = at.y.reach * at.x.reach * at.channels_in * at.y.frame * at.x.frame * at.channels
            if entries * at.y.pool * at.x.pool > _MOST_MATRIX:
                raise UnsupportedChain("one pixel changes windows too large for the fast path")
        self.chain, self.plan = chain, plan
        device = chain.weight.device
        self._matrices = [_matrices(stage, at) for stage, at in zip(chain.stages, plan, strict=True)]
        self._offsets = [_offsets(at).to(device) for at in plan]
        self._head = head_by_cell(chain, plan[-1])

    @torch.inference_mode()
    def __call__(self, cache: CleanCache, image: Tensor, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
        """The affine map of the last feature map, for one changed pixel each.

        Args:
            cache: Clean activations.
            image: Which image of the cache, shape (M,), int64.
            row: Shape (M,).
            column: Shape (M,).
            value: The new pixel, shape (M, C).

        Returns:
            Shape (M, D).
        """
        change = value - cache.images[image, :, row, column]
        state = torch.stack([torch.arange(len(image), device=image.device), image, row, column])
        for number, (stage, at) in enumerate(zip(self.chain.stages, self.plan, strict=True)):
            y, x = state[2] + at.y.shift, state[3] + at.x.shift
            state = torch.stack([state[0], state[1], y // at.y.pool, x // at.x.pool])
            alignment = (y - state[2] * at.y.pool) * at.x.pool + x - state[3] * at.x.pool
            order, sizes = _grouped(alignment, at.y.pool * at.x.pool)
            state, change = state[:, order], change[order]
            cell = (state[1] * at.y.total + state[2] + at.y.margin) * at.x.total + state[3] + at.x.margin
            change = self._stage(number, stage, at, cache, change, cell, sizes)
        return self._head_update(cache, state, change)

    def _stage(
        self,
        number: int,
        stage: Stage,
        at: StagePlan,
        cache: CleanCache,
        change: Tensor,
        cell: Tensor,
        sizes: list[int],
    ) -> Tensor:
        """The next change, shape (M, rows x columns x C), of windows grouped by alignment."""
        before = cache.before[number].flatten(0, 2).flatten(1)  # (cells, positions x C)
        after = cache.after[number].flatten(0, 2)  # (cells, C)
        cells, positions = at.y.cells * at.x.cells, at.y.pool * at.x.pool
        result = change.new_empty(len(change), cells * at.channels)
        for group, start, stop in _blocks(sizes, change.device):
            index = (cell[start:stop, None] + self._offsets[number]).flatten()
            window = before.index_select(0, index)
            window.view(stop - start, -1).addmm_(change[start:stop], self._matrices[number][group])
            finished = stage.finish(window.view(-1, positions, at.channels))
            torch.sub(finished, after.index_select(0, index), out=result[start:stop].view(-1, at.channels))
        return result

    def _head_update(self, cache: CleanCache, state: Tensor, change: Tensor) -> Tensor:
        """Adds the change times the columns that it meets, grouped by where the window lies."""
        at = self.plan[-1]
        where = (state[2] + at.y.margin) * at.x.total + state[3] + at.x.margin
        order, sizes = _grouped(where, at.y.total * at.x.total)
        change = change[order]
        result = cache.head[state[1, order]]
        start = 0
        for place, size in enumerate(sizes):
            if size:
                y, x = divmod(place, at.x.total)
                columns = self._head[y : y + at.y.cells, x : x + at.x.cells].reshape(change.shape[1], -1)
                result[start : start + size].addmm_(change[start : start + size], columns)
                start += size
        unsorted = torch.empty_like(result)
        unsorted[state[0, order]] = result
        return unsorted


def head_by_cell(chain: Chain, at: StagePlan) -> Tensor:
    """The affine map's columns by cell of the last map, with margins of zeros: shape (rows, columns, C, D)."""
    weight = chain.weight.view(-1, at.channels, at.y.out, at.x.out)
    result = weight.new_zeros(at.y.total, at.x.total, at.channels, len(weight))
    inside = result[at.y.margin : at.y.margin + at.y.out, at.x.margin : at.x.margin + at.x.out]
    inside.copy_(weight.permute(2, 3, 1, 0))
    return result


def _matrices(stage: Stage, at: StagePlan) -> Tensor:
    """The convolution of a window as a matrix per alignment.

    Returns:
        Shape (alignments, rows x columns x C_in, cells x positions x C_out).
    """
    n = at.y.reach * at.x.reach * at.channels_in
    impulses = torch.eye(n, device=stage.weight.device).view(n, at.y.reach, at.x.reach, at.channels_in)
    full = (at.y.kernel - 1, at.x.kernel - 1)
    answers = F.conv2d(impulses.permute(0, 3, 1, 2), stage.weight, padding=full)  # (n, C_out, changed, changed)
    result: list[Tensor] = []
    for top in range(at.y.pool):
        for left in range(at.x.pool):
            bottom, right = at.y.frame - at.y.changed - top, at.x.frame - at.x.changed - left
            framed = F.pad(answers, (left, right, top, bottom))
            cells = framed.view(n, at.channels, at.y.cells, at.y.pool, at.x.cells, at.x.pool)
            result.append(cells.permute(0, 2, 4, 3, 5, 1).reshape(n, -1))
    return torch.stack(result)


def _offsets(at: StagePlan) -> Tensor:
    """From the first cell of a window to each of its cells, in a map of rows x columns cells."""
    return (torch.arange(at.y.cells)[:, None] * at.x.total + torch.arange(at.x.cells)).flatten()


def _grouped(key: Tensor, n: int) -> tuple[Tensor, list[int]]:
    """The order that sorts small whole numbers, and how many there are of each of 0..n-1."""
    if n == 1:
        return torch.arange(len(key), device=key.device), [len(key)]
    return key.argsort(stable=True), torch.bincount(key, minlength=n).tolist()


def _blocks(sizes: list[int], device: torch.device) -> Iterator[tuple[int, int, int]]:
    """(group, start, stop) of blocks of rows that lie in one group."""
    rows = _CUDA_ROWS if device.type == "cuda" else _CPU_ROWS_PER_THREAD * torch.get_num_threads()
    start = 0
    for group, size in enumerate(sizes):
        for first in range(start, start + size, rows):
            yield group, first, min(first + rows, start + size)
        start += size
