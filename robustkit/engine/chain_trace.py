"""From a network to its layers in a straight line, read from its torch.fx graph and never from its class name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from robustkit.engine.chain_layers import make_chain
from robustkit.engine.chain_stages import Chain, UnsupportedChain
from robustkit.models import AuditedClassifier

Build = Callable[..., nn.Module]

_NOTHING = {"contiguous", "float", "clone"}
_METHODS: dict[Any, Build] = {
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softmax": nn.Softmax,
    "log_softmax": nn.LogSoftmax,
    "flatten": lambda start_dim=0, end_dim=-1: nn.Flatten(start_dim, end_dim),
}
_FUNCTIONS: dict[Any, Build] = {
    torch.relu: nn.ReLU,
    torch.relu_: nn.ReLU,
    torch.sigmoid: nn.Sigmoid,
    torch.tanh: nn.Tanh,
    torch.flatten: _METHODS["flatten"],
    F.relu: nn.ReLU,
    F.leaky_relu: nn.LeakyReLU,
    F.elu: nn.ELU,
    F.gelu: lambda approximate="none": nn.GELU(approximate),
    F.silu: nn.SiLU,
    F.softplus: nn.Softplus,
    F.hardtanh: nn.Hardtanh,
    F.relu6: nn.ReLU6,
    F.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.softmax: nn.Softmax,
    F.log_softmax: nn.LogSoftmax,
}
# Arguments of functions that the layers of the same meaning do not take, and that change no number.
_DROPPED = {"inplace", "_stacklevel", "dtype"}


def trace(classifier: AuditedClassifier) -> Chain:
    """Reads the chain out of a network, in float64 on the CPU.

    Raises:
        UnsupportedChain: If the network is anything else; the message says what stands in the way.
    """
    modules = dict(classifier.module.named_modules())
    layers = [layer for node in _straight_line(classifier, modules) if (layer := _layer(node, modules)) is not None]
    _, height, width = classifier.input_shape
    return make_chain(layers, (height, width))


def _straight_line(classifier: AuditedClassifier, modules: Mapping[str, nn.Module]) -> list[fx.Node]:
    """The operations from the images to the scores, found from the end."""
    try:
        graph = fx.symbolic_trace(classifier.module).graph
    except Exception as error:  # torch.fx raises many kinds on code that depends on the data
        raise UnsupportedChain(f"torch.fx cannot trace the network: {str(error).splitlines()[0]}") from error
    node: Any = next(node for node in graph.nodes if node.op == "output").args[0]
    if classifier.output.part is not None:
        node = node[classifier.output.part]
    line: list[fx.Node] = []
    while isinstance(node, fx.Node) and node.op != "placeholder":
        if node.op == "get_attr" or not node.args:
            raise UnsupportedChain(f"{_words(node, modules)} is not a layer of a chain")
        line.append(node)
        node = node.args[0]
    if not isinstance(node, fx.Node):
        raise UnsupportedChain("the scores do not come from the images in a straight line")
    return line[::-1]


def _layer(node: fx.Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """An operation as a layer; `None` where it changes nothing."""
    words = _words(node, modules)
    if node.op == "call_module":
        module = modules[str(node.target)]
        if module._forward_hooks or module._forward_pre_hooks:  # pyright: ignore[reportPrivateUsage] no other way to ask
            raise UnsupportedChain(f"{words} has a hook")
        if module.training:
            raise UnsupportedChain(f"{words} is in training mode")
        return module
    if node.op == "call_method" and node.target in _NOTHING and len(node.args) == 1:
        return None
    if node.op == "call_method" and node.target in {"view", "reshape"}:
        return _flattening(node, words)
    if node.target is F.dropout and node.kwargs.get("training") is False:
        return None
    build = (_METHODS if node.op == "call_method" else _FUNCTIONS).get(node.target)
    settings = {name: value for name, value in node.kwargs.items() if name not in _DROPPED}
    if build is None or any(isinstance(value, fx.Node) for value in (*node.args[1:], *settings.values())):
        raise UnsupportedChain(f"{words} is not a layer of a chain")
    try:
        return build(*node.args[1:], **settings).eval()
    except TypeError as error:
        raise UnsupportedChain(f"{words} is called in a way that is not known") from error


def _flattening(node: fx.Node, words: str) -> nn.Module:
    """`x.view(x.size(0), -1)` and its kin; the check against the plain network proves that it flattened."""
    shape = node.args[1:]
    if len(shape) != 2 or isinstance(shape[1], fx.Node) or not (shape[0] == -1 or _is_batch_size(shape[0])):
        raise UnsupportedChain(f"{words} does not flatten each image")
    return nn.Flatten()


def _is_batch_size(value: Any) -> bool:
    if not isinstance(value, fx.Node):
        return False
    if value.op == "call_method" and value.target == "size":
        return value.args[1:] == (0,)
    return value.target is operator.getitem and bool(value.args[1] == 0)


def _words(node: fx.Node, modules: Mapping[str, nn.Module]) -> str:
    if node.op == "call_module":
        return f"layer {node.target} ({type(modules[str(node.target)]).__name__})"
    return f"operation {node.name}"
