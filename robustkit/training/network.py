"""A network that is being trained: latents and logits from one forward pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from robustkit.errors import InputError


class Split(nn.Module):
    """Wraps a network so that a forward pass returns its latents too.

    Args:
        module: The network; its attribute `latent` names the layer whose output is the latent.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        layers = dict(module.named_modules())
        name = getattr(module, "latent", None)
        if name not in layers:
            raise InputError(f"the network {type(module).__name__} does not name its latent layer in `latent`")
        layers[name].register_forward_hook(self._keep)
        self._latents: list[Tensor] = []

    def _keep(self, layer: nn.Module, inputs: Any, latents: Tensor) -> None:
        self._latents = [latents]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) to latents (N, D) and logits (N, K)."""
        logits = self.module(images)
        return self._latents.pop().flatten(1), logits
