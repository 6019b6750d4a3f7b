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
from torch import Tensor
from torch.nn import functional as F

from robustkit.engine.chain_cache import CleanCache
from robustkit.engine.chain_head import ChainHead
from robustkit.engine.chain_plan import StagePlan
from robustkit.engine.chain_stages import Affine, Chain, Pointwise, Stage, UnsupportedChain
from robustkit.engine.kernel_code import FunctionCode, KernelCode, StageCode, llvm, this_processor
from robustkit.engine.kernel_ir import emit

# Candidates that a thread takes at a time.
_CHUNK = 512

# Numbers in the columns of the dense layer that a window meets, above which they do not stay in the caches from one
# candidate to the next, and one product for all candidates that meet the same is faster.
_MOST_COLUMNS = 1 << 17


class KernelChain:
    """Scores changed pixels with compiled code, on the CPU, in `torch.get_num_threads()` threads.

    Args:
        chain: The chain in float32, its channels filled up by `fill_vectors`.
        plan: Its window arithmetic.

    Raises:
        MissingExtra: If llvmlite is not installed.
        UnsupportedChain: If the chain has a function that the kernel does not know.
    """

    def __init__(self, chain: Chain, plan: Sequence[StagePlan]) -> None:
        processor = this_processor()
        stages: list[StageCode] = []
        self._constants: list[tuple[Tensor, Tensor]] = []
        for stage, at in zip(chain.stages, plan, strict=True):
            before, after, affine = _function_codes(stage)
            code = StageCode(at, processor.lanes_for(at.channels), stage.pool, before, after, processor.sums)
            stages.append(code)
            self._constants.append((_by_block(stage.weight, code.block), affine))
        bands, height, width = plan[0].channels_in, plan[0].y.size, plan[0].x.size
        self._plan, self._head = plan, ChainHead(chain, plan[-1])
        met = plan[-1].y.cells * plan[-1].x.cells * plan[-1].channels * len(chain.bias)
        outputs = len(chain.bias) if met <= _MOST_COLUMNS else None
        self._code = KernelCode(bands, height, width, tuple(stages), outputs)
        # The code wants (D, rows, columns, C); a head that is left to others needs no copy.
        self._columns = self._head.columns.permute(3, 0, 1, 2) if outputs else chain.bias
        self._columns = self._columns.contiguous()
        self._run = _compiled(self._code)

    def __call__(self, cache: CleanCache, image: Tensor, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
        """The affine map of the last feature map, for one changed pixel each.

        Args:
            cache: Clean activations of the same chain.
            image: Which image of the cache, shape (M,), int64.
            row: Shape (M,), int64 in [0, H).
            column: Shape (M,), int64 in [0, W).
            value: The new pixel, shape (M, C), float32.

        Returns:
            Shape (M, D).
        """
        n = len(image)
        result = torch.empty(n, self._code.outputs or self._code.change)
        # The code reads plain memory: a strided view would be read as other candidates, without an error.
        tensors = [x.contiguous() for x in (cache.images, image, row, column, value, result, cache.head, self._columns)]
        stages = [x for before, own in zip(cache.before, self._constants, strict=True) for x in (before, *own)]
        threads = min(torch.get_num_threads(), -(-n // _CHUNK))
        step = _CHUNK if threads > 1 else max(n, 1)

        def run(start: int) -> None:
            scratch = torch.empty(self._code.scratch)
            pointers = [x.data_ptr() for x in (*tensors, scratch, *stages)]
            self._run(start, min(start + step, n), (ctypes.c_void_p * len(pointers))(*pointers))

        if threads <= 1:
            run(0)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(run, range(0, n, step)))
        if self._code.outputs is not None:
            return result
        for at in self._plan:
            row, column = (row + at.y.shift) // at.y.pool, (column + at.x.shift) // at.x.pool
        return self._head(cache.head[image], row, column, result)


def _by_block(weight: Tensor, block: int) -> Tensor:
    """Convolution weights turned round, shape (C_out / block, kernel height, C_in, kernel width, block)."""
    return weight.flip(2, 3).unflatten(0, (-1, block)).permute(0, 3, 2, 4, 1).contiguous()


def fill_vectors(chain: Chain) -> Chain:
    """The same chain with idle channels added, zeros throughout, so that channels fill whole vectors.

    Raises:
        MissingExtra: If llvmlite, which knows the processor, is not installed.
    """
    stages: list[Stage] = []
    idle_before = 0
    for stage in chain.stages:
        channels = len(stage.bias)
        idle = -channels % this_processor().lanes_for(channels)
        stages.append(
            replace(
                stage,
                weight=F.pad(stage.weight, (0, 0, 0, 0, 0, idle_before, 0, idle)),
                bias=F.pad(stage.bias, (0, idle)),
                before=_fill(stage.before, idle),
                after=_fill(stage.after, idle),
            )
        )
        idle_before = idle
    by_channel = chain.weight.view(len(chain.bias), len(chain.stages[-1].bias), -1)
    return replace(chain, stages=tuple(stages), weight=F.pad(by_channel, (0, 0, 0, idle_before)).flatten(1))


def _fill(functions: tuple[Pointwise, ...], idle: int) -> tuple[Pointwise, ...]:
    return tuple(
        Affine(F.pad(f.scale, (0, idle)), F.pad(f.shift, (0, idle))) if isinstance(f, Affine) else f for f in functions
    )


def _function_codes(stage: Stage) -> tuple[tuple[FunctionCode, ...], tuple[FunctionCode, ...], Tensor]:
    """The functions before and after the pool as data, and the affine maps among them: rows of scales and shifts."""
    rows: list[Tensor] = []

    def coded(function: Pointwise) -> FunctionCode:
        if isinstance(function, Affine):
            rows.extend((function.scale, function.shift))
            return ("affine", len(rows) - 2)
        if function.code is None:
            raise UnsupportedChain("the compiled kernel knows piecewise linear activations only")
        return function.code

    before = tuple(coded(function) for function in stage.before)
    after = tuple(coded(function) for function in stage.after)
    return before, after, torch.stack(rows or [stage.bias])


@functools.lru_cache(maxsize=64)
def _compiled(code: KernelCode) -> Callable[[int, int, Any], None]:
    """Machine code as a function of (start, stop, pointers); it runs without Python's lock."""
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

    def run(start: int, stop: int, pointers: Any, _owner: Any = engine) -> None:  # the engine owns the code
        function(start, stop, pointers)

    return run
