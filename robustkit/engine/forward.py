"""The fastest full forward pass that this machine offers for a network, found by a short trial when it pays."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx, nn

from robustkit.devices import wait_for

Function = Callable[..., Tensor]

# Images after which freezing (a few seconds) and compiling (up to minutes) can pay for themselves.
FREEZE_AFTER = 500
COMPILE_AFTER = 200_000
# What a way must save to be preferred to a simpler one, and how far its answers may lie away.
_WORTH = 0.97
_TOLERANCE = 1e-4
# Bytes of the largest activation in one batch: on a CPU it should stay in the cache.
_BATCH_BYTES = {"cpu": 24 << 20, "cuda": 1 << 30}


class Forward:
    """Runs a network many times: eager at first, and then the fastest of eager, frozen and compiled.

    A way is tried on the next inputs once enough images were seen for it to pay, and is kept if it is faster and
    answers the same. Freezing needs a traced network, where nothing depends on what the images hold.

    Args:
        module: The network; a traced graph, whose memory format becomes channels last, or any module, left as it is.
        tune: Whether anything but eager is worth a trial.

    Attributes:
        way: `eager`, `frozen` or `compiled`.
        reason: Why, in words, with what the trial measured.
    """

    def __init__(self, module: nn.Module, *, tune: bool = True) -> None:
        self.traced = isinstance(module, fx.GraphModule)
        self.module = module.to(memory_format=torch.channels_last) if self.traced else module  # pyright: ignore[reportCallIssue]
        self.way = "eager"
        self.reason = "few images so far" if tune else "little work"
        self._run: Function = self.module
        self._compiled_for: int | None = None
        self._seen = 0
        self._tried: set[str] = set() if tune else {"frozen", "compiled"}

    def __call__(self, *inputs: Tensor) -> Tensor:
        """What the network returns for a batch."""
        self._seen += len(inputs[0])
        if self._seen >= FREEZE_AFTER and self.traced and "frozen" not in self._tried:
            self._try("frozen", _freeze, inputs)
        if self._seen >= COMPILE_AFTER and "compiled" not in self._tried:
            self._try("compiled", _compile, inputs)
        if self._compiled_for not in (None, len(inputs[0])):
            return self.module(*inputs)  # a batch of another size would be compiled anew
        return self._run(*inputs)

    def _try(self, way: str, make: Callable[[nn.Module, Sequence[Tensor]], Function], inputs: Sequence[Tensor]) -> None:
        self._tried.add(way)
        inputs = [tensor.clone() for tensor in inputs]  # tensors of an inference-mode caller, and nobody else's
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch.jit is deprecated, and still the fastest on a CPU
                function = make(self.module, inputs)
                expected, answer = self.module(*inputs), function(*inputs)
                scale = float(expected.abs().max()) + 1e-6
                if not torch.allclose(answer, expected, rtol=0, atol=_TOLERANCE * scale, equal_nan=True):
                    self.reason += f"; {way} answers differently"
                    return
                before, after = _times([self._run, function], inputs)
        except Exception as error:  # compilers fail in many ways, and eager always works
            self.reason += f"; {way} failed ({(str(error).strip() or type(error).__name__).splitlines()[0][:80]})"
            return
        verdict = f"{way} takes {after / before:.2f} of the time of {self.way}"
        self.reason = verdict if len(self._tried) == 1 else f"{self.reason}; {verdict}"
        if after < _WORTH * before:
            self.way, self._run = way, function
            self._compiled_for = len(inputs[0]) if way == "compiled" else None


def batch_size(module: nn.Module, device: torch.device, *, default: int = 32) -> int:
    """How many images to send through a network at once, so that its largest activation stays small.

    Args:
        module: The network; of a traced graph the activations are known.
        device: Where it runs.
        default: For a network that is not traced.
    """
    if not isinstance(module, fx.GraphModule):
        return default
    shapes = [node.meta.get("shape") for node in module.graph.nodes]
    largest = max((torch.Size(shape[1:]).numel() for shape in shapes if shape), default=1)
    return max(8, min(4096, _BATCH_BYTES.get(device.type, _BATCH_BYTES["cuda"]) // (4 * largest)))


def _freeze(module: nn.Module, inputs: Sequence[Tensor]) -> Function:
    with torch.no_grad(), torch.inference_mode(False):
        plain = tuple(tensor.clone() for tensor in inputs)
        return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(module, plain, check_trace=False)))


def _compile(module: nn.Module, inputs: Sequence[Tensor]) -> Function:
    function = torch.compile(module, dynamic=False)
    function(*inputs)
    return function


def _times(functions: Sequence[Function], inputs: Sequence[Tensor], *, rounds: int = 3) -> list[float]:
    """Median seconds of each function, taken in turn after one round to warm up."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds + 1):
        for function, taken in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function(*inputs)
            wait_for(inputs[0].device)
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken[1:]) for taken in seconds]
