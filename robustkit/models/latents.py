"""Where the latent may be, when nobody has named a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustkit.models.outputs import Output

# Layers tried, from the end of the network: further from it a latent says less of the classes.
_MOST = 24
# The latent is what a layer takes, and not what a layer gives, where its name begins so.
INPUT_OF = "input of "


@torch.inference_mode()
def latent_candidates(module: nn.Module, images: Tensor, output: Output) -> list[str]:
    """What could be the latent, the most natural first: what the last affine layer takes, then what precedes it.

    What the last affine layer takes has the name of the layer that gave it, number for number, or else `input of` the
    affine layer: then a function pooled, flattened or changed it on its way.

    Args:
        module: The network, in evaluation mode.
        images: Two images that it takes.
        output: What its return value means.
    """
    names = {layer: name for name, layer in module.named_modules() if name}
    calls: list[tuple[nn.Module, Tensor | None, Tensor | None]] = []

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        given = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        calls.append((layer, _copy(given), _copy(output)))

    handles = [layer.register_forward_hook(note) for layer in names]
    try:
        returned = module(images.clone())
    finally:
        for handle in handles:
            handle.remove()
    scores = output.select(returned)
    layers = [layer for layer, _, _ in calls]
    once = [call for call in calls if layers.count(call[0]) == 1 and call[2] is not None]
    last = next((i for i in reversed(range(len(once))) if isinstance(once[i][0], nn.Linear | nn.Conv2d)), len(once))
    fed = once[last][1] if last < len(once) else None
    before = [
        (layer, output)
        for layer, _, output in once[:last]
        if output is not None and output.shape != scores.shape and len(output) == len(images)
    ]
    found = [(names[layer], output) for layer, output in reversed(before)]
    if fed is None:
        return [name for name, _ in found][:_MOST]
    # Flattened by a layer or a function: the latent is flattened anyway, so the layer's name is the plainer one. The
    # vector goes before the map that it was.
    same = [name for name, output in found if _same(output, fed)]
    flat = [name for name, output in found if name in same and output.ndim == 2]
    first = (flat or same)[:1] or [INPUT_OF + names[once[last][0]]]
    return [*first, *(name for name, _ in found if name not in first)][:_MOST]


def _copy(value: Any) -> Tensor | None:
    """As it is now: a later layer may work in place."""
    return value.clone() if isinstance(value, Tensor) else None


def _same(output: Tensor, fed: Tensor) -> bool:
    return output.numel() == fed.numel() and torch.equal(output.flatten(), fed.flatten())


def shortened(names: Sequence[str], most: int = 30) -> str:
    """Names in a sentence, the first of them if there are many."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
