"""Layers that work on maps with their channels last, as layers on maps with their channels first.

ConvNeXt and its like turn a map round, (N, C, H, W) to (N, H, W, C), normalize or mix the channels of each place, and
turn it back. Written without the turns, the layers look at one place of a map, and windows can follow them.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

# Layers that treat each number by itself.
ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid,
    nn.LogSigmoid, nn.Tanh, nn.Tanhshrink, nn.Softplus, nn.Softsign, nn.Softshrink, nn.Hardshrink, nn.Hardtanh,
    nn.Hardsigmoid, nn.Hardswish, nn.Threshold,
)  # fmt: skip
_FUNCTIONS = (
    functional.relu, functional.gelu, functional.silu, torch.relu, operator.add, operator.mul, torch.add, torch.mul
)  # fmt: skip
_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each place of a map (N, C, H, W).

    Args:
        channels: C.
        weight: Shape (C,), or None.
        bias: Shape (C,), or None.
        eps: Added to the variance.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, channels: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.eval()

    def forward(self, maps: Tensor) -> Tensor:
        """The same shape."""
        last = maps.permute(0, 2, 3, 1)
        return functional.layer_norm(last, (self.channels,), self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


def put_channels_first(graph_module: fx.GraphModule) -> None:
    """Rewrites what lies between a turn and the turn back, where every layer there is known.

    Args:
        graph_module: A traced network whose nodes hold their shapes, and the values of what does not vary.
    """
    first: dict[fx.Node, fx.Node] = {}  # of a map with its channels last, the node of the same with its channels first
    for node in list(graph_module.graph.nodes):
        axes = _turn(node)
        source = next(iter(node.all_input_nodes), None)
        if axes == _LAST and source is not None and source.meta["varies"]:
            first[node] = source
        elif axes == _FIRST and source in first:
            node.replace_all_uses_with(first[source])
        elif source in first:
            with graph_module.graph.inserting_after(node):
                made = _made(graph_module, node, first)
            if made is not None:
                first[node] = made
    graph_module.graph.eliminate_dead_code()
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()


def _turn(node: fx.Node) -> tuple[int, ...] | None:
    """The order that a node puts the axes of a map in, or None."""
    if node.target not in ("permute", torch.permute) or len(node.all_input_nodes) != 1 or len(node.args) < 2:
        return None
    axes = node.args[1] if isinstance(node.args[1], (list, tuple)) else node.args[1:]
    return tuple(axis % 4 for axis in axes if isinstance(axis, int)) if len(axes) == 4 else None


def _made(graph_module: fx.GraphModule, node: fx.Node, first: dict[fx.Node, fx.Node]) -> fx.Node | None:
    """The node on maps with their channels first, or None where that is not known."""
    graph, source = graph_module.graph, node.all_input_nodes[0]
    module = graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
    new: nn.Module | None = None
    if type(module) is nn.LayerNorm:
        new = _norm(tuple(module.normalized_shape), module.weight, module.bias, module.eps)
    elif node.target is functional.layer_norm:
        new = _norm_of_call(node)
    elif type(module) is nn.Linear:
        new = nn.Conv2d(module.in_features, module.out_features, 1, bias=False, device=module.weight.device)
        new.weight = nn.Parameter(module.weight[:, :, None, None], requires_grad=False)
        new.bias = module.bias
    elif type(module) in ELEMENTWISE:
        return graph.call_module(str(node.target), (first[source],))
    elif node.target in _FUNCTIONS:
        if all(other in first for other in node.all_input_nodes):
            return graph.node_copy(node, first.__getitem__)
        return None
    if new is None:
        return None
    name = f"{node.name}_channels_first"
    graph_module.add_submodule(name, new.eval())
    return graph.call_module(name, (first[source],))


def _norm_of_call(node: fx.Node) -> ChannelNorm | None:
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    given: dict[str, Any] = {"weight": None, "bias": None, "eps": 1e-5, **dict(zip(names, node.args, strict=False))}
    given |= node.kwargs
    for name in ("weight", "bias"):
        if isinstance(given[name], fx.Node):
            if given[name].meta["varies"]:
                return None
            given[name] = given[name].meta["value"]
    return _norm(tuple(given["normalized_shape"]), given["weight"], given["bias"], given["eps"])


def _norm(shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float) -> ChannelNorm | None:
    return ChannelNorm(shape[0], weight, bias, eps) if len(shape) == 1 else None
