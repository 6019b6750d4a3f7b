"""The methods with a penalty, by name; add your own here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robustkit.training.alignment.adversarial import Adversarial, Conditional
from robustkit.training.alignment.base import Alignment
from robustkit.training.alignment.confusion import Confusion
from robustkit.training.alignment.coral import Coral
from robustkit.training.alignment.mmd import MedianMMD, PublishedMMD
from robustkit.training.alignment.sinkhorn import Sinkhorn

# Each takes the settings of the run, the number of latents D and of classes K.
ALIGNMENTS: dict[str, Callable[[Any, int, int], Alignment]] = {
    "mmd": lambda settings, latents, classes: PublishedMMD() if settings.kernels == "published" else MedianMMD(),
    "dann": lambda settings, latents, classes: Adversarial(latents),
    "coral": lambda settings, latents, classes: Coral(),
    "sinkhorn": lambda settings, latents, classes: Sinkhorn(),
    "mcc": lambda settings, latents, classes: Confusion(),
    "cdan": lambda settings, latents, classes: Conditional(latents * classes),
}
