# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""ONNX graphs written by hand, as exporters of other frameworks write them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def save(path, nodes, tensors, *, bands, size, outputs, kind=None, opset=17, batch="n", bands_last=False):
    """Writes a graph with the input `x`."""
    from onnx import TensorProto, helper

    kind = kind or TensorProto.FLOAT
    shape = [batch, size, size, bands] if bands_last else [batch, bands, size, size]
    made = [
        helper.make_tensor_value_info(name, kind, [batch, *([width] if width else [])])
        for name, width in outputs.items()
    ]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", kind, shape)], made, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())


def keras_graph(path, *, bands: int, size: int, opset: int = 17, images: Tensor | None = None):
    """Conv2D, MaxPooling2D, Flatten, Dense with ReLU, Dense with softmax, as tf2onnx writes them; the answer.

    Of images that are given, none of its classes wins always.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    torch.manual_seed(0)
    conv, inside = nn.Conv2d(bands, 6, 3, padding="same"), size // 2
    first, last = nn.Linear(6 * inside * inside, 10), nn.Linear(10, 3)

    def scores(images: Tensor) -> Tensor:
        maps = nn.functional.max_pool2d(torch.relu(conv(images)), 2)
        return last(torch.relu(first(maps.permute(0, 2, 3, 1).flatten(1))))

    if images is not None:
        with torch.no_grad():
            last.weight *= 1.5 / scores(images).std(0).mean()
            last.bias -= scores(images).mean(0)

    def array(tensor: Tensor, name: str):
        return numpy_helper.from_array(tensor.detach().numpy(), name)

    tensors = [
        array(conv.weight, "w0"), array(conv.bias, "b0"), array(first.weight.T.contiguous(), "w1"),
        array(first.bias, "b1"), array(last.weight.T.contiguous(), "w2"), array(last.bias, "b2"),
        numpy_helper.from_array(np.array([-1, 6 * inside * inside]), "flat"),
        numpy_helper.from_array(np.array([-1, 1, size, size]), "maps"),
    ]  # fmt: skip
    node = helper.make_node
    begin = (
        node("Reshape", ["x", "maps"], ["x_t"]) if bands == 1 else node("Transpose", ["x"], ["x_t"], perm=[0, 3, 1, 2])
    )
    nodes = [
        begin,
        node("Conv", ["x_t", "w0", "b0"], ["c"], auto_pad="SAME_UPPER", kernel_shape=[3, 3]),
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["p"], ["p_t"], perm=[0, 2, 3, 1]),
        node("Reshape", ["p_t", "flat"], ["f"]),
        node("MatMul", ["f", "w1"], ["m1"]),
        node("Add", ["m1", "b1"], ["a1"]),
        node("Relu", ["a1"], ["r1"]),
        node("MatMul", ["r1", "w2"], ["m2"]),
        node("Add", ["m2", "b2"], ["a2"]),
        node("Softmax", ["a2"], ["s"], axis=-1 if opset > 12 else 1),
    ]
    save(path, nodes, tensors, bands=bands, size=size, outputs={"s": 3}, opset=opset, bands_last=True)

    def answer(images: Tensor) -> Tensor:
        with torch.no_grad():
            return scores(images).softmax(1)

    return answer
