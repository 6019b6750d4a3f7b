"""The operators of ONNX as layers and functions of PyTorch, one function for each kind of operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from robustkit.models.foreign.onnx_node import NORMS, Node, Operand, Write, make_norm, tensor
from robustkit.models.foreign.onnx_values import NotConverted, Value, Writer, counts_images


def _each(make: Callable[[Node], Any]) -> Write:
    """An operator that changes each number alone."""
    return lambda writer, node: writer.kept(make(node), node.images())


def _convolution(writer: Writer, node: Node) -> Value:
    source, weight, bias = node.images(), node.constant(1), node.constant(2)
    if weight is None or weight.ndim != 4:
        raise NotConverted("a convolution of other than two axes")
    settings, kernel = node.settings, weight.shape[2:]
    strides, dilations = _pair(settings, "strides"), _pair(settings, "dilations")
    groups = int(settings.get("group", 1))
    source, padding = _padded(writer, node, source, kernel, strides, dilations, 0.0)
    layer = nn.Conv2d(
        weight.shape[1] * groups, weight.shape[0], kernel, strides, padding, dilations, groups, bias=bias is not None
    )
    layer.weight.data.copy_(tensor(weight))
    if bias is not None and layer.bias is not None:
        layer.bias.data.copy_(tensor(bias))
    return writer.layer(layer, source, node.name)


def _max_pool(writer: Writer, node: Node) -> Value:
    kernel, strides, dilations = (_pair(node.settings, name) for name in ("kernel_shape", "strides", "dilations"))
    source, padding = _padded(writer, node, node.images(), kernel, strides, dilations, -math.inf)
    ceil = bool(node.settings.get("ceil_mode", 0))
    return writer.layer(nn.MaxPool2d(kernel, strides, padding, dilations, ceil_mode=ceil), source, node.name)


def _average_pool(writer: Writer, node: Node) -> Value:
    kernel, strides = _pair(node.settings, "kernel_shape"), _pair(node.settings, "strides")
    if _pair(node.settings, "dilations") != (1, 1):
        raise NotConverted("an average with dilation")
    counted = bool(node.settings.get("count_include_pad", 0))
    source, padding = _padded(writer, node, node.images(), kernel, strides, (1, 1), 0.0 if counted else None)
    ceil = bool(node.settings.get("ceil_mode", 0))
    layer = nn.AvgPool2d(kernel, strides, padding, ceil_mode=ceil, count_include_pad=counted)
    return writer.layer(layer, source, node.name)


def _pair(settings: Mapping[str, Any], name: str) -> tuple[int, int]:
    values = [int(value) for value in settings.get(name, (1, 1))]
    if len(values) != 2:
        raise NotConverted(f"{name} of other than two axes")
    return values[0], values[1]


def _padded(
    writer: Writer, node: Node, source: Value, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int],
    fill: float | None,
) -> tuple[Value, tuple[int, int]]:  # fmt: skip
    """The source, and the padding that the layer itself can do; what differs from side to side is a layer before it."""
    mode = node.settings.get("auto_pad", "NOTSET")
    begin, end = [0, 0], [0, 0]
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        for axis, size in enumerate(source.shape[2:]):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            whole = max((math.ceil(size / strides[axis]) - 1) * strides[axis] + reach - size, 0)
            small, large = whole // 2, whole - whole // 2
            begin[axis], end[axis] = (small, large) if mode == "SAME_UPPER" else (large, small)
    elif mode == "NOTSET" and "pads" in node.settings:
        pads = [int(value) for value in node.settings["pads"]]
        begin, end = pads[:2], pads[2:]
    if (begin == end and all(2 * pad <= size for pad, size in zip(begin, kernel, strict=True))) or not any(begin + end):
        return source, (begin[0], begin[1])
    if fill is None:
        raise NotConverted("an average that leaves out padding which differs from side to side")
    layer = nn.ConstantPad2d((begin[1], end[1], begin[0], end[0]), fill)
    return writer.layer(layer, source, f"{node.name}_pad"), (0, 0)


def _pad(writer: Writer, node: Node) -> Value:
    source, pads, value = node.images(), node.constant(1, "pads"), node.constant(2, "value")
    mode = node.settings.get("mode", "constant")
    if pads is None or len(source.shape) != 4:
        raise NotConverted("padding of other than maps")
    given = [int(pad) for pad in pads.reshape(-1)]
    axes = node.axes(3, 4) or tuple(range(len(given) // 2))
    begin, end = [0] * 4, [0] * 4
    for i, axis in enumerate(axes):
        begin[axis], end[axis] = given[i], given[i + len(axes)]
    # As `node` has its axes.
    begin, end = ([pads[source.axes.index(axis)] for axis in range(4)] for pads in (begin, end))
    if any((*begin[:2], *end[:2])):
        raise NotConverted("padding of bands")
    sides = (begin[3], end[3], begin[2], end[2])
    layers: dict[str, Any] = {"reflect": nn.ReflectionPad2d, "edge": nn.ReplicationPad2d}
    fill = 0.0 if value is None or not value.size else float(value.reshape(-1)[0])
    layer = layers[mode](sides) if mode in layers else nn.ConstantPad2d(sides, fill)
    made = writer.layer(layer, source.own, node.name)
    return Value(made.node, made.meta.permute(*source.axes), source.axes)


def _global_pool(writer: Writer, node: Node) -> Value:
    kind = nn.AdaptiveAvgPool2d if node.kind == "GlobalAveragePool" else nn.AdaptiveMaxPool2d
    return writer.layer(kind(1), node.images(), node.name)


def _dense(writer: Writer, node: Node) -> Value:
    """Gemm and MatMul."""
    gemm, source = node.kind == "Gemm", node.inputs[0]
    other = node.inputs[1]
    if isinstance(other, Value) or not isinstance(source, Value):
        if gemm or source is None or other is None:
            raise NotConverted(f"{node.kind} without constant weights")
        return writer.call(torch.matmul, source, other)
    if other is None or other.ndim != 2 or node.settings.get("transA", 0):
        raise NotConverted(f"{node.kind} with weights of {0 if other is None else other.ndim} axes")
    weight = other.T if node.settings.get("transB", 0) else other  # (inputs, outputs)
    weight = weight.astype(np.float64) * float(node.settings.get("alpha", 1.0))
    bias = node.constant(2) if gemm else None
    if source.order is not None:
        ordered = np.empty_like(weight)
        ordered[source.order] = weight
        weight, source = ordered, replace(source, order=None)
    layer = nn.Linear(*weight.shape, bias=bias is not None)
    layer.weight.data.copy_(tensor(weight.T))
    if bias is not None:
        if bias.size not in (1, weight.shape[1]):
            raise NotConverted("Gemm with a bias for each image")
        layer.bias.data.copy_(tensor(bias.reshape(-1) * float(node.settings.get("beta", 1.0))))
    return writer.layer(layer, source, node.name)


_TWO: dict[str, Callable[..., Any]] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Pow": torch.pow,
    "Max": torch.maximum, "Min": torch.minimum, "Sum": torch.add,
}  # fmt: skip


def _two(writer: Writer, node: Node) -> Value:
    """Sums, products and their like, of tensors of images and of constants."""
    function, first = _TWO[node.kind], node.inputs[0]
    for second in node.inputs[1:]:
        if isinstance(first, Value) and isinstance(second, Value):
            if node.kind == "Mul" and (gated := _gated(writer, first, second) or _gated(writer, second, first)):
                return writer.kept(nn.SiLU(), gated)
            if first.shape == second.shape and first.axes == second.axes and first.order is second.order is None:
                made = writer.call(function, first.own, second.own)
                first = Value(made.node, first.meta, first.axes)
            else:
                first = writer.call(function, first, second)
        elif isinstance(first, Value) and second is not None:
            first = _with_constant(writer, node, first, np.asarray(second), first_is_images=True)
        elif isinstance(second, Value) and first is not None:
            first = _with_constant(writer, node, second, np.asarray(first), first_is_images=False)
    if not isinstance(first, Value):
        raise NotConverted(f"{node.kind} of constants")
    return first


def _gated(writer: Writer, value: Value, gate: Value) -> Value | None:
    """The tensor, where the other is its sigmoid: their product is a SiLU, which engines know as one layer."""
    is_gate = gate.node.op == "call_module" and gate.node.args == (value.node,) and gate.axes == value.axes
    return value if is_gate and type(writer.root.get_submodule(str(gate.node.target))) is nn.Sigmoid else None


def _with_constant(writer: Writer, node: Node, value: Value, constant: np.ndarray, *, first_is_images: bool) -> Value:
    kind = "Add" if node.kind == "Sum" else node.kind
    if kind == "Add" and _joins_bias(writer, node, value, constant):
        return value
    single = constant.size == 1 and constant.ndim <= len(value.shape)
    if value.order is None and constant.ndim <= len(value.shape) and not single:
        # The constant as `node` has its axes; one that widens the tensor is left to PyTorch.
        wide = constant.reshape((1,) * (len(value.shape) - constant.ndim) + constant.shape)
        if all(size in (1, whole) for size, whole in zip(wide.shape, value.shape, strict=True)):
            wide = wide.transpose([value.axes.index(axis) for axis in range(len(value.axes))])
            norm = _as_norm(kind, value, wide, first_is_images)
            if norm is not None:
                return writer.kept(norm, value)
            made = writer.call(_TWO[kind], *((value.own, wide) if first_is_images else (wide, value.own)))
            return Value(made.node, value.meta, value.axes)
    if single:
        number = constant.reshape(())
        norm = _as_norm(kind, value, np.asarray(number), first_is_images) if value.order is None else None
        if norm is not None:
            return writer.kept(norm, value)
        if kind in ("Max", "Min"):
            limits = {"min" if kind == "Max" else "max": number.item()}
            return writer.kept(torch.clamp, value, **limits)
        if not first_is_images and kind == "Pow":
            number = number.reshape(1)
        made = writer.call(_TWO[kind], *((value.own, number) if first_is_images else (number, value.own)))
        return Value(made.node, value.meta, value.axes, value.order)
    return writer.call(_TWO[kind], *((value, constant) if first_is_images else (constant, value)))


def _joins_bias(writer: Writer, node: Node, value: Value, constant: np.ndarray) -> bool:
    """Whether a constant became the bias of the dense layer before it, which only this node reads."""
    if value.node.op != "call_module" or not node.alone or not value.as_it_is:
        return False
    layer = writer.root.get_submodule(str(value.node.target))
    fits = constant.size == value.shape[-1] and constant.shape[-1:] == value.shape[-1:]
    if type(layer) is not nn.Linear or layer.bias is not None or not fits:
        return False
    layer.bias = nn.Parameter(tensor(constant.reshape(-1)), requires_grad=False)
    return True


def _as_norm(kind: str, value: Value, constant: np.ndarray, first_is_images: bool) -> nn.Module | None:
    """A number for each channel of a map, added or multiplied, as the batch norm that does the same."""
    if len(value.shape) != 4 or kind not in ("Add", "Sub", "Mul", "Div") or (kind == "Div" and not first_is_images):
        return None
    channels = value.own_shape[1]
    if constant.ndim and constant.shape != (1, channels, 1, 1):
        return None
    numbers = np.broadcast_to(constant.reshape(-1).astype(np.float64), channels)
    scale, shift = np.ones(channels), np.zeros(channels)
    if kind in ("Mul", "Div"):
        scale = numbers if kind == "Mul" else 1 / numbers
    elif kind == "Add" or not first_is_images:
        scale, shift = scale if kind == "Add" else -scale, numbers
    else:
        shift = -numbers
    return make_norm(scale, shift, np.zeros(channels), np.ones(channels), 0.0, nn.BatchNorm2d)


def _clip(writer: Writer, node: Node) -> Value:
    low, high = node.constant(1, "min"), node.constant(2, "max")
    limits = [None if limit is None or not limit.size else float(limit.reshape(-1)[0]) for limit in (low, high)]
    if limits == [0.0, 6.0]:
        return writer.kept(nn.ReLU6(), node.images())
    return writer.kept(torch.clamp, node.images(), min=limits[0], max=limits[1])


def _slope(writer: Writer, node: Node) -> Value:
    """PRelu."""
    source, slope = node.images(), node.constant(1)
    assert slope is not None
    numbers = slope.reshape(-1)
    if numbers.size != 1 and (len(source.shape) != 4 or slope.shape[-2:] != (1, 1) or numbers.size != source.shape[1]):
        raise NotConverted("a PRelu with a slope for each place")
    layer = nn.PReLU(numbers.size)
    layer.weight.data.copy_(tensor(numbers))
    return writer.layer(layer, source, node.name)


def _softmax(writer: Writer, node: Node) -> Value:
    source = node.images()
    axis = int(node.settings.get("axis", 1 if node.opset < 13 else -1)) % len(source.shape)
    if counts_images(source.shape[axis]) or (node.opset < 13 and axis != len(source.shape) - 1):
        raise NotConverted("a softmax over more than one axis, or over the images")
    return writer.layer(nn.Softmax(axis) if node.kind == "Softmax" else nn.LogSoftmax(axis), source, node.name)


def _reduce(writer: Writer, node: Node) -> Value:
    source, keep = node.images(), bool(node.settings.get("keepdims", 1))
    axes = node.axes(1, len(source.shape))
    if axes is None:
        axes = tuple(range(len(source.shape))) if not node.settings.get("noop_with_empty_axes", 0) else ()
    if any(counts_images(source.shape[axis]) for axis in axes):
        raise NotConverted(f"{node.kind} over the images")
    own = tuple(sorted(source.axes[axis] for axis in axes)) if source.order is None else ()
    if node.kind == "ReduceMean" and own == (2, 3) and len(source.shape) == 4:
        pooled = writer.layer(nn.AdaptiveAvgPool2d(1), source.own, node.name)
        if not keep:
            return writer.layer(nn.Flatten(), pooled)
        return Value(pooled.node, pooled.meta.permute(*source.axes), source.axes)
    functions: dict[str, Any] = {
        "ReduceMean": torch.mean, "ReduceSum": torch.sum, "ReduceMax": torch.amax, "ReduceMin": torch.amin,
        "ReduceL2": torch.linalg.vector_norm,
    }  # fmt: skip
    return writer.call(functions[node.kind], source, dim=axes, keepdim=keep)


def _einsum(writer: Writer, node: Node) -> Value:
    """A product with a matrix of weights as a dense layer, which engines know; any other as it is."""
    equation = str(node.settings["equation"]).replace(" ", "")
    taken, _, made = equation.partition("->")
    names, inputs = taken.split(","), list(node.inputs)
    if len(inputs) == 2 and not isinstance(inputs[0], Value):
        inputs, names = inputs[::-1], names[::-1]
    if len(inputs) == 2 and isinstance(inputs[0], Value) and isinstance(inputs[1], np.ndarray):
        (rows, weights), weight = names, inputs[1]
        joined = [letter for letter in rows if letter in weights and letter not in made]
        if len(rows) == len(weights) == len(made) == 2 and joined == [rows[1]] and made[0] == rows[0]:
            weight = weight if weights[1] == rows[1] else weight.T  # (outputs, inputs)
            product, operands = copy(node), list[Operand]([inputs[0], weight.T])
            product.inputs, product.settings = operands, {}
            return _dense(writer, product)
    return writer.call(torch.einsum, equation, *node.inputs)


def _normalize(writer: Writer, node: Node) -> Value:
    """LpNormalization."""
    order, axis = float(node.settings.get("p", 2)), int(node.settings.get("axis", -1))
    return writer.call(functional.normalize, node.images(), p=order, dim=axis)


def _hard_sigmoid(writer: Writer, node: Node) -> Value:
    slope, shift = float(node.settings.get("alpha", 0.2)), float(node.settings.get("beta", 0.5))
    if abs(slope - 1 / 6) < 1e-6 and shift == 0.5:
        return writer.kept(nn.Hardsigmoid(), node.images())
    line = writer.kept(torch.add, writer.kept(torch.mul, node.images(), other=slope), other=shift)
    return writer.kept(torch.clamp, line, min=0.0, max=1.0)


OPERATORS: dict[str, Write] = {
    "Conv": _convolution, "MaxPool": _max_pool, "AveragePool": _average_pool, "Pad": _pad,
    "GlobalAveragePool": _global_pool, "GlobalMaxPool": _global_pool, "Gemm": _dense, "MatMul": _dense,
    "Einsum": _einsum, "LpNormalization": _normalize,
    **dict.fromkeys(_TWO, _two),
    **NORMS, "Clip": _clip, "PRelu": _slope, "Softmax": _softmax, "LogSoftmax": _softmax,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"), _reduce),
    "Relu": _each(lambda node: nn.ReLU()), "Sigmoid": _each(lambda node: nn.Sigmoid()),
    "Tanh": _each(lambda node: nn.Tanh()), "Softplus": _each(lambda node: nn.Softplus()),
    "Softsign": _each(lambda node: nn.Softsign()), "HardSwish": _each(lambda node: nn.Hardswish()),
    "Mish": _each(lambda node: nn.Mish()),
    "LeakyRelu": _each(lambda node: nn.LeakyReLU(float(node.settings.get("alpha", 0.01)))),
    "Elu": _each(lambda node: nn.ELU(float(node.settings.get("alpha", 1.0)))),
    "Celu": _each(lambda node: nn.CELU(float(node.settings.get("alpha", 1.0)))),
    "Selu": _each(lambda node: nn.SELU()),
    "Gelu": _each(lambda node: nn.GELU(node.settings.get("approximate", "none"))),
    "HardSigmoid": _hard_sigmoid,
    "Exp": _each(lambda node: torch.exp), "Log": _each(lambda node: torch.log),
    "Sqrt": _each(lambda node: torch.sqrt), "Neg": _each(lambda node: torch.neg),
    "Abs": _each(lambda node: torch.abs), "Erf": _each(lambda node: torch.erf),
    "Reciprocal": _each(lambda node: torch.reciprocal), "Sin": _each(lambda node: torch.sin),
    "Cos": _each(lambda node: torch.cos),
}  # fmt: skip
