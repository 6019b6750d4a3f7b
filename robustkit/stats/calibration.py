"""Does a classifier that says 90 % turn out right in 90 of 100 images?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError
from robustkit.stats.checks import class_labels
from robustkit.stats.estimate import Estimate, format_p
from robustkit.stats.permutation import permutation_p
from robustkit.stats.proportions import wilson


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy in bins, and their mean distance, the expected calibration error (ECE).

    Attributes:
        edges: Edges of the bins of confidence, shape (B + 1,); a bin holds its upper edge.
        counts: Images in each bin, shape (B,).
        confidence: Mean confidence in each bin, shape (B,); nan in an empty one.
        accuracy: Accuracy in each bin with Wilson's interval, shape (B,); nan in an empty one.
        ece: Mean over the images of |accuracy - confidence| of their bin.
        null_mean: Mean ECE of a perfectly calibrated classifier with these confidences: it is above 0 for any n.
        null_high: The 95th percentile of that.
        p: How often a perfectly calibrated classifier reaches this ECE.
        adaptive: Whether the bins hold equal numbers of images, and not equal ranges.
        n: Images.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: Estimate
    ece: float
    null_mean: float
    null_high: float
    p: float
    adaptive: bool
    n: int

    def __str__(self) -> str:
        return (
            f"ECE {self.ece:.3f} (calibrated: {self.null_mean:.3f} on average, below {self.null_high:.3f} in 95 %; "
            f"{format_p(self.p)}; {len(self.counts)} {'adaptive' if self.adaptive else 'equal'} bins), n = {self.n}"
        )


def reliability(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    bins: int = 15,
    adaptive: bool = False,
    level: float = 0.95,
    draws: int = 1999,
    rng: np.random.Generator,
) -> Reliability:
    """Reliability curve and expected calibration error of the predicted class.

    Args:
        probabilities: Class probabilities, shape (N, K).
        labels: True classes, shape (N,).
        bins: How many bins between 1/K, the lowest possible confidence, and 1.
        adaptive: Bins with equal numbers of images; equal confidences stay in one bin, so there may be fewer bins.
        level: Confidence level of the accuracy in each bin.
        draws: How many sets of outcomes a perfectly calibrated classifier is simulated for.
        rng: Where they come from.

    Raises:
        InputError: If the probabilities are not in [0, 1] with rows that sum to 1, the labels do not fit them, or
            there is no bin.

    Source: Naeini, Cooper & Hauskrecht 2015; Broecker & Smith 2007, doi:10.1175/WAF993.1, for the null.
    """
    scores, true = check_probabilities(probabilities, labels)
    if bins < 1:
        raise InputError(f"bins is {bins}; a reliability curve needs at least 1")
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == true
    edges = _edges(confidence, scores.shape[1], bins, adaptive)
    inside = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2)
    onehot = np.eye(len(edges) - 1)[inside]  # (N, B)
    counts = onehot.sum(axis=0)

    def error(outcomes: np.ndarray) -> np.ndarray:  # (R, N) -> (R,)
        return np.abs((outcomes - confidence) @ onehot).sum(axis=1) / len(true)

    ece = float(error(right[None].astype(np.float64))[0])
    batch = max(1, 400_000 // len(true))
    null = np.concatenate(
        [
            error((rng.random((min(batch, draws - start), len(true))) < confidence).astype(np.float64))
            for start in range(0, draws, batch)
        ]
    )
    return Reliability(
        edges=edges,
        counts=counts.astype(np.int64),
        confidence=np.where(counts > 0, confidence @ onehot / np.maximum(counts, 1), np.nan),
        accuracy=wilson(right @ onehot, counts, level=level),
        ece=ece,
        null_mean=float(null.mean()),
        null_high=float(np.quantile(null, 0.95)),
        p=float(permutation_p(ece, null)),
        adaptive=adaptive,
        n=len(true),
    )


def brier_scores(probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Squared distance of the probabilities from the truth for each image; its mean is the Brier score.

    Args:
        probabilities: Class probabilities, shape (N, K).
        labels: True classes, shape (N,).

    Returns:
        Scores, shape (N,), in [0, 2]; for two classes half of that, in [0, 1], as is the custom and in scikit-learn.

    Raises:
        InputError: If the probabilities are not in [0, 1] with rows that sum to 1, or the labels do not fit them.

    Source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples:
        >>> brier_scores([[0.75, 0.25], [0.0, 1.0]], [0, 1])
        array([0.0625, 0.    ])
    """
    scores, true = check_probabilities(probabilities, labels)
    squared = ((scores - np.eye(scores.shape[1])[true]) ** 2).sum(axis=1)
    return squared / 2 if scores.shape[1] == 2 else squared


def check_probabilities(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities (N, K) float64 and labels (N,) int64 that fit them, or a refusal.

    Raises:
        InputError: If the probabilities are not in [0, 1] with rows that sum to 1, or the labels do not fit them.
    """
    scores, true = np.asarray(probabilities, dtype=np.float64), class_labels(labels)
    if scores.ndim != 2 or scores.shape[1] < 2 or len(scores) != len(true):
        raise InputError(f"probabilities must have the shape ({len(true)}, K >= 2); they have {scores.shape}")
    # Written so that nan fails too.
    if not ((scores >= 0) & (scores <= 1 + 1e-6)).all() or not np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        raise InputError(
            "probabilities must be finite, in [0, 1], and sum to 1 in each row; logits need a softmax first"
        )
    if true.max() >= scores.shape[1]:
        raise InputError(f"label {true.max()} needs {true.max() + 1} classes; the probabilities have {scores.shape[1]}")
    return scores, true


def _edges(confidence: np.ndarray, classes: int, bins: int, adaptive: bool) -> np.ndarray:
    if adaptive:
        edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)))
        return edges if len(edges) > 1 else np.array([edges[0] - 1e-9, edges[0]])
    return np.linspace(1 / classes, 1, bins + 1)
