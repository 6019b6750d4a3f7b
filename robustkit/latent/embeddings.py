"""Embeddings: latents of clean images, of their noisy twins, and of the same images with a pixel that flips them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustkit.errors import InputError
from robustkit.latent.geometry import AffineHead
from robustkit.latent.heads import Head, ReLUHead
from robustkit.lazy import torch
from robustkit.records import Record

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.models import AuditedClassifier

_BATCH = 64


@dataclass(frozen=True, eq=False)
class Embeddings(Record):
    """Triplets of N images: clean, noisy, attacked; D latents, K classes.

    Rows that do not exist are nan, never left out: `noisy` where an image has no noisy twin, `attacked` where no
    flip was proved. An image that was attacked without a flip is censored: its distance to the flip is not known.

    Attributes:
        ids: Image ids, shape (N,), str.
        true: True classes, shape (N,), int64.
        clean: Latents of the clean images, shape (N, D), float32.
        noisy: Latents of their noisy twins, shape (N, D), float32.
        attacked: Latents of the clean images with the pixels that flip them, shape (N, D), float32.
        clean_logits: Shape (N, K), float32.
        noisy_logits: Shape (N, K), float32.
        attacked_logits: Shape (N, K), float32.
        attempted: Which images were attacked at all, those right before the attack, shape (N,), bool.
        flipped: Which of them were flipped, shape (N,), bool.
        search: Which of `searches` found the flip, shape (N,), int64; -1 without one.
        attempt: Which attempt of the attack's record the flip is, shape (N,), int64; -1 without one.
        head_sizes: Widths of the head's layers: [D, K] if it is affine, [D, H, ..., K] with a ReLU after each layer
            but the last, [] if it is anything else.
        head_parameters: Weights (by rows) and biases of each layer in turn, shape (P,), float64.
        searches: Names of the attack's searches.
        class_names: The K classes.
        noise: What the noisy twins are, or why there are none, in words.
        model_sha256: Of the checkpoint.
        settings: What else made the record, JSON values: `flips`, the rule by which one flip of an image was taken.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("ids", "true", "attempted", "flipped", "search", "attempt"), "N"),
        **dict.fromkeys(("clean", "noisy", "attacked"), "ND"),
        **dict.fromkeys(("clean_logits", "noisy_logits", "attacked_logits"), "NK"),
        "head_sizes": "L",
        "head_parameters": "P",
        "searches": "S",
        "class_names": "K",
    }
    position_letters: ClassVar[Mapping[str, str]] = {"true": "K", "search": "S"}

    ids: np.ndarray
    true: np.ndarray
    clean: np.ndarray
    noisy: np.ndarray
    attacked: np.ndarray
    clean_logits: np.ndarray
    noisy_logits: np.ndarray
    attacked_logits: np.ndarray
    attempted: np.ndarray
    flipped: np.ndarray
    search: np.ndarray
    attempt: np.ndarray
    head_sizes: list[int]
    head_parameters: np.ndarray
    searches: list[str]
    class_names: list[str]
    noise: str
    model_sha256: str
    settings: dict[str, Any]

    @property
    def head(self) -> Head | None:
        """The head as weights, or `None` if it is neither affine nor dense layers with ReLU."""
        return unpack_head(self.head_sizes, self.head_parameters)

    @property
    def has_noisy(self) -> np.ndarray:
        """Which images have a noisy twin, shape (N,), bool."""
        return np.isfinite(self.noisy[:, 0])

    @property
    def clean_class(self) -> np.ndarray:
        """Predicted classes of the clean images, shape (N,)."""
        return self.clean_logits.argmax(axis=1)

    @property
    def noisy_class(self) -> np.ndarray:
        """Predicted classes of the noisy twins, shape (N,); -1 without one."""
        return np.where(self.has_noisy, np.nan_to_num(self.noisy_logits).argmax(axis=1), -1)

    @property
    def attacked_class(self) -> np.ndarray:
        """Predicted classes after the flip, shape (N,); -1 without one."""
        return np.where(self.flipped, np.nan_to_num(self.attacked_logits).argmax(axis=1), -1)

    @property
    def censored(self) -> np.ndarray:
        """Which images were attacked and not flipped, shape (N,), bool."""
        return self.attempted & ~self.flipped


def embed_images(
    classifier: AuditedClassifier, images: Callable[[int, int], Tensor], n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Latents and logits of images that are made or read a batch at a time.

    Args:
        classifier: The classifier.
        images: Network input of the images from a start to a stop, shape (stop - start, C, H, W).
        n: How many images there are.

    Returns:
        Latents (N, D) and logits (N, K), float32.

    Raises:
        InputError: If the latent is a map with places, or a latent is not finite.
    """
    from robustkit.engine.batching import Batches  # here, as reading a record needs no network

    check_flat(classifier)

    def both(start: int, stop: int) -> Tensor:
        batch = images(start, stop).to(classifier.device)
        latents = classifier.embed(batch)
        return torch.cat([latents, classifier.head(latents)], dim=1).cpu()

    with torch.inference_mode():
        found = Batches(_BATCH).run(both, n).float().numpy()
    latents, logits = np.split(found, [found.shape[1] - classifier.classes], axis=1)
    wrong = ~np.isfinite(latents).all(axis=1)
    if wrong.any():
        raise InputError(
            f"the latents of {int(wrong.sum())} of {n} images are not finite, the first is image {wrong.argmax()}; "
            "look at its pixels"
        )
    return latents, logits


def check_flat(classifier: AuditedClassifier) -> None:
    """Refuses a latent that is a map with places: a shift of the image would move it, and distances mean little.

    Raises:
        InputError: If it is one.
    """
    sizes = classifier.latent_shape
    if sum(size > 1 for size in sizes) > 1:
        raise InputError(
            f"the latent {classifier.latent_name!r} is spatial, of shape {tuple(sizes)} an image; windows, maps and "
            "distances need a vector, so name a later layer as the latent"
        )


def pack_head(head: Head | None) -> tuple[list[int], np.ndarray]:
    """A head as `head_sizes` and `head_parameters`."""
    if head is None:
        return [], np.zeros(0)
    affine = isinstance(head, AffineHead)
    layers = [(head.weight, head.bias)] if affine else list(zip(head.weights, head.biases, strict=True))
    sizes = [layers[0][0].shape[1], *(len(bias) for _, bias in layers)]
    return sizes, np.concatenate([part.ravel() for layer in layers for part in layer])


def unpack_head(sizes: list[int], parameters: np.ndarray) -> Head | None:
    """The inverse of `pack_head`.

    Raises:
        InputError: If sizes and parameters do not fit each other.
    """
    if not sizes:
        return None
    pairs = list(pairwise(sizes))
    if sum(before * after + after for before, after in pairs) != len(parameters):
        raise InputError(f"{len(parameters)} parameters do not make a head of the sizes {sizes}; make the record again")
    layers, at = [], 0
    for before, after in pairs:
        middle, end = at + before * after, at + before * after + after
        layers.append((parameters[at:middle].reshape(after, before), parameters[middle:end]))
        at = end
    if len(layers) == 1:
        return AffineHead(*layers[0])
    weights, biases = zip(*layers, strict=True)
    return ReLUHead(tuple(weights), tuple(biases))
