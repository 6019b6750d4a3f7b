"""Is an accuracy better than always guessing the most frequent class?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError
from robustkit.stats.checks import class_labels
from robustkit.stats.estimate import Estimate
from robustkit.stats.proportions import McNemar, mcnemar, newcombe_paired, paired_counts, wilson


def chance(labels: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Accuracy of always guessing the most frequent class, with Wilson's interval.

    Args:
        labels: True classes, shape (N,).
        level: Confidence level.

    Raises:
        InputError: If the labels are not whole numbers of at least 0, or there are none.

    Examples:
        >>> print(chance([0] * 90 + [1] * 40 + [2] * 20))
        0.600 [0.520, 0.675], n = 150
    """
    return wilson(np.bincount(class_labels(labels)).max(), len(np.asarray(labels)), level=level)


def best_constant(low: ArrayLike, high: ArrayLike) -> tuple[float, np.ndarray]:
    """The number that lies in the most of some bands: the best answer of a regression that never looks.

    Args:
        low: Lower ends of the bands, shape (N,), finite.
        high: Upper ends, shape (N,), none below its lower end.

    Returns:
        The number, the smallest of several as good, and which bands it lies in, shape (N,), bool.

    Raises:
        InputError: If there are no bands, or they are not so.

    Examples:
        >>> best_constant([0.0, 0.1, 0.5], [0.2, 0.3, 0.7])
        (0.1, array([ True,  True, False]))
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if low.ndim != 1 or low.shape != high.shape or not len(low) or not (low <= high).all():
        raise InputError("expected bands as two arrays of shape (N,), each with its lower end first")
    # Only at a lower end does another band begin.
    begins, ends = np.sort(low), np.sort(high)
    inside = np.searchsorted(begins, begins, side="right") - np.searchsorted(ends, begins, side="left")
    best = float(begins[inside.argmax()])
    return best, (low <= best) & (best <= high)


@dataclass(frozen=True, eq=False)
class AgainstChance:
    """A classifier against always guessing the most frequent class, on the same images.

    Attributes:
        accuracy: Accuracy of the classifier.
        chance: Accuracy of the guess.
        difference: Accuracy minus that of the guess, paired.
        test: McNemar's test of the two; `first_only` counts the images that only the classifier gets right.
        guess: The most frequent class; the first of those that tie.
        level: Confidence level.
    """

    accuracy: Estimate
    chance: Estimate
    difference: Estimate
    test: McNemar
    guess: int
    level: float

    @property
    def distinguishable(self) -> bool:
        """Whether the two accuracies differ at this level."""
        return float(self.test.p) < 1 - self.level

    def __str__(self) -> str:
        if not self.distinguishable:
            verdict = "not distinguishable from"
        else:
            verdict = "better than" if float(self.difference.value) > 0 else "worse than"
        return (
            f"accuracy {self.accuracy} is {verdict} always guessing class {self.guess}, {self.chance} "
            f"(difference {self.difference}; {self.test})"
        )


def against_chance(predictions: ArrayLike, labels: ArrayLike, *, level: float = 0.95) -> AgainstChance:
    """Compares a classifier with always guessing the most frequent class, image by image.

    The guess is chosen with these same labels, which favours it slightly.

    Args:
        predictions: Predicted classes, shape (N,).
        labels: True classes, shape (N,).
        level: Confidence level.

    Raises:
        InputError: If the shapes differ, or the classes are not whole numbers of at least 0, or there are none.

    Examples:
        >>> labels = [0] * 90 + [1] * 40 + [2] * 20
        >>> against_chance([0] * 100 + [1] * 50, labels).distinguishable
        True
    """
    true, predicted = class_labels(labels), class_labels(predictions, "predictions")
    if len(true) != len(predicted):
        raise InputError(
            f"each label needs a prediction; there are {len(true)} labels and {len(predicted)} predictions"
        )
    guess = int(np.bincount(true).argmax())
    right = predicted == true
    counts = paired_counts(right, true == guess)
    return AgainstChance(
        accuracy=wilson(right.sum(), len(true), level=level),
        chance=chance(true, level=level),
        difference=newcombe_paired(counts.both, counts.first_only, counts.second_only, counts.neither, level=level),
        test=mcnemar(counts.first_only, counts.second_only),
        guess=guess,
        level=level,
    )
