"""The incremental evaluator: a candidate's few changed pixels are followed through the network, and nothing else."""

from __future__ import annotations

import math

import torch
from torch import Tensor, fx

from robustkit.engine.batching import Batches
from robustkit.engine.cache import CleanMaps
from robustkit.engine.candidates import Candidates
from robustkit.engine.forward import Forward, batch_size
from robustkit.engine.graph import Untraceable, subgraph, trace
from robustkit.engine.plain import PlainEvaluator
from robustkit.engine.plan import WORTH, Plan, make_plan
from robustkit.engine.program import Program, needs_of
from robustkit.engine.windows import Where
from robustkit.models import AuditedClassifier, Output

# Sides of the boxes that changed pixels are put into.
_BOXES = (1, 2, 4, 8, 16)
# Candidates in one chunk at most, and bytes of its largest window: large enough to be worth the calls, small enough
# to stay in the cache of a CPU.
_CHUNK = 4096
_CHUNK_BYTES = {"cpu": 16 << 20, "cuda": 1 << 29}
# Bytes for the clean maps.
_MEMORY = 2 << 30


class IncrementalEvaluator:
    """Scores candidates by recomputing the windows of each map that their pixels reach.

    Clean maps are kept for as many images as fit; of a candidate only the changed window is carried through the
    layers, exactly, until a layer is not known or the window is most of the map: from there whole maps go on. Pixels
    that lie together are followed as one box; candidates whose pixels lie apart, and networks that do not trace, are
    answered by the plain evaluator.

    Args:
        classifier: The classifier; its network is copied.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        memory: Bytes for the clean maps.

    Attributes:
        name: `incremental`.
    """

    name = "incremental"

    def __init__(self, classifier: AuditedClassifier, images: Tensor, *, memory: int = _MEMORY) -> None:
        self.classifier = classifier
        self.images = images
        self.memory = memory
        self.graph: fx.GraphModule | None = None
        self.why_plain = ""
        try:
            self.graph = trace(classifier.module, images, part=classifier.output.part)
        except Untraceable as reason:
            self.why_plain = str(reason)
        self.plain = PlainEvaluator(classifier, images, graph=self.graph)
        self._followers: dict[int, _Follower | None] = {}

    @property
    def reason(self) -> str:
        """What is computed on windows, for a summary."""
        follower = self._follower(1)
        if follower is None:
            return f"all by full forward passes: {self.why_plain or 'windows save too little'}; {self.plain.reason}"
        return follower.reason

    @property
    def work(self) -> float:
        """Multiplications for a candidate of one pixel, as a share of those for a whole image."""
        follower = self._follower(1)
        return 1.0 if follower is None else follower.plan.work / follower.plan.full_work

    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        return self.plain.clean()

    @torch.inference_mode()
    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K)."""
        m, p, pixels = candidates.row.shape
        if len(candidates) == 0:
            return self.images.new_zeros(m, p, self.classifier.classes)
        if pixels == 0:
            return self.clean()[candidates.image][:, None].expand(m, p, -1).clone()
        flat = Candidates(
            candidates.image.repeat_interleave(p),
            candidates.row.flatten(0, 1)[:, None],
            candidates.column.flatten(0, 1)[:, None],
            candidates.value.flatten(0, 1)[:, None],
        )
        return self._flat(flat).unflatten(0, (m, p))

    def _flat(self, candidates: Candidates) -> Tensor:
        """Logits of candidates that each have a row of their own, shape (B, K)."""
        if candidates.pixels == 1:
            follower = self._follower(1)
            return self.plain(candidates)[:, 0] if follower is None else follower(candidates)
        spread = torch.maximum(_spread(candidates.row), _spread(candidates.column))  # (B,)
        logits = self.images.new_empty(len(candidates), self.classifier.classes)
        smaller = 0
        for box in (*_BOXES, max(self.images.shape[2:])):
            rows = ((spread > smaller) & (spread <= box)).nonzero().squeeze(1)
            smaller = box
            if len(rows):
                follower = self._follower(box)
                chosen = candidates.select(rows)
                logits[rows] = self.plain(chosen)[:, 0] if follower is None else follower(chosen)
        return logits

    def _follower(self, box: int) -> _Follower | None:
        """What follows boxes of one size; None where full forward passes are as good."""
        if box not in self._followers:
            self._followers[box] = None
            if self.graph is not None and box in _BOXES and box <= min(self.images.shape[2:]):
                plan = make_plan(self.graph, self.images.shape[1:], box=box)
                if plan.work < WORTH * plan.full_work:
                    self._followers[box] = _Follower(self.graph, plan, self.images, self.classifier.output, self.memory)
        return self._followers[box]


class _Follower:
    """Follows boxes of one size through a network.

    Args:
        graph: The traced network.
        plan: How.
        images: The clean images.
        output: What the network's output is.
        memory: Bytes for the clean maps.
    """

    def __init__(self, graph: fx.GraphModule, plan: Plan, images: Tensor, output: Output, memory: int) -> None:
        self.plan = plan
        self.images = images
        self.output = Output(kind=output.kind)
        self.clean = CleanMaps(graph, images, needs_of(plan), memory=memory)
        end = next(node for node in graph.graph.nodes if node.op == "output")
        rest = subgraph(graph, plan.frontier, end.args[0])
        self.rest = Forward(rest)
        self.rest_batch = batch_size(rest, images.device)
        self.batches = Batches(self._chunk())
        self._programs: dict[tuple[int, int], Program] = {}

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
        box = self.plan.box
        height, width = self.images.shape[2:]
        row = candidates.row[:, 0].amin(1).clamp_max(height - box)
        column = candidates.column[:, 0].amin(1).clamp_max(width - box)
        logits: Tensor | None = None
        for chosen, slot in self.clean.blocks(candidates.image):
            if chosen is None:
                return self._block(candidates, Where(slot, row, column))
            came = self._block(candidates.select(chosen), Where(slot, row[chosen], column[chosen]))
            if logits is None:
                logits = came.new_empty(len(candidates), came.shape[1])
            logits[chosen] = came
        assert logits is not None
        return logits

    def _block(self, candidates: Candidates, where: Where) -> Tensor:
        """Candidates whose images are loaded."""
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
            return self._finish(
                [torch.cat(whole) if len(whole) > 1 else whole[0] for whole in zip(*parts, strict=True)]
            )

        came = self.batches.run(run, len(candidates.image))
        logits = torch.empty_like(came)
        logits[order] = came
        return logits

    def _pixels(self, program: Program, candidates: Candidates, where: Where) -> Tensor:
        """The changed boxes, shape (B, C, box, box)."""
        value = candidates.value[:, 0]  # (B, L, C)
        if self.plan.box == 1:
            return value[:, -1, :, None, None]  # of pixels in one place the last holds
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


def _spread(at: Tensor) -> Tensor:
    """How many cells the pixels of each candidate span, shape (B, 1, L) to (B,)."""
    return at[:, 0].amax(1) - at[:, 0].amin(1) + 1


def _band(position: Tensor, bands: list[slice]) -> Tensor:
    """The number of the band that each position lies in."""
    edges = torch.tensor([band.stop for band in bands[:-1]], device=position.device)
    return torch.bucketize(position, edges, right=True)
