"""What a chain is: convolution stages in a straight line, then layers on a flat vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robustkit.errors import InputError


class UnsupportedChain(InputError):
    """The network is no chain that can be followed; the message says why, in words."""


@dataclass(frozen=True, eq=False)
class Affine:
    """x * scale + shift, one pair per channel, shape (C,); channels last."""

    scale: Tensor
    shift: Tensor

    @property
    def monotone(self) -> bool:
        """Whether a larger input never gives a smaller output, in every channel."""
        return bool((self.scale >= 0).all())

    def __call__(self, x: Tensor) -> Tensor:
        """The map of x, shape (..., C)."""
        return x * self.scale + self.shift


@dataclass(frozen=True, eq=False)
class Activation:
    """An element-wise function that leaves its input alone.

    Attributes:
        function: The function.
        monotone: Whether a larger input never gives a smaller output.
        code: The function as data: ("leaky", slope) is max(x, slope x), ("clamp", low, high); `None` if neither.
    """

    function: Callable[[Tensor], Tensor]
    monotone: bool
    code: tuple[Any, ...] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The function of every number of x."""
        return self.function(x)


Pointwise = Affine | Activation


@dataclass(frozen=True, eq=False)
class Stage:
    """One convolution of stride 1 and what follows it up to the next: `after(pool(before(convolution)))`.

    Attributes:
        weight: Shape (C_out, C_in, kernel height, kernel width).
        bias: Shape (C_out,).
        padding: Zeros above and below, left and right.
        before: Element-wise functions before the pool.
        pool: `max`, `mean` or `none`.
        window: Height and width of a pooling cell, which is also its stride; (1, 1) without a pool.
        after: Element-wise functions after the pool.
    """

    weight: Tensor
    bias: Tensor
    padding: tuple[int, int]
    before: tuple[Pointwise, ...] = ()
    pool: Literal["max", "mean", "none"] = "none"
    window: tuple[int, int] = (1, 1)
    after: tuple[Pointwise, ...] = ()

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return self.weight.shape[2], self.weight.shape[3]

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width after the stage; pools drop what does not fill a cell.

        Raises:
            UnsupportedChain: If nothing is left.
        """
        height, width = (
            (n + 2 * p - k + 1) // m for n, p, k, m in zip(size, self.padding, self.kernel, self.window, strict=True)
        )
        if min(height, width) < 1:
            raise UnsupportedChain("the feature map shrinks to nothing")
        return height, width

    def finish(self, cells: Tensor) -> Tensor:
        """What follows the convolution, on its outputs by pooling cell.

        Args:
            cells: Shape (R, pool height x pool width, C).

        Returns:
            Shape (R, C).
        """
        for function in self.before:
            cells = function(cells)
        cells = cells.mean(1) if self.pool == "mean" else _maximum(cells)
        for function in self.after:
            cells = function(cells)
        return cells

    def simplified(self) -> Stage:
        """The same with batch norms folded into the convolution, and monotone functions moved behind a max pool."""
        stage = self
        while stage.before and isinstance(function := stage.before[0], Affine):
            weight = stage.weight * function.scale[:, None, None, None]
            bias = stage.bias * function.scale + function.shift
            stage = replace(stage, weight=weight, bias=bias, before=stage.before[1:])
        if stage.pool == "none" or (stage.pool == "max" and all(function.monotone for function in stage.before)):
            stage = replace(stage, before=(), after=(*stage.before, *stage.after))
        return stage


def _maximum(cells: Tensor) -> Tensor:
    """The maximum over axis 1, shape (R, n, C) to (R, C), by halves that may overlap: faster than a short reduction."""
    n = cells.shape[1]
    half = (n + 1) // 2
    return cells[:, 0] if n == 1 else _maximum(torch.maximum(cells[:, :half], cells[:, n - half :]))


@dataclass(frozen=True, eq=False)
class Chain:
    """A whole network as convolution stages, one affine map of the last feature map, and the layers after it.

    Attributes:
        stages: The convolutions, first to last.
        weight: The affine map of the flattened last feature map, shape (D, C x H x W).
        bias: Shape (D,).
        rest: From (M, D) to the network's scores, each row by itself.
    """

    stages: tuple[Stage, ...]
    weight: Tensor
    bias: Tensor
    rest: nn.Sequential

    def map(self, function: Callable[[Tensor], Tensor]) -> Chain:
        """The same with every array replaced by `function` of it, but for `rest`."""

        def mapped(functions: tuple[Pointwise, ...]) -> tuple[Pointwise, ...]:
            return tuple(
                Affine(function(f.scale), function(f.shift)) if isinstance(f, Affine) else f for f in functions
            )

        stages = tuple(
            replace(
                stage,
                weight=function(stage.weight),
                bias=function(stage.bias),
                before=mapped(stage.before),
                after=mapped(stage.after),
            )
            for stage in self.stages
        )
        return replace(self, stages=stages, weight=function(self.weight), bias=function(self.bias))
