"""Where windows end in a vector: the first dense layer and the global mean, as updates of their clean output."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from robustkit.engine.graph import layer, layer_of
from robustkit.engine.sliding import arguments
from robustkit.engine.windows import Place, Where

# In multiplications of a large matrix product: what a cell copied from memory costs, and one more small product.
_COPY = 10
_PRODUCT = 1_000_000

Change = Callable[[Tensor, Where], Tensor]


class Ending(Protocol):
    """A linear layer that sums over whole maps, so that a change in a window is a change of its output.

    Attributes:
        source: The maps that are read, flattened between or not.
        work: Multiplications for one changed cell.
    """

    source: fx.Node
    work: float

    def at(self, places: tuple[Place, Place], device: torch.device) -> Change:
        """From the change of windows at these places, (B, h, w, C), and the candidates, to that of the output."""
        ...


def read_ending(node: fx.Node) -> Ending | None:
    """The ending that a node is, or None."""
    return read_mean(node) or _read_dense(node)


def flattens(node: fx.Node) -> bool:
    """Whether a node lays maps (N, C, H, W) out as (N, C x H x W)."""
    if type(layer(node)) is not nn.Flatten and node.target is not torch.flatten:
        return False
    before, after = node.all_input_nodes[0].meta["shape"], node.meta["shape"]
    return len(before) == 4 and after == (before[0], math.prod(before[1:]))


class GlobalMean:
    """The mean over each channel of a map, by whatever layer."""

    def __init__(self, source: fx.Node, shape: tuple[int, ...]) -> None:
        self.source = source
        self.shape = shape
        _, channels, height, width = source.meta["shape"]
        self.area = height * width
        self.work = float(channels)

    def at(self, places: tuple[Place, Place], device: torch.device) -> Change:
        """The change of the sum over the area."""
        return lambda cells, where: (cells.sum((1, 2)) / self.area).view(len(cells), *self.shape)


class WindowProduct:
    """Windows of maps times the weights of a dense layer that they meet, in the cheapest of three ways.

    Args:
        by_cell: The weights of each cell, shape (H, W, C, outputs).
    """

    def __init__(self, by_cell: Tensor) -> None:
        self.by_cell = by_cell
        self.height, self.width, self.channels, self.outputs = by_cell.shape

    def __call__(self, cells: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The products.

        Args:
            cells: Shape (B, h, w, C).
            row: First row of each window, shape (B,).
            column: First column, shape (B,).

        Returns:
            Shape (B, outputs).
        """
        n, h, w, _ = cells.shape
        positions = (self.height - h + 1) * (self.width - w + 1)
        product = h * w * self.channels * self.outputs
        costs = {
            self._gathered: n * product * _COPY,
            self._scattered: n * self.by_cell[..., 0].numel() * (self.outputs + _COPY),
        }
        if cells.device.type == "cpu":  # elsewhere the size of the groups would have to be waited for
            costs[self._grouped] = n * product + _PRODUCT * min(n, positions)
        return min(costs, key=costs.__getitem__)(cells, row, column)

    def _gathered(self, cells: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Each candidate with its own copy of the weights that it needs."""
        n, h, w, c = cells.shape
        weights = self.by_cell.view(self.height * self.width, -1).index_select(0, self._index(cells, row, column))
        return torch.bmm(cells.reshape(n, 1, h * w * c), weights.view(n, h * w * c, self.outputs)).squeeze(1)

    def _scattered(self, cells: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """One product of whole maps that are 0 where nothing changed."""
        n, h, w, c = cells.shape
        maps = cells.new_zeros(n * self.height * self.width, c)
        first = torch.arange(n, device=cells.device).repeat_interleave(h * w) * (self.height * self.width)
        maps.index_copy_(0, first + self._index(cells, row, column), cells.reshape(-1, c))
        return maps.view(n, -1) @ self.by_cell.view(-1, self.outputs)

    def _grouped(self, cells: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """One product for all candidates whose windows lie at the same place."""
        n, h, w, c = cells.shape
        place, order = torch.sort(row * self.width + column)
        places, counts = torch.unique_consecutive(place, return_counts=True)
        ordered = cells.reshape(n, h * w * c)[order]
        parts = []
        for group, at in zip(ordered.split(counts.tolist()), places.tolist(), strict=True):
            top, left = divmod(at, self.width)
            weights = self.by_cell[top : top + h, left : left + w].reshape(h * w * c, self.outputs)
            parts.append(group @ weights)
        change = torch.empty(n, self.outputs, device=cells.device)
        change[order] = torch.cat(parts)
        return change

    def _index(self, cells: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The number of each window cell in the map, shape (B x h x w,)."""
        rows = row[:, None] + torch.arange(cells.shape[1], device=cells.device)
        columns = column[:, None] + torch.arange(cells.shape[2], device=cells.device)
        return (rows[:, :, None] * self.width + columns[:, None, :]).flatten()


class Dense:
    """A dense layer on flattened maps.

    Args:
        source: The maps.
        weight: Shape (outputs, C x H x W).
    """

    def __init__(self, source: fx.Node, weight: Tensor) -> None:
        self.source = source
        by_map = weight.view(-1, *source.meta["shape"][1:])
        self.product = WindowProduct(by_map.permute(2, 3, 1, 0).contiguous())
        self.work = float(self.product.channels * self.product.outputs)

    def at(self, places: tuple[Place, Place], device: torch.device) -> Change:
        """The change times the weights of its cells."""
        rows, columns = (torch.from_numpy(place.start).to(device) for place in places)
        return lambda cells, where: self.product(cells, rows[where.row], columns[where.column])


def read_mean(node: fx.Node) -> GlobalMean | None:
    """The global mean that a node is, or None."""
    if len(node.all_input_nodes) != 1:
        return None
    source = node.all_input_nodes[0]
    before, after = source.meta["shape"], node.meta["shape"]
    if before is None or len(before) != 4 or after not in (before[:2], (*before[:2], 1, 1)):
        return None
    pool = layer_of(node, nn.AvgPool2d)
    if node.target in ("mean", torch.mean):
        given = arguments(node, ("input", "dim", "keepdim"), keepdim=False)
        dims = given.get("dim") if given is not None else None
        known = isinstance(dims, (list, tuple)) and {d % 4 for d in dims} == {2, 3}
    elif pool is not None:
        known = _covers(before[2:], pool.kernel_size, pool.padding, pool.divisor_override)
    elif node.target is functional.avg_pool2d:
        names = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
        given = arguments(node, names, padding=0, divisor_override=None)
        known = given is not None and _covers(
            before[2:], given["kernel_size"], given["padding"], given["divisor_override"]
        )
    else:
        known = type(layer(node)) is nn.AdaptiveAvgPool2d or node.target is functional.adaptive_avg_pool2d
    return GlobalMean(source, tuple(after[1:])) if known else None


def _covers(size: tuple[int, int], kernel: Any, padding: Any, divisor: int | None) -> bool:
    """Whether an average pool with one output cell is the mean of the map."""
    kernel = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
    return kernel == tuple(size) and padding in (0, (0, 0), [0, 0]) and divisor is None


def _read_dense(node: fx.Node) -> Dense | None:
    module = layer_of(node, nn.Linear)
    if module is not None:
        flat, weight = node.all_input_nodes[0], module.weight
    elif node.target is functional.linear:
        given = arguments(node, ("input", "weight", "bias"), bias=None)
        if given is None or not isinstance(given["weight"], Tensor) or isinstance(given["bias"], fx.Node):
            return None
        flat, weight = given["input"], given["weight"]
    else:
        return None
    return Dense(flat.all_input_nodes[0], weight) if flattens(flat) else None
