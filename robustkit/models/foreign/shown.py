"""What a network is shown while it is opened: some of its real images, and what they are labelled as."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from robustkit.data import ImageSet, Stretch
from robustkit.data.pixels import picked

# Enough for two outputs to differ in how often they are right, and for a comparison with another runtime.
_MOST = 64


@dataclass(frozen=True, eq=False)
class Shown:
    """Some images, as the network takes them.

    Attributes:
        images: Network input, shape (N, C, H, W).
        labels: Their classes, shape (N,), or `None` where nobody knows.
        classes: How many classes are labelled or named; `None` where nobody has said.
    """

    images: Tensor
    labels: np.ndarray | None = None
    classes: int | None = None

    def first(self, n: int) -> Shown:
        """The first of them, two or more."""
        n = max(n, 2)
        return replace(self, images=self.images[:n], labels=None if self.labels is None else self.labels[:n])


def show(images: ImageSet, stretch: Stretch, classes: int | None) -> Shown:
    """Images from the whole of a set.

    Args:
        images: The set.
        stretch: What goes before the network.
        classes: How many classes were named.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, _MOST).astype(int))
    values = picked(images.images, rows)
    values = values if images.stretch is not None else stretch(values)
    labels = None if images.labels is None else images.labels[rows]
    if classes is None and images.labels is not None:
        classes = len(images.class_names)
    return Shown(torch.from_numpy(np.array(values, dtype=np.float32)), labels, classes)
