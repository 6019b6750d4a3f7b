"""What a classifier says of images as they are: all test images of a domain, before anything is done to them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robustkit.errors import InputError
from robustkit.findings.clean.record import CleanRecord
from robustkit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.models import AuditedClassifier, Checkpoint
    from robustkit.runs.sample import Sample

# More images than this make the intervals hardly shorter, and are not looked at; they are the first drawn.
MOST = 5000
_BATCH = 128


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
        answers = [
            _answer(asked, inputs[one].to(classifier.device))
            for start in range(0, len(inputs), _BATCH)
            for asked, one in sample.asked(slice(start, min(start + _BATCH, len(inputs))))
        ]
    logits, flags = zip(*answers, strict=True)
    probabilities = torch.softmax(torch.cat(logits), 1).numpy()
    if not np.isfinite(probabilities).all():
        broken = int((~np.isfinite(probabilities)).any(1).sum())
        raise InputError(f"the classifier gives values that are not finite for {broken} images of {sample.path}")
    constant, right = sample.constant or (math.nan, np.zeros(0, dtype=bool))
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
        flagged=torch.cat(flags).numpy(),
        constant=constant,
        constant_right=right,
    )


def _answer(classifier: AuditedClassifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, also of what a front end flags, and which images it flags."""
    from robustkit.models.fronts.splitting import flagging, split_front

    parts = split_front(classifier) if flagging(classifier) else None
    if parts is None:
        return classifier(images).cpu().double(), torch.zeros(len(images), dtype=torch.bool)
    front, behind = parts
    return behind(front(images)).cpu().double(), front.seen(images).flatten(1).any(1).cpu()


def target_of(checkpoint: Checkpoint, model: Path) -> Path | None:
    """Where the target images of the model are, or `None` when it has none or they are not there."""
    target = checkpoint.card.data.get("target") or {}
    named = [model.parent / target["relative"]] if target.get("relative") else []
    named += [Path(target["path"])] if target.get("path") else []
    return next((path for path in named if path.exists()), None)
