"""From a list of layers to a chain: which layers a chain may have, and what each becomes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustkit.engine.chain_stages import Activation, Affine, Chain, Pointwise, Stage, UnsupportedChain

_IGNORED = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
# Layers of the head that treat each row by itself, beside the element-wise ones.
_ROWS = (nn.Linear, nn.BatchNorm1d, nn.LayerNorm, nn.Softmax, nn.LogSoftmax)
_MONOTONE = (nn.Sigmoid, nn.Tanh, nn.ELU, nn.CELU, nn.SELU, nn.Softplus)
_NOT_MONOTONE = (nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish)


def make_chain(layers: Sequence[nn.Module], size: tuple[int, int]) -> Chain:
    """Puts layers together to a chain, in float64 on the CPU.

    Args:
        layers: The network's layers, first to last, in evaluation mode.
        size: Height and width of the input images.

    Raises:
        UnsupportedChain: If the layers are anything else; the message says what stands in the way.
    """
    stages, mean, head = _split([layer for layer in layers if type(layer) not in _IGNORED])
    for stage in stages:
        size = stage.output_size(size)
    affine: list[tuple[Tensor, Tensor]] = []
    if mean:
        channels, area = len(stages[-1].bias), size[0] * size[1]
        spread = torch.eye(channels, dtype=torch.float64).repeat_interleave(area, 1) / area
        affine.append((spread, spread.new_zeros(channels)))
    for layer in head:
        following = _affine_after(layer, affine[-1] if affine else None)
        if following is None:
            break
        affine.append(following)
    if not affine:
        raise UnsupportedChain("no linear layer follows the flattened feature map")
    # Where affine layers narrow, all of them up to the narrowest point are one small matrix.
    cut = min(range(len(affine)), key=lambda i: len(affine[i][1]))
    return Chain(tuple(stages), *affine[cut], nn.Sequential(*head[cut + (0 if mean else 1) :]))


def _split(layers: list[nn.Module]) -> tuple[list[Stage], bool, list[nn.Module]]:
    """The stages, whether the last map is averaged, and the layers after the flattening."""
    stages: list[Stage] = []
    mean = False
    for position, layer in enumerate(layers):
        name = type(layer).__name__
        if isinstance(layer, nn.Flatten) and stages and (layer.start_dim, layer.end_dim) in {(1, -1), (1, 3)}:
            head = _head(layers[position + 1 :])
            # An element-wise function is the same before the flattening.
            while head and not mean and isinstance(function := pointwise(head[0]), Activation):
                stages[-1] = _with(stages[-1], function)
                head = head[1:]
            return [stage.simplified() for stage in stages], mean, head
        if mean:
            raise UnsupportedChain(f"a {name} follows the average over the map")
        if type(layer) is nn.Conv2d:
            stages.append(_convolution(layer))
        elif not stages:
            raise UnsupportedChain(f"a {name} comes before the first convolution")
        elif type(layer) is nn.AdaptiveAvgPool2d and layer.output_size in (1, (1, 1)):
            mean = True
        elif isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)):
            stages[-1] = _pooled(stages[-1], layer)
        elif (function := pointwise(layer)) is not None:
            stages[-1] = _with(stages[-1], function)
        else:
            raise UnsupportedChain(f"a {name} is not a layer of a chain")
    raise UnsupportedChain("the feature map is never flattened")


def _head(layers: list[nn.Module]) -> list[nn.Module]:
    for layer in layers:
        by_row = type(layer) in _ROWS and getattr(layer, "dim", 1) in (1, -1)
        if not by_row and not isinstance(pointwise(layer), Activation):
            raise UnsupportedChain(f"a {layer} follows the flattened feature map")
    return layers


def _with(stage: Stage, function: Pointwise) -> Stage:
    if stage.pool == "none":
        return replace(stage, before=(*stage.before, function))
    return replace(stage, after=(*stage.after, function))


def _convolution(layer: nn.Conv2d) -> Stage:
    for setting, wanted in (("stride", (1, 1)), ("dilation", (1, 1)), ("groups", 1), ("padding_mode", "zeros")):
        if getattr(layer, setting) != wanted:
            raise UnsupportedChain(f"a convolution has {setting} {getattr(layer, setting)}, not {wanted}")
    padding = layer.padding
    if padding == "same" and any(k % 2 == 0 for k in layer.kernel_size):
        raise UnsupportedChain("a convolution of even size is padded unevenly")
    if isinstance(padding, str):
        padding = tuple((k - 1) // 2 if padding == "same" else 0 for k in layer.kernel_size)
    return Stage(*_weights(layer), (int(padding[0]), int(padding[1])))


def _pooled(stage: Stage, layer: nn.MaxPool2d | nn.AvgPool2d) -> Stage:
    window, stride, padding = (_pair(size) for size in (layer.kernel_size, layer.stride, layer.padding))
    dilation = _pair(getattr(layer, "dilation", 1))
    if stage.pool != "none":
        raise UnsupportedChain("two pools follow each other")
    if stride != window or padding != (0, 0) or dilation != (1, 1) or layer.ceil_mode:
        raise UnsupportedChain(
            f"a pool has window {window}, stride {stride}, padding {padding}, dilation {dilation}, ceil_mode "
            f"{layer.ceil_mode}; its cells must lie side by side and inside the map"
        )
    if getattr(layer, "return_indices", False) or getattr(layer, "divisor_override", None):
        raise UnsupportedChain("a pool returns more than the pooled map, or divides by a number of its own")
    return replace(stage, pool="max" if isinstance(layer, nn.MaxPool2d) else "mean", window=window)


def _pair(size: Any) -> tuple[int, int]:
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def pointwise(layer: nn.Module) -> Pointwise | None:
    """A layer as an element-wise function of a channels-last map; `None` if it is none."""
    if type(layer) is nn.BatchNorm2d:
        return Affine(*_batch_norm(layer))
    if type(layer) is nn.ReLU:
        return Activation(torch.relu, True, ("clamp", 0.0, float("inf")))
    if type(layer) is nn.LeakyReLU and 0 <= layer.negative_slope <= 1:
        slope = float(layer.negative_slope)
        return Activation(lambda x: F.leaky_relu(x, slope), True, ("leaky", slope))
    if isinstance(layer, nn.Hardtanh) and type(layer) in (nn.Hardtanh, nn.ReLU6):
        low, high = float(layer.min_val), float(layer.max_val)
        return Activation(lambda x: x.clamp(low, high), True, ("clamp", low, high))
    if type(layer) in (*_MONOTONE, *_NOT_MONOTONE):
        function: Any = copy.deepcopy(layer)
        if hasattr(function, "inplace"):
            function.inplace = False
        return Activation(function, type(layer) in _MONOTONE)
    return None


def _affine_after(layer: nn.Module, before: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor] | None:
    """The affine map of a layer after another one, as (weight, bias); `None` if there is none."""
    if type(layer) is nn.Linear:
        weight, bias = _weights(layer)
        return (weight, bias) if before is None else (weight @ before[0], weight @ before[1] + bias)
    if type(layer) is nn.BatchNorm1d and before is not None:
        scale, shift = _batch_norm(layer)
        return before[0] * scale[:, None], before[1] * scale + shift
    return None


def _weights(layer: nn.Conv2d | nn.Linear) -> tuple[Tensor, Tensor]:
    weight = layer.weight.detach().cpu().double()
    return weight, weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().cpu().double()


def _batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm in evaluation mode."""
    if layer.running_mean is None or layer.running_var is None:
        raise UnsupportedChain("a batch norm has no running statistics, so its answer depends on the batch")
    scale = (layer.running_var.cpu().double() + layer.eps).rsqrt()
    if layer.weight is not None:
        scale = scale * layer.weight.detach().cpu().double()
    shift = -layer.running_mean.cpu().double() * scale
    return scale, shift if layer.bias is None else shift + layer.bias.detach().cpu().double()
