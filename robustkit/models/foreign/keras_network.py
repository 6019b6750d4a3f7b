"""A Keras 3 model, run by its PyTorch backend."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from robustkit.data.guard import reading
from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.files import sha256_file
from robustkit.models.foreign import kinds
from robustkit.models.foreign.architecture import build_network
from robustkit.models.foreign.found import Found
from robustkit.models.foreign.options import ModelOptions


class KerasPart(nn.Module):
    """A Keras model as a network that takes images with the bands first, as everything here does.

    Args:
        model: The model, whose layers are networks of PyTorch.
        bands_last: Whether it wants images with the bands last.
    """

    def __init__(self, model: Any, *, bands_last: bool) -> None:
        super().__init__()
        self.model, self.bands_last = model, bands_last
        self.eval()

    def forward(self, values: Tensor) -> Any:
        """What the model returns."""
        return self.model(values.movedim(1, -1) if self.bands_last else values, training=False)


class KerasNetwork(nn.Module):
    """Features and head of a Keras model, cut at its latent: hooks do not reach into the layers of Keras.

    Args:
        features: From images to latents.
        head: From latents to scores.
    """

    def __init__(self, features: KerasPart, head: KerasPart) -> None:
        super().__init__()
        self.features, self.head = features, head
        self.eval()

    def forward(self, images: Tensor) -> Any:
        """Images (N, C, H, W) to scores."""
        return self.head(self.features(images))


def use_torch() -> Any:
    """Keras on PyTorch.

    Raises:
        InputError: If it runs on another backend already.
        MissingExtra: If it is not installed.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    keras = require("keras", extra="keras", purpose="open a Keras model")
    if keras.backend.backend() != "torch":
        raise InputError(
            f"Keras runs on {keras.backend.backend()} here and must run on PyTorch; set KERAS_BACKEND=torch before it "
            "is imported"
        )
    return keras


def open_keras(path: Path, options: ModelOptions) -> Found:
    """Opens Keras weights (.weights.h5) in the model that `--arch` builds.

    Raises:
        InputError: If the model is none of Keras, or the weights do not fit.
    """
    use_torch()
    if options.arch is None:
        raise InputError(f"{path} holds Keras weights and no network; name what builds it with --arch FILE.py:factory")
    model, notes = build_network(options, [])
    return wrap_keras(model, path, options, notes, weights=path)


def wrap_keras(
    model: Any, path: Path, options: ModelOptions, notes: list[str], *, weights: Path | None = None
) -> Found:
    """A Keras model as a network, with its weights loaded where they are in a file of their own.

    Args:
        model: The Keras model.
        path: The file that is opened, for messages.
        options: What the user says about the model.
        notes: Takes what was found and chosen.
        weights: A file with the weights alone.
    """
    keras = use_torch()
    if not isinstance(model, keras.Model):
        raise InputError(f"{path} needs a keras.Model, and --arch gave a {type(model).__name__}")
    if weights is not None:
        if not str(weights).endswith(".weights.h5"):
            raise InputError(f"Keras wants weights in a file that ends in .weights.h5; rename {weights}")
        with reading(weights, kinds.KERAS_WEIGHTS.name):
            model.load_weights(str(weights))
        notes.append(f"weights: {model.count_params():,} numbers, loaded by Keras")
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise InputError(f"the Keras model takes {shape}; expected images alone")
    last = shape[3] is not None and shape[3] <= 16 and (shape[1] is None or shape[1] > shape[3])
    bands, height, width = (shape[3], shape[1], shape[2]) if last else shape[1:]
    found = Found(KerasPart(model, bands_last=last), "a Keras model", sha256_file(path), notes)
    _split(keras, model, found, options, last)
    if bands and height and width:
        found.input_shape = (bands, height, width)
    return found


def _split(keras: Any, model: Any, found: Found, options: ModelOptions, bands_last: bool) -> None:
    """Cuts a functional model before its last layer with weights, or after the layer that was named."""
    names = [layer.name for layer in model.layers]
    if options.latent is not None and options.latent not in names:
        raise InputError(f"no layer is called {options.latent!r}; there are {', '.join(names[-30:])}")
    try:
        last = next(layer for layer in reversed(model.layers) if layer.weights)
        tensor = last.input if options.latent is None else model.get_layer(options.latent).output
        features, head = keras.Model(model.inputs, tensor), keras.Model(tensor, model.outputs)
    except Exception:  # a subclassed model has no graph of layers, and Keras says so in many ways
        found.black_box = True
        return
    found.network = KerasNetwork(KerasPart(features, bands_last=bands_last), KerasPart(head, bands_last=False))
    found.latent, found.latent_name = "features", options.latent or f"input of {last.name}"
    if options.latent is None:
        found.notes.append(f"latent: what the last layer, {last.name}, takes; name another with --latent")
