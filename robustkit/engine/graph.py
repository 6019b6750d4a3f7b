"""A network as a graph of layers: traced, rid of work in place, batch norms and chains of dense layers folded."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.utils._pytree import tree_leaves

from robustkit.engine.layout import put_channels_first
from robustkit.errors import NoGraph, first_line
from robustkit.models.outputs import part_of
from robustkit.models.probing import OfBatch, Paired
from robustkit.models.tracing import symbolic_trace

M = TypeVar("M", bound=nn.Module)

# How far the graph may lie from the network, relative to its largest output: float32 rounding and no more.
_TOLERANCE = 1e-4
_NOTHING = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout
)  # fmt: skip
_FUSE: dict[type[nn.Module], tuple[type[nn.Module], Callable[..., nn.Module]]] = {
    nn.Conv1d: (nn.BatchNorm1d, fuse_conv_bn_eval),
    nn.Conv2d: (nn.BatchNorm2d, fuse_conv_bn_eval),
    nn.Conv3d: (nn.BatchNorm3d, fuse_conv_bn_eval),
    nn.Linear: (nn.BatchNorm1d, fuse_linear_bn_eval),
}


class Untraceable(Exception):
    """The network cannot be written as a fixed graph of layers; the message says why."""


def trace(module: nn.Module, images: Tensor, *, part: int | str | None = None) -> fx.GraphModule:
    """A copy of a network as a graph of layers that computes the same.

    Nothing in the copy works in place, batch norms are folded into the layers before them, dense layers that follow
    each other with nothing between are one, and each node knows its output on two images: `meta["shape"]`, and
    `meta["value"]` where the output does not depend on the images.

    Args:
        module: The network, in evaluation mode; left untouched.
        images: Some network input, shape (N, C, H, W), N at least 1.
        part: Which part of what the network returns the graph returns, see `Output`; `None` for everything.

    Raises:
        Untraceable: If the network is not a fixed graph.
    """
    training = [name for name, part in module.named_modules() if part.training]
    if training:
        raise Untraceable(f"{training[0] or type(module).__name__} is in training mode")
    paired = isinstance(module, Paired)
    try:
        copied = copy.deepcopy(module.network if isinstance(module, Paired) else module).eval().requires_grad_(False)
        graph_module = symbolic_trace(_OneInput(copied))
    except NoGraph as error:
        raise Untraceable(str(error)) from error
    except Exception as error:  # tracing runs the network's own code, which may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        name = type(module.network if isinstance(module, Paired | OfBatch) else module).__name__
        raise Untraceable(f"{name} does not trace ({reason})") from error
    with torch.no_grad():
        _return_part(graph_module, part)
        _work_out_of_place(graph_module)
        _fold(graph_module)
        graph_module.graph.eliminate_dead_code()
        graph_module.graph.lint()
        graph_module.delete_all_unused_submodules()
        graph_module.recompile()
        two = images[:1].repeat(2, 1, 1, 1)
        # The second image is far from the first, so that a branch or a write in place that tracing lost shows.
        two[1] = 3 * (two[1].flip(-1) - two[1].mean())
        _Observer(graph_module).run(two)
        _flatten(graph_module)
        put_channels_first(graph_module)
        returned = module(two.clone())
        _compare(module, _Observer(graph_module).run(two), part_of(returned, part))
        if paired:
            _check_alone(module, graph_module, two[:1], part)
    return graph_module


def layer(node: fx.Node) -> nn.Module | None:
    """The layer that a node calls, or None where it calls something else."""
    if node.op != "call_module":
        return None
    root = node.graph.owning_module
    assert root is not None
    return root.get_submodule(str(node.target))


def subgraph(graph_module: fx.GraphModule, starts: Sequence[fx.Node], ends: Any) -> fx.GraphModule:
    """The part of a graph that leads from some nodes to others, as a network of its own with the same weights.

    Args:
        graph_module: The whole.
        starts: Nodes whose outputs the part takes, in this order.
        ends: What the part returns: nodes, in tuples, lists or dicts.
    """
    needed: set[fx.Node] = set()
    stack = list(_nodes(ends))
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack.extend(() if node in starts else node.all_input_nodes)
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"start_{i}") for i, node in enumerate(starts)}
    for node in graph_module.graph.nodes:
        if node in needed and node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(map_arg(ends, copies.__getitem__))
    return fx.GraphModule(graph_module, graph)


def _nodes(arguments: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    map_arg(arguments, found.append)
    return found


def layer_of(node: fx.Node, kind: type[M]) -> M | None:
    """The layer that a node calls if it is exactly of one kind, or None."""
    module = layer(node)
    return module if isinstance(module, kind) and type(module) is kind else None


class _OneInput(nn.Module):
    """Calls the network with images alone, so that its other arguments have their defaults while it is traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, images: Tensor) -> Any:
        return self.network(images)


class _Observer(fx.Interpreter):
    """Runs the graph and notes what every node gives."""

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        n.meta["shape"] = tuple(value.shape) if isinstance(value, Tensor) else None
        n.meta["varies"] = n.op == "placeholder" or any(source.meta["varies"] for source in n.all_input_nodes)
        if not n.meta["varies"]:
            n.meta["value"] = value
        return value


def _compare(module: nn.Module, answer: Any, expected: Any) -> None:
    """Proves that the graph computes what the network computes."""
    ours, theirs = (tree_leaves(returned) for returned in (answer, expected))
    for mine, its in zip(ours, theirs, strict=True):
        if not isinstance(its, Tensor) or not its.is_floating_point():
            continue
        scale = float(its.nan_to_num(0.0, 0.0, 0.0).abs().max()) + 1e-6 if its.numel() else 1.0
        if mine.shape != its.shape or not torch.allclose(mine, its, rtol=0, atol=_TOLERANCE * scale, equal_nan=True):
            raise Untraceable(f"{type(module).__name__} does not follow from its graph (it works in place or branches)")


def _check_alone(module: nn.Module, graph_module: fx.GraphModule, image: Tensor, part: int | str | None) -> None:
    """Proves that the graph takes one image alone, which the network itself cannot."""
    returned = module(image.clone())
    try:
        answer = graph_module(image)
    except Exception as error:  # the network's own operations, on a batch of one
        raise Untraceable(f"it takes no image alone ({first_line(error)})") from error
    _compare(module, answer, part_of(returned, part))


def _return_part(graph_module: fx.GraphModule, part: int | str | None) -> None:
    """Drops the parts of the output that are not asked for, and with them the layers that only they need."""
    end = next(node for node in graph_module.graph.nodes if node.op == "output")
    end.args = (part_of(end.args[0], part),)


def _work_out_of_place(graph_module: fx.GraphModule) -> None:
    """Makes every node give a new tensor; later readers of what was overwritten read the new one."""
    order = {node: position for position, node in enumerate(graph_module.graph.nodes)}
    in_place = [node for node in order if _is_in_place_layer(node) or _made_out_of_place(graph_module, node)]
    for node in in_place:
        overwritten = node.all_input_nodes[0]
        overwritten.replace_all_uses_with(node, delete_user_cb=lambda user, at=order[node]: order[user] > at)
    for module in graph_module.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # pyright: ignore[reportArgumentType]


def _is_in_place_layer(node: fx.Node) -> bool:
    return bool(getattr(layer(node), "inplace", False))


def _made_out_of_place(graph_module: fx.GraphModule, node: fx.Node) -> bool:
    """Rewrites a function or method that works in place; whether it was one."""
    if node.op not in ("call_function", "call_method"):
        return False
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name.endswith("_") and not name.endswith("__"):
        homes = [Tensor] if node.op == "call_method" else [torch, functional]
        plain = next((getattr(home, name[:-1]) for home in homes if hasattr(home, name[:-1])), None)
        if plain is None:
            raise Untraceable(f"{node.name} writes in place with {name}")
        node.target = name[:-1] if node.op == "call_method" else plain
        return True
    if inspect.isfunction(node.target) and "inplace" in inspect.signature(node.target).parameters:
        normalized = node.normalized_arguments(graph_module, normalize_to_only_use_kwargs=True)  # pyright: ignore[reportArgumentType]
        if normalized is not None and normalized.kwargs.get("inplace", False):
            node.args, node.kwargs = (), {**normalized.kwargs, "inplace": False}
            return True
    return False


def _fold(graph_module: fx.GraphModule) -> None:
    """Removes layers that do nothing, and folds batch norms and dense layers into the layer before them."""
    for node in list(graph_module.graph.nodes):
        module = layer(node)
        if isinstance(module, _NOTHING) or _keeps_depth(node):
            _replace(node, node.all_input_nodes[0])
            continue
        if module is None or len(node.args) != 1 or not isinstance(node.args[0], fx.Node):
            continue
        before = node.args[0]
        first = layer(before)
        # A layer that runs twice, or whose output is read elsewhere too, must stay as it is.
        if first is None or len(before.users) != 1 or _runs(first, graph_module) != 1:
            continue
        folded = _fused(first, module)
        if folded is not None:
            parent, _, name = str(before.target).rpartition(".")
            setattr(graph_module.get_submodule(parent), name, folded)
            _replace(node, before)


def _keeps_depth(node: fx.Node) -> bool:
    """Whether a node is torchvision's stochastic depth, which does nothing in evaluation mode."""
    return getattr(node.target, "__name__", "") == "stochastic_depth" and False in (
        *node.args[3:],
        *node.kwargs.values(),
    )


def _fused(first: nn.Module, second: nn.Module) -> nn.Module | None:
    """One layer that computes second(first(x)), or None if no such layer exists or it would cost more."""
    if type(first) is nn.Linear and type(second) is nn.Linear:
        apart = first.weight.numel() + second.weight.numel()
        return _product(first, second) if first.in_features * second.out_features <= apart else None
    norm, fuse = _FUSE.get(type(first), (None, None))
    if norm is None or fuse is None or type(second) is not norm:
        return None
    if second.training or second.running_mean is None or second.running_var is None:
        return None
    # In double precision, so that folding costs one rounding of each weight; on the CPU, as some devices lack it.
    device = next(first.parameters()).device
    return fuse(copy.deepcopy(first).cpu().double(), copy.deepcopy(second).cpu().double()).float().to(device)


def _product(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    folded = nn.Linear(first.in_features, second.out_features, device=first.weight.device).requires_grad_(False).eval()
    weight = second.weight.cpu().double()
    folded.weight.copy_(weight @ first.weight.cpu().double())
    bias = folded.bias.cpu().double().zero_()
    if first.bias is not None:
        bias += weight @ first.bias.cpu().double()
    if second.bias is not None:
        bias += second.bias.cpu().double()
    folded.bias.copy_(bias)
    return folded


def _flatten(graph_module: fx.GraphModule) -> None:
    """Writes views so that none asks for the size of a batch, nor takes a batch of one for a length of one.

    What flattens is written as such, `squeeze()` with the axes that it removes, and other views for any memory format.
    """
    for node in graph_module.graph.nodes:
        name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
        if node.op not in ("call_method", "call_function") or name not in ("view", "reshape", "flatten", "squeeze"):
            continue
        before = next(iter(node.all_input_nodes), None)
        shape = before.meta["shape"] if before is not None else None
        if name == "squeeze" and (len(node.args) > 1 or node.kwargs.get("dim") is not None):
            continue
        if before is not None and shape and node.meta["shape"] == (shape[0], math.prod(shape[1:])):
            node.op, node.target, node.args, node.kwargs = "call_function", torch.flatten, (before, 1), {}
        elif name == "squeeze" and shape:
            ones = tuple(axis for axis, size in enumerate(shape) if axis > 0 and size == 1)
            node.op, node.target, node.args, node.kwargs = "call_function", torch.squeeze, (before, ones), {}
        elif name == "view" and not any(isinstance(argument, torch.dtype) for argument in node.args):
            node.target = "reshape"
    graph_module.graph.eliminate_dead_code()
    graph_module.recompile()


def _runs(module: nn.Module, graph_module: fx.GraphModule) -> int:
    return sum(layer(node) is module for node in graph_module.graph.nodes)


def _replace(node: fx.Node, other: fx.Node) -> None:
    node.replace_all_uses_with(other)
    node.graph.erase_node(node)
