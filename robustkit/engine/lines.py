"""Every value of a pixel: a piecewise affine network followed exactly while a pixel moves along a straight line.

Between two breakpoints the logits are affine in the distance, so that the distances at which another class is ahead are
known, not sampled. Followed are chains of convolution stages and dense layers; see `robustkit.engine.chain`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from robustkit.engine.bends import Bend, apply, bends_of
from robustkit.engine.chain import Affine, Chain, ConvStage, Pointwise, UnsupportedChain, pointwise, read_chain
from robustkit.engine.dense import flattens
from robustkit.engine.graph import Untraceable, layer_of, subgraph, trace
from robustkit.engine.line_spans import Spans, spans_of
from robustkit.engine.pointwise import called_name
from robustkit.models import AuditedClassifier, Output

_MOST = 200_000  # breakpoints of a line
_ROOM = 1 << 14  # spans of the lines that a thread takes, to begin with
_LINES = 256  # lines that a thread takes at a time
_SHORTEST = 1 / 64  # the share of a line that is walked rather than halved again
_NOTHING = {"contiguous", "clone", "dropout"}
# How far the answer that was read may lie from the network's, relative to its largest.
_AGREEMENT = 1e-4

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Layer:
    """A linear layer and the units after it.

    Attributes:
        kind: Convolution, mean or dense, as the kernel numbers them.
        kernel: Its size; of a mean the cell, of a dense layer the map that it reads.
        padding: Zeros before the first row and column.
        pool: Positions of a unit.
        map_wide: Positions in a row of the map.
        out: Units down and across.
        channels: Of the input and of the output.
        weight: As the kernel wants it, flat.
        bends: What follows the largest of a unit's positions, one function per channel.
    """

    kind: int
    kernel: tuple[int, int]
    padding: tuple[int, int]
    pool: tuple[int, int]
    map_wide: int
    out: tuple[int, int]
    channels: tuple[int, int]
    weight: Floats
    bends: list[Bend]


class LineNetwork:
    """A network that can be followed along lines.

    Args:
        classifier: The classifier; its network is copied.
        images: Network input, shape (N, C, H, W), N at least 1.

    Attributes:
        classes: K.

    Raises:
        UnsupportedChain: If the network cannot be followed; the message says why.
        MissingExtra: If numba is not installed.
    """

    def __init__(self, classifier: AuditedClassifier, images: Tensor) -> None:
        from robustkit.engine import line_bounds, line_kernel, line_table

        self._walk, self._kernel, self._bounds = line_kernel, line_table, line_bounds
        try:
            graph = trace(classifier.module, images[:1], part=classifier.output.part)
        except Untraceable as error:
            raise UnsupportedChain(str(error)) from error
        self._chain = chain = read_chain(graph, least_saving=0.0)
        self._steps = _after(graph, chain.ending)
        self._last, self._constant = _affine_output(replace(classifier.output, part=None), _columns(graph))
        self.classes = len(self._last)
        self._layers = [layer for stage in chain.stages for layer in self._stage_layers(stage)]
        self._layers += self._dense_layers(chain)
        start, nodes = next(iter(graph.graph.nodes)), [*(stage.node for stage in chain.stages), chain.ending]
        self._forward = copy.deepcopy(subgraph(graph, [start], tuple(nodes))).cpu().double()
        self._net, self._sizes, self._clean_at = self._packed()
        self._check(classifier, images[:1])

    def follow(
        self, image: Tensor, label: int, lines: Whole, ways: Floats, ends: Floats, *, threads: int | None = None,
        known: float = -np.inf,
        near: float = 0.0,
    ) -> Spans:  # fmt: skip
        """Follows lines of one image from its clean value on.

        Bounds sort out first where no class can get ahead and where one is ahead all along; what is left is walked from
        breakpoint to breakpoint. While no line flips, the line that comes nearest to it is walked as well.

        Args:
            image: Network input, shape (C, H, W).
            label: The class that is to stay.
            lines: Row and column of each line, shape (L, 2).
            ways: By how much each band changes at distance 1, shape (L, C).
            ends: The distance at the end of each line, shape (L,), at least 0.
            threads: How many; by default those of torch.
            known: A margin that other lines of the image reach; lines that stay below it are not looked at closely.
            near: Nor are, while no line flips, those whose margin stays below 1 - near of the largest that was met.
        """
        lines, ways = np.ascontiguousarray(lines, np.int64), np.ascontiguousarray(ways, np.float64)
        ends, n = np.ascontiguousarray(ends, np.float64), len(lines)
        clean = self._clean(image[None])
        still, begins = self._bounds.rest(*(self._net[i] for i in (0, 2, 3)), clean)
        against = self._against(label, clean, still, begins)
        parts = [slice(i, min(n, i + _LINES)) for i in range(0, n, _LINES)]
        tops = np.zeros(n)

        def sift(part: slice, ceiling: float) -> tuple[Floats, Whole]:
            made, kinds = np.empty((0, 3)), np.empty(0, np.int64)
            start, room = part.start, _ROOM
            while start < part.stop:
                some, left, kind = slice(start, part.stop), np.empty((room, 3)), np.empty(room, np.int64)
                done, total = self._bounds.sift(
                    *against, self._sizes, lines[some], ways[some], ends[some], ceiling, _SHORTEST, tops[some], left,
                    kind,
                )  # fmt: skip
                left[:total, 0] += start
                made, kinds = np.concatenate([made, left[:total]]), np.concatenate([kinds, kind[:total]])
                start, room = start + done, room if done else 4 * room
            return made, kinds

        def walk(part: slice) -> tuple[Floats, Floats, Whole, Floats]:
            """Stretches that flip, those that were walked, and their breakpoints, status and peaks."""
            stretches, kinds = sift(part, ceiling)
            open_ = np.ascontiguousarray(stretches[kinds == self._bounds.OPEN])
            at, m = open_[:, 0].astype(np.int64), len(open_)
            counts, peaks, start, room = np.zeros((3, m), np.int64), np.zeros((m, 2)), 0, _ROOM
            found, pieces, status = counts
            flips: list[Floats] = [stretches[kinds == self._bounds.FLIPS]]
            while start < m:
                some, buffer = slice(start, m), np.empty((room, 2))
                done = self._walk.walk(
                    *self._net, clean, still, begins, self._sizes, lines[at[some]], ways[at[some]],
                    np.ascontiguousarray(open_[some, 1]), np.ascontiguousarray(open_[some, 2]), label, _MOST, buffer,
                    found[some], pieces[some], status[some], peaks[some],
                )  # fmt: skip
                mine = found[start : start + done]
                of = np.repeat(at[start : start + done], mine).astype(np.float64)
                flips.append(np.column_stack([of, buffer[: mine.sum()]]))
                start, room = start + done, room if done else 4 * room
            return np.concatenate(flips), open_, counts[1:], peaks

        with ThreadPoolExecutor(max(1, min(threads or torch.get_num_threads(), len(parts)))) as pool:
            list(pool.map(lambda part: sift(part, np.nan), parts))
            top, here = float(np.max(tops, initial=-np.inf)), float(np.max(against[4][-self.classes :]))
            ceiling = min(0.0, max(known, top, here))
            ceiling *= 1 - max(near, 1e-9)  # what rounding alone puts above it was met already
            made = list(pool.map(walk, parts))
        flips = np.concatenate([np.empty((0, 3)), *(one[0] for one in made)])
        open_ = np.concatenate([np.empty((0, 3)), *(one[1] for one in made)])
        counts = np.concatenate([np.empty((2, 0), np.int64), *(one[2] for one in made)], 1)
        peaks = np.concatenate([np.empty((0, 2)), *(one[3] for one in made)])
        return spans_of(n, here, tops, ends, flips, open_, counts[0], counts[1] == self._walk.WHOLE, peaks)

    def _against(self, label: int, clean: Floats, still: Floats, begins: Whole) -> tuple[Any, ...]:
        """The network and its clean values with margins over the label in place of logits."""
        spec, weight, knots, slopes = self._net
        at, weight, clean = spec[-1, self._kernel.WEIGHT], weight.copy(), clean.copy()
        matrix = weight[at : at + self._layers[-1].weight.size].reshape(-1, self.classes)
        matrix -= matrix[:, label : label + 1].copy()
        clean[-self.classes :] -= clean[label - self.classes]
        clean[label - self.classes] = -np.inf
        return spec, weight, knots, slopes, clean, still, begins

    def logits(self, images: Tensor) -> Tensor:
        """The logits of images in float64 as the walk begins with them, shape (N, K)."""
        return torch.stack([torch.from_numpy(self._clean(image[None])[-self.classes :]) for image in images])

    def _stage_layers(self, stage: ConvStage) -> list[_Layer]:
        channels, bands, kernel_y, kernel_x = stage.weight.shape
        height, width = stage.node.meta["shape"][2:]
        mean, pool = stage.pool == "mean", stage.window
        functions = stage.before if mean else (*stage.before, *stage.after)
        # The largest of what falls is what becomes of the smallest: there the sign is turned.
        signs = _signs(stage, channels)
        weight = _double(stage.weight) * signs[:, None, None, None]
        kernel = self._kernel
        first = _Layer(
            kernel.CONV, (kernel_y, kernel_x), tuple(slide.padding for slide in stage.slides),  # pyright: ignore[reportArgumentType]
            (1, 1) if mean else pool, width, (height, width) if mean else stage.out, (bands, channels),
            _flat(weight[:, :, :, ::-1].transpose(1, 2, 3, 0)), bends_of(functions, channels, signs),
        )  # fmt: skip
        if not mean:
            return [first]
        after = bends_of(stage.after, channels, np.ones(channels))
        size = stage.out
        return [
            first,
            _Layer(kernel.MEAN, pool, (0, 0), (1, 1), size[1], size, (channels, channels), np.empty(0), after),
        ]

    def _dense_layers(self, chain: Chain) -> list[_Layer]:
        channels, (height, width) = len(chain.stages[-1].weight), chain.stages[-1].out
        first = _double(chain.weight).reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
        between = [_double(step.linear.weight).T[None, None] for step in self._steps if step.linear is not None]
        matrices, functions_of = [first, *between], [step.functions for step in self._steps]
        same = np.array_equal(self._last, np.eye(self.classes)) and not self._constant.any()
        if functions_of[-1] or not same:
            matrices.append(self._last.T[None, None])
            functions_of.append(())
        layers: list[_Layer] = []
        for matrix, functions in zip(matrices, functions_of, strict=True):
            tall, wide, before, after = matrix.shape
            bends = bends_of(functions, after, np.ones(after))
            layers.append(
                _Layer(
                    self._kernel.DENSE, (tall, wide), (0, 0), (1, 1), 1, (1, 1), (before, after), _flat(matrix), bends
                )
            )
        return layers

    def _packed(self) -> tuple[tuple[Any, ...], Whole, list[int]]:
        """The network as the kernel reads it, how much a line needs, and where the clean values of each layer lie."""
        k = self._kernel
        table = np.zeros((len(self._layers), k.COLUMNS), np.int64)
        weights: list[Floats] = []
        knots: list[Floats] = []
        slopes: list[Floats] = []
        reach, clean_at, offsets = (1, 1), [], dict.fromkeys(("weight", "clean", "knots", "positions", "units"), 0)
        for row, layer in zip(table, self._layers, strict=True):
            reach = _reach(layer, reach, dense=layer.kind == k.DENSE, mean=layer.kind == k.MEAN)
            after, pieces = layer.channels[1], max(len(bend.start) for bend in layer.bends)
            row[[k.KIND, k.TALL, k.WIDE, k.PAD_Y, k.PAD_X]] = (layer.kind, *layer.kernel, *layer.padding)
            row[[k.BEFORE, k.CHANNELS, k.POOL_Y, k.POOL_X]] = (*layer.channels, *layer.pool)
            row[[k.MAP_X, k.OUT_Y, k.OUT_X, k.PIECES]] = (layer.map_wide, *layer.out, pieces)
            row[[k.WEIGHT, k.CLEAN, k.KNOTS, k.POSITIONS, k.UNITS]] = list(offsets.values())
            row[k.CONVEX] = all(_rising_convex(bend.slope) for bend in layer.bends)
            clean_at.append(offsets["clean"])
            weights.append(layer.weight)
            knots.append(
                np.array([[*b.start[1:], *[np.inf] * (1 + pieces - len(b.start))] for b in layer.bends]).ravel()
            )
            slopes.append(np.array([[*b.slope, *[0.0] * (pieces - len(b.slope))] for b in layer.bends]).ravel())
            units = reach[0] * reach[1] * after
            size = layer.out[0] * layer.pool[0] * layer.map_wide * after
            for name, more in zip(
                offsets,
                (weights[-1].size, size, knots[-1].size, units * layer.pool[0] * layer.pool[1], units),
                strict=True,
            ):
                offsets[name] += more
        net = (table, *(np.concatenate([*parts, np.zeros(1)]) for parts in (weights, knots, slopes)))
        return net, np.array([offsets["positions"], offsets["units"]]), [*clean_at, offsets["clean"]]

    @torch.inference_mode()
    def _clean(self, image: Tensor) -> Floats:
        """Clean inputs of all units of one image (1, C, H, W), flat."""
        *maps, ending = self._forward(image.detach().cpu().double())
        parts: list[Tensor] = []
        for stage, values in zip(self._chain.stages, maps, strict=True):
            signs = torch.from_numpy(_signs(stage, values.shape[1]))[:, None, None]
            parts.append((values * signs)[0].permute(1, 2, 0))
            if stage.pool == "mean":
                parts.append(functional.avg_pool2d(apply(stage.before, values), stage.window)[0].permute(1, 2, 0))
        vector = ending.reshape(1, -1)
        for step in self._steps:
            parts.append(vector)
            vector = apply(step.functions, vector)
            if step.linear is not None:
                bias = 0 if step.linear.bias is None else step.linear.bias.detach().cpu().double()
                vector = vector @ step.linear.weight.detach().cpu().double().T + bias
        parts.append(vector @ torch.from_numpy(self._last).T + torch.from_numpy(self._constant))
        clean = np.zeros(self._clean_at[-1])
        for at, layer, part in zip(self._clean_at, self._layers, parts, strict=False):
            rows = layer.out[0] * layer.pool[0]
            values = part.numpy().reshape(-1, layer.map_wide, layer.channels[1])[:rows]
            clean[at : at + values.size] = values.ravel()
        return clean

    def _check(self, classifier: AuditedClassifier, images: Tensor) -> None:
        with torch.inference_mode():
            theirs, ours = classifier(images).cpu().double(), self.logits(images)
        scale = float(theirs.abs().max())
        if ours.shape != theirs.shape or float((ours - theirs).abs().max()) > _AGREEMENT * scale + 1e-12:
            raise UnsupportedChain("what was read of the network does not give its logits")


@dataclass(frozen=True, eq=False)
class _Step:
    """What follows a dense layer: element-wise functions, and the next dense layer if there is one."""

    functions: tuple[Pointwise, ...]
    linear: nn.Linear | None


def _after(graph: fx.GraphModule, ending: fx.Node) -> list[_Step]:
    """The dense layers after the affine map of the last feature map."""
    steps: list[_Step] = []
    functions: list[Pointwise] = []
    node = ending
    while True:
        users = list(node.users)
        if len(users) != 1:
            raise UnsupportedChain(f"the output of {node.name} is read by {len(users)} layers")
        node = users[0]
        if node.op == "output":
            if not isinstance(node.args[0], fx.Node):
                raise UnsupportedChain("the network returns more than one tensor")
            return [*steps, _Step(tuple(functions), None)]
        linear = layer_of(node, nn.Linear)
        if linear is not None:
            steps.append(_Step(tuple(functions), linear))
            functions = []
        elif called_name(node) in _NOTHING or flattens(node) or called_name(node) == "flatten":
            continue
        elif (function := pointwise(node)) is not None:
            functions.append(function)
        else:
            raise UnsupportedChain(f"{node.name} is not a dense layer or a piecewise affine function of one number")


def _affine_output(output: Output, columns: int) -> tuple[Floats, Floats]:
    """The affine map from what the network returns to its logits, shape (K, columns) and (K,).

    Raises:
        UnsupportedChain: If the map is not affine.
    """
    generator = torch.Generator().manual_seed(0)
    probes = torch.cat([torch.zeros(1, columns), torch.eye(columns), torch.randn(8, columns, generator=generator)])
    try:
        made = output.logits(probes.double())
    except Exception as error:  # probabilities, say, which these are not
        raise UnsupportedChain(f"the outputs are {output.kind}") from error
    constant, matrix = made[0], (made[1 : 1 + columns] - made[0]).T
    if not torch.allclose(probes.double() @ matrix.T + constant, made, atol=1e-9):
        raise UnsupportedChain(f"the logits do not follow from the {output.kind} by an affine map")
    return matrix.numpy(), constant.numpy()


def _columns(graph: fx.GraphModule) -> int:
    returned = next(node for node in graph.graph.nodes if node.op == "output").args[0]
    shape = returned.meta["shape"] if isinstance(returned, fx.Node) else None
    if shape is None or len(shape) != 2:
        raise UnsupportedChain("the network does not return one matrix")
    return shape[1]


def _signs(stage: ConvStage, channels: int) -> Floats:
    """-1 for the channels of a max pool whose functions before it fall, else 1."""
    signs = np.ones(channels)
    for function in stage.before if stage.pool == "max" else ():
        if isinstance(function, Affine):
            signs *= np.where(_double(function.scale) < 0, -1.0, 1.0)
    return signs


def _reach(layer: _Layer, reach: tuple[int, int], *, dense: bool, mean: bool) -> tuple[int, int]:
    """The most units that a change of so many inputs reaches, down and across."""
    if dense:
        return 1, 1
    if mean:
        return tuple(min(out, (r + 2 * (k - 1)) // k) for out, r, k in zip(layer.out, reach, layer.kernel, strict=True))  # pyright: ignore[reportReturnType]
    found = zip(layer.out, reach, layer.kernel, layer.pool, strict=True)
    return tuple(min(out, (r + k - 1 + 2 * (pool - 1)) // pool) for out, r, k, pool in found)  # pyright: ignore[reportReturnType]


def _rising_convex(slopes: Sequence[float]) -> bool:
    return len(slopes) <= 2 and 0 <= slopes[0] <= slopes[-1]


def _double(values: Tensor) -> Floats:
    return values.detach().cpu().double().numpy()


def _flat(values: np.ndarray) -> Floats:
    return np.ascontiguousarray(values, np.float64).ravel()
