# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""ONNX graphs as other frameworks write them: scikit-learn, quantizers, half precision, two heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.cli.forms.making import SIZE, made
from tests.models.foreign.onnx_writing import save


def _array(value, name: str, kind=np.float32):
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(value, dtype=kind), name)


def scikit_learn(images: np.ndarray) -> str:
    """A multi-layer perceptron as skl2onnx writes it: MatMul and Add, and the label besides the probabilities."""
    from onnx import TensorProto, helper

    flat = images.reshape(len(images), -1)
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(flat.shape[1], 8)) / 4
    inside = np.maximum(flat @ hidden, 0)
    last = rng.normal(size=(8, 3)) * 4
    tensors = [
        _array(hidden, "coefficient"), _array(last, "coefficient1"), _array(np.zeros((1, 8)), "intercepts"),
        _array(-(inside @ last).mean(0, keepdims=True), "intercepts1"), _array([-1, flat.shape[1]], "shape", np.int64),
    ]  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Reshape", ["x", "shape"], ["flat"]),
        node("MatMul", ["flat", "coefficient"], ["mul_result"]),
        node("Add", ["mul_result", "intercepts"], ["add_result"]),
        node("Relu", ["add_result"], ["next_activations"]),
        node("MatMul", ["next_activations", "coefficient1"], ["mul_result1"]),
        node("Add", ["mul_result1", "intercepts1"], ["add_result1"]),
        node("Softmax", ["add_result1"], ["output_probability"], axis=1),
        node("ArgMax", ["output_probability"], ["output_label"], axis=1, keepdims=0),
    ]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])
    given = [
        helper.make_tensor_value_info("output_label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("output_probability", TensorProto.FLOAT, ["n", 3]),
    ]
    graph = helper.make_graph(nodes, "mlp", [taken], given, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    Path("net.onnx").write_bytes(model.SerializeToString())
    return "net.onnx"


def quantized(images: np.ndarray) -> str:
    """Weights and activations in eight bits, as onnxruntime's static quantization writes them."""
    from onnx import helper

    network = made("Net", images)
    with torch.no_grad():
        maps = torch.relu(network.features(torch.from_numpy(images)))
    conv, fc = network.features.weight.detach().numpy(), network.classifier.weight.detach().numpy()
    node, nodes, tensors = helper.make_node, [], []

    def weights(name: str, value: np.ndarray) -> None:
        scale = np.abs(value).max() / 127
        tensors.extend([
            _array(np.round(value / scale), f"{name}_q", np.int8), _array(scale, f"{name}_scale"),
            _array(0, f"{name}_zero", np.int8),
        ])  # fmt: skip
        nodes.append(node("DequantizeLinear", [f"{name}_q", f"{name}_scale", f"{name}_zero"], [name]))

    def through(name: str, high: float) -> str:
        tensors.extend([_array(high / 255, f"{name}_s"), _array(0, f"{name}_z", np.uint8)])
        nodes.append(node("QuantizeLinear", [name, f"{name}_s", f"{name}_z"], [f"{name}_8"]))
        nodes.append(node("DequantizeLinear", [f"{name}_8", f"{name}_s", f"{name}_z"], [f"{name}_f"]))
        return f"{name}_f"

    weights("w0", conv)
    weights("w1", fc)
    tensors += [_array(network.features.bias.detach(), "b0"), _array(network.classifier.bias.detach(), "b1")]
    nodes.append(node("Conv", [through("x", 1.0), "w0", "b0"], ["c"], pads=[1] * 4, kernel_shape=[3, 3]))
    nodes.append(node("Relu", ["c"], ["r"]))
    nodes.append(node("GlobalAveragePool", [through("r", float(maps.max()))], ["p"]))
    nodes.append(node("Flatten", ["p"], ["f"]))
    nodes.append(node("Gemm", ["f", "w1", "b1"], ["scores"], transB=1))
    save(Path("net.onnx"), nodes, tensors, bands=3, size=SIZE, outputs={"scores": 3})
    return "net.onnx"


def half_precision(images: np.ndarray) -> str:
    """A whole graph in float16 between casts, as converters write it."""
    from onnx import TensorProto, helper

    network = made("Net", images)
    half = np.float16
    tensors = [_array(value.detach(), name, half) for name, value in network.state_dict().items()]
    node = helper.make_node
    nodes = [
        node("Cast", ["x"], ["x16"], to=TensorProto.FLOAT16),
        node("Conv", ["x16", "features.weight", "features.bias"], ["c"], pads=[1] * 4, kernel_shape=[3, 3]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "classifier.weight", "classifier.bias"], ["s16"], transB=1),
        node("Cast", ["s16"], ["scores"], to=TensorProto.FLOAT),
    ]
    save(Path("net.onnx"), nodes, tensors, bands=3, size=SIZE, outputs={"scores": 3})
    return "net.onnx"


def domains(images: np.ndarray) -> str:
    """The class head and, before it, a domain head of as many columns; the labels say which is which."""
    from onnx import helper

    network = made("Net", images)
    tensors = [_array(value.detach(), name) for name, value in network.state_dict().items()]
    # One class on from the right one, whatever the image.
    tensors.append(_array(network.classifier.weight.detach().roll(1, 0), "d"))
    tensors.append(_array(network.classifier.bias.detach().roll(1, 0), "e"))
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "features.weight", "features.bias"], ["c"], pads=[1] * 4, kernel_shape=[3, 3]),
        node("Relu", ["c"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "d", "e"], ["domain"], transB=1),
        node("Gemm", ["f", "classifier.weight", "classifier.bias"], ["class"], transB=1),
    ]
    save(Path("net.onnx"), nodes, tensors, bands=3, size=SIZE, outputs={"domain": 3, "class": 3})
    return "net.onnx"
