"""Which layer may be the latent, when nobody has named one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from robustkit.models.outputs import Output

# Layers tried, from the end of the network: further from it a latent says less of the classes.
_MOST = 24


@torch.inference_mode()
def latent_candidates(module: nn.Module, images: Tensor, output: Output) -> list[str]:
    """Layers that could be the latent, the most natural first: what feeds the last affine layer, then what came before.

    Args:
        module: The network, in evaluation mode.
        images: Two images that it takes.
        output: What its return value means.
    """
    names = {layer: name for name, layer in module.named_modules() if name}
    calls: list[tuple[nn.Module, Tensor | None, Tensor | None]] = []

    def note(layer: nn.Module, inputs: Any, came: Any) -> None:
        given = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        calls.append((layer, given, came.clone() if isinstance(came, Tensor) else None))

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
        (layer, came)
        for layer, _, came in once[:last]
        if came is not None and came.shape != scores.shape and len(came) == len(images)
    ]
    # The layer whose output the last affine one takes comes first, if need be flattened or pooled by a function.
    before = list(reversed(before))
    if fed is not None:
        before.sort(key=lambda call: not _same(call[1], fed))
    return [names[layer] for layer, _ in before[:_MOST]]


def _same(came: Tensor, fed: Tensor) -> bool:
    return came.numel() == fed.numel() and torch.equal(came.flatten(), fed.flatten())
