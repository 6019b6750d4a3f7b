"""The engine as a library: logits of images with a patch written over, exact, for maps and searches of your own."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from robustkit.engine import Engine, PatchEvaluator, make_evaluator
from robustkit.runs.arrays import Model, sample_of


def evaluator(model: Model, images: np.ndarray | Tensor, *, engine: Engine = "auto", **more: Any) -> PatchEvaluator:
    """What scores patches of any size at any place of some images, by recomputing only what they touch.

    Args:
        model: A `torch.nn.Module` in evaluation mode, a checkpoint or ONNX file, an `AuditedClassifier`, or a function
            from float32 images, shape (N, C, H, W), to scores, shape (N, K).
        images: What the model takes, shape (N, C, H, W).
        engine: See `robustkit.engine.make_evaluator`.
        **more: What describes model and images; see `robustkit.runs.arrays.sample_of`.

    Returns:
        An evaluator: called with places and a patch it gives logits; `occlusion(size)` gives them at every place.

    Raises:
        InputError: If the model and the images do not fit each other.
    """
    sample = sample_of(model, images, **more)
    classifier = sample.checkpoint.classifier
    return PatchEvaluator(make_evaluator(classifier, sample.inputs[:].to(classifier.device), engine=engine))
