"""How well a classifier does: the scores of a table, with intervals that respect objects seen more than once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.stats.calibration import Reliability, brier_scores, check_probabilities, reliability
from robustkit.stats.estimate import Estimate
from robustkit.stats.proportions import wilson
from robustkit.stats.resampling import bootstrap_many, weighted_mean


@dataclass(frozen=True, eq=False)
class Scores:
    """How well a classifier does.

    Averages over classes are over those that occur among the labels: `weighted` by their number of images, `macro`
    with one weight each. A class that is never predicted has precision and F1 0.

    Attributes:
        accuracy: Share of images classified rightly.
        balanced_accuracy: Mean recall of the classes (macro recall).
        precision_weighted: Weighted precision.
        recall_weighted: Weighted recall, which is the accuracy.
        f1_weighted: Weighted F1.
        precision_macro: Macro precision.
        f1_macro: Macro F1.
        auc: Area under the ROC curve; for more than two classes the mean of each class against the rest.
        brier: Brier score; in [0, 1] for two classes and in [0, 2] for more.
        recall: Recall of each class, length K; nan for a class that does not occur.
        precision: Precision of each class, length K; nan for a class that is never predicted.
        calibration: Reliability curve and expected calibration error.
        confusion: Images of each true class (row) by predicted class (column), shape (K, K).
        absent: Classes that do not occur among the labels.
        n: Images.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    precision_weighted: Estimate
    recall_weighted: Estimate
    f1_weighted: Estimate
    precision_macro: Estimate
    f1_macro: Estimate
    auc: Estimate
    brier: Estimate
    recall: tuple[Estimate, ...]
    precision: tuple[Estimate, ...]
    calibration: Reliability
    confusion: np.ndarray
    absent: tuple[int, ...]
    n: int

    def __str__(self) -> str:
        lines = [f"{name.replace('_', ' ')} {getattr(self, name)}" for name in _AVERAGES]
        if self.absent:
            lines.append(f"no image of class {', '.join(map(str, self.absent))}")
        return "\n".join([*lines, str(self.calibration)])


_AVERAGES = (
    "accuracy",
    "balanced_accuracy",
    "precision_weighted",
    "recall_weighted",
    "f1_weighted",
    "precision_macro",
    "f1_macro",
    "auc",
    "brier",
)


def score_classifier(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    bins: int = 15,
    adaptive: bool = False,
    level: float = 0.95,
    draws: int = 1999,
    rng: np.random.Generator,
) -> Scores:
    """Scores of a classifier on labelled images.

    Accuracy, recall and precision of images that show different objects have Wilson's interval; everything else, and
    these too where objects repeat, has a bootstrap interval over objects.

    Args:
        probabilities: Class probabilities, shape (N, K); the largest is the prediction.
        labels: True classes, shape (N,), in [0, K).
        clusters: The object that each image shows, shape (N,), when some share one (rotations, exposures).
        bins: How many bins the calibration error is made with.
        adaptive: Bins with equal numbers of images, and not equal ranges of confidence.
        level: Confidence level.
        draws: How many bootstrap resamples.
        rng: Where the resamples come from.

    Raises:
        InputError: If the probabilities are not in [0, 1] with rows that sum to 1, or the labels do not fit them.

    Examples:
        >>> probabilities = [[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.4, 0.6], [0.7, 0.3]]
        >>> print(score_classifier(probabilities, [0, 0, 1, 1, 1], rng=np.random.default_rng(0)).accuracy)
        0.80 [0.38, 0.96], n = 5
    """
    scores, true = check_probabilities(probabilities, labels)
    n, classes = scores.shape
    predicted = scores.argmax(axis=1)
    cells = np.eye(classes**2)[true * classes + predicted]  # (N, K^2)
    brier = brier_scores(scores, true)

    def of_weights(weights: np.ndarray) -> np.ndarray:
        confusion = (weights @ cells).reshape(-1, classes, classes)
        averages = np.stack([*_averages(confusion), _mean_auc(scores, true, weights), weighted_mean(brier, weights)])
        recall, precision, _ = _by_class(confusion)
        return np.concatenate([averages, recall.T, precision.T])

    estimates = bootstrap_many(of_weights, n, clusters=clusters, level=level, draws=draws, rng=rng)
    confusion = cells.sum(axis=0).reshape(classes, classes).astype(np.int64)
    averages = dict(zip(_AVERAGES, estimates, strict=False))
    recall, precision = estimates[-2 * classes : -classes], estimates[-classes:]
    if clusters is None:
        right = np.diagonal(confusion)
        averages["accuracy"] = averages["recall_weighted"] = wilson(right.sum(), n, level=level)
        recall = list(wilson(right, confusion.sum(axis=1), level=level))
        precision = list(wilson(right, confusion.sum(axis=0), level=level))
    return Scores(
        **averages,
        recall=tuple(recall),
        precision=tuple(precision),
        calibration=reliability(scores, true, bins=bins, adaptive=adaptive, level=level, rng=rng),
        confusion=confusion,
        absent=tuple(np.flatnonzero(confusion.sum(axis=1) == 0).tolist()),
        n=n,
    )


def _by_class(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recall, precision and F1 of each class, (B, K), of confusion matrices (B, K, K); nan where undefined."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    actual, claimed = confusion.sum(axis=2), confusion.sum(axis=1)
    return _ratio(right, actual), _ratio(right, claimed), _ratio(2 * right, actual + claimed)


def _averages(confusion: np.ndarray) -> list[np.ndarray]:
    """The first seven of `_AVERAGES`, (B,) each, of confusion matrices (B, K, K)."""
    recall, precision, f1 = (np.nan_to_num(values) for values in _by_class(confusion))
    support = confusion.sum(axis=2)

    def average(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return (values * weights).sum(axis=1) / weights.sum(axis=1)

    each = (support > 0).astype(np.float64)
    return [
        average(recall, support),
        average(recall, each),
        average(precision, support),
        average(recall, support),
        average(f1, support),
        average(precision, each),
        average(f1, each),
    ]


def _mean_auc(scores: np.ndarray, true: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the classes of the AUC of each against the rest, (B,); nan where no class has both sides."""
    areas = np.stack([rank_auc(scores[:, k], true == k, weights) for k in range(scores.shape[1])])
    defined = np.isfinite(areas)
    return _ratio(np.nan_to_num(areas).sum(axis=0), defined.sum(axis=0))


def rank_auc(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Args:
        score: Shape (N,).
        positive: Shape (N,), bool.
        weights: How often each row counts, shape (B, N).

    Returns:
        Shape (B,), in [0, 1]; nan where one side has no weight.
    """
    order = np.argsort(score, kind="stable")
    ranked, weights = score[order], weights[:, order]
    starts = np.flatnonzero(np.append(True, np.diff(ranked) > 0))  # of each group of equal scores
    above = np.add.reduceat(weights * positive[order], starts, axis=1)  # (B, U)
    beside = np.add.reduceat(weights * ~positive[order], starts, axis=1)
    below = np.cumsum(beside, axis=1) - beside
    won = (above * (below + beside / 2)).sum(axis=1)
    return _ratio(won, above.sum(axis=1) * beside.sum(axis=1))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
