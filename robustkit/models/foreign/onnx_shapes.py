"""The operators of ONNX that move numbers and change none: shapes, slices, joins, sizes of maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from robustkit.models.foreign.onnx_node import Node, Write
from robustkit.models.foreign.onnx_values import IMAGES, NotConverted, Value, Writer, counts_images


def _nothing(writer: Writer, node: Node) -> Value:
    return node.images()


def _cast(writer: Writer, node: Node) -> Value:
    # Numbers of ONNX's types: 1 is float32 and 11 double.
    if int(node.settings["to"]) not in (1, 11):
        raise NotConverted("a cast to other than float32")
    return node.images()


def _flatten(writer: Writer, node: Node) -> Value:
    source = node.images()
    axis = int(node.settings.get("axis", 1)) % (len(source.shape) + 1)
    if axis == 0:
        raise NotConverted("Flatten over the images")
    return writer.reshape(source, (math.prod(source.shape[:axis]), math.prod(source.shape[axis:])))


def _reshape(writer: Writer, node: Node) -> Value:
    source, wanted = node.images(), node.constant(1, "shape")
    if wanted is None:
        raise NotConverted("a reshape without a shape")
    shape = [int(size) for size in wanted.reshape(-1)]
    if not node.settings.get("allowzero", 0):
        shape = [source.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    batch = writer.batch
    if batch and shape[0] > 0 and shape[0] % batch == 0 and not any(map(counts_images, shape)):
        # A graph of a fixed batch writes it into its shapes, first as a rule; the comparison with onnxruntime tells.
        shape[0] = shape[0] // batch * IMAGES
    if -1 in shape:
        rest = math.prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = math.prod(source.shape) // max(rest, 1)
    if math.prod(shape) != math.prod(source.shape):
        raise NotConverted("a reshape that holds for one number of images alone")
    return writer.reshape(source, shape)


def _squeeze(writer: Writer, node: Node) -> Value:
    source = node.images()
    axes = node.axes(1, len(source.shape))
    axes = tuple(i for i, size in enumerate(source.shape) if size == 1) if axes is None else axes
    if any(source.shape[axis] != 1 for axis in axes):
        raise NotConverted("Squeeze of the axis of images")
    return writer.reshape(source, [size for i, size in enumerate(source.shape) if i not in axes])


def _unsqueeze(writer: Writer, node: Node) -> Value:
    source, given = node.images(), node.constant(1, "axes")
    assert given is not None
    axes = sorted(int(axis) % (len(source.shape) + given.size) for axis in given.reshape(-1))
    shape = list(source.shape)
    for axis in axes:
        shape.insert(axis, 1)
    return writer.reshape(source, shape)


def _transpose(writer: Writer, node: Node) -> Value:
    source = node.images()
    return writer.transpose(source, [int(axis) for axis in node.settings.get("perm", range(len(source.shape))[::-1])])


def _expand(writer: Writer, node: Node) -> Value:
    source, wanted = node.images(), node.constant(1, "shape")
    assert wanted is not None
    try:
        shape = np.broadcast_shapes(source.shape, tuple(int(size) for size in wanted.reshape(-1)))
    except ValueError as error:
        raise NotConverted("an expansion of the axis of images") from error
    if len(shape) != len(source.shape):
        raise NotConverted("an expansion by an axis")
    source = writer.plain(source)
    # -1 leaves the axis of images as long as it is.
    sizes = [-1 if counts_images(size) else size for size in shape]
    made = writer.graph.call_method("expand", (source.node, *sizes))
    return Value(made, source.meta.expand(shape), source.axes)


def _concat(writer: Writer, node: Node) -> Value:
    parts = list(node.inputs)
    values = [part for part in parts if isinstance(part, Value)]
    axis = int(node.settings["axis"]) % len(values[0].shape)
    if counts_images(values[0].shape[axis]):
        raise NotConverted("Concat of images")
    first = values[0]
    if len(values) == len(parts) and all(part.axes == first.axes and part.order is None for part in values):
        made = writer.call(torch.cat, [part.own for part in values], dim=first.axes[axis])
        return Value(made.node, made.meta.permute(*first.axes), first.axes)
    for i, part in enumerate(parts):
        if isinstance(part, np.ndarray):  # the same for each image, as the class token of a transformer
            if part.shape[0] not in (IMAGES, writer.batch) or bool((part != part[:1]).any()):
                raise NotConverted("Concat with a constant that differs between images")
            parts[i] = writer.call(_for_each, part[:1], first)
    return writer.call(torch.cat, parts, dim=axis)


def _for_each(constant: Tensor, images: Tensor) -> Tensor:
    """A constant of one row, repeated for each image."""
    # A sum, because torch.fx must be able to follow it.
    return torch.zeros_like(images.flatten(1)[:, :1]).reshape(-1, *(1,) * (constant.ndim - 1)) + constant


def _slice(writer: Writer, node: Node) -> Value:
    source = node.images()
    starts, ends = node.constant(1, "starts"), node.constant(2, "ends")
    assert starts is not None
    assert ends is not None
    axes = node.constant(3, "axes")
    where = range(starts.size) if axes is None else [int(axis) % len(source.shape) for axis in axes.reshape(-1)]
    steps = node.constant(4)
    for i, axis in enumerate(where):
        step = 1 if steps is None else int(steps.reshape(-1)[i])
        taken = range(source.shape[axis])[slice(int(starts.reshape(-1)[i]), int(ends.reshape(-1)[i]), step)]
        if taken == range(source.shape[axis]):
            continue
        if counts_images(source.shape[axis]) or step < 1:
            raise NotConverted("Slice of images, or backwards")
        if step == 1:
            source = writer.call(torch.narrow, source, axis, taken.start, len(taken))
        else:
            source = writer.call(torch.index_select, source, axis, np.arange(len(taken)) * step + taken.start)
    return source


def _gather(writer: Writer, node: Node) -> Value:
    source, index = node.images(), node.constant(1)
    axis = int(node.settings.get("axis", 0)) % len(source.shape)
    if index is None or counts_images(source.shape[axis]) or index.ndim > 1:
        raise NotConverted("Gather of images, or by a table")
    index = index % source.shape[axis]
    if index.ndim == 0:
        return writer.call(torch.select, source, axis, int(index))
    return writer.call(torch.index_select, source, axis, index.astype(np.int64))


def _split(writer: Writer, node: Node) -> list[Value]:
    source, sizes = node.images(), node.constant(1, "split")
    axis = int(node.settings.get("axis", 0)) % len(source.shape)
    whole, parts = source.shape[axis], int(node.settings["outputs"])
    if counts_images(whole):
        raise NotConverted("Split of images")
    step = -(-whole // parts)
    lengths = [min(step, whole - i * step) for i in range(parts)] if sizes is None else [int(s) for s in sizes]
    starts = np.cumsum([0, *lengths]).tolist()
    return [writer.call(torch.narrow, source, axis, starts[i], length) for i, length in enumerate(lengths)]


def _resize(writer: Writer, node: Node) -> Value:
    """Resize and Upsample, where PyTorch has the same rule."""
    source = node.images()
    scales = node.constant(2 if node.kind == "Resize" and node.opset > 10 else 1, "scales")
    sizes = node.constant(3) if node.kind == "Resize" else None
    if len(source.shape) != 4 or (scales is None or not scales.size) == (sizes is None or not sizes.size):
        raise NotConverted("Resize of other than maps")
    if sizes is not None and sizes.size:
        size = [int(value) for value in sizes.reshape(-1)]
    else:
        assert scales is not None
        size = [
            math.floor(length * float(scale)) for length, scale in zip(source.shape, scales.reshape(-1), strict=True)
        ]
    if tuple(size[:2]) != source.shape[:2]:
        raise NotConverted("Resize of bands")
    mode = str(node.settings.get("mode", "nearest"))
    rule = str(node.settings.get("coordinate_transformation_mode", "asymmetric" if node.opset < 11 else "half_pixel"))
    nearest = str(node.settings.get("nearest_mode", "round_prefer_floor" if node.opset > 10 else "floor"))
    how: dict[str, Any]
    if mode == "nearest" and (rule, nearest) == ("asymmetric", "floor"):
        how = {"mode": "nearest"}
    elif mode == "nearest" and all(to % length == 0 for to, length in zip(size[2:], source.shape[2:], strict=True)):
        how = {"mode": "nearest"}  # whole steps: every rule takes the same cells, which the comparison proves
    elif mode in ("linear", "cubic") and rule in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        how = {"mode": f"bi{mode}", "align_corners": rule == "align_corners"}
    else:
        raise NotConverted(f"Resize by {mode} and {rule}")
    return writer.call(functional.interpolate, source, size=tuple(size[2:]), **how)


def _depth_to_space(writer: Writer, node: Node) -> Value:
    if str(node.settings.get("mode", "DCR")) != "CRD":
        raise NotConverted("DepthToSpace by columns first")
    return writer.call(functional.pixel_shuffle, node.images(), int(node.settings["blocksize"]))


MOVING: dict[str, Write] = {
    "Expand": _expand,
    "Identity": _nothing, "Dropout": _nothing, "Cast": _cast, "Flatten": _flatten, "Reshape": _reshape,
    "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Transpose": _transpose, "Concat": _concat, "Slice": _slice,
    "Gather": _gather, "Resize": _resize, "Upsample": _resize, "DepthToSpace": _depth_to_space,
}  # fmt: skip
SEVERAL = {"Split": _split}
