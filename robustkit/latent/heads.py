"""Heads as weights: one affine layer, or dense layers with ReLU between, guessed from the network and then proved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from robustkit.errors import InputError
from robustkit.latent.geometry import AffineHead, check_latents, find_affine_head
from robustkit.lazy import torch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from robustkit.models import AuditedClassifier

# How far the weights' answer may lie from the head's, relative to the size of the logits: float32 rounding.
_TOLERANCE = 1e-4
# A head that cannot be read is probed along every axis of the latent, which is too much for more of them.
_MOST_PROBED = 4096


@dataclass(frozen=True, eq=False)
class ReLUHead:
    """Dense layers with a ReLU after each but the last: the logits are affine on each of finitely many cells.

    Attributes:
        weights: Of each layer, shapes (H1, D), (H2, H1), ..., (K, H), float64.
        biases: Of each layer, float64.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        shapes = [weight.shape for weight in self.weights]
        fits = all(after[1] == before[0] for before, after in pairwise(shapes))
        if len(shapes) < 2 or not fits or [bias.shape for bias in self.biases] != [shape[:1] for shape in shapes]:
            raise InputError(f"a ReLU head needs two layers or more that follow each other; their shapes are {shapes}")

    def __call__(self, latents: ArrayLike) -> np.ndarray:
        """Logits (..., K) of latents (..., D)."""
        values = np.asarray(latents, dtype=np.float64)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = np.maximum(values @ weight.T + bias, 0.0)
        return values @ self.weights[-1].T + self.biases[-1]


Head = AffineHead | ReLUHead


def find_head(classifier: AuditedClassifier, latents: ArrayLike) -> Head | None:
    """The head of a classifier as weights, proved on real latents and on random ones; `None` for any other head.

    A shift that all logits of an image share changes no class and is left out of account.

    Args:
        classifier: The classifier.
        latents: Some of its latents, shape (N, D), at least one.

    Raises:
        InputError: If there are no latents, or they are not (N, D) and finite.
    """
    real = check_latents(latents)
    if not len(real):
        raise InputError("at least one latent is needed to prove a head on")
    head = as_function(classifier)

    def centred(values: np.ndarray) -> np.ndarray:
        logits = head(values)
        return logits - logits.mean(axis=1, keepdims=True)

    spread = np.random.default_rng(0).normal(0, 2 * (float(real.std()) or 1.0), (64, real.shape[1]))
    probes = np.concatenate([real[:256], real.mean(axis=0) + spread])
    expected = centred(probes)
    for guess in _guesses(classifier, real):
        answer = guess(probes)
        if answer.shape != expected.shape:
            continue  # the decision makes other outcomes of the network's outputs
        error = np.abs(answer - answer.mean(axis=1, keepdims=True) - expected).max()
        if error <= _TOLERANCE * max(float(np.abs(expected).max()), 1e-12):
            return guess
    return find_affine_head(centred, real[:256]) if real.shape[1] <= _MOST_PROBED else None


def as_function(classifier: AuditedClassifier) -> Callable[[np.ndarray], np.ndarray]:
    """The head of a classifier as a function of arrays: latents (N, D) to logits (N, K), float64."""

    def head(latents: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            values = torch.as_tensor(latents, dtype=torch.float32, device=classifier.device)
            return classifier.head(values).cpu().double().numpy()

    return head


def _guesses(classifier: AuditedClassifier, latents: np.ndarray) -> list[Head]:
    """What the layers after the latent may be: as they stand, and with ReLUs that are functions and not layers."""
    layers = _layers_after(classifier, latents)
    between = [
        kind
        for layer in layers
        for kind in ((layer, torch.nn.ReLU()) if isinstance(layer, torch.nn.Linear) else (layer,))
    ]
    while between and not isinstance(between[-1], torch.nn.Linear):
        between.pop()
    return [head for found in (layers, between) if (head := _compose(found, latents.shape[1])) is not None]


def _layers_after(classifier: AuditedClassifier, latents: np.ndarray) -> list[torch.nn.Module]:
    """The layers without children that run after the latent, in order."""
    seen: list[torch.nn.Module] = []
    place = classifier.place
    if place is None or place.layer is None or place.axes:
        return []
    begun, latent, takes = False, place.layer, place.takes

    def note(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal begun
        begun = begun or (takes and module is latent)
        if begun and not list(module.children()):
            seen.append(module)
        begun = begun or module is latent

    handles = [module.register_forward_hook(note) for module in classifier.module.modules()]
    try:
        as_function(classifier)(latents[:1])
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _compose(layers: list[torch.nn.Module], dimension: int) -> Head | None:
    """Affine layers joined, ReLUs between them; `None` if anything else is there or the shapes do not follow."""
    flat = torch.nn.Flatten, torch.nn.Identity, torch.nn.Dropout, torch.nn.AlphaDropout, torch.nn.LogSoftmax
    done: list[tuple[np.ndarray, np.ndarray]] = []
    weight, bias = np.eye(0), np.zeros(0)
    size, fresh = dimension, True  # the width here, and whether nothing affine follows the last ReLU
    for layer in layers:
        if isinstance(layer, flat):
            continue
        if isinstance(layer, torch.nn.ReLU):
            if fresh:
                return None
            done.append((weight, bias))
            fresh = True
            continue
        affine = _affine(layer)
        if affine is None or affine[0].shape[1] != size:
            return None
        weight, bias = affine if fresh else (affine[0] @ weight, affine[0] @ bias + affine[1])
        size, fresh = len(bias), False
    if fresh or size < 2:
        return None
    if not done:
        return AffineHead(weight, bias)
    weights, biases = zip(*done, (weight, bias), strict=True)
    return ReLUHead(tuple(weights), tuple(biases))


def _affine(layer: torch.nn.Module) -> tuple[np.ndarray, np.ndarray] | None:
    if isinstance(layer, torch.nn.Linear):
        bias = np.zeros(layer.out_features) if layer.bias is None else _array(layer.bias)
        return _array(layer.weight), bias
    if isinstance(layer, torch.nn.BatchNorm1d) and layer.running_mean is not None and layer.running_var is not None:
        mean, scale = _array(layer.running_mean), 1 / np.sqrt(_array(layer.running_var) + layer.eps)
        scale = scale if layer.weight is None else scale * _array(layer.weight)
        shift = np.zeros_like(mean) if layer.bias is None else _array(layer.bias)
        return np.diag(scale), shift - mean * scale
    return None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
