"""The checkpoints of the papers: their names of layers in our networks, and their sizes read from the weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustkit.errors import InputError
from robustkit.models.foreign.state import StateDict
from robustkit.models.networks import ConvNet, DeepMerge, ResNet18

NAMES = {"ConvNet": ConvNet, "DeepMerge": DeepMerge, "ResNet18": ResNet18}
# Image sides of the papers; a network that pools is made for several, and weights cannot tell which.
_SIDES = (100, 75)
_POOLS = 8


@dataclass(frozen=True, eq=False)
class Published:
    """Weights in the layout of a published code, as one of our networks.

    Attributes:
        network: The network, with its own fresh weights.
        value: The weights under its names, at their place in the checkpoint.
        note: What was recognised.
        input_shape: (C, H, W), as the weights say it, or as the papers had it where they do not.
    """

    network: nn.Module
    value: dict[str, Any]
    note: str
    input_shape: tuple[int, int, int]


def build_published(name: str, parts: Sequence[StateDict], size: tuple[int, int] | None) -> Published:
    """One of our networks of the size that weights say, with those weights under our names.

    Args:
        name: ConvNet, DeepMerge or ResNet18.
        parts: The dicts of tensors in the checkpoint.
        size: Height and width of the images, where they are known.

    Raises:
        InputError: If the name is unknown or no part has such weights.
    """
    if name not in NAMES:
        raise InputError(f"robustkit has no network {name!r}; it has {', '.join(NAMES)}")
    for part in parts:
        tensors = _our_names(part.tensors)
        kind = _kind(tensors)
        if kind is None or (kind == "ResNet18") != (name == "ResNet18"):
            continue
        network, shape = _build(kind, tensors, size)
        note = f"network: {kind}, {shape[0]} bands of {shape[1]}x{shape[2]}, {len(tensors['fc.weight'])} classes"
        if kind != name:
            note += f"; its layers are those of {kind}, so it is opened as robustkit:{kind}"
        value: dict[str, Any] = tensors
        for key in reversed(part.where):
            value = {key: value}
        return Published(network, value, note, shape)
    raise InputError(f"no part of the checkpoint has the layers of robustkit's {name}; name its class with --arch")


def _our_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of DeepAdversaries and DeepMergeDomainAdaptation as ours; other names stay."""
    # All names may have one prefix, such as module.; the shortest name of a first layer shows it.
    firsts = [name for name in tensors if re.search(r"(^|\.)(conv1|features\.0)\.weight$", name)]
    prefix = re.sub(r"(conv1|features\.0)\.weight$", "", min(firsts, key=len)) if firsts else ""
    bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    # The published ResNet keeps its layers in a list too, so that they are there twice.
    bare = {name: tensor for name, tensor in bare.items() if not name.startswith("feature_layers.")}
    renamed: dict[str, str] = {}
    if "batchn1.weight" in bare:
        for i in range(3):
            renamed |= {f"conv{i + 1}": f"features.{4 * i}", f"batchn{i + 1}": f"features.{4 * i + 1}"}
    if "fc3.weight" in bare:
        renamed |= {"fc1": "dense.0", "fc2": "dense.2", "fc3": "fc"}
    ours = {}
    for name, tensor in bare.items():
        layer, dot, rest = name.partition(".")
        ours[renamed.get(layer, layer) + dot + rest] = tensor
    return ours


def _kind(tensors: dict[str, Tensor]) -> str | None:
    if "layer4.1.conv2.weight" in tensors and "bottleneck.weight" in tensors:
        return "ResNet18"
    if "features.0.weight" in tensors and "fc.weight" in tensors:
        return "DeepMerge" if "dense.0.weight" in tensors else "ConvNet" if "bottleneck.weight" in tensors else None
    return None


def _build(
    kind: str, tensors: dict[str, Tensor], size: tuple[int, int] | None
) -> tuple[nn.Module, tuple[int, int, int]]:
    classes = len(tensors["fc.weight"])
    if kind == "ResNet18":
        bands, (height, width) = tensors["conv1.weight"].shape[1], size or (100, 100)
        return ResNet18(bands=bands, classes=classes, size=(height, width)), (bands, height, width)
    bands = tensors["features.0.weight"].shape[1]
    flat = tensors["bottleneck.weight" if kind == "ConvNet" else "dense.0.weight"].shape[1] / 32
    cells = None if size is None else (size[0] // _POOLS) * (size[1] // _POOLS)
    if size is not None and cells != flat:
        raise InputError(
            f"the weights are those of a {kind} for {flat:g} cells after three pools, and images of "
            f"{size[0]}x{size[1]} give {cells}; give the images at the size of the training"
        )
    if size is None:
        side = int(flat**0.5)
        if side * side != flat:
            raise InputError("the weights are for images that are not square; give --input-size HEIGHT WIDTH")
        side = next((s for s in _SIDES if s // _POOLS == side), side * _POOLS)
        size = (side, side)
    return NAMES[kind](bands=bands, classes=classes, size=size), (bands, *size)


def recognise(parts: Sequence[StateDict]) -> str | None:
    """What to give for --arch, where the layers are those of a network that is known."""
    for part in parts:
        kind = _kind(_our_names(part.tensors))
        if kind is not None:
            return f"robustkit:{kind}"
        names = {name.removeprefix("module.") for name in part.tensors}
        if {"conv1.weight", "layer1.0.conv1.weight", "fc.weight"} <= names:
            deep = "layer1.0.conv3.weight" in names
            blocks = "-".join(str(sum(f"layer{i}.{j}.conv1.weight" in names for j in range(40))) for i in (1, 2, 3, 4))
            known = {("2-2-2-2", False): 18, ("3-4-6-3", False): 34, ("3-4-6-3", True): 50, ("3-4-23-3", True): 101}
            depth = known.get((blocks, deep))
            return f"torchvision:resnet{depth}" if depth else None
    return None


def infer_classes(parts: Sequence[StateDict]) -> int | None:
    """How many classes weights have: the rows of their last matrix, or `None`."""
    for part in parts:
        matrices = [t for t in part.tensors.values() if t.ndim == 2 and t.dtype != torch.int64]
        if matrices:
            return len(matrices[-1])
    return None
