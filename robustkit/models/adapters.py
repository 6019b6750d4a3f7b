"""Classifiers of other tools as ours, and ours as theirs: the Adversarial Robustness Toolbox (ART), and MAITE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.models.blackbox import BlackBox
from robustkit.models.classifier import AuditedClassifier
from robustkit.models.outputs import Output, looks_like_probabilities


def from_art(estimator: Any, *, class_names: Sequence[str] | None = None) -> BlackBox:
    """An ART classifier, of any of its backends, to be attacked and swept.

    Args:
        estimator: With `predict`, `input_shape` and `nb_classes`.
        class_names: The K classes, in the order of its scores.

    Raises:
        InputError: If it is no classifier of images with the bands first, or its answers depend on the batch.
    """
    missing = [name for name in ("predict", "input_shape", "nb_classes") if not hasattr(estimator, name)]
    if missing:
        raise InputError(f"expected a classifier of ART, but {type(estimator).__name__} has no {', '.join(missing)}")
    shape = tuple(estimator.input_shape)
    if len(shape) != 3 or getattr(estimator, "channels_first", True) is False:
        raise InputError(f"expected an ART classifier of images C x H x W, got {shape}; make it with channels_first")
    return _box(lambda images: np.asarray(estimator.predict(images)), shape, class_names)


def from_maite(model: Any, *, input_shape: Sequence[int], class_names: Sequence[str] | None = None) -> BlackBox:
    """A model of MAITE's image classification protocol, to be attacked and swept.

    Args:
        model: From a sequence of images (C, H, W) to a sequence of scores (K,).
        input_shape: (C, H, W).
        class_names: The K classes; by default those of its metadata.

    Raises:
        InputError: If its answers are no scores, or depend on the batch.
    """
    labels = dict(getattr(model, "metadata", {}) or {}).get("index2label")
    if class_names is None and labels:
        class_names = [str(labels[index]) for index in sorted(labels)]

    def predict(images: np.ndarray) -> np.ndarray:
        return np.stack([np.asarray(scores) for scores in model(list(images))])

    return _box(predict, input_shape, class_names)


def _box(predict: Any, shape: Sequence[int], class_names: Sequence[str] | None) -> BlackBox:
    """A black box whose scores are probabilities if they look like it on random images."""
    images = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    kind = "probabilities" if looks_like_probabilities(torch.from_numpy(predict(images).copy())) else "logits"
    return BlackBox(predict, input_shape=shape, class_names=class_names, output=Output(kind=kind))


@dataclass(frozen=True, eq=False)
class MaiteModel:
    """A classifier as MAITE's protocol has it: a batch of images in, probabilities out.

    Attributes:
        classifier: The classifier.
        metadata: Its `id`, and the names of its classes as `index2label`.
    """

    classifier: AuditedClassifier
    metadata: dict[str, Any] = field(default_factory=dict)

    @torch.inference_mode()
    def __call__(self, batch: Sequence[Any]) -> list[np.ndarray]:
        """Probabilities, shape (K,), of each image (C, H, W)."""
        images = torch.from_numpy(np.stack([np.asarray(image, dtype=np.float32) for image in batch]))
        return list(self.classifier(images.to(self.classifier.device)).softmax(1).cpu().numpy())


def to_maite(classifier: AuditedClassifier, *, model_id: str = "robustkit") -> MaiteModel:
    """A classifier for tools that take MAITE's models."""
    return MaiteModel(classifier, {"id": model_id, "index2label": dict(enumerate(classifier.class_names))})


def to_art(classifier: AuditedClassifier, *, clip_values: tuple[float, float] = (0.0, 1.0)) -> Any:
    """A classifier as ART's `PyTorchClassifier`, whose attacks then run on it.

    Args:
        classifier: The classifier.
        clip_values: Lowest and highest network input.

    Raises:
        MissingExtra: If ART is not installed.
    """
    art = require("art.estimators.classification", extra="art", purpose="hand a classifier to ART")
    return art.PyTorchClassifier(
        model=_Logits(classifier),
        loss=nn.CrossEntropyLoss(),
        input_shape=classifier.input_shape,
        nb_classes=classifier.classes,
        clip_values=clip_values,
        device_type="cpu" if classifier.device.type == "cpu" else "gpu",
    )


class _Logits(nn.Module):
    """The logits alone, whatever else the network returns."""

    def __init__(self, classifier: AuditedClassifier) -> None:
        super().__init__()
        self.network, self._held = classifier.module, [classifier]
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._held[0](images)
