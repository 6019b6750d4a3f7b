"""Layers that slide over a map: convolution, pooling, constant padding. Each is read from its node of the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.nn import functional

from robustkit.engine.graph import layer, layer_of
from robustkit.engine.windows import Slide


@dataclass(frozen=True, eq=False)
class Sliding:
    """A layer whose output cells each read a small neighbourhood of the input.

    Attributes:
        source: The node that is read.
        slides: How it slides, down and across.
        fill: What lies around the map.
        apply: The layer without its padding: region (B, C, h, w) to window.
        work: Multiplications and additions for one output cell.
        scale: What each output cell is multiplied with at the end, shape (H, W); None where that is 1.
        weight: Of a convolution, shape (C_out, C_in / groups, kernel height, kernel width).
        pool: Of a pool, what it makes of a cell.
    """

    source: fx.Node
    slides: tuple[Slide, Slide]
    fill: float
    apply: Callable[[Tensor], Tensor]
    work: float
    scale: Tensor | None = None
    weight: Tensor | None = None
    pool: Literal["max", "mean"] | None = None


def read_sliding(node: fx.Node) -> Sliding | None:
    """The sliding layer that a node is, or None."""
    for read in (_convolution, _max_pool, _average_pool, _pad):
        found = read(node)
        if found is not None:
            before, after = found.source.meta["shape"], node.meta["shape"]
            return found if before and after and len(before) == len(after) == 4 else None
    return None


def arguments(
    node: fx.Node, names: Sequence[str], *, of: nn.Module | None = None, **defaults: Any
) -> dict[str, Any] | None:
    """The input and the settings of a layer or a call, by name.

    Args:
        node: The node.
        names: The name of the input, and of every setting that is known.
        of: The layer that the node calls, if it is one.
        defaults: Settings that a call need not give.

    Returns:
        What does not vary with the images as its value; None if the call gives more than is known.
    """
    if of is not None:
        return {names[0]: node.all_input_nodes[0], **{name: getattr(of, name) for name in names[1:]}}
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    if len(node.args) > len(names) or not set(given) <= set(names):
        return None

    def value(source: fx.Node) -> Any:
        return source if source.meta["varies"] else source.meta["value"]

    return defaults | {name: map_arg(argument, value) for name, argument in given.items()}


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[-1]))


def _convolution(node: fx.Node) -> Sliding | None:
    module = layer_of(node, nn.Conv2d)
    if module is None and node.target not in (functional.conv2d, torch.conv2d):
        return None
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = arguments(node, names, of=module, bias=None, stride=1, padding=0, dilation=1, groups=1)
    if given is None or getattr(module, "padding_mode", "zeros") != "zeros":
        return None
    if not isinstance(given["weight"], Tensor) or isinstance(given["bias"], fx.Node):
        return None
    weight, bias, groups = given["weight"], given["bias"], given["groups"]
    kernel, stride, dilation = tuple(weight.shape[2:]), _pair(given["stride"]), _pair(given["dilation"])
    padding = given["padding"]
    if padding == "valid":
        padding = 0
    elif padding == "same":  # an odd cell goes to the far side, which the size of the output tells
        padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    weight = weight.contiguous(memory_format=torch.channels_last)

    def apply(region: Tensor) -> Tensor:
        return functional.conv2d(region, weight, bias, stride, 0, dilation, groups)

    slides = _slides(kernel, stride, _pair(padding), dilation)
    return Sliding(given["input"], slides, 0.0, apply, float(weight.numel()), weight=weight)


def _max_pool(node: fx.Node) -> Sliding | None:
    module = layer_of(node, nn.MaxPool2d)
    names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    if module is None and node.target not in (functional.max_pool2d, torch.max_pool2d):
        return None
    defaults: dict[str, Any] = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
    given = arguments(node, names, of=module, return_indices=False, **defaults)
    if given is None or given["return_indices"]:
        return None
    kernel, dilation = _pair(given["kernel_size"]), _pair(given["dilation"])
    stride = _pair(given["stride"] or kernel)

    def apply(region: Tensor) -> Tensor:
        return functional.max_pool2d(region, kernel, stride, 0, dilation)

    slides = _slides(kernel, stride, _pair(given["padding"]), dilation)
    work = float(kernel[0] * kernel[1] * node.meta["shape"][1])
    return Sliding(given["input"], slides, float("-inf"), apply, work, pool="max")


def _average_pool(node: fx.Node) -> Sliding | None:
    module = layer_of(node, nn.AvgPool2d)
    names = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    if module is not None or node.target is functional.avg_pool2d:
        defaults = {"stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True}
        given = arguments(node, names, of=module, divisor_override=None, **defaults)
    else:
        given = _even_adaptive_pool(node)
    if given is None:
        return None
    source = given.pop("input")
    kernel = _pair(given.pop("kernel_size"))
    stride, padding = _pair(given["stride"] or kernel), _pair(given["padding"])
    slides = _slides(kernel, stride, padding, (1, 1))
    if len(source.meta["shape"]) != 4 or len(node.meta["shape"]) != 4:
        return None
    # What the layer itself makes of ones, over what a sum makes of them, is what a sum has to be multiplied with.
    (height, width), outputs = source.meta["shape"][2:], node.meta["shape"][2:]
    ends = [s.cells(n) - s.padding - size for s, n, size in zip(slides, outputs, (height, width), strict=True)]
    like = torch.ones(1, 1, height, width)
    around = functional.pad(like, (padding[1], ends[1], padding[0], ends[0]))
    sums = functional.avg_pool2d(around, kernel, stride, divisor_override=1)
    scale = (functional.avg_pool2d(like, kernel, **given) / sums)[0, 0]

    def apply(region: Tensor) -> Tensor:
        return functional.avg_pool2d(region, kernel, stride, divisor_override=1)

    work = float(kernel[0] * kernel[1] * node.meta["shape"][1])
    return Sliding(source, slides, 0.0, apply, work, scale, pool="mean")


def _even_adaptive_pool(node: fx.Node) -> dict[str, Any] | None:
    """An adaptive average pool whose output sizes divide the input's is an average pool."""
    if type(layer(node)) is not nn.AdaptiveAvgPool2d and node.target is not functional.adaptive_avg_pool2d:
        return None
    source = node.all_input_nodes[0]
    if len(source.meta["shape"]) != 4:
        return None
    sizes, outputs = source.meta["shape"][2:], node.meta["shape"][2:]
    if any(size % output for size, output in zip(sizes, outputs, strict=True)):
        return None
    kernel = tuple(size // output for size, output in zip(sizes, outputs, strict=True))
    return {"input": source, "kernel_size": kernel, "stride": kernel, "padding": 0}


def _pad(node: fx.Node) -> Sliding | None:
    module = layer_of(node, nn.ZeroPad2d) or layer_of(node, nn.ConstantPad2d)
    if module is not None:
        given: dict[str, Any] | None = {
            "input": node.all_input_nodes[0],
            "pad": module.padding,
            "mode": "constant",
            "value": getattr(module, "value", 0.0),
        }
    elif node.target is functional.pad:
        given = arguments(node, ("input", "pad", "mode", "value"), mode="constant", value=None)
    else:
        return None
    if given is None or given["mode"] != "constant" or len(given["pad"]) not in (2, 4):
        return None
    left, _, top, _ = (*given["pad"], 0, 0)[:4]
    return Sliding(
        given["input"],
        _slides((1, 1), (1, 1), (top, left), (1, 1)),
        float(given["value"] or 0.0),
        lambda region: region,
        float(node.meta["shape"][1]),
    )


def _slides(
    kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> tuple[Slide, Slide]:
    down, across = (Slide(*numbers) for numbers in zip(kernel, stride, padding, dilation, strict=True))
    return down, across
