"""Whether a network still has the weights that PyTorch draws before any training."""

from __future__ import annotations

import math

from torch import Tensor, nn

_LEAST = 30  # numbers in a layer, below which their spread says nothing
_SIGMAS = 6.0


def is_initial(module: nn.Module) -> bool:
    """Whether every layer of a network has the weights of a usual initialisation, and every norm the factor 1.

    PyTorch draws convolutions and dense layers between -b and b, b = 1 / sqrt(fan in); other code draws them from a
    normal or uniform distribution of Kaiming or Xavier with biases of 0. A layer that was trained has another spread,
    or leaves the range.

    Args:
        module: The network.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)]
    if any(norm.weight is not None and not bool((norm.weight == 1).all()) for norm in norms):
        return False
    large = [layer for layer in layers if layer.weight.numel() >= _LEAST]
    return bool(large) and all(_drawn(layer) for layer in large)


def _drawn(layer: nn.Conv2d | nn.Linear) -> bool:
    weights, bias = layer.weight.detach().float(), layer.bias
    fan_in = weights[0].numel()
    fan_out = len(weights) * weights[0, 0].numel()
    bound = 1.0001 / math.sqrt(fan_in)
    within = bias is None or float(bias.detach().abs().max()) <= bound
    if within and float(weights.abs().max()) <= bound and _has_spread(weights, math.sqrt(1 / (3 * fan_in))):
        return True
    if bias is not None and bool(bias.any()):
        return False
    return any(
        _has_spread(weights, math.sqrt(gain / fan))
        for gain, fan in ((2, fan_in), (2, fan_out), (2, fan_in + fan_out), (1, fan_in))
    )


def _has_spread(weights: Tensor, std: float) -> bool:
    """Whether the root mean square of the weights is that of so many normal draws, within their error."""
    error = std * math.sqrt(1 / (2 * weights.numel()))
    return abs(float(weights.square().mean().sqrt()) - std) < _SIGMAS * error
