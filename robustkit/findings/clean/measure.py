"""What a classifier says of images as they are: all test images of a domain, before anything is done to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import expit

from robustkit.errors import InputError
from robustkit.lazy import torch
from robustkit.records import Record

if TYPE_CHECKING:
    from robustkit.models import Checkpoint
    from robustkit.runs.sample import Sample

# More images than this make the intervals hardly shorter, and are not looked at; they are the first drawn.
MOST = 5000
_BATCH = 128


@dataclass(frozen=True, eq=False)
class CleanRecord(Record):
    """What a classifier says of N images.

    Attributes:
        domain: What the images are to the model.
        data: Where they are.
        part: The part of the split that they belong to.
        class_names: The K classes.
        ids: Image ids, shape (N,).
        labels: True classes, shape (N,).
        probabilities: Shape (N, K), float64.
        available: How many images there are.
        threshold: The score above which the second class is decided, where that is not a half. `probabilities` are of
            what is decided: odds are divided by those of the threshold.
    """

    domain: str
    data: str
    part: str
    class_names: list[str]
    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    available: int
    threshold: float

    version: ClassVar[int] = 2
    axis_letters: ClassVar[Mapping[str, str]] = {"ids": "N", "labels": "N", "probabilities": "NK", "class_names": "K"}
    position_letters: ClassVar[Mapping[str, str]] = {"labels": "K"}

    @property
    def scores(self) -> np.ndarray:
        """The network's own probabilities, before anything was decided, shape (N, K)."""
        if self.threshold == 0.5:
            return self.probabilities
        with np.errstate(divide="ignore"):
            shift = np.log(self.threshold / (1 - self.threshold))
            odds = np.log(self.probabilities[:, 1]) - np.log(self.probabilities[:, 0]) + shift
        above = expit(odds)
        return np.stack([1 - above, above], 1)


def predict_clean(sample: Sample, *, domain: str) -> CleanRecord:
    """What the classifier says of the images of one domain.

    Args:
        sample: The classifier and the images.
        domain: What to call them.

    Raises:
        InputError: If it gives a value that is not finite.
    """
    classifier, inputs = sample.checkpoint.classifier, sample.inputs
    decision = classifier.output.decision
    with torch.inference_mode():
        logits = [
            classifier(inputs[slice(start, start + _BATCH)].to(classifier.device)).double().cpu()
            for start in range(0, len(inputs), _BATCH)
        ]
    probabilities = torch.softmax(torch.cat(logits), 1).numpy()
    if not np.isfinite(probabilities).all():
        broken = int((~np.isfinite(probabilities)).any(1).sum())
        raise InputError(f"the classifier gives values that are not finite for {broken} images of {sample.path}")
    return CleanRecord(
        domain=domain,
        data=str(sample.path),
        part=sample.part,
        class_names=list(sample.checkpoint.card.class_names),
        ids=sample.ids,
        labels=sample.labels.numpy(),
        probabilities=probabilities,
        available=sample.available,
        threshold=0.5 if decision is None or decision.threshold is None else decision.threshold,
    )


def target_of(checkpoint: Checkpoint, model: Path) -> Path | None:
    """Where the target images of the model are, or `None` when it has none or they are not there."""
    target = checkpoint.card.data.get("target") or {}
    named = [model.parent / target["relative"]] if target.get("relative") else []
    named += [Path(target["path"])] if target.get("path") else []
    return next((path for path in named if path.exists()), None)
