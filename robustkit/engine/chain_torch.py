"""Candidates through a chain in PyTorch: only the changed window of every map, as dense matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from robustkit.engine.chain_cache import CleanCache
from robustkit.engine.chain_head import ChainHead, grouped
from robustkit.engine.chain_plan import StagePlan
from robustkit.engine.chain_stages import Chain, Stage

# Numbers in the windows that are worked on at a time: on a CPU, as many as the second-level cache holds.
_CPU_BLOCK = 300_000
_CUDA_BLOCK = 64_000_000

# Candidates that are worth a thread of their own.
_LEAST_PER_THREAD = 256

# Numbers in a stage's matrices; above, a convolution of each window is used in their place.
_MOST_MATRIX = 1 << 25


class TorchChain:
    """Scores changed pixels with PyTorch operations, on any device.

    The change of the window times the convolution, as one dense matrix per alignment of the window to the pooling
    grid, is added to the clean outputs there; what the rest of the stage makes of it, less what it made of the clean
    outputs, is the next stage's change.

    Args:
        chain: The chain in float32, on the device.
        plan: Its window arithmetic.
    """

    def __init__(self, chain: Chain, plan: Sequence[StagePlan]) -> None:
        self.chain, self.plan = chain, plan
        device = chain.weight.device
        self._matrices = [_matrices(stage, at) for stage, at in zip(chain.stages, plan, strict=True)]
        self._offsets = [_offsets(at).to(device) for at in plan]
        self._head = ChainHead(chain, plan[-1])

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
        threads = torch.get_num_threads() if image.device.type == "cpu" else 1
        workers = min(threads, -(-len(image) // _LEAST_PER_THREAD))
        if workers == 1:
            return self._score(cache, image, row, column, value)
        # Threads with candidates of their own need not wait for each other after every operation.
        parts = [part.tensor_split(workers) for part in (image, row, column, value)]
        try:
            with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return torch.cat(list(pool.map(partial(self._score, cache), *parts)))
        finally:
            torch.set_num_threads(threads)  # what the workers set is also what later threads begin with

    @torch.inference_mode()
    def _score(self, cache: CleanCache, image: Tensor, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
        change = value - cache.images[image, :, row, column]
        state = torch.stack([torch.arange(len(image), device=image.device), image, row, column])
        for number, (stage, at) in enumerate(zip(self.chain.stages, self.plan, strict=True)):
            y, x = state[2] + at.y.shift, state[3] + at.x.shift
            state = torch.stack([state[0], state[1], y // at.y.pool, x // at.x.pool])
            alignment = (y - state[2] * at.y.pool) * at.x.pool + x - state[3] * at.x.pool
            order, sizes = grouped(alignment, at.y.pool * at.x.pool)
            state, change = state[:, order], change[order]
            cell = (state[1] * at.y.total + state[2] + at.y.margin) * at.x.total + state[3] + at.x.margin
            change = self._stage(number, stage, at, cache, change, cell, sizes)
        order = state[0]
        result = change.new_empty(len(change), cache.head.shape[1])
        result[order] = self._head(cache.head[state[1]], state[2], state[3], change)
        return result

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
        cells, positions, matrices = at.y.cells * at.x.cells, at.y.pool * at.x.pool, self._matrices[number]
        result = change.new_empty(len(change), cells * at.channels)
        for group, start, stop in _blocks(sizes, cells * positions * at.channels, change.device):
            index = (cell[start:stop, None] + self._offsets[number]).flatten()
            window = before.index_select(0, index)
            if matrices is None:
                window.view(stop - start, -1).add_(_convolved(stage, at, change[start:stop], group))
            else:
                window.view(stop - start, -1).addmm_(change[start:stop], matrices[group])
            finished = stage.finish(window.view(-1, positions, at.channels))
            torch.sub(finished, after.index_select(0, index), out=result[start:stop].view(-1, at.channels))
        return result


def _matrices(stage: Stage, at: StagePlan) -> Tensor | None:
    """The convolution of a window as a matrix per alignment; `None` where they would be too large.

    Returns:
        Shape (alignments, rows x columns x C_in, cells x positions x C_out).
    """
    inputs, alignments = at.y.reach * at.x.reach * at.channels_in, at.y.pool * at.x.pool
    if inputs * at.y.frame * at.x.frame * at.channels * alignments > _MOST_MATRIX:
        return None
    impulses = torch.eye(inputs, device=stage.weight.device)
    return torch.stack([_convolved(stage, at, impulses, alignment) for alignment in range(alignments)])


def _convolved(stage: Stage, at: StagePlan, change: Tensor, alignment: int) -> Tensor:
    """The convolution of windows of one alignment, widened to whole pooling cells.

    Args:
        stage: The stage.
        at: Its window arithmetic.
        change: Shape (n, rows x columns x C_in).
        alignment: Row inside the first pooling cell where the change begins, times the cell's width, plus the column.

    Returns:
        Shape (n, cells x positions x C_out).
    """
    maps = change.view(-1, at.y.reach, at.x.reach, at.channels_in).permute(0, 3, 1, 2)
    answers = F.conv2d(maps, stage.weight, padding=(at.y.kernel - 1, at.x.kernel - 1))  # (n, C_out, changed, changed)
    top, left = divmod(alignment, at.x.pool)
    bottom, right = at.y.frame - at.y.changed - top, at.x.frame - at.x.changed - left
    framed = F.pad(answers, (left, right, top, bottom))
    cells = framed.reshape(len(change), at.channels, at.y.cells, at.y.pool, at.x.cells, at.x.pool)
    return cells.permute(0, 2, 4, 3, 5, 1).reshape(len(change), -1)


def _offsets(at: StagePlan) -> Tensor:
    """From the first cell of a window to each of its cells, in a map of rows x columns cells."""
    return (torch.arange(at.y.cells)[:, None] * at.x.total + torch.arange(at.x.cells)).flatten()


def _blocks(sizes: list[int], width: int, device: torch.device) -> Iterator[tuple[int, int, int]]:
    """(group, start, stop) of blocks of rows that lie in one group, for windows of `width` numbers a row."""
    block = _CPU_BLOCK if device.type == "cpu" else _CUDA_BLOCK
    rows = max(8, block // width)
    start = 0
    for group, size in enumerate(sizes):
        for first in range(start, start + size, rows):
            yield group, first, min(first + rows, start + size)
        start += size
