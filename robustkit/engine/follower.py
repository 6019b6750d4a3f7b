"""Candidates of one box size through a network: bands, chunks and blocks of images, and the rest on whole maps."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, fx

from robustkit.engine.batching import Batches
from robustkit.engine.cache import CleanMaps
from robustkit.engine.candidates import Candidates
from robustkit.engine.forward import Forward, batch_size
from robustkit.engine.graph import subgraph
from robustkit.engine.plan import WindowPlan
from robustkit.engine.program import Program, needs_of
from robustkit.engine.windows import Where
from robustkit.models import Output

# Candidates in one chunk at most, and bytes of its largest window: large enough to be worth the calls, small enough
# to stay in the cache of a CPU.
_CHUNK = 4096
_CHUNK_BYTES = {"cpu": 16 << 20, "cuda": 1 << 29}


class Follower:
    """Follows boxes of changed pixels, of one size, through a network.

    Args:
        graph: The traced network.
        plan: How.
        images: The clean images.
        output: What the network's output is.
        memory: Bytes for the clean maps.
    """

    def __init__(self, graph: fx.GraphModule, plan: WindowPlan, images: Tensor, output: Output, memory: int) -> None:
        self.plan = plan
        self.images = images
        self.output = replace(output, part=None)
        self.clean = CleanMaps(graph, images, needs_of(plan), memory=memory)
        end = next(node for node in graph.graph.nodes if node.op == "output")
        rest = subgraph(graph, plan.frontier, end.args[0])
        self.rest = Forward(rest, tune=any(node in plan.reaches for node in plan.frontier))
        self.rest_batch = batch_size(rest, images.device)
        self.batches = Batches(self._chunk())
        self._programs: dict[tuple[int, int], Program] = {}

    @property
    def full_work(self) -> float:
        """Multiplications for one image through the whole network."""
        return self.plan.full_work

    @property
    def reason(self) -> str:
        """What is computed on windows."""
        layers = sum(step.kind is not None for step in self.plan.steps)
        share = self.plan.work / self.plan.full_work
        bands = len(self.plan.bands[0])
        return (
            f"{layers} layers on windows in {bands} bands, {share:.1%} of the multiplications; the rest "
            f"{self.rest.way} ({self.rest.reason}), batches of {self.rest_batch}"
        )

    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates that each have a row of their own, shape (B, K)."""
        return self.clean.score(candidates, self._block)

    def _block(self, candidates: Candidates, slot: Tensor) -> Tensor:
        """Candidates whose images are loaded."""
        (tall, wide), (height, width) = self.plan.box, self.images.shape[2:]
        row = candidates.row[:, 0].amin(1).clamp_max(height - tall)
        column = candidates.column[:, 0].amin(1).clamp_max(width - wide)
        where = Where(slot, row, column)
        down, across = self.plan.bands
        band = _band(where.row, down) * len(across) + _band(where.column, across)
        order = torch.argsort(band, stable=True)
        ends = torch.bincount(band, minlength=len(down) * len(across)).cumsum(0).tolist()  # waits for the device

        def run(start: int, stop: int) -> Tensor:
            parts = []
            for number, end in enumerate(ends):
                begin, end = max(start, ends[number - 1] if number else 0), min(stop, end)
                if begin < end:
                    chosen = order[begin:end]
                    there = Where(where.slot[chosen], where.row[chosen], where.column[chosen])
                    program = self._program(*divmod(number, len(across)))
                    parts.append(program(self._pixels(program, candidates.select(chosen), there), there))
            return self._finish([torch.cat(pieces) for pieces in zip(*parts, strict=True)])

        ordered = self.batches.run(run, len(candidates.image))
        logits = torch.empty_like(ordered)
        logits[order] = ordered
        return logits

    def _pixels(self, program: Program, candidates: Candidates, where: Where) -> Tensor:
        """The changed boxes, shape (B, C, *box)."""
        value = candidates.value[:, 0]  # (B, L, C)
        if self.plan.box == (1, 1):
            return value[:, -1, :, None, None]  # of pixels in one place the last holds
        tall, wide = self.plan.box
        if value.shape[1] == tall * wide:
            cell = (candidates.row[:, 0] - where.row[:, None]) * wide + candidates.column[:, 0] - where.column[:, None]
            if torch.equal(cell, torch.arange(tall * wide, device=cell.device).expand_as(cell)):  # the boxes, by rows
                return value.transpose(1, 2).unflatten(2, (tall, wide))
        boxes = program.start(where)
        at = torch.arange(len(boxes), device=boxes.device)
        for pixel in range(value.shape[1]):
            row = candidates.row[:, 0, pixel] - where.row
            column = candidates.column[:, 0, pixel] - where.column
            boxes[at, :, row, column] = value[:, pixel]
        return boxes

    def _finish(self, frontier: list[Tensor]) -> Tensor:
        """The rest of the network, on whole maps or vectors."""
        size = self.rest_batch
        parts = [self.rest(*(whole[i : i + size] for whole in frontier)) for i in range(0, len(frontier[0]), size)]
        return self.output.logits(torch.cat(parts))

    def _program(self, down: int, across: int) -> Program:
        if (down, across) not in self._programs:
            bands = self.plan.bands[0][down], self.plan.bands[1][across]
            self._programs[down, across] = Program(self.plan, bands, self.clean)
        return self._programs[down, across]

    def _chunk(self) -> int:
        """How many candidates to take at once."""
        largest = max(
            4 * node.meta["shape"][1] * math.prod(reach.extent(slice(None)) for reach in reaches)
            for node, reaches in self.plan.reaches.items()
        )
        budget = _CHUNK_BYTES.get(self.images.device.type, _CHUNK_BYTES["cuda"])
        whole = sum(4 * math.prod(node.meta["shape"][1:]) for node in self.plan.frontier)
        return max(64, min(_CHUNK, budget // largest, 4 * budget // whole))


def _band(position: Tensor, bands: list[slice]) -> Tensor:
    """The number of the band that each position lies in."""
    edges = torch.tensor([band.stop for band in bands[:-1]], device=position.device)
    return torch.bucketize(position, edges, right=True)
