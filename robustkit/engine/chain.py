"""Chains: networks that are convolution stages in a straight line and then an affine map, with their window arithmetic.

A stage is a convolution of stride 1 and what follows it up to the next. Along each axis one changed pixel reaches a
window of fixed size whose place is a whole number computed from the pixel's, so that compiled code can follow it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from robustkit.engine.dense import GlobalMean, flattens, read_mean
from robustkit.engine.graph import layer, layer_of
from robustkit.engine.pointwise import called_name
from robustkit.engine.sliding import Sliding, arguments, read_sliding
from robustkit.engine.windows import Box, Slide
from robustkit.errors import InputError

# By how much fewer multiplications windows must do with to be worth their overhead.
_LEAST_SAVING = 1.5

_NOTHING = {"contiguous", "float", "clone", "dropout"}
_FUNCTIONS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "relu": (nn.ReLU, ()),
    "relu6": (nn.ReLU6, ()),
    "leaky_relu": (nn.LeakyReLU, ("negative_slope",)),
    "hardtanh": (nn.Hardtanh, ("min_val", "max_val")),
}


class UnsupportedChain(InputError):
    """The network is not a chain that compiled code can follow; the message says why."""


@dataclass(frozen=True, eq=False)
class Affine:
    """x * scale + shift, one pair per channel, shape (C,)."""

    scale: Tensor
    shift: Tensor


# An element-wise function: ("leaky", slope) is max(x, slope x), ("clamp", low, high), or an affine map.
Pointwise = Affine | tuple[Any, ...]


@dataclass(frozen=True)
class Axis:
    """One stage along one axis. Positions count from the first pixel of the true map and may be negative.

    A change of `reach` positions from `start` on changes `reach + kernel - 1` outputs of the convolution, the first of
    which is `start + shift`. Widened to whole pooling cells, these are at most `cells` cells.

    Attributes:
        out: Cells of the stage's output, which are the next stage's positions.
        kernel: Size of the convolution.
        padding: Zeros before the first position.
        pool: Positions of a pooling cell.
        reach: Positions of the changed window of the input.
        cells: Cells of the changed window of the output.
        margin: Cells that windows reach before the first true cell.
        total: Cells with the margins on both sides.
    """

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


@dataclass(frozen=True, eq=False)
class ConvStage:
    """One convolution and what follows it: `after(pool(before(convolution)))`.

    Attributes:
        node: The convolution in the graph.
        slides: How it slides, down and across.
        weight: Shape (C_out, C_in, kernel height, kernel width).
        before: Element-wise functions before the pool.
        pool: `max`, `mean` or `none`.
        window: Height and width of a pooling cell, which is also its stride; (1, 1) without a pool.
        after: Element-wise functions after the pool.
    """

    node: fx.Node
    slides: tuple[Slide, Slide]
    weight: Tensor
    before: tuple[Pointwise, ...] = ()
    pool: Literal["max", "mean", "none"] = "none"
    window: tuple[int, int] = (1, 1)
    after: tuple[Pointwise, ...] = ()

    @property
    def out(self) -> tuple[int, int]:
        """Height and width after the pool, which drops what does not fill a cell."""
        height, width = self.node.meta["shape"][2:]
        return height // self.window[0], width // self.window[1]

    def followed_by(self, function: Pointwise) -> ConvStage:
        """The stage with one more function."""
        if self.pool == "none":
            return replace(self, before=(*self.before, function))
        return replace(self, after=(*self.after, function))

    def simplified(self) -> ConvStage:
        """The same with functions that never decrease moved behind a max pool, where there are fewer numbers."""
        increasing = all(not isinstance(f, Affine) or bool((f.scale >= 0).all()) for f in self.before)
        if self.pool == "none" or (self.pool == "max" and increasing):
            return replace(self, before=(), after=(*self.before, *self.after))
        return self


@dataclass(frozen=True, eq=False)
class Chain:
    """A whole network as stages, one affine map of the last feature map, and the layers after it.

    Attributes:
        stages: The stages, first to last.
        axes: Window arithmetic of each stage, down and across.
        weight: The affine map of the flattened last feature map without its constant, shape (D, C x H x W).
        ending: The node whose clean output is the affine map's.
        full_work: Multiplications of all convolutions for one image.
    """

    stages: tuple[ConvStage, ...]
    axes: tuple[tuple[Axis, Axis], ...]
    weight: Tensor
    ending: fx.Node
    full_work: float


def read_chain(graph_module: fx.GraphModule, *, box: Box = (1, 1), least_saving: float = _LEAST_SAVING) -> Chain:
    """Reads the chain that a traced network is.

    Args:
        graph_module: The network, as `trace` gives it.
        box: Height and width of the changed box of pixels.
        least_saving: By how much fewer multiplications windows must do with.

    Raises:
        UnsupportedChain: If it is anything else, or windows save too little; the message says what stands in the way.
    """
    line = _straight_line(graph_module)
    stages: list[ConvStage] = []
    flat = False
    for node in line:
        mean = read_mean(node)
        if not stages:
            stages.append(_convolution(node))
        elif flat and (dense := layer_of(node, nn.Linear)) is not None:
            return _chain(stages, node, dense.weight.cpu().double(), box, least_saving)
        elif mean is not None:
            return _chain(stages, *_averaged(node, mean), box, least_saving)
        elif flattens(node):
            flat = True
        elif called_name(node) in _NOTHING:
            continue
        elif (function := pointwise(node)) is not None and not (flat and isinstance(function, Affine)):
            stages[-1] = stages[-1].followed_by(function)  # the same before and after the flattening
        elif flat:
            raise UnsupportedChain(f"no linear layer follows the flattened feature map, but {_words(node)}")
        else:
            stages = _with_sliding(stages, node)
    raise UnsupportedChain("the feature map is never flattened")


def _straight_line(graph_module: fx.GraphModule) -> list[fx.Node]:
    """The operations after the images, each of which reads the one before."""
    nodes = [node for node in graph_module.graph.nodes if node.op != "output" and node.meta["varies"]]
    for before, node in itertools.pairwise(nodes):
        if [source for source in node.all_input_nodes if source.meta["varies"]] != [before]:
            raise UnsupportedChain(f"{_words(node)} does not read the layer before it alone")
        module = layer(node)
        if module is not None and (module._forward_hooks or module._forward_pre_hooks):  # pyright: ignore[reportPrivateUsage] no other way to ask
            raise UnsupportedChain(f"{_words(node)} has a hook")
    return nodes[1:]


def _convolution(node: fx.Node) -> ConvStage:
    sliding = read_sliding(node)
    if flattens(node):
        raise UnsupportedChain("a Flatten comes before the first convolution")
    if sliding is None or sliding.weight is None:
        raise UnsupportedChain(f"{_words(node)} comes before the first convolution, or is one that is not followed")
    down, across = sliding.slides
    for name in ("stride", "dilation"):
        if (sizes := (getattr(down, name), getattr(across, name))) != (1, 1):
            raise UnsupportedChain(f"a convolution has {name} {sizes}, not (1, 1)")
    if (groups := sliding.source.meta["shape"][1] // sliding.weight.shape[1]) != 1:
        raise UnsupportedChain(f"a convolution has groups {groups}, not 1")
    return ConvStage(node, sliding.slides, sliding.weight)


def _with_sliding(stages: list[ConvStage], node: fx.Node) -> list[ConvStage]:
    """The stages with one more, or with a pool in the last."""
    sliding = read_sliding(node)
    if sliding is None or (sliding.weight is None and sliding.pool is None):
        raise UnsupportedChain(f"{_words(node)} is not a layer of a chain")
    if sliding.pool is None:
        return [*stages, _convolution(node)]
    return [*stages[:-1], _pooled(stages[-1], node, sliding)]


def _pooled(stage: ConvStage, node: fx.Node, sliding: Sliding) -> ConvStage:
    assert sliding.pool is not None
    if stage.pool != "none":
        raise UnsupportedChain("two pools follow each other")
    window, stride, padding, dilation = (
        tuple(getattr(slide, name) for slide in sliding.slides) for name in ("kernel", "stride", "padding", "dilation")
    )
    pooled = replace(stage, pool=sliding.pool, window=window)
    ceil_mode = pooled.out != tuple(node.meta["shape"][2:])
    if stride != window or padding != (0, 0) or dilation != (1, 1) or ceil_mode:
        raise UnsupportedChain(
            f"a pool has window {window}, stride {stride}, padding {padding}, dilation {dilation}, ceil_mode "
            f"{ceil_mode}; its cells must lie side by side and inside the map"
        )
    if sliding.scale is not None and not torch.allclose(sliding.scale * window[0] * window[1], torch.ones(())):
        raise UnsupportedChain("an average pool divides by another number than that of its cells")
    return pooled


def pointwise(node: fx.Node) -> Pointwise | None:
    """A layer or function that is piecewise linear in each number."""
    module = layer(node)
    kind, names = _FUNCTIONS.get(called_name(node) or "", (None, ()))
    if kind is not None:
        given = arguments(node, ("input", *names, "inplace"))
        if given is None:
            return None
        module = kind(**{name: given[name] for name in names if name in given})
    if type(module) is nn.ReLU:
        return ("clamp", 0.0, float("inf"))
    if type(module) is nn.LeakyReLU and 0 <= module.negative_slope <= 1:
        return ("leaky", float(module.negative_slope))
    if type(module) in (nn.Hardtanh, nn.ReLU6):
        return ("clamp", float(module.min_val), float(module.max_val))  # pyright: ignore[reportOptionalMemberAccess, reportArgumentType]
    if type(module) is nn.BatchNorm2d and module.running_mean is not None and module.running_var is not None:
        scale = (module.running_var.cpu().double() + module.eps).rsqrt()
        scale = scale if module.weight is None else scale * module.weight.cpu().double()
        shift = -module.running_mean.cpu().double() * scale
        return Affine(scale, shift if module.bias is None else shift + module.bias.cpu().double())
    return None


def _averaged(node: fx.Node, ending: GlobalMean) -> tuple[fx.Node, Tensor]:
    """The mean over the map as an affine map, and together with the dense layer after it where that is narrower."""
    channels = ending.source.meta["shape"][1]
    spread = torch.eye(channels, dtype=torch.float64).repeat_interleave(ending.area, 1) / ending.area
    after = next(iter(node.users))
    while len(after.users) == 1 and (flattens(after) or called_name(after) in _NOTHING):
        after = next(iter(after.users))
    dense = layer_of(after, nn.Linear) if len(node.users) == 1 else None
    if dense is None or len(dense.weight) > channels:
        return node, spread
    return after, dense.weight.cpu().double() @ spread


def _chain(stages: Sequence[ConvStage], ending: fx.Node, weight: Tensor, box: Box, least_saving: float) -> Chain:
    stages = tuple(stage.simplified() for stage in stages)
    axes = tuple(zip(_axes(stages, 0, box[0]), _axes(stages, 1, box[1]), strict=True))
    taps = [float(stage.weight.numel()) for stage in stages]
    full = [n * y.out * y.pool * x.out * x.pool for n, (y, x) in zip(taps, axes, strict=True)]
    saving = sum(full) / sum(n * y.reach * x.reach for n, (y, x) in zip(taps, axes, strict=True))
    if saving < least_saving:
        raise UnsupportedChain(
            f"a pixel changes so much of the feature maps that only {saving:.1f}x of the work is saved"
        )
    return Chain(stages, axes, weight, ending, sum(full))


def _axes(stages: Sequence[ConvStage], axis: int, box: int) -> list[Axis]:
    axes: list[Axis] = []
    first, last, reach = 0, stages[0].node.all_input_nodes[0].meta["shape"][2 + axis] - box, box
    for stage in stages:
        slide, pool, out = stage.slides[axis], stage.window[axis], stage.out[axis]
        cells = (reach + slide.kernel - 1 + 2 * (pool - 1)) // pool  # at the worst alignment
        start = slide.padding - slide.kernel + 1
        first, last = (first + start) // pool, (last + start) // pool
        margin = max(0, -first)
        total = margin + max(out, last + cells)
        axes.append(Axis(out, slide.kernel, slide.padding, pool, reach, cells, margin, total))
        reach = cells
    return axes


def _words(node: fx.Node) -> str:
    module = layer(node)
    return f"operation {node.name}" if module is None else f"layer {node.target} ({module})"
