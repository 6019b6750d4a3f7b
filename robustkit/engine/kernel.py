"""The compiled kernel: machine code made at run time for one chain's shapes and this machine's processor.

There is no build step: `llvmlite` (the extra `fast`) brings the compiler as a library, which takes a fraction of a
second for a chain. Weights are data, so networks of one shape share the code.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from robustkit.engine.batching import Batches
from robustkit.engine.cache import CleanMaps, Margin, Needs
from robustkit.engine.candidates import Candidates
from robustkit.engine.chain import Affine, Axis, Chain, ConvStage, Pointwise, UnsupportedChain, read_chain
from robustkit.engine.dense import WindowProduct
from robustkit.engine.graph import subgraph
from robustkit.engine.kernel_code import FunctionCode, KernelCode, StageCode, llvm, this_processor
from robustkit.engine.kernel_ir import emit
from robustkit.engine.windows import Box
from robustkit.models import Output

# What stands outside a map. Any change is lost in it by rounding, so that a cell outside never differs from its clean
# self, whatever functions follow; infinities would not do, as inf - inf is NaN.
OUTSIDE = -1e30

# Candidates that a thread takes at a time.
_CHUNK = 512
# Candidates, and numbers in their changes, that are held at a time.
_BATCH, _BATCH_NUMBERS = 1 << 14, 1 << 24
# Numbers in the columns of the dense layer that a window meets, above which they do not stay in the caches from one
# candidate to the next, and one product for all candidates that meet the same is faster.
_MOST_COLUMNS = 1 << 17


class KernelFollower:
    """Follows changed pixels, one or a box, through a chain with compiled code, in `torch.get_num_threads()` threads.

    Args:
        graph: The traced network.
        images: The clean images, on the CPU.
        output: What the network's output is.
        memory: Bytes for the clean maps.
        box: Height and width of the box that the pixels of a candidate lie in.

    Raises:
        MissingExtra: If llvmlite is not installed.
        UnsupportedChain: If the network is not a chain, or the images are not on the CPU.
    """

    reason = "compiled kernel"

    def __init__(self, graph: fx.GraphModule, images: Tensor, output: Output, memory: int, box: Box = (1, 1)) -> None:
        if images.device.type != "cpu":
            raise UnsupportedChain("compiled code runs on the CPU only")
        chain = read_chain(graph, box=box)
        self.box = box
        self.full_work = chain.full_work
        self.output = replace(output, part=None)
        self._images = images.contiguous()
        self._nodes = [stage.node for stage in chain.stages]
        self._ending = chain.ending
        self._rest = subgraph(graph, [chain.ending], next(n for n in graph.graph.nodes if n.op == "output").args[0])
        stages: list[StageCode] = []
        needs = Needs()
        self._constants: list[tuple[Tensor, Tensor]] = []
        idle_before = 0
        for stage, (y, x) in zip(chain.stages, chain.axes, strict=True):
            code, idle = _stage_code(stage, y, x, idle_before)
            needs.add(stage.node, _margin(stage, y, x, idle))
            weight = F.pad(stage.weight, (0, 0, 0, 0, 0, idle_before, 0, idle))
            self._constants.append((_by_block(weight, code.block), _affine_rows(stage, idle)))
            stages.append(code)
            idle_before = idle
        needs.endings.append(chain.ending)
        self.clean = CleanMaps(graph, images, needs, memory=memory)
        columns = _columns(chain, idle_before)
        fits = stages[-1].change * len(chain.weight) <= _MOST_COLUMNS
        bands, height, width = images.shape[1:]
        self._code = KernelCode(bands, box, height, width, tuple(stages), len(chain.weight) if fits else None)
        self._product = None if fits else WindowProduct(columns)
        # The code wants (D, rows, columns, C); a head that is left to others needs no copy.
        self._columns = columns.permute(3, 0, 1, 2).contiguous() if fits else columns
        self._run = _compiled(self._code)
        self._batches = Batches(min(_BATCH, _BATCH_NUMBERS // max(stage.change for stage in stages)))

    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates that each have a row of their own, shape (B, K)."""
        return self.clean.score(candidates, self._block)

    def _block(self, candidates: Candidates, slot: Tensor) -> Tensor:
        """Candidates whose images are loaded."""
        image, row, column, value = self._boxes(candidates)

        def score(start: int, stop: int) -> Tensor:
            affine = self._affine(*(part[start:stop] for part in (image, slot, row, column, value)))
            return self.output.logits(self._rest(affine.view(-1, *self._ending.meta["shape"][1:])))

        return self._batches.run(score, len(image))

    def _boxes(self, candidates: Candidates) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image, first row and column of each changed box, (B,), and its pixels by rows, shape (B, cells x C)."""
        image, value = candidates.image, candidates.value[:, 0].float()  # (B, L, C)
        if self.box == (1, 1):
            return image, candidates.row[:, 0, -1], candidates.column[:, 0, -1], value[:, -1]
        (tall, wide), (height, width) = self.box, self._images.shape[2:]
        row = candidates.row[:, 0].amin(1).clamp_max(height - tall)
        column = candidates.column[:, 0].amin(1).clamp_max(width - wide)
        cell = (candidates.row[:, 0] - row[:, None]) * wide + candidates.column[:, 0] - column[:, None]  # (B, L)
        if cell.shape[1] == tall * wide and torch.equal(cell, torch.arange(tall * wide).expand_as(cell)):
            return image, row, column, value.flatten(1)  # whole boxes, by rows
        windows = self._images.unfold(2, tall, 1).unfold(3, wide, 1)[image, :, row, column]
        boxes = windows.flatten(2).transpose(1, 2).contiguous()  # (B, cells, C)
        each = torch.arange(len(image))
        for pixel in range(value.shape[1]):  # one after the other: of pixels in one place the last holds
            boxes[each, cell[:, pixel]] = value[:, pixel]
        return image, row, column, boxes.flatten(1)

    def _affine(self, image: Tensor, slot: Tensor, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
        """The affine map of the last feature map, shape (B, D)."""
        n, last = len(image), self._code.stages[-1]
        head = self.clean.ending(self._ending).flatten(1)
        result = torch.empty(n, self._code.outputs or last.change)
        # The code reads plain memory: a strided view would be read as other candidates, without an error.
        own = (self._images, image, slot, row, column, value, result, head, self._columns)
        tensors = [tensor.contiguous() for tensor in own]
        stages: list[Tensor] = []
        for node, constants in zip(self._nodes, self._constants, strict=True):
            stages += [self.clean.maps(node, OUTSIDE).rows, *constants]
        threads = min(torch.get_num_threads(), -(-n // _CHUNK))
        step = _CHUNK if threads > 1 else max(n, 1)

        def run(start: int) -> None:
            self._run(start, min(start + step, n), [*tensors, torch.empty(self._code.scratch), *stages])

        if threads <= 1:
            run(0)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(run, range(0, n, step)))
        if self._product is None:
            return result
        for stage in self._code.stages:
            row, column = (row + stage.y.shift) // stage.y.pool, (column + stage.x.shift) // stage.x.pool
        cells = result.view(n, last.y.cells, last.x.cells, last.channels)
        return head[slot] + self._product(cells, row + last.y.margin, column + last.x.margin)


def _stage_code(stage: ConvStage, y: Axis, x: Axis, idle_before: int) -> tuple[StageCode, int]:
    """What the code depends on in a stage, and how many idle channels fill its vectors."""
    processor = this_processor()
    channels, bands = stage.weight.shape[:2]
    lanes = processor.lanes_for(channels)
    idle = -channels % lanes
    affine = 0

    def coded(function: Pointwise) -> FunctionCode:
        nonlocal affine
        if isinstance(function, Affine):
            affine += 2
            return ("affine", affine - 2)
        return function

    before = tuple(coded(function) for function in stage.before)
    after = tuple(coded(function) for function in stage.after)
    code = StageCode(y, x, bands + idle_before, channels + idle, lanes, stage.pool, before, after, processor.sums)
    return code, idle


def _margin(stage: ConvStage, y: Axis, x: Axis, idle: int) -> Margin:
    """Around a convolution's outputs so many cells that whole pooling cells surround the map."""
    height, width = stage.node.meta["shape"][2:]
    top, left = y.margin * y.pool, x.margin * x.pool
    bottom, right = y.total * y.pool - top - height, x.total * x.pool - left - width
    cut = height - y.out * y.pool, width - x.out * x.pool  # what the pool drops
    return Margin(OUTSIDE, top, left, bottom, right, cut, idle)


def _by_block(weight: Tensor, block: int) -> Tensor:
    """Convolution weights turned round, shape (C_out / block, kernel height, C_in, kernel width, block)."""
    return weight.flip(2, 3).unflatten(0, (-1, block)).permute(0, 3, 2, 4, 1).contiguous()


def _affine_rows(stage: ConvStage, idle: int) -> Tensor:
    """Scales and shifts of the affine maps of a stage, row by row."""
    maps = [function for function in (*stage.before, *stage.after) if isinstance(function, Affine)]
    rows = [F.pad(row.float(), (0, idle)) for function in maps for row in (function.scale, function.shift)]
    return torch.stack(rows) if rows else torch.zeros(1)


def _columns(chain: Chain, idle: int) -> Tensor:
    """The columns of the affine map by cell, with margins of zeros, shape (rows, columns, C, D)."""
    y, x = chain.axes[-1]
    weight = chain.weight.float().view(len(chain.weight), -1, y.out, x.out)
    columns = weight.new_zeros(y.total, x.total, weight.shape[1] + idle, len(weight))
    inside = columns[y.margin :, x.margin :][: y.out, : x.out, : weight.shape[1]]
    inside.copy_(weight.permute(2, 3, 1, 0))
    return columns


@functools.lru_cache(maxsize=256)
def _compiled(code: KernelCode) -> Callable[[int, int, Sequence[Tensor]], None]:
    """Machine code as a function of (start, stop, arguments); it runs without Python's lock."""
    binding = llvm()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    processor = this_processor()
    target = binding.Target.from_default_triple()
    machine = target.create_target_machine(cpu=processor.name, features=processor.features, opt=3, jit=True)
    module = binding.parse_assembly(emit(code))
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    function = kind(engine.get_function_address("run"))

    def run(start: int, stop: int, tensors: Sequence[Tensor], _owner: Any = engine) -> None:  # the engine owns the code
        function(start, stop, (ctypes.c_void_p * len(tensors))(*[tensor.data_ptr() for tensor in tensors]))

    return run
