"""3x3 convolutions on small maps with many channels, by fewer multiplications: Winograd's way, as matrix products.

Output tiles of up to 4 x 4 cells take (4 + 2)^2 = 36 products of channels where the sum over 3 x 3 cells takes 144. On
a CPU all tiles of a batch together are a few large matrix products, which is where the gain comes from; on large maps
the transforms cost more than they save.

Source: Lavin & Gray 2016, doi:10.1109/CVPR.2016.435; the points of Barabasz et al. 2020, doi:10.1145/3412380, which
keep the rounding error near that of the sum itself.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from robustkit.engine.graph import layer_of

_POINTS = {1: (0, 1), 2: (0, 1, -1), 3: (0, 1, -1, 0.5), 4: (0, 1, -1, 0.5, -2)}
_LARGEST_TILE = 4
# Speeds relative to a direct convolution: of the products, and of the transforms. Below this share it is worth it.
_PRODUCT_COST, _TRANSFORM_COST, _WORTH = 1.5, 6.0, 0.8

Matrix = NDArray[np.float64]


class SmallMapConv(nn.Module):
    """A 3x3 convolution of stride 1 and padding 1, for maps of one size.

    Args:
        conv: The convolution; kept, for windows of the map.
        size: Height and width of the maps.
    """

    down: Tensor
    across: Tensor
    up_down: Tensor
    up_across: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv = conv
        self.size = size
        (down, kernel_down, up_down), (across, kernel_across, up_across) = (_transforms(length) for length in size)
        weight = conv.weight.double().numpy(force=True)
        weight = np.einsum("ri,ocij,sj->rsco", kernel_down, weight, kernel_across)
        for name, matrix in {"down": down, "across": across, "up_down": up_down, "up_across": up_across}.items():
            self.register_buffer(name, torch.from_numpy(matrix).float())
        self.register_buffer("weight", torch.from_numpy(weight).float().flatten(0, 1).contiguous())
        bias = conv.bias if conv.bias is not None else conv.weight.new_zeros(len(conv.weight))
        self.register_buffer("bias", bias.detach().clone())

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, O, H, W), laid out as (H, W, B, O), which the next of these reads at once."""
        (height, width), batch, channels = self.size, maps.shape[0], maps.shape[1]
        cells = maps.permute(2, 3, 0, 1).contiguous()  # (H, W, B, C)
        rows = self.down @ cells.view(height, -1)  # (R, W B C)
        tiles = self.across @ rows.view(-1, width, batch * channels)  # (R, S, B C)
        products = torch.bmm(tiles.view(len(self.weight), batch, channels), self.weight)  # (R S, B, O)
        outputs = products.shape[2]
        columns = self.up_across @ products.view(len(self.down), -1, batch * outputs)  # (R, W, B O)
        out = self.up_down @ columns.view(len(self.down), -1)  # (H, W B O)
        return out.view(height, width, batch, outputs).add_(self.bias).permute(2, 3, 0, 1)


def quicken(graph_module: fx.GraphModule) -> None:
    """Puts the convolutions of a traced network for which it pays on this way."""
    for node in graph_module.graph.nodes:
        conv = layer_of(node, nn.Conv2d)
        if conv is None or conv.weight.device.type != "cpu":
            continue
        size = node.meta["shape"][2:]
        if _fits(conv) and work(conv, size) < _WORTH * _direct(conv, size):
            name = f"small_{node.name}"
            graph_module.add_submodule(name, SmallMapConv(conv, size))
            node.target = name
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()


def work(conv: nn.Conv2d, size: tuple[int, int]) -> float:
    """What the convolution of one map costs this way, in multiplications of a direct one."""
    height, width = size
    r, s = (sum(tile + 2 for tile in _tiles(length)) for length in size)
    channels = conv.in_channels + conv.out_channels
    transforms = (r * height * width + r * s * width) * channels
    return _PRODUCT_COST * r * s * conv.in_channels * conv.out_channels + _TRANSFORM_COST * transforms


def _direct(conv: nn.Conv2d, size: tuple[int, int]) -> float:
    return float(size[0] * size[1] * conv.weight.numel())


def _fits(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.dilation, conv.groups, conv.padding_mode)
    return shape == ((3, 3), (1, 1), (1, 1), 1, "zeros") and conv.padding in ((1, 1), "same")


def _tiles(length: int) -> list[int]:
    """Tiles of nearly one size that cover so many cells."""
    count = -(-length // _LARGEST_TILE)
    return [length * (i + 1) // count - length * i // count for i in range(count)]


def _transforms(length: int) -> tuple[Matrix, Matrix, Matrix]:
    """Of maps, kernels and products, along one axis, for all tiles: (R, length), (R, 3) and (length, R)."""
    tiles = _tiles(length)
    total = sum(tile + 2 for tile in tiles)
    maps, kernels, products = np.zeros((total, length)), np.zeros((total, 3)), np.zeros((length, total))
    first, row = 0, 0
    for tile in tiles:
        inputs, kernel, outputs = _one_tile(tile)
        rows = slice(row, row + tile + 2)
        # A tile reads one cell before its first and one after its last; outside the map there are zeros.
        for cell in range(max(0, first - 1), min(length, first + tile + 1)):
            maps[rows, cell] = inputs[:, cell - first + 1]
        kernels[rows], products[first : first + tile, rows] = kernel, outputs
        first, row = first + tile, row + tile + 2
    return maps, kernels, products


def _one_tile(tile: int) -> tuple[Matrix, Matrix, Matrix]:
    """Of inputs, kernel and products for one tile: (n, n), (n, 3) and (tile, n) with n = tile + 2.

    The sum over a kernel is the transpose of a product of polynomials, which is taken at n - 1 points and at infinity.
    """
    points = np.array(_POINTS[tile], dtype=np.float64)
    n = tile + 2
    inputs, kernel, outputs = np.zeros((n, n)), np.zeros((n, 3)), np.zeros((tile, n))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        inputs[i, : n - 1] = polynomial.polyfromroots(others)
        kernel[i] = point ** np.arange(3) / np.prod(point - others)
        outputs[:, i] = point ** np.arange(tile)
    inputs[-1] = polynomial.polyfromroots(points)
    kernel[-1, 2] = outputs[-1, -1] = 1.0
    return inputs, kernel, outputs
