"""Window arithmetic of a chain: how far the change of one pixel reaches at each stage, in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustkit.engine.chain_stages import Chain, Stage, UnsupportedChain

# A full forward pass uses a processor better than windows do; below this it is as fast.
_LEAST_SAVING = 3.0


@dataclass(frozen=True)
class Axis:
    """One stage along one axis. Positions count from the first pixel of the true map and may be negative.

    A change of `reach` positions from `start` on changes `reach + kernel - 1` outputs of the convolution, the first of
    which is `start + shift`. Widened to whole pooling cells, these are at most `cells` cells.

    Attributes:
        size: Positions of the stage's input.
        out: Cells of its output, which are the next stage's positions.
        kernel: Size of the convolution.
        padding: Zeros on either side.
        pool: Positions of a pooling cell.
        reach: Positions of the changed window of the input.
        cells: Cells of the changed window of the output.
        margin: Cells that windows reach before the first true cell.
        total: Cells with the margins on both sides.
    """

    size: int
    out: int
    kernel: int
    padding: int
    pool: int
    reach: int
    cells: int
    margin: int
    total: int

    @property
    def shift(self) -> int:
        """From the first changed position to the first changed output of the convolution."""
        return self.padding - self.kernel + 1

    @property
    def changed(self) -> int:
        """Outputs of the convolution that change."""
        return self.reach + self.kernel - 1

    @property
    def frame(self) -> int:
        """Outputs of the convolution in the window widened to whole pooling cells."""
        return self.cells * self.pool


@dataclass(frozen=True)
class StagePlan:
    """One stage: its two axes, its channels, and what it costs.

    Attributes:
        y: Along the rows.
        x: Along the columns.
        channels_in: Channels of the input.
        channels: Channels of the output.
    """

    y: Axis
    x: Axis
    channels_in: int
    channels: int

    @property
    def cost(self) -> int:
        """Multiplications of the changed window."""
        taps = self.y.kernel * self.x.kernel * self.channels_in * self.channels
        return self.y.reach * self.x.reach * taps

    @property
    def full_cost(self) -> int:
        """Multiplications of the whole map."""
        taps = self.y.kernel * self.x.kernel * self.channels_in * self.channels
        return self.y.out * self.y.pool * self.x.out * self.x.pool * taps

    @property
    def cached(self) -> int:
        """Numbers kept of a clean image: every convolution output, and every pooled one."""
        cells = self.y.total * self.x.total * self.channels
        return cells * self.y.pool * self.x.pool + cells


def make_plan(chain: Chain, size: tuple[int, int]) -> tuple[StagePlan, ...]:
    """The window arithmetic of every stage.

    Args:
        chain: The chain.
        size: Height and width of the input images.

    Raises:
        UnsupportedChain: If a feature map shrinks to nothing.
    """
    plan: list[StagePlan] = []
    rows, columns = _axis(chain.stages, size, 0), _axis(chain.stages, size, 1)
    for stage, y, x in zip(chain.stages, rows, columns, strict=True):
        plan.append(StagePlan(y, x, stage.weight.shape[1], stage.weight.shape[0]))
    return tuple(plan)


def check_saving(plan: Sequence[StagePlan]) -> None:
    """Makes sure that following windows pays.

    Raises:
        UnsupportedChain: If they cover so much of the maps that little is saved.
    """
    saving = sum(stage.full_cost for stage in plan) / sum(stage.cost for stage in plan)
    if saving < _LEAST_SAVING:
        raise UnsupportedChain(
            f"a pixel changes so much of the feature maps that only {saving:.1f}x of the work is saved"
        )


def _axis(stages: Sequence[Stage], size: tuple[int, int], axis: int) -> list[Axis]:
    result: list[Axis] = []
    first, last, reach = 0, size[axis] - 1, 1
    for stage in stages:
        kernel, padding, pool = stage.kernel[axis], stage.padding[axis], stage.window[axis]
        out = stage.output_size(size)[axis]
        cells = (reach + kernel - 1 + 2 * (pool - 1)) // pool  # at the worst alignment
        start = padding - kernel + 1
        first_cell, last_cell = (first + start) // pool, (last + start) // pool
        margin = max(0, -first_cell)
        total = margin + max(out, last_cell + cells)
        result.append(Axis(size[axis], out, kernel, padding, pool, reach, cells, margin, total))
        size, first, last, reach = stage.output_size(size), first_cell, last_cell, cells
    return result
