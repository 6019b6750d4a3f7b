"""The network in training: latents and logits of one or two domains from one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from robustkit.errors import InputError
from robustkit.models.latents import INPUT_OF
from robustkit.models.outputs import Output
from robustkit.training.alignment import Outputs

BatchNorm = Literal["joint", "separate"]

_BATCH = 256


class Trainee(nn.Module):
    """Wraps a network so that a forward pass passes both domains and returns latents and logits of each.

    Args:
        module: The network.
        latent: The layer whose output is the latent, or `input of NAME` for what a layer takes; by default the one that
            its attribute `latent` names.
        output: Which part of what the network returns holds the scores; by default it returns nothing else.
        batch_norm: `joint` sends both domains through in one batch, so that batch norm takes its statistics over
            both; `separate` sends one after the other, each normalised by itself. Running statistics cover both.
    """

    def __init__(
        self,
        module: nn.Module,
        batch_norm: BatchNorm = "joint",
        *,
        latent: str | None = None,
        output: Output | None = None,
    ) -> None:
        super().__init__()
        self.module, self.batch_norm, self.output = module, batch_norm, output or Output()
        layers = dict(module.named_modules())
        name = str(latent or getattr(module, "latent", None))
        layer = layers.get(name.removeprefix(INPUT_OF))
        if layer is None:
            raise InputError(f"the network {type(module).__name__} does not name its latent layer in `latent`")
        if name.startswith(INPUT_OF):
            self._hook = layer.register_forward_pre_hook(lambda layer, inputs: self._keep(inputs[0]))
        else:
            self._hook = layer.register_forward_hook(self._keep_output)
        self._first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)), None)
        if self._first is not None:
            vars(self._first)["forward"] = _in_full_precision(self._first.forward)
        self._latents: list[Tensor] = []

    def forward(self, source: Tensor, target: Tensor | None = None) -> tuple[Outputs, Outputs | None]:
        """Images of the source (N, C, H, W) and of the target (M, C, H, W) to the outputs of each."""
        if target is None:
            return self.run(source), None
        if self.batch_norm == "separate":
            return self.run(source), self.run(target)
        both = self.run(torch.cat([source, target]))
        first, second = zip(*(rows.split([len(source), len(target)]) for rows in both), strict=True)
        return Outputs(*first), Outputs(*second)

    def release(self) -> nn.Module:
        """The network itself, without the hook and with its first layer as it was."""
        self._hook.remove()
        if self._first is not None:
            del self._first.forward
        return self.module

    def _keep_output(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        self._keep(output)

    def _keep(self, latents: Tensor) -> None:
        # The clone keeps the latent as it was before an in-place layer after it.
        self._latents.append(latents.clone())

    def run(self, images: Tensor) -> Outputs:
        """Latents and logits of a batch."""
        logits = self.output.logits(self.module(images))
        return Outputs(self._latents.pop().flatten(1).float(), logits.float())


def _in_full_precision(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A layer's forward in float32, whatever the precision around it.

    Stretched images vary little around a level far from 0. bf16 has 8 bits, which that level uses up.
    """

    def full(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            return forward(images.float())

    return full


@contextmanager
def evaluating(module: nn.Module) -> Generator[None]:
    """Evaluation mode without gradients; every layer is left in the mode that it was in."""
    modes = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for layer, mode in modes.items():
            layer.training = mode


def predict(network: Trainee, images: Tensor) -> Outputs:
    """Latents and logits of any number of images, in evaluation mode, float32.

    Args:
        network: On its device.
        images: Network input, shape (N, C, H, W), on any device.
    """
    device = next(network.parameters()).device
    with evaluating(network):
        batches = [network.run(batch.to(device)) for batch in images.split(_BATCH)]
        return Outputs(*(torch.cat(rows) for rows in zip(*batches, strict=True)))


def parted(outputs: Outputs | None, inputs: Sequence[Tensor | None]) -> list[Outputs | None]:
    """The outputs of several sets of images that went through in one batch; `None` for each that is not there.

    Args:
        outputs: Of those that are there, one after the other.
        inputs: The images of each set.
    """
    found, start = list[Outputs | None](), 0
    for images in inputs:
        if outputs is None or images is None:
            found.append(None)
            continue
        found.append(Outputs(*(rows[start : start + len(images)] for rows in outputs)))
        start += len(images)
    return found


def adapt_statistics(network: Trainee, images: Tensor) -> None:
    """AdaBN: recomputes the running statistics of every batch norm from images of the target alone.

    Args:
        network: Changed in place; its weights are not.
        images: Network input, shape (N, C, H, W).

    Raises:
        InputError: If the network has no batch norm.

    Source: Li et al. 2018, doi:10.1016/j.patcog.2018.03.005.
    """
    if not _batch_norms(network):
        raise InputError("the method adabn needs a network with batch norm; choose another method")
    # Batches of one size, give or take one, so that each image counts the same.
    device, batches = next(network.parameters()).device, images.tensor_split(-(-len(images) // _BATCH))
    renew_statistics(network, ((batch.to(device), None) for batch in batches))


def renew_statistics(network: Trainee, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
    """Recomputes the running statistics of every batch norm as the plain mean over some batches.

    The running mean that batch norm keeps by itself lags behind weights that still move fast, so far that a network
    whose input is nearly constant, such as a faint galaxy after a stretch, scores at chance on validation images.

    Args:
        network: Changed in place; its weights are not.
        batches: Source images, and target images or `None`, as in training.

    Source: Wu & Johnson 2021, section 3, arXiv:2105.07576.
    """
    layers = _batch_norms(network)
    momenta = [layer.momentum for layer in layers]
    with evaluating(network):
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean
            layer.train()
        for source, target in batches if layers else ():
            network(source, target)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


_BatchNorms: TypeAlias = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def _batch_norms(network: nn.Module) -> list[_BatchNorms]:
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorms)]
