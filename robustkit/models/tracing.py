"""Networks written as graphs by torch.fx, with what strangers' code does that it alone does not follow."""

from __future__ import annotations

import builtins
import dis
import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torch import fx, nn


def symbolic_trace(network: nn.Module) -> fx.GraphModule:
    """A network as a graph; `len(x)` is `x.size(0)`, and what the code asserts of its input is taken to hold.

    Args:
        network: The network.

    Raises:
        Exception: Whatever torch.fx or the network's own code raises.
    """
    tracer = _Tracer()
    with _lengths(network):
        graph = tracer.trace(network)
    return fx.GraphModule(tracer.root, graph, type(network).__name__)


class _Tracer(fx.Tracer):
    """Follows code that begins with assertions on the shape of its input, and layers that are made where they run."""

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            self.path_of_module(m)
        except NameError:  # nn.ReLU()(x): no layer of the network
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def to_bool(self, obj: fx.Proxy) -> bool:
        frame = inspect.currentframe()
        caller = frame.f_back.f_back if frame is not None and frame.f_back is not None else None  # past __bool__
        if caller is not None and _asserts(caller):
            return True
        return super().to_bool(obj)


def _asserts(frame: FrameType) -> bool:
    """Whether a truth is asked for by an `assert`, which raises unless it jumps."""
    steps = [step for step in dis.get_instructions(frame.f_code) if step.opname != "CACHE"]
    after = [step for step in steps if step.offset >= frame.f_lasti][:4]
    jump = next((i for i, step in enumerate(after) if "JUMP" in step.opname and "TRUE" in step.opname), None)
    return jump is not None and any(
        step.opname == "LOAD_ASSERTION_ERROR" or step.argval is AssertionError for step in after[jump + 1 : jump + 3]
    )


@contextmanager
def _lengths(network: nn.Module) -> Generator[None]:
    """Lets the files of a network's classes take the length of what is traced, which Python's own `len` cannot."""
    written: list[dict[str, Any]] = []
    try:
        for layer in network.modules():
            scope = getattr(type(layer).forward, "__globals__", None)
            own = not type(layer).__module__.startswith("torch.")
            if own and scope is not None and "len" not in scope:
                scope["len"] = _length
                written.append(scope)
        yield
    finally:
        for scope in written:
            del scope["len"]


def _length(value: Any) -> Any:
    return value.size(0) if isinstance(value, fx.Proxy) else builtins.len(value)
