"""`AuditedClassifier`: any network as features -> latent -> head, split at one named layer and proved to be so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from robustkit.errors import InputError, first_line
from robustkit.models.outputs import Output, looks_like_probabilities

# How far head(embed(x)) may lie from model(x), relative to the size of the logits: float32 rounding and no more.
_SPLIT_TOLERANCE = 1e-4


class AuditedClassifier:
    """A trained network, evaluated in float32 and split at the output of one named layer.

    The weights stay where they are: `head` runs the same network with N latents put in the layer's place.

    Args:
        module: The network, in evaluation mode.
        latent: Name of the layer whose output is the latent, as in `module.named_modules()`; by default the
            module's own `latent` attribute.
        input_shape: (C, H, W) of the images it takes.
        class_names: The K classes, in the order of the logits.
        output: Which part of the return value holds the scores, and what they are.

    Raises:
        InputError: If the network is in training mode, the layer is unknown, runs twice or is bypassed, or the
            output is not what `output` says. The message says what to do.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        latent: str | None = None,
        input_shape: Sequence[int],
        class_names: Sequence[str] | None = None,
        output: Output | None = None,
    ) -> None:
        if module.training:
            raise InputError("the network is in training mode, where its answers change; call module.eval() first")
        if any(parameter.dtype != torch.float32 for parameter in module.parameters()):
            module = module.float()
        self.module = module
        self.output = output or Output()
        self.input_shape = tuple(int(size) for size in input_shape)
        self.latent_name = self._latent_layer(latent)
        self._layer = dict(module.named_modules())[self.latent_name]
        logits = self._prove_split()
        self.classes = logits.shape[1]
        self.class_names = tuple(class_names or (f"class {k}" for k in range(self.classes)))
        if len(self.class_names) != self.classes:
            raise InputError(
                f"the network has {self.classes} outputs but {len(self.class_names)} classes are named: "
                f"{', '.join(self.class_names)}"
            )

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of images.

        Args:
            images: Network input, shape (N, C, H, W), float32, on the network's device.

        Returns:
            Logits, shape (N, K).
        """
        return self.output.logits(self.module(images))

    def embed(self, images: Tensor) -> Tensor:
        """Latents of images, shape (N, C, H, W) to (N, D)."""
        seen: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, latent: Tensor) -> None:
            # The clone keeps the latent as it was before an in-place layer after it.
            seen.append(latent.clone())

        with self._hook(keep):
            self.module(images)
        return seen[0].flatten(1)

    def head(self, latents: Tensor) -> Tensor:
        """Logits of latents, shape (N, D) to (N, K), by the network's own layers after the latent."""
        shape = self._latent_shape
        example = self._example

        def replace(module: nn.Module, inputs: Any, latent: Tensor) -> Tensor:
            return latents.reshape(len(latents), *shape)

        with self._hook(replace):
            return self.output.logits(self.module(example))

    def to(self, device: torch.device | str) -> Self:
        """Moves the network to a device."""
        self.module.to(device)
        self._example = self._example.to(device)
        return self

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one image's latent as the layer gives it; `embed` flattens it to (D,)."""
        return tuple(self._latent_shape)

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))

    def __repr__(self) -> str:
        return (
            f"AuditedClassifier({type(self.module).__name__}, latent={self.latent_name!r}, "
            f"input_shape={self.input_shape}, class_names={self.class_names})"
        )

    @contextmanager
    def _hook(self, hook: Callable[..., Any]) -> Iterator[None]:
        handle = self._layer.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    def _latent_layer(self, latent: str | None) -> str:
        names = [name for name, _ in self.module.named_modules() if name]
        own = getattr(self.module, "latent", None)
        if latent is None and isinstance(own, str):
            latent = own
        if latent is None:
            raise InputError(f"name the layer whose output is the latent with --latent; there are {_shortened(names)}")
        if latent not in names:
            raise InputError(f"no layer is called {latent!r}; there are {_shortened(names)}")
        return latent

    def _prove_split(self) -> Tensor:
        """Runs two fixed images and checks that head(embed(x)) is what the network says of x."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(2, *self.input_shape, generator=generator).to(self.device)
        self._example = images[:1]
        runs: list[Any] = []
        with torch.inference_mode():
            with self._hook(lambda module, inputs, latent: runs.append(latent)):
                try:
                    returned = self.module(images)
                except (RuntimeError, ValueError, TypeError, IndexError) as error:
                    raise InputError(
                        f"the network refuses images of shape (N, {', '.join(map(str, self.input_shape))}): "
                        f"{first_line(error)}; check bands, size and band order"
                    ) from error
            if len(runs) != 1:
                times = "does not run" if not runs else f"runs {len(runs)} times"
                raise InputError(
                    f"layer {self.latent_name!r} {times} in one forward pass; name a layer that runs once with --latent"
                )
            if not isinstance(runs[0], Tensor) or len(runs[0]) != len(images):
                raise InputError(
                    f"layer {self.latent_name!r} does not return one latent per image; name another with --latent"
                )
            self._latent_shape = runs[0].shape[1:]
            logits = self.output.logits(returned)
            if len(logits) != len(images):
                raise InputError(
                    f"{len(images)} images gave {len(logits)} rows of scores; the image size "
                    f"{self.input_shape[1:]} is not the one that the network was made for"
                )
            if self.output.kind == "logits" and looks_like_probabilities(logits):
                raise InputError(
                    "the network's outputs are probabilities (each row sums to 1), not logits; say so with "
                    "--output-kind probabilities"
                )
            self._compare(images, logits)
        return logits

    def _compare(self, images: Tensor, logits: Tensor) -> None:
        try:
            again = self.head(self.embed(images))
        except (RuntimeError, InputError) as error:
            raise InputError(
                f"the layers after {self.latent_name!r} cannot run on latents alone "
                f"({first_line(error)}); name a later layer with --latent"
            ) from error
        scale = float(logits.abs().max()) + 1e-6
        if again.shape != logits.shape or not float((again - logits).abs().max()) <= _SPLIT_TOLERANCE * scale:
            raise InputError(
                f"the network's answer does not follow from layer {self.latent_name!r} alone: a path leads around it, "
                "or the answer is random; name a later layer with --latent"
            )


def _shortened(names: Sequence[str], most: int = 30) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
