"""An ONNX graph as a network of PyTorch: written down operator by operator, and proved against onnxruntime.

Not every operator is known; what is not known is said, and the graph stays with onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from robustkit.errors import InputError
from robustkit.models.foreign.onnx_graph import GraphInput, onnx
from robustkit.models.foreign.onnx_node import Node
from robustkit.models.foreign.onnx_operators import OPERATORS
from robustkit.models.foreign.onnx_shapes import MOVING, SEVERAL
from robustkit.models.foreign.onnx_values import IMAGES, NotConverted, Value, Writer

# How far the network may lie from onnxruntime, relative to its largest score: float32 rounding and no more.
_TOLERANCE = 1e-4


def convert(model: Any, taken: GraphInput, shape: Sequence[int], output: str, latent: str | None) -> nn.Module:
    """A graph as a network of PyTorch that takes images with the bands first.

    Args:
        model: The graph.
        taken: Its input.
        shape: (C, H, W) of the images.
        output: The tensor that holds the scores.
        latent: The tensor to split at: the network then has a layer `features` that gives it, and a `head`.

    Raises:
        NotConverted: If an operator is not known, or its settings are not.
    """
    if taken.kind == onnx().TensorProto.FLOAT16:
        raise NotConverted("it computes in float16")
    if any(opset.domain not in ("", "ai.onnx") for opset in model.opset_import if _uses(model, opset.domain)):
        raise NotConverted("it has operators that are not of ONNX")
    if model.functions:
        from onnx import inliner  # pyright: ignore[reportMissingTypeStubs]

        model = inliner.inline_local_functions(model)
    writer = Writer(shape, taken.batch)
    found = _follow(model, writer, taken)
    scores = _at(found, output)
    ended = writer.plain(scores)
    if ended.shape[:1] != (IMAGES,):
        raise NotConverted("it does not give one row of scores for each image")
    end = writer.graph.output(ended.node)
    module = fx.GraphModule(writer.root, writer.graph, "OnnxGraph")
    last = end.all_input_nodes[0]
    if latent is None:
        return _part(module, None, last).eval()
    middle = _at(found, latent).node
    return Converted(_part(module, None, middle), _part(module, middle, last)).eval()


class Converted(nn.Module):
    """Features and head of a converted graph.

    Args:
        features: From images to latents.
        head: From latents to scores.
    """

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features, self.head = features, head

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to scores."""
        return self.head(self.features(images))


@torch.inference_mode()
def prove(network: nn.Module, runtime: Callable[[Tensor], Any], images: Tensor) -> None:
    """Goes on only if a converted graph answers as onnxruntime does, image by image and all at once.

    Raises:
        NotConverted: If it does not.
    """
    expected = runtime(images)
    try:
        answers = network(images), torch.cat([network(image[None]) for image in images])
    except Exception as error:  # torch raises many kinds on shapes that do not fit
        raise NotConverted(f"it does not run ({str(error).strip().splitlines()[0]})") from error
    scale = float(expected.nan_to_num(0.0, 0.0, 0.0).abs().max()) + 1e-6
    for answer in answers:
        if answer.shape != expected.shape:
            raise NotConverted(f"it gives {tuple(answer.shape)} where onnxruntime gives {tuple(expected.shape)}")
        if not torch.allclose(answer, expected, rtol=0, atol=_TOLERANCE * scale, equal_nan=True):
            apart = float((answer - expected).abs().max()) / scale
            raise NotConverted(f"it lies {apart:.1e} of the largest score from onnxruntime, which is no rounding")


def _follow(model: Any, writer: Writer, taken: GraphInput) -> dict[str, Value | np.ndarray]:
    """Every tensor of the graph, written down or computed."""
    to_array = onnx().numpy_helper.to_array
    found: dict[str, Value | np.ndarray] = {
        tensor.name: np.asarray(to_array(tensor)) for tensor in model.graph.initializer
    }
    images = writer.start
    found[taken.name] = writer.transpose(images, (0, 2, 3, 1)) if taken.bands_last else images
    readers: dict[str, int] = {}
    for proto in model.graph.node:
        for name in proto.input:
            readers[name] = readers.get(name, 0) + 1
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    for proto in model.graph.node:
        inputs = [found.get(name) for name in proto.input]
        if any(name and name not in found for name in proto.input):
            raise NotConverted(f"{proto.op_type} reads a tensor that nothing computes")
        if proto.op_type in ("Shape", "Size") and isinstance(inputs[0], Value):
            sizes = np.array(inputs[0].shape, dtype=np.int64)
            settings = _settings(proto)
            part = sizes[slice(int(settings.get("start", 0)), settings.get("end"))]
            found[proto.output[0]] = part if proto.op_type == "Shape" else np.array(sizes.prod())
            continue
        if not any(isinstance(value, Value) for value in inputs):
            found.update(zip(proto.output, _computed(model, proto, inputs), strict=True))
            continue
        alone = all(readers[name] == 1 for name in proto.input if name and isinstance(found[name], Value))
        settings = {**_settings(proto), "outputs": len(proto.output)}
        node = Node(proto, inputs, settings, opset, alone)
        if proto.op_type in SEVERAL:
            found.update(zip(proto.output, SEVERAL[proto.op_type](writer, node), strict=True))
            continue
        write = OPERATORS.get(proto.op_type) or MOVING.get(proto.op_type)
        if write is None:
            raise NotConverted(f"its operator {proto.op_type} is not known")
        found[proto.output[0]] = write(writer, node)
    return found


def _settings(proto: Any) -> dict[str, Any]:
    read = onnx().helper.get_attribute_value
    values = {attribute.name: read(attribute) for attribute in proto.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def _computed(model: Any, proto: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    """What a node computes of constants."""
    from onnx.reference import ReferenceEvaluator  # pyright: ignore[reportMissingTypeStubs]

    helper = onnx().helper
    given = {name: value for name, value in zip(proto.input, inputs, strict=True) if name}
    graph = helper.make_graph(
        [proto], "one", [onnx().ValueInfoProto(name=name) for name in given],
        [onnx().ValueInfoProto(name=name) for name in proto.output if name],
    )  # fmt: skip
    one = helper.make_model(graph, opset_imports=model.opset_import)
    try:
        found = ReferenceEvaluator(one).run(None, given)
    except Exception as error:  # the evaluator raises many kinds
        raise NotConverted(f"{proto.op_type} of constants cannot be computed ({error})") from error
    return [np.asarray(value) for value in found]


def _at(found: dict[str, Value | np.ndarray], name: str) -> Value:
    value = found.get(name)
    if not isinstance(value, Value):
        raise NotConverted(f"{name} does not depend on the images")
    return value


def _part(module: fx.GraphModule, start: fx.Node | None, end: fx.Node) -> fx.GraphModule:
    """The part of a network from the images or from one of its tensors to another."""
    needed: set[fx.Node] = set()
    stack = [end]
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack += [] if node is start else node.all_input_nodes
    if start is not None and any(node.op == "placeholder" for node in needed if node is not start):
        raise InputError(
            "the network's output does not follow from the latent alone: a path leads around it; name a later one with "
            "--latent"
        )
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {} if start is None else {start: graph.placeholder("latents")}
    for node in module.graph.nodes:
        if node in needed and node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[end])
    return fx.GraphModule(module, graph, "OnnxGraph")


def _uses(model: Any, domain: str) -> bool:
    return any(node.domain == domain for node in model.graph.node)
