"""Changes of class that are too rare for the events tried: the mean chance over images, by splitting."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robustkit.data import Stretch
from robustkit.models import AuditedClassifier
from robustkit.perturb.conditions import Conditions
from robustkit.perturb.decision import UNTARGETED, margin
from robustkit.perturb.faults.registry import PERTURBATIONS
from robustkit.perturb.faults.space import Chosen
from robustkit.perturb.rare import Floats, Whole, rare_chance

# How many images of the sample share an estimate, and how many independent estimates say how far they are off.
BLOCK, RUNS = 8, 2
_AT_ONCE = 64


class Events:
    """Events of one fault on images, as points of a cube: its severity, and the numbers that it draws.

    Args:
        classifier: The network.
        stretch: From calibrated values to network input.
        stored: The images before it, shape (N, C, H, W).
        clean: The classes without the fault, shape (N,).
        fault: Its name.
        levels: Its severities, each as likely, shape (E,).
        conditions: How the images were taken.
    """

    def __init__(
        self, classifier: AuditedClassifier, stretch: Stretch, stored: Tensor, clean: np.ndarray, fault: str,
        levels: np.ndarray, conditions: Conditions,
    ) -> None:  # fmt: skip
        self.classifier, self.stretch, self.stored, self.clean = classifier, stretch, stored, torch.from_numpy(clean)
        self.fault, self.levels, self.conditions = PERTURBATIONS[fault], levels, conditions
        rehearsal = Chosen(None)
        self.fault(float(levels[0]))(torch.zeros_like(stored[:1]), conditions=conditions, streams=rehearsal)
        self.dimensions = 1 + len(rehearsal.kinds)

    @torch.inference_mode()
    def __call__(self, images: Whole, points: Floats) -> Floats:
        """By how much another class is ahead of the clean one, shape (P,); arguments as `rare_chance` gives them."""
        made = np.empty(len(images))
        which = np.minimum((points[:, 0] * len(self.levels)).astype(np.int64), len(self.levels) - 1)
        for level in np.unique(which):
            rows = np.flatnonzero(which == level)
            for some in np.array_split(rows, -(-len(rows) // _AT_ONCE)):
                hit = self.fault(float(self.levels[level]))(
                    self.stored[images[some]], conditions=self.conditions, streams=Chosen(points[some, 1:])
                )
                logits, labels = self.classifier(self.stretch(hit))[:, None], self.clean[images[some]]
                ahead = margin(logits.cpu(), labels, torch.full_like(labels, UNTARGETED))[:, 0]
                made[some] = np.nan_to_num(ahead.double().numpy(), nan=np.inf)  # not finite: another class
        return made


def rare_chances(events: Events, rng: np.random.Generator) -> np.ndarray:
    """The mean chance that one event changes the class, over the images, `RUNS` times, shape (R,)."""
    return np.array([rare_chance(events, len(events.stored), events.dimensions, rng).chance for _ in range(RUNS)])
