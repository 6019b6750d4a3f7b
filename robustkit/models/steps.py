"""Steps of a network's code, whether layers or functions: seen while it runs, and their results replaced."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

# Functions whose result joins numbers of one image by weights.
_MIXING = frozenset((
    "linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "addmv", "baddbmm", "addbmm", "einsum",
    "tensordot", "inner", "dot", "vdot", "multi_dot", "bilinear", "conv1d", "conv2d", "conv3d", "cdist",
    "cosine_similarity", "pairwise_distance",
))  # fmt: skip
# Those that weigh numbers, which a sum then joins; where they make more than they take, they do it for each class.
_SPREADING = frozenset(("mul", "sub", "rsub", "div", "multiply", "subtract", "true_divide", "__rsub__", "__rmul__"))
_JOINING = frozenset(("sum", "mean"))
_IMAGES = -1


@dataclass(frozen=True)
class Step:
    """The result of one call of a function while a network runs.

    Attributes:
        function: The name of the function.
        call: Which of its calls, from 0.
    """

    function: str
    call: int

    @contextmanager
    def watched(self, hook: Callable[[Any], Any]) -> Generator[None]:
        """Hands the result to a function while a network runs; what the function returns, if anything, replaces it."""
        with _Watch(self, lambda result, args, kwargs: hook(result)):
            yield

    @contextmanager
    def skipped(self) -> Generator[None]:
        """While a network runs, the first tensor that the step takes is its result."""
        with _Watch(self, lambda result, args, kwargs: args[0] if args else kwargs["input"]):
            yield


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a function, of a result that depends on the images.

    Attributes:
        step: Which it is.
        function: The function.
        settings: What else it was called with, after the first tensor, and by name.
        reads: The calls whose results it takes, by number; -1 are the images.
        result: What it returned.
        mixes: Whether it joins numbers of an image by weights.
        layer: The layer in whose code it stands; empty in the network's own.
    """

    step: Step
    function: Any
    settings: tuple[tuple[Any, ...], dict[str, Any]]
    reads: frozenset[int]
    result: Any
    mixes: bool
    layer: str


class Tape:
    """The calls that a network made for some images, in their order.

    It is written while the network runs, so it does not matter whether torch.fx could follow the code.

    Args:
        network: The network, in evaluation mode.
        images: Images that it takes.

    Attributes:
        returned: What the network returned.
        calls: Every call whose result depends on the images.
    """

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        images = images.clone()
        within: list[str] = []
        writing = _Writing(images, within)
        layers = {layer: name for name, layer in network.named_modules() if name}
        handles = [layer.register_forward_pre_hook(lambda layer, _: within.append(layers[layer])) for layer in layers]
        handles += [layer.register_forward_hook(lambda *_: _leave(within)) for layer in layers]
        try:
            with writing:
                self.returned = network(images)
        finally:
            for handle in handles:
                handle.remove()
        self.calls, self._made = writing.calls, writing.made

    def giving(self, tensor: Any) -> Call | None:
        """The call that made a tensor; `None` where nothing that was seen did."""
        number = self._made.get(id(tensor), _IMAGES)
        return None if number == _IMAGES else self.calls[number]

    def before(self, call: Call) -> Call | None:
        """The one call whose result a call takes; `None` where there are several, or the images."""
        return self.calls[min(call.reads)] if len(call.reads) == 1 and min(call.reads) != _IMAGES else None

    def through(self, scores: Any) -> Iterator[tuple[int, list[int]]]:
        """The calls that every path from the images to the scores leads through, the last first.

        Args:
            scores: A tensor of what the network returned.

        Yields:
            The number of such a call, and those of the calls after it that join numbers by weights.
        """
        needed, mixing = {self._made.get(id(scores), _IMAGES)}, list[int]()
        while needed:
            last = max(needed)
            if last == _IMAGES:
                return
            if len(needed) == 1:
                yield last, list(mixing)
            if self.calls[last].mixes:
                mixing.append(last)
            needed.remove(last)
            needed |= self.calls[last].reads

    def depth(self, start: int) -> int:
        """How many calls that join numbers by weights follow each other after a call, at most."""
        found = {start: 0}
        for number in range(start + 1, len(self.calls)):
            call = self.calls[number]
            before = [found[read] for read in call.reads if read in found]
            if before:
                found[number] = max(before) + call.mixes
        return max(found.values())


class _Writing(TorchFunctionMode):
    """Writes down calls; keeps every tensor alive, so that no two have the same identity."""

    def __init__(self, images: Tensor, within: Sequence[str]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.made = {id(images): _IMAGES}
        self._kept: list[Any] = [images]
        self._within, self._counts = within, dict[str, int]()
        self._weighed: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        key = _key(func)
        call = self._counts[key] = self._counts.get(key, -1) + 1
        taken = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        varying = [tensor for tensor in taken if id(tensor) in self.made]
        reads = frozenset(self.made[id(tensor)] for tensor in varying)
        result = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if key.endswith("__setitem__") and taken:
            given = taken[:1]
        if varying and given:
            name = str(getattr(func, "__name__", key))
            fixed = [tensor for tensor in taken if id(tensor) not in self.made]
            weighs = name in _SPREADING and any(tensor.numel() > 1 for tensor in fixed)
            spreads = weighs and all(given[0].numel() > tensor.numel() for tensor in varying)
            joins = name in _JOINING and bool(reads & self._weighed)
            mixes = bool(fixed and name in _MIXING) or spreads or joins
            if weighs and not spreads:
                self._weighed.add(len(self.calls))
            layer = self._within[-1] if self._within else ""
            self.calls.append(Call(Step(key, call), func, (args[1:], kwargs or {}), reads, result, mixes, layer))
            self._kept.append(given)
            self.made |= dict.fromkeys(map(id, given), len(self.calls) - 1)
        return result


class _Watch(TorchFunctionMode):
    """Waits for one step."""

    def __init__(self, step: Step, hook: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        super().__init__()
        self._step, self._hook, self._call = step, hook, -1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if _key(func) == self._step.function:
            self._call += 1
            if self._call == self._step.call:
                put = self._hook(result, args, kwargs or {})
                return result if put is None else put
        return result


def _key(function: Any) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name or getattr(function, '__name__', str(function))}"


def _leave(within: list[str]) -> None:
    within.pop()
