"""The plain evaluator: every candidate is painted and sent through the whole network."""

from __future__ import annotations

import torch
from torch import Tensor

from robustkit.engine.batching import Batches
from robustkit.engine.candidates import Candidates, paint
from robustkit.models import AuditedClassifier


class PlainEvaluator:
    """Scores candidates by full forward passes in large batches.

    Args:
        classifier: The classifier.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        batch: Candidates in one forward pass to begin with; it halves when memory runs out.
    """

    def __init__(self, classifier: AuditedClassifier, images: Tensor, *, batch: int = 256) -> None:
        self.classifier = classifier
        self.images = images
        self.batches = Batches(batch)

    @torch.inference_mode()
    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        return self.batches.run(lambda start, stop: self.classifier(self.images[start:stop]), len(self.images))

    @torch.inference_mode()
    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K)."""
        m, p = candidates.row.shape[:2]
        if len(candidates) == 0:
            return self.images.new_zeros(m, p, self.classifier.classes)
        image = candidates.image[:, None].expand(m, p).reshape(-1)
        row, column, value = (part.flatten(0, 1) for part in (candidates.row, candidates.column, candidates.value))

        def forward(start: int, stop: int) -> Tensor:
            part = slice(start, stop)
            return self.classifier(paint(self.images[image[part]], row[part], column[part], value[part]))

        return self.batches.run(forward, m * p).unflatten(0, (m, p))
