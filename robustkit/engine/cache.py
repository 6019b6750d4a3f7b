"""Clean maps of as many images as a memory budget holds, each cell a row, with the margins that layers read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from robustkit.engine.candidates import Candidates
from robustkit.engine.graph import subgraph
from robustkit.engine.windows import Maps

_LOADED_AT_ONCE = 16


@dataclass(frozen=True)
class Margin:
    """Cells around a map, and what they hold.

    Attributes:
        fill: What they hold; None for no margin, where any will do.
        top: Rows above.
        left: Columns at the left.
        bottom: Rows below.
        right: Columns at the right.
        cut: Last rows and last columns of the map itself that hold the fill too, or lie beyond a negative margin.
        idle: Channels after the map's own that hold the fill.
    """

    fill: float | None = None
    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0
    cut: tuple[int, int] = (0, 0)
    idle: int = 0

    def union(self, other: Margin) -> Margin:
        """The larger of the two at each side."""
        sides = ("top", "left", "bottom", "right")
        return replace(self, **{side: max(getattr(self, side), getattr(other, side)) for side in sides})


class Needs:
    """Which clean outputs a plan reads: maps with margins, and whole outputs of the endings."""

    def __init__(self) -> None:
        self.margins: dict[tuple[fx.Node, float], Margin] = {}
        self.endings: list[fx.Node] = []
        self._bare: list[fx.Node] = []

    def add(self, node: fx.Node, margin: Margin) -> None:
        """Asks for the maps of a node."""
        if margin.fill is None:
            self._bare.append(node)
        else:
            key = (node, margin.fill)
            self.margins[key] = self.margins.get(key, margin).union(margin)

    def settle(self) -> None:
        """Serves those who need no margin from maps that have one, or from their own."""
        for node in self._bare:
            if self.fill(node) is None:
                self.margins[node, 0.0] = Margin(0.0)

    def fill(self, node: fx.Node) -> float | None:
        """A fill that the maps of a node are kept with; None if they are not kept."""
        return next((fill for other, fill in self.margins if other is node), None)

    def nodes(self) -> list[fx.Node]:
        """Every node of which something is kept, once."""
        return list(dict.fromkeys([node for node, _ in self.margins] + self.endings))


class CleanMaps:
    """Keeps the clean maps of some images, and loads those that are asked for in the place of those used longest ago.

    Args:
        graph_module: The traced network.
        images: Shape (N, C, H, W).
        needs: What is kept.
        memory: Bytes that may be used.
    """

    def __init__(self, graph_module: fx.GraphModule, images: Tensor, needs: Needs, *, memory: int) -> None:
        self.images = images
        self._needs = needs
        self._nodes = needs.nodes()
        start = next(iter(graph_module.graph.nodes))
        self._forward = subgraph(graph_module, [start], tuple(self._nodes))
        self.slots = max(1, min(len(images), memory // max(1, self.bytes_per_image())))
        self._maps: dict[tuple[fx.Node, float], Maps] = {}
        self._endings: dict[fx.Node, Tensor] = {}
        self._slot_of = torch.full((len(images),), -1)  # on the CPU
        self._used = [0] * self.slots
        self._image_in = [-1] * self.slots
        self._clock = 0

    def bytes_per_image(self) -> int:
        """Memory that one image takes."""
        numbers = sum(math.prod(node.meta["shape"][1:]) for node in self._needs.endings)
        for (node, _), margin in self._needs.margins.items():
            height, width = _sizes(node, margin)
            numbers += (node.meta["shape"][1] + margin.idle) * height * width
        return 4 * numbers

    def maps(self, node: fx.Node, fill: float | None = None) -> Maps:
        """The clean maps of a node, with the margin that holds `fill`, or with any."""
        if fill is None:
            fill = self._needs.fill(node)
            assert fill is not None, f"the maps of {node} are not kept"
        return self._maps[node, fill]

    def ending(self, node: fx.Node) -> Tensor:
        """The clean outputs of an ending, one row a slot."""
        return self._endings[node]

    def open(self) -> None:
        """Takes the memory, once it is known that it will be used."""
        if not self._maps:
            self._maps = {key: self._empty(key[0], margin) for key, margin in self._needs.margins.items()}
            shapes = {node: (self.slots, *node.meta["shape"][1:]) for node in self._needs.endings}
            self._endings = {node: self.images.new_empty(shape) for node, shape in shapes.items()}

    def score(self, candidates: Candidates, function: Callable[[Candidates, Tensor], Tensor]) -> Tensor:
        """Calls a function on blocks of candidates whose images are loaded, and joins what it returns.

        Args:
            candidates: Each in a row of its own, B rows.
            function: From some of the candidates, and the slot of the image of each, to one row each.

        Returns:
            Shape (B, ...).
        """
        parts: list[Tensor] = []
        rows: list[Tensor] = []
        for chosen, slot in self._blocks(candidates.image):
            if chosen is None:
                return function(candidates, slot)
            parts.append(function(candidates.select(chosen), slot))
            rows.append(chosen)
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _blocks(self, image: Tensor) -> Iterator[tuple[Tensor | None, Tensor]]:
        """Candidates in blocks whose images are loaded: which (None for all), and the slot of the image of each."""
        self.open()
        if self.slots == len(self.images):
            if self._clock == 0:
                self._load(list(range(self.slots)), list(range(self.slots)))
                self._clock = 1
            yield None, image
            return
        wanted = torch.unique(image).tolist()
        # Those that are loaded come first, before their slots are given away.
        wanted.sort(key=lambda i: (int(self._slot_of[i]) < 0, i))
        for begin in range(0, len(wanted), self.slots):
            block = wanted[begin : begin + self.slots]
            self._make_present(block)
            member = torch.zeros(len(self.images), dtype=torch.bool)
            member[block] = True
            slot = self._slot_of.to(image.device)[image]
            chosen = member.to(image.device)[image].nonzero().squeeze(1)
            yield chosen, slot[chosen]

    def _make_present(self, block: list[int]) -> None:
        self._clock += 1
        missing = []
        for image in block:
            slot = int(self._slot_of[image])
            if slot < 0:
                missing.append(image)
            else:
                self._used[slot] = self._clock
        free = sorted(
            (slot for slot in range(self.slots) if self._used[slot] < self._clock), key=self._used.__getitem__
        )
        slots = free[: len(missing)]
        for slot, image in zip(slots, missing, strict=True):
            if self._image_in[slot] >= 0:
                self._slot_of[self._image_in[slot]] = -1
            self._image_in[slot], self._slot_of[image], self._used[slot] = image, slot, self._clock
        self._load(slots, missing)

    def _load(self, slots: list[int], images: list[int]) -> None:
        for begin in range(0, len(images), _LOADED_AT_ONCE):
            part = slice(begin, begin + _LOADED_AT_ONCE)
            index = torch.tensor(slots[part], device=self.images.device)
            batch = self.images[images[part]].contiguous(memory_format=torch.channels_last)
            for node, output in zip(self._nodes, self._forward(batch), strict=True):
                self._keep(node, output, index)

    def _keep(self, node: fx.Node, output: Tensor, index: Tensor) -> None:
        for (other, fill), margin in self._needs.margins.items():
            if other is node:
                maps = self._maps[node, fill]
                inside = maps.rows.view(self.slots, maps.height, maps.width, -1)
                channels, height, width = (
                    output.shape[1],
                    output.shape[2] - margin.cut[0],
                    output.shape[3] - margin.cut[1],
                )
                rows = slice(margin.top, margin.top + height)
                part = output[:, :, :height, :width].permute(0, 2, 3, 1)
                inside[index, rows, margin.left : margin.left + width, :channels] = part
        if node in self._endings:
            self._endings[node][index] = output

    def _empty(self, node: fx.Node, margin: Margin) -> Maps:
        height, width = _sizes(node, margin)
        assert margin.fill is not None
        channels = node.meta["shape"][1] + margin.idle
        rows = self.images.new_full((self.slots * height * width, channels), margin.fill)
        return Maps(rows, height, width, margin.top, margin.left)


def _sizes(node: fx.Node, margin: Margin) -> tuple[int, int]:
    height, width = node.meta["shape"][2:]
    return height + margin.top + margin.bottom, width + margin.left + margin.right
