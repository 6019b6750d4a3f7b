"""Which layers of a network are computed on windows, on which windows, and what that costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import fx, nn

from robustkit.engine.dense import Ending, flattens, read_ending
from robustkit.engine.graph import layer
from robustkit.engine.pointwise import is_pointwise
from robustkit.engine.sliding import Sliding, read_sliding
from robustkit.engine.windows import Box, Reach

# What passing a number through memory costs, in multiplications.
_MEMORY = 10.0
# Into how many bands each axis may be cut; windows are as large as the largest of their band needs.
_BANDS = (1, 2, 3, 5, 7)
# What calling a layer for one more band costs, shared by the candidates of a large call.
_CALL = 5e6 / 2048

Reaches = tuple[Reach, Reach]


@dataclass(frozen=True, eq=False)
class WindowStep:
    """One layer on windows.

    Attributes:
        node: The node.
        kind: A sliding layer, an ending, or None for a layer that is called on windows as it is.
        sources: The varying maps that it reads.
    """

    node: fx.Node
    kind: Sliding | Ending | None
    sources: tuple[fx.Node, ...]


@dataclass(eq=False)
class WindowPlan:
    """How candidates go through a network.

    Attributes:
        box: Height and width of the changed box of pixels.
        bands: The positions of the box, down and across, in bands that have windows of their own size.
        steps: The layers on windows, in order.
        reaches: The changed cells of every map on windows, down and across.
        frontier: The nodes whose outputs the rest of the network takes.
        work: Multiplications for one candidate, on average over all positions.
        full_work: Multiplications for one image through the whole network.
    """

    box: Box
    bands: tuple[list[slice], list[slice]]
    steps: list[WindowStep] = field(default_factory=list)
    reaches: dict[fx.Node, Reaches] = field(default_factory=dict)
    frontier: list[fx.Node] = field(default_factory=list)
    work: float = 0.0
    full_work: float = 0.0


def plan_windows(graph_module: fx.GraphModule, shape: Sequence[int], *, box: Box, worth: float) -> WindowPlan:
    """The cheapest plan among several numbers of bands.

    Args:
        graph_module: The network, as `trace` gives it.
        shape: (C, H, W) of the images.
        box: Height and width of the changed box of pixels, not above H or W.
        worth: A layer stays on windows while they cost at most this share of its whole map.
    """
    positions = min(size - side + 1 for size, side in zip(shape[1:], box, strict=True))
    plans = [_plan(graph_module, shape, box, bands, worth) for bands in _BANDS if bands <= positions]
    return min(plans, key=lambda plan: plan.work + _CALL * len(plan.steps) * len(plan.bands[0]) ** 2)


def reached_share(graph_module: fx.GraphModule, shape: Sequence[int]) -> float:
    """The share of a network's multiply-adds that one changed pixel reaches, on average over all pixels.

    Args:
        graph_module: The network, as `trace` gives it.
        shape: (C, H, W) of the images.
    """
    plan = _plan(graph_module, shape, (1, 1), 1, math.inf)
    reached = total = 0.0
    for node in graph_module.graph.nodes:
        sliding, module = read_sliding(node), layer(node)
        if sliding is not None and sliding.weight is not None:
            work = math.prod(node.meta["shape"][2:]) * sliding.work
        elif type(module) is nn.Linear:
            work = float(math.prod(node.meta["shape"][1:]) * module.in_features)
        else:
            continue
        total += work
        ending = read_ending(node)
        known = plan.reaches.get(node if ending is None else ending.source, ())
        reached += work * math.prod(float((reach.last - reach.first + 1).mean()) / reach.size for reach in known)
    return reached / total


def _plan(graph_module: fx.GraphModule, shape: Sequence[int], box: Box, bands: int, worth: float) -> WindowPlan:
    plan = WindowPlan(box, (_cut(shape[1] - box[0] + 1, bands), _cut(shape[2] - box[1] + 1, bands)))
    for node in graph_module.graph.nodes:
        if node.op == "placeholder":
            plan.steps.append(WindowStep(node, None, ()))
            plan.reaches[node] = (Reach.of_pixels(shape[1], box[0]), Reach.of_pixels(shape[2], box[1]))
        elif node.op != "output" and node.meta["varies"]:
            full = _full_work(node)
            step, reaches = _step(node, plan.reaches)
            work = _window_work(plan, step, reaches) if step is not None else math.inf
            plan.full_work += full
            plan.work += min(full, work)
            if step is not None and work <= worth * full:
                plan.steps.append(step)
                if reaches is not None:
                    plan.reaches[node] = reaches
    plan.frontier = _frontier(plan, graph_module)
    return plan


def _frontier(plan: WindowPlan, graph_module: fx.GraphModule) -> list[fx.Node]:
    """The steps whose outputs lead to the network's output through layers that are no steps."""
    done = {step.node for step in plan.steps}
    read: set[fx.Node] = set()
    for node in reversed(graph_module.graph.nodes):
        if node.op == "output" or (node in read and node not in done):
            read.update(node.all_input_nodes)
    return [step.node for step in plan.steps if step.node in read]


def _step(node: fx.Node, known: dict[fx.Node, Reaches]) -> tuple[WindowStep | None, Reaches | None]:
    """The node as a layer on windows, or None, and which cells of its maps change, where it has maps."""
    ending = read_ending(node)
    if ending is not None and ending.source in known:
        return WindowStep(node, ending, (ending.source,)), None
    sources = tuple(source for source in node.all_input_nodes if source.meta["varies"])
    if not all(source in known for source in sources):
        return None, None
    down, across = known[sources[0]]
    if is_pointwise(node):
        for source in sources[1:]:
            down, across = down.union(known[source][0]), across.union(known[source][1])
        return WindowStep(node, None, sources), (down, across)
    sliding = read_sliding(node)
    if sliding is None:
        return None, None
    slides, sizes = sliding.slides, node.meta["shape"][2:]
    return WindowStep(node, sliding, sources), (down.slide(slides[0], sizes[0]), across.slide(slides[1], sizes[1]))


def _cut(positions: int, bands: int) -> list[slice]:
    edges = [round(i * positions / bands) for i in range(bands + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _mean_area(plan: WindowPlan, reaches: Reaches) -> float:
    """Cells of a window, on average over all positions of the change."""
    area = 1.0
    for reach, bands in zip(reaches, plan.bands, strict=True):
        lengths = [band.stop - band.start for band in bands]
        area *= float(np.average([reach.extent(band) for band in bands], weights=lengths))
    return area


def _full_work(node: fx.Node) -> float:
    """Multiplications of a layer on one image."""
    shape = node.meta["shape"]
    if shape is None or flattens(node):
        return 0.0
    numbers = math.prod(shape[1:])
    sliding = read_sliding(node)
    if sliding is not None:
        return math.prod(shape[2:]) * sliding.work + _MEMORY * numbers
    module = layer(node)
    weights = sum(parameter.numel() for parameter in module.parameters()) if module is not None else 0
    return weights * (math.prod(shape[2:]) if len(shape) == 4 else 1) + _MEMORY * numbers


def _window_work(plan: WindowPlan, step: WindowStep, reaches: Reaches | None) -> float:
    """Multiplications of a layer on one window."""
    read = sum(_mean_area(plan, plan.reaches[source]) * source.meta["shape"][1] for source in step.sources)
    if reaches is None:
        assert step.kind is not None
        return read * (step.kind.work / step.sources[0].meta["shape"][1] + 2 * _MEMORY)
    area = _mean_area(plan, reaches)
    made = _MEMORY * area * step.node.meta["shape"][1]
    return made + (area * step.kind.work + 2 * _MEMORY * read if step.kind is not None else 0.0)
