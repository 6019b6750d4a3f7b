"""Layers that look at one place of a map at a time: activations, batch norm, sums, concatenation."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from robustkit.engine.graph import layer
from robustkit.engine.layout import ELEMENTWISE, ChannelNorm

_LAYERS = (*ELEMENTWISE, nn.BatchNorm2d, nn.PReLU, nn.LocalResponseNorm, ChannelNorm)
# Of one tensor and numbers.
_NAMES = {
    "relu", "relu6", "leaky_relu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "logsigmoid",
    "tanh", "tanhshrink", "softplus", "softsign", "softshrink", "hardshrink", "hardtanh", "hardsigmoid", "hardswish",
    "threshold", "dropout", "dropout2d", "alpha_dropout", "feature_alpha_dropout",
    "abs", "neg", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "square", "sin", "cos", "atan", "asinh", "arcsinh",
    "erf", "reciprocal", "sign", "clamp", "clip", "clamp_min", "clamp_max", "contiguous", "float",
}  # fmt: skip
# Of two tensors, or of a tensor and a number.
_NAMES_OF_TWO = {
    "add", "sub", "mul", "div", "truediv", "true_divide", "divide", "multiply", "subtract", "pow", "maximum", "minimum",
}  # fmt: skip
_HOMES = (torch, functional, operator, Tensor)


def is_pointwise(node: fx.Node) -> bool:
    """Whether each place of the output follows from the same place of the inputs.

    Args:
        node: A node whose varying inputs are maps (N, C, H, W).
    """
    varying = [source for source in node.all_input_nodes if source.meta["varies"]]
    if node.target in (torch.cat, torch.concat, torch.concatenate):
        return _joins_channels(node)
    shape = node.meta["shape"]
    if shape is None or any(source.meta["shape"] != shape for source in varying):
        return False
    module = layer(node)
    if module is not None:
        return _is_pointwise_layer(module)
    name = called_name(node)
    if name in _NAMES:
        return not node.kwargs.get("training", False) and len(node.all_input_nodes) == 1
    if name in _NAMES_OF_TWO:
        constants = [source.meta["value"] for source in node.all_input_nodes if not source.meta["varies"]]
        return all(_same_everywhere(constant) for constant in constants)
    return False


def _is_pointwise_layer(module: nn.Module) -> bool:
    without_statistics = type(module) is nn.BatchNorm2d and module.running_mean is None
    return type(module) in _LAYERS and not module.training and not without_statistics


def called_name(node: fx.Node) -> str | None:
    """The name of the function or method that a node calls, if it is torch's or Python's own."""
    if node.op == "call_method":
        return str(node.target)
    name = getattr(node.target, "__name__", "")
    known = node.op == "call_function" and any(getattr(home, name, None) is node.target for home in _HOMES)
    return name if known else None


def _same_everywhere(constant: Any) -> bool:
    """Whether a constant operand has one value for the whole of a map's channel."""
    if not isinstance(constant, Tensor):
        return isinstance(constant, (int, float))
    if constant.ndim < 3:
        return constant.numel() == 1
    return constant.shape[-2:] == (1, 1) and (constant.ndim == 3 or (constant.ndim == 4 and len(constant) == 1))


def _joins_channels(node: fx.Node) -> bool:
    tensors = node.args[0] if node.args else node.kwargs.get("tensors")
    dimension = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    if not isinstance(tensors, (list, tuple)) or dimension not in (1, -3) or len(node.meta["shape"]) != 4:
        return False
    return all(isinstance(tensor, fx.Node) and tensor.meta["varies"] for tensor in tensors)
