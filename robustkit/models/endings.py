"""A softmax or sigmoid at the end of a network, cut off: what it takes are logits, whose margins do not saturate."""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from robustkit.models.latents import INPUT_OF
from robustkit.models.outputs import EndingKind, Output, check_ending, part_of
from robustkit.models.steps import Tape
from robustkit.models.tracing import symbolic_trace

_LAYERS: dict[type[nn.Module], EndingKind] = {
    nn.Softmax: "softmax", nn.LogSoftmax: "log_softmax", nn.Sigmoid: "sigmoid", nn.LogSigmoid: "log_sigmoid",
}  # fmt: skip
_CALLS: dict[Any, EndingKind] = {
    torch.softmax: "softmax", functional.softmax: "softmax", "softmax": "softmax",
    torch.log_softmax: "log_softmax", functional.log_softmax: "log_softmax", "log_softmax": "log_softmax",
    torch.sigmoid: "sigmoid", functional.sigmoid: "sigmoid", "sigmoid": "sigmoid", torch.special.expit: "sigmoid",
    functional.logsigmoid: "log_sigmoid",
}  # fmt: skip
# Those that take each score by itself.
_ALONE = ("sigmoid", "log_sigmoid")
# What may follow a sigmoid without changing a number.
_SHAPES: tuple[Any, ...] = (
    "squeeze", "flatten", "view", "reshape", "contiguous", torch.squeeze, torch.flatten, torch.reshape,
    operator.getitem, "__getitem__",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CutNetwork:
    """A network without its ending.

    Attributes:
        network: The network; the same layers under the same names.
        kind: What was cut off.
        words: What is said of it.
    """

    network: nn.Module
    kind: EndingKind
    words: str

    def keeps(self, latent: str | None) -> bool:
        """Whether a layer that was named as the latent still runs as such."""
        if latent is None or not isinstance(self.network, fx.GraphModule):
            return True
        called = {str(node.target) for node in self.network.graph.nodes if node.op == "call_module"}
        return latent.removeprefix(INPUT_OF) in called


@torch.no_grad()
def cut_ending(network: nn.Module, output: Output, images: Tensor) -> CutNetwork | None:
    """Cuts off the softmax or sigmoid that a network ends in, and proves that its answer follows from what is left.

    Args:
        network: The network, in evaluation mode; left untouched.
        output: Which part of its return value holds the scores.
        images: Two or more images that it takes.

    Returns:
        The network without it; `None` where it has none over the classes, or none that could be found.
    """
    try:
        ended = output.select(network(images.clone()))
        found = _cut_layer(network, output, images, ended) or _cut_function(network, output, images)
        if found is None:
            return None
        check_ending(found.kind, output.select(found.network(images.clone())), ended)
    except Exception:  # the network's own code, or code that torch.fx cannot follow: it is taken as it is
        return None
    return found


def _cut_layer(network: nn.Module, output: Output, images: Tensor, ended: Tensor) -> CutNetwork | None:
    """Cuts off a layer that runs once and gives the scores."""
    given: dict[str, list[Tensor]] = {}
    layers = {name: layer for name, layer in network.named_modules() if name and type(layer) in _LAYERS}
    handles = [
        layer.register_forward_hook(lambda layer, taken, gave, name=name: given.setdefault(name, []).append(gave))
        for name, layer in layers.items()
    ]
    try:
        network(images.clone())
    finally:
        for handle in handles:
            handle.remove()
    last = next((name for name in reversed(given) if len(given[name]) == 1 and given[name][0] is not None), None)
    if last is None or not _over_classes(getattr(layers[last], "dim", -1)):
        return None
    if given[last][0].numel() != ended.numel() or not torch.equal(given[last][0].flatten(), ended.flatten()):
        return None
    made = copy.deepcopy(network)
    parent, _, name = last.rpartition(".")
    setattr(made.get_submodule(parent), name, nn.Identity().eval())
    kind = _LAYERS[type(layers[last])]
    return CutNetwork(made, kind, f"the {kind} at the end, layer {last}, is cut off: its input is taken as the logits")


def _cut_function(network: nn.Module, output: Output, images: Tensor) -> CutNetwork | None:
    """Cuts off a function at the end of the code, in a graph of it where there is one."""
    try:
        return _cut_call(network, output)
    except Exception:  # torch.fx follows no code that looks at numbers, and raises many kinds
        return _cut_step(network, output, images)


def _cut_step(network: nn.Module, output: Output, images: Tensor) -> CutNetwork | None:
    """Passes a function at the end of the code by, each time that the network runs."""
    tape = Tape(network, images)
    shaped = end = tape.giving(output.select(tape.returned))
    while shaped is not None and _names(shaped.function, _SHAPES):
        shaped = tape.before(shaped)
    if shaped is not None and _kind(shaped.function) in _ALONE:
        end = shaped
    kind = None if end is None else _kind(end.function)
    if end is None or kind is None:
        return None
    given = {**dict(zip(("dim",), end.settings[0], strict=False)), **end.settings[1]}
    if kind not in _ALONE and not _over_classes(given.get("dim")):
        return None
    step, kept = end.step, type(network)

    def forward(self: nn.Module, *inputs: Any) -> Any:
        with step.skipped():
            return kept.forward(self, *inputs)

    made = copy.copy(network)
    made.__class__ = type(kept.__name__, (kept,), {"forward": forward})
    return CutNetwork(made, kind, _words(kind))


def _names(function: Any, known: Any) -> bool:
    return function in known or getattr(function, "__name__", "") in known


def _kind(function: Any) -> EndingKind | None:
    return _CALLS.get(function) or _CALLS.get(getattr(function, "__name__", ""))


def _words(kind: EndingKind) -> str:
    return f"the {kind} at the end of its code is cut off: its input is taken as the logits"


def _cut_call(network: nn.Module, output: Output) -> CutNetwork | None:
    """Cuts off a function at the end of the code."""
    traced = symbolic_trace(network)
    end = next(node for node in traced.graph.nodes if node.op == "output")
    node: Any = part_of(end.args[0], output.part)
    shaped = node
    while _is_call(shaped) and shaped.target in _SHAPES:
        shaped = shaped.args[0]
    # A sigmoid may stand before a squeeze, a softmax may not: it would be over other axes.
    node = shaped if _is_call(shaped) and _CALLS.get(shaped.target) in _ALONE else node
    kind = _CALLS.get(node.target) if _is_call(node) else None
    if kind is None:
        return None
    settings = {**dict(zip(("input", "dim"), node.args, strict=False)), **node.kwargs}
    if (kind not in _ALONE and not _over_classes(settings.get("dim"))) or len(node.users) != 1:
        return None
    node.replace_all_uses_with(settings["input"])
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return CutNetwork(traced.eval(), kind, _words(kind))


def _is_call(node: Any) -> bool:
    return isinstance(node, fx.Node) and node.op in ("call_function", "call_method")


def _over_classes(dim: Any) -> bool:
    return dim in (None, 1, -1)
