"""Scoring many candidates: the plain way, and the incremental way that recomputes only what a pixel touches.

Both ways are an `Evaluator`; the attack does not know which one answers.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from robustkit.engine.batching import Batches
from robustkit.engine.candidates import Candidates, paint
from robustkit.engine.chain import ChainEvaluator
from robustkit.engine.incremental import IncrementalEvaluator
from robustkit.engine.plain import PlainEvaluator
from robustkit.models import AuditedClassifier

__all__ = ["Batches", "Candidates", "Evaluator", "PlainEvaluator", "evaluate", "make_evaluator", "paint"]


class Evaluator(Protocol):
    """Scores candidates against fixed clean images.

    Attributes:
        images: The clean images, network input, shape (N, C, H, W).
    """

    images: Tensor

    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        ...

    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K)."""
        ...


def make_evaluator(classifier: AuditedClassifier, images: Tensor) -> Evaluator:
    """The fastest evaluator that this classifier allows.

    Args:
        classifier: The classifier.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
    """
    if ChainEvaluator.supports(classifier) is None:
        return ChainEvaluator(classifier, images)
    return IncrementalEvaluator(classifier, images)


def evaluate(classifier: AuditedClassifier, images: Tensor, candidates: Candidates) -> Tensor:
    """Logits of candidates, shape (M, P, K), in one call; see `make_evaluator` to ask more than once."""
    return make_evaluator(classifier, images)(candidates)
