"""A plan made ready for positions of one band: layer after layer on windows of fixed size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from robustkit.engine.cache import CleanMaps, Margin, Needs
from robustkit.engine.dense import Ending
from robustkit.engine.graph import layer
from robustkit.engine.plan import Reaches, WindowPlan, WindowStep
from robustkit.engine.sliding import Sliding
from robustkit.engine.windows import Crop, Maps, Place, Where

Windows = dict[fx.Node, Tensor]


def needs_of(plan: WindowPlan) -> Needs:
    """Which clean outputs the programs of a plan read."""
    needs = Needs()
    for step in plan.steps:
        if isinstance(step.kind, Sliding):
            needs.add(step.sources[0], _margin(step, step.kind))
        elif step.kind is not None:
            needs.add(step.sources[0], Margin())
            needs.endings.append(step.node)
        else:
            for source in step.sources:
                if not _same(plan.reaches[source], plan.reaches[step.node]):
                    needs.add(source, Margin())
        if step.node in plan.frontier and step.node in plan.reaches:
            needs.add(step.node, Margin())
        if not step.sources and plan.box != (1, 1):
            needs.add(step.node, Margin())
    needs.settle()
    return needs


def _margin(step: WindowStep, sliding: Sliding) -> Margin:
    """What a sliding layer reads around its input."""
    sizes, outputs = step.sources[0].meta["shape"][2:], step.node.meta["shape"][2:]
    before = [max(0, slide.padding) for slide in sliding.slides]
    after = [
        max(0, slide.cells(output) - slide.padding - size)
        for slide, output, size in zip(sliding.slides, outputs, sizes, strict=True)
    ]
    if not any(before + after):
        return Margin()
    return Margin(sliding.fill, before[0], before[1], after[0], after[1])


def _same(first: Reaches, second: Reaches) -> bool:
    """Whether the same cells of two maps change, so that their windows lie at the same places."""
    return all(
        np.array_equal(one.first, other.first) and np.array_equal(one.last, other.last)
        for one, other in zip(first, second, strict=True)
    )


class Program:
    """Carries candidates whose changed box lies in one band, down and across, through the steps of a plan.

    Args:
        plan: The plan.
        bands: The band, down and across.
        clean: The clean maps.
    """

    def __init__(self, plan: WindowPlan, bands: tuple[slice, slice], clean: CleanMaps) -> None:
        self._plan = plan
        self._bands = bands
        self._clean = clean
        self._device = clean.images.device
        self._places: dict[fx.Node, tuple[Place, Place]] = {
            node: (reaches[0].place(bands[0]), reaches[1].place(bands[1])) for node, reaches in plan.reaches.items()
        }
        self._run = [(step.node, self._compile(step)) for step in plan.steps]
        self._materialise = {node: self._whole(node) for node in plan.frontier}
        self._forget = self._last_uses()

    def start(self, where: Where) -> Tensor:
        """The clean pixels of each candidate's box, shape (B, C, *box)."""
        node = self._plan.steps[0].node
        region = self._crop(*self._places[node], node)
        rows = region.clean(self._clean.maps(node), where)
        return rows.view(len(where.slot), *self._plan.box, -1).permute(0, 3, 1, 2)

    def __call__(self, pixels: Tensor, where: Where) -> list[Tensor]:
        """The outputs of the frontier.

        Args:
            pixels: The changed boxes, shape (B, C, *box).
            where: The image and the position of each box.

        Returns:
            For each node of the frontier its whole output, shape (B, ...).
        """
        windows: Windows = {self._run[0][0]: pixels}
        whole: dict[fx.Node, Tensor] = {}
        for (node, run), forget in zip(self._run, self._forget, strict=True):
            if node not in windows:
                windows[node] = run(windows, where)
            if node in self._materialise:
                whole[node] = self._materialise[node](windows, where)
            for other in forget:
                del windows[other]
        return [whole[node] for node in self._plan.frontier]

    def _compile(self, step: WindowStep) -> Callable[[Windows, Where], Tensor]:
        if isinstance(step.kind, Sliding):
            return self._sliding(step, step.kind)
        return self._pointwise(step) if step.kind is None else self._ending(step, step.kind)

    def _crop(self, rows: Place, columns: Place, window_of: fx.Node) -> Crop:
        return Crop(rows, columns, window=self._places[window_of], bands=self._bands, device=self._device)

    def _sliding(self, step: WindowStep, sliding: Sliding) -> Callable[[Windows, Where], Tensor]:
        source = step.sources[0]
        places = self._places[step.node]
        rows, columns = (
            place.read_by(slide, size)
            for place, slide, size in zip(places, sliding.slides, source.meta["shape"][2:], strict=True)
        )
        region = self._crop(rows, columns, source)
        margin = _margin(step, sliding)
        maps = self._clean.maps(source, margin.fill)
        scale = self._scale(sliding, places)

        def run(windows: Windows, where: Where) -> Tensor:
            window = sliding.apply(region(maps, windows[source], where))
            return window if scale is None else window.mul_(scale(where))

        return run

    def _scale(self, sliding: Sliding, places: tuple[Place, Place]) -> Callable[[Where], Tensor] | None:
        """What each cell of a window is multiplied with, shape (B, 1, h, w)."""
        if sliding.scale is None:
            return None
        table = sliding.scale.to(self._device)
        region = Crop(places[0], places[1], window=places, bands=self._bands, device=self._device)
        maps = Maps(table.reshape(-1, 1), table.shape[0], table.shape[1], 0, 0)

        def scale(where: Where) -> Tensor:
            here = Where(torch.zeros_like(where.slot), where.row, where.column)
            return region.clean(maps, here).view(len(where.slot), 1, region.height, region.width)

        return scale

    def _pointwise(self, step: WindowStep) -> Callable[[Windows, Where], Tensor]:
        node, module = step.node, layer(step.node)
        # Sources that changed in a smaller window than the sum or concatenation are cut to its size.
        regions = {
            source: (self._crop(*self._places[node], source), self._clean.maps(source))
            for source in step.sources
            if not _same(self._plan.reaches[source], self._plan.reaches[node])
        }

        def run(windows: Windows, where: Where) -> Tensor:
            def value(source: fx.Node) -> Any:
                if not source.meta["varies"]:
                    return source.meta["value"]
                if source in regions:
                    region, maps = regions[source]
                    return region(maps, windows[source], where)
                return windows[source]

            args, kwargs = map_arg(node.args, value), map_arg(node.kwargs, value)
            if module is not None:
                return module(*args, **kwargs)
            function = getattr(Tensor, node.target) if isinstance(node.target, str) else node.target
            return function(*args, **kwargs)

        return run

    def _ending(self, step: WindowStep, ending: Ending) -> Callable[[Windows, Where], Tensor]:
        node, source = step.node, step.sources[0]
        places = self._places[source]
        region, maps = self._crop(*places, source), self._clean.maps(source)
        change = ending.at(places, self._device)

        def run(windows: Windows, where: Where) -> Tensor:
            cells = windows[source].permute(0, 2, 3, 1)
            clean = region.clean(maps, where).view(cells.shape)
            return self._clean.ending(node).index_select(0, where.slot).add_(change(cells - clean, where))

        return run

    def _whole(self, node: fx.Node) -> Callable[[Windows, Where], Tensor]:
        """Writes windows into whole maps, for the layers after the frontier."""
        if node not in self._plan.reaches:
            return lambda windows, where: windows[node]
        rows, columns = (Place(p.size, np.zeros_like(p.start), p.size) for p in self._places[node])
        region, maps = self._crop(rows, columns, node), self._clean.maps(node)
        return lambda windows, where: region(maps, windows[node], where)

    def _last_uses(self) -> list[list[fx.Node]]:
        """After which step each window can be let go."""
        last = {step.node: i for i, step in enumerate(self._plan.steps)}
        for i, step in enumerate(self._plan.steps):
            for source in step.sources:
                last[source] = i
        return [[node for node, at in last.items() if at == i] for i in range(len(self._plan.steps))]
