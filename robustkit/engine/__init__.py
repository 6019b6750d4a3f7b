"""Scoring many candidates: the plain way, and the incremental way that recomputes only what a pixel touches.

Both ways are an `Evaluator`; the attack does not know which one answers.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args

from torch import Tensor

from robustkit.engine.batching import Batches
from robustkit.engine.candidates import Candidates, paint
from robustkit.engine.chain import UnsupportedChain
from robustkit.engine.front import FrontEvaluator
from robustkit.engine.incremental import IncrementalEvaluator
from robustkit.engine.patches import PatchEvaluator
from robustkit.engine.plain import PlainEvaluator
from robustkit.engine.together import TogetherEvaluator
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier
from robustkit.models.ensemble import Ensemble
from robustkit.models.fronts.splitting import split_front
from robustkit.words import no_such

__all__ = [
    "Batches",
    "Candidates",
    "Engine",
    "Evaluator",
    "FrontEvaluator",
    "IncrementalEvaluator",
    "PatchEvaluator",
    "PlainEvaluator",
    "TogetherEvaluator",
    "make_evaluator",
    "paint",
]


Engine = Literal["auto", "plain", "incremental", "chain"]


class Evaluator(Protocol):
    """Scores candidates against fixed clean images.

    Attributes:
        images: The clean images, network input, shape (N, C, H, W).
        tolerance: How far a logit may lie from the plain evaluator's, by trials so far; what lies within it of a
            decision is to be scored plainly.
    """

    images: Tensor
    tolerance: float

    @property
    def name(self) -> str:
        """Which way it is: `plain`, `incremental` or `chain`."""
        ...

    @property
    def reason(self) -> str:
        """How candidates are scored and why, in one line for a summary."""
        ...

    @property
    def why_not_faster(self) -> str:
        """Why a faster one was not taken, for the terminal; empty for the fastest."""
        ...

    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        ...

    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K)."""
        ...


def make_evaluator(classifier: AuditedClassifier, images: Tensor, *, engine: Engine = "auto") -> Evaluator:
    """The fastest evaluator that this classifier allows; its `reason` says why it was taken.

    Args:
        classifier: The classifier.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        engine: `chain` (compiled code), `incremental` (windows in PyTorch) or `plain` for that one; `auto` for the
            first of them that follows this network, saves work, and gives the plain logits in a trial.

    Raises:
        InputError: If the engine is not known, a chain was asked for and cannot be had, or the images are not of the
            size that the classifier takes.
    """
    if engine not in get_args(Engine):
        raise InputError(no_such("engine", engine, get_args(Engine)))
    if engine != "plain" and len(images) and (split := split_front(classifier)) is not None:
        front, rest = split
        return FrontEvaluator(
            classifier,
            images,
            front,
            lambda repaired: make_evaluator(rest, repaired, engine=engine),
            lambda: PlainEvaluator(classifier, images),
        )
    plain = PlainEvaluator(classifier, images)
    if engine == "plain" or len(images) == 0:
        return plain
    if isinstance(classifier.module, Ensemble):
        together = TogetherEvaluator(
            classifier,
            images,
            classifier.module,
            lambda member, seen: make_evaluator(member, seen, engine=engine),
            plain,
        )
        if together.passed:
            return together
    incremental = IncrementalEvaluator(classifier, images, plain=plain, compiled=engine != "incremental")
    if engine == "chain" and incremental.name != "chain":
        why = incremental.not_compiled or incremental.refusal
        raise UnsupportedChain(f"the chain engine cannot follow this network: {why}")
    if engine == "auto" and incremental.refusal:
        plain.note = incremental.refusal
        return plain
    return incremental
