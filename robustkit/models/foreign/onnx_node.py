"""A node of an ONNX graph with its inputs looked up, and the norms as layers of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustkit.models.foreign.onnx_values import NotConverted, Value, Writer

Operand = Value | np.ndarray | None


class Node:
    """A node of a graph, with its inputs looked up.

    Args:
        proto: The node.
        inputs: Each a tensor of images, a constant, or `None` where it is left out.
        settings: Its attributes by name.
        opset: Version of the operators.
        alone: Whether what the first input is was made for this node alone.
    """

    def __init__(
        self, proto: Any, inputs: Sequence[Operand], settings: Mapping[str, Any], opset: int, alone: bool
    ) -> None:
        self.kind, self.name = str(proto.op_type), str(proto.name or proto.op_type)
        self.inputs, self.settings, self.opset, self.alone = list(inputs), settings, opset, alone

    def images(self, index: int = 0) -> Value:
        """An input that depends on the images."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(found, Value):
            raise NotConverted(f"{self.kind} of a constant")
        return found

    def constant(self, index: int, name: str = "") -> np.ndarray | None:
        """An input that does not, or an attribute of older graphs; `None` where both are left out."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(found, Value):
            raise NotConverted(f"{self.kind} with settings that depend on the images")
        if found is None and name in self.settings:
            return np.asarray(self.settings[name])
        return found

    def axes(self, index: int, rank: int) -> tuple[int, ...] | None:
        """Axes, counted from the front."""
        found = self.constant(index, "axes")
        return None if found is None else tuple(sorted(int(axis) % rank for axis in found.reshape(-1)))


Write = Callable[[Writer, Node], Value]


def tensor(array: np.ndarray) -> Tensor:
    """A constant as float32."""
    return torch.from_numpy(np.array(array, dtype=np.float32))


def make_norm(scale: Any, shift: Any, mean: Any, variance: Any, epsilon: float, kind: Any) -> nn.Module:
    """A batch norm of these numbers.

    Args:
        scale: Of each channel, shape (C,).
        shift: Likewise.
        mean: Of each channel, subtracted first.
        variance: Of each channel.
        epsilon: Added to the variance.
        kind: The class of the layer.
    """
    layer = kind(len(scale), eps=epsilon)
    for target, numbers in zip(
        (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var), (scale, shift, mean, variance),
        strict=True,
    ):  # fmt: skip
        target.copy_(tensor(np.asarray(numbers)))
    return layer


def _batch_norm(writer: Writer, node: Node) -> Value:
    source = node.images()
    kinds: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}
    numbers = [node.constant(i) for i in range(1, 5)]
    if len(source.shape) not in kinds or node.settings.get("training_mode", 0):
        raise NotConverted("a batch norm in training mode, or of other than maps and vectors")
    epsilon = float(node.settings.get("epsilon", 1e-5))
    layer = make_norm(numbers[0], numbers[1], numbers[2], numbers[3], epsilon, kinds[len(source.shape)])
    return writer.layer(layer, source, node.name)


def _instance_norm(writer: Writer, node: Node) -> Value:
    scale, shift = node.constant(1), node.constant(2)
    assert scale is not None
    assert shift is not None
    source, kinds = node.images(), {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d}
    if len(source.shape) not in kinds:
        raise NotConverted("a norm of other than maps")
    layer = kinds[len(source.shape)](len(scale), eps=float(node.settings.get("epsilon", 1e-5)), affine=True)
    layer.weight.data.copy_(tensor(scale))
    layer.bias.data.copy_(tensor(shift))
    return writer.layer(layer, source, node.name)


def _layer_norm(writer: Writer, node: Node) -> Value:
    source, scale, shift = node.images(), node.constant(1), node.constant(2)
    axis = int(node.settings.get("axis", -1)) % len(source.shape)
    shape = source.shape[axis:]
    layer = nn.LayerNorm(list(shape), eps=float(node.settings.get("epsilon", 1e-5)))
    layer.weight.data.copy_(tensor(np.asarray(scale)).expand(shape))
    if shift is not None:
        layer.bias.data.copy_(tensor(shift).expand(shape))
    else:
        layer.bias.data.zero_()
    return writer.layer(layer, source, node.name)


def _local_norm(writer: Writer, node: Node) -> Value:
    about = node.settings
    layer = nn.LocalResponseNorm(
        int(about["size"]), float(about.get("alpha", 1e-4)), float(about.get("beta", 0.75)),
        float(about.get("bias", 1.0)),
    )  # fmt: skip
    return writer.layer(layer, node.images(), node.name)


NORMS: dict[str, Write] = {
    "BatchNormalization": _batch_norm, "InstanceNormalization": _instance_norm, "LayerNormalization": _layer_norm,
    "LRN": _local_norm,
}  # fmt: skip
