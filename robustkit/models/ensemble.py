"""Several networks as one, and one network averaged over flips and rotations of its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from robustkit.errors import InputError
from robustkit.models.choices import Average, Combine
from robustkit.models.classifier import AuditedClassifier
from robustkit.models.outputs import Output, part_of
from robustkit.words import no_such

# Networks with as many votes are told apart by their mean probability, which weighs less than any vote.
_TIE = 1e-3
# A probability of 0 becomes the logarithm of this.
_TINY = 1e-38


@dataclass(frozen=True)
class View:
    """How an image is seen.

    Attributes:
        turns: Quarter turns.
        mirrored: Whether it is mirrored first.
    """

    turns: int = 0
    mirrored: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), seen so."""
        images = images.flip(3) if self.mirrored else images
        return torch.rot90(images, self.turns, (2, 3)) if self.turns else images

    def places(self, row: Tensor, column: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Where pixels of images of this height and width stand when they are seen so."""
        height, width = size
        column = width - 1 - column if self.mirrored else column
        for _ in range(self.turns):
            row, column, height, width = width - 1 - column, row, width, height
        return row, column


def views_of(average: Average | None, shape: Sequence[int]) -> tuple[View, ...]:
    """The views over which a network is averaged; the image itself comes first.

    Args:
        average: `flips` (as it is, mirrored left to right, up to down, and both), `rotations` (by quarter turns),
            `both` (all eight), or `None` for the image alone.
        shape: (C, H, W) of the images.

    Raises:
        InputError: If it is unknown, or images that are not square are turned.
    """
    if average is None:
        return (View(),)
    if average not in get_args(Average):
        raise InputError(no_such("--average", average, get_args(Average)))
    if average != "flips" and shape[1] != shape[2]:
        raise InputError(f"--average {average} turns images, and these are {shape[1]}x{shape[2]}; give --average flips")
    half = {"flips": (0, 2), "rotations": (0, 1, 2, 3), "both": (0, 1, 2, 3)}[average]
    mirrored = (False,) if average == "rotations" else (False, True)
    return tuple(View(turns, mirror) for mirror in mirrored for turns in half)


class Ensemble(nn.Module):
    """Networks that answer together.

    Args:
        classifiers: The networks, of the same classes.
        views: The view of an image that each gets.
        combine: `mean` of their probabilities, or `votes`, one for each network.

    Attributes:
        classifiers: The networks.
    """

    def __init__(
        self, classifiers: Sequence[AuditedClassifier], views: Sequence[View] = (View(),), combine: Combine = "mean"
    ) -> None:
        super().__init__()
        if combine not in get_args(Combine):
            raise InputError(no_such("--combine", combine, get_args(Combine)))
        self.members = nn.ModuleList([classifier.module for classifier in classifiers])
        self.views, self.combine, self.classes = tuple(views), combine, classifiers[0].classes
        self.classifiers = list(classifiers)
        self._outputs = [classifier.output for classifier in classifiers]
        self._single = [_is_one_logit(classifier) for classifier in classifiers]
        self.eval()

    def answers(self, images: Tensor) -> Tensor:
        """Probabilities of each network, mean over its views, shape (members, N, K)."""
        found: list[Tensor] = []
        for member, output, single in zip(self.members, self._outputs, self._single, strict=True):
            seen = [_logits(output, member(view(images)), single).softmax(1) for view in self.views]
            found.append(torch.stack(seen).mean(0))
        return torch.stack(found)

    def forward(self, images: Tensor) -> Tensor:
        """Logarithms of what they say together, shape (N, K)."""
        return self.joined(self.answers(images))

    def joined(self, found: Tensor) -> Tensor:
        """Logarithms of what they say together, of probabilities of each, shape (members, N, K) to (N, K)."""
        return self._together(found).clamp_min(_TINY).log()

    def _together(self, found: Tensor) -> Tensor:
        """Probabilities of them together, of those of each."""
        together = found.mean(0)
        if self.combine == "votes":
            votes = nn.functional.one_hot(found.argmax(2), self.classes).float().mean(0)
            together = (votes + _TIE * together) / (1 + _TIE)
        return together

    @torch.no_grad()
    def disagreement(self, images: Tensor) -> Tensor:
        """Which share of the networks decides otherwise than they do together, shape (N,)."""
        found = self.answers(images)
        return (found.argmax(2) != self._together(found).argmax(1)).cpu().double().mean(0)


def disagreement(classifier: AuditedClassifier, images: Tensor) -> np.ndarray:
    """Which share of the members of an ensemble decides otherwise than all together, shape (N,); nan for one network.

    Args:
        classifier: The classifier.
        images: Network input, shape (N, C, H, W).
    """
    if not isinstance(classifier.module, Ensemble):
        return np.full(len(images), np.nan)
    return classifier.module.disagreement(images.to(classifier.device)).cpu().numpy()


@torch.inference_mode()
def _is_one_logit(classifier: AuditedClassifier) -> bool:
    """Whether a network gives one logit for two classes, in a column or without one."""
    scores = classifier.output.select(classifier.module(classifier.example.clone()))
    return classifier.output.kind == "logits" and scores.numel() == len(scores)


def _logits(output: Output, returned: Any, single: bool) -> Tensor:
    """What `Output.logits` makes of a return value, in a form that torch.fx follows where that is possible."""
    if output.decision is not None or output.kind not in ("logits", "log-probabilities"):
        return output.logits(returned)
    scores = part_of(returned, output.part)
    if not single:
        return scores
    scores = scores.reshape(-1, 1)
    return torch.cat([torch.zeros_like(scores), scores], 1)
