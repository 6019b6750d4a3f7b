"""What a forward pass costs, counted and not timed: the same number on every machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule

# How many multiply-adds the images of a group cost in one forward pass each, and how many images are in one at most.
_GROUP_PRODUCTS, _MOST_IMAGES = 3.2e9, 16
# Of a network whose layers cannot be seen.
_UNSEEN_IMAGES = 4


@torch.inference_mode()
def products_per_image(module: nn.Module, image: Tensor) -> int:
    """Multiply-adds of the layers with weights in a forward pass, 0 where they cannot be seen.

    Args:
        module: The network, in evaluation mode.
        image: Network input, shape (1, C, H, W), or of two images where it takes no single one.
    """
    found: list[int] = []

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 1 and isinstance(output, Tensor):
            found.append(output.numel() * weight[0].numel() // len(image))

    handles = [layer.register_forward_hook(note) for layer in module.modules() if not isinstance(layer, ScriptModule)]
    try:
        module(image.clone())
    finally:
        for handle in handles:
            handle.remove()
    return sum(found)


def images_in_group(module: nn.Module, image: Tensor) -> int:
    """How many images one unit of a run has, so that a run of a slow network keeps something every few minutes.

    It is decided by what the network computes and not by how fast, because it decides how arithmetic is batched.

    Args:
        module: The network.
        image: As for `products_per_image`.
    """
    products = products_per_image(module, image)
    return max(1, min(_MOST_IMAGES, int(_GROUP_PRODUCTS / products))) if products else _UNSEEN_IMAGES
