"""Alignments: penalties that bring the latents of source and target together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustkit.lazy import lazy_names

if TYPE_CHECKING:
    from robustkit.training.alignment.adversarial import Adversarial, Conditional, reverse_gradient
    from robustkit.training.alignment.base import Alignment, Outputs
    from robustkit.training.alignment.confusion import Confusion
    from robustkit.training.alignment.coral import Coral
    from robustkit.training.alignment.methods import ALIGNMENTS, make_alignment
    from robustkit.training.alignment.mmd import MedianMMD, PublishedMMD
    from robustkit.training.alignment.regularisers import Fisher, FisherForm, information_loss
    from robustkit.training.alignment.sinkhorn import Sinkhorn

__all__ = [
    "ALIGNMENTS",
    "Adversarial",
    "Alignment",
    "Conditional",
    "Confusion",
    "Coral",
    "Fisher",
    "FisherForm",
    "MedianMMD",
    "Outputs",
    "PublishedMMD",
    "Sinkhorn",
    "information_loss",
    "make_alignment",
    "reverse_gradient",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
