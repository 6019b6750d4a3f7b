"""Scores of a network on validation images: with source labels, without target labels."""

from __future__ import annotations

import numpy as np
from scipy.special import entr, log_softmax, logsumexp, softmax
from scipy.stats import chi2_contingency

from robustkit.training.alignment import Outputs

# Density ratios and neighbourhoods use at most this many images per domain.
_MOST = 1000
_SND_TEMPERATURE = 0.05


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean recall over the classes that occur."""
    return float(np.mean([np.mean(predicted[labels == k] == k) for k in np.unique(labels)]))


def labelled_scores(logits: np.ndarray, labels: np.ndarray, prefix: str) -> dict[str, float]:
    """Loss, accuracy and balanced accuracy.

    Args:
        logits: Shape (N, K).
        labels: Shape (N,).
        prefix: Prefix of the names.
    """
    log_p, predicted = log_softmax(logits.astype(np.float64), 1), logits.argmax(1)
    return {
        f"{prefix}_loss": float(-log_p[np.arange(len(labels)), labels].mean()),
        f"{prefix}_accuracy": float((predicted == labels).mean()),
        f"{prefix}_balanced_accuracy": balanced_accuracy(labels, predicted),
    }


def class_shift(source: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """How far the shares of the predicted classes differ between the domains, and whether chance could do that.

    Args:
        source: Logits of validation images of the source, shape (N, K).
        target: Logits of those of the target, shape (M, K).

    Returns:
        `class_shift`, the total variation distance, in [0, 1]; `class_shift_p`, the p value of a chi-squared test.
    """
    counts = np.stack([np.bincount(logits.argmax(1), minlength=source.shape[1]) for logits in (source, target)])
    shares = counts / counts.sum(1, keepdims=True)
    seen = counts[:, counts.any(0)]
    p = float(chi2_contingency(seen).pvalue) if seen.shape[1] > 1 else 1.0  # type: ignore[attr-defined]
    return {"class_shift": float(np.abs(shares[0] - shares[1]).sum() / 2), "class_shift_p": p}


def information(logits: np.ndarray) -> float:
    """Information maximisation: entropy of the mean prediction minus mean entropy, in nats, in [0, log K].

    Source: Shi & Sha 2012, arXiv:1206.6438; as a validator, Musgrave et al. 2022, arXiv:2208.07360.
    """
    p = softmax(logits.astype(np.float64), 1)
    return float(entr(p.mean(0)).sum() - entr(p).sum(1).mean())


def certainty(logits: np.ndarray) -> float:
    """Minus the mean entropy of the predictions, in nats, in [-log K, 0]."""
    return -float(entr(softmax(logits.astype(np.float64), 1)).sum(1).mean())


def neighbourhood_density(logits: np.ndarray) -> float:
    """Soft neighbourhood density (SND): high where predictions form dense clusters, in nats.

    Source: Saito et al. 2021, arXiv:2108.10860.
    """
    p = softmax(logits[:_MOST].astype(np.float64), 1)
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    similarity = p @ p.T / _SND_TEMPERATURE
    np.fill_diagonal(similarity, -np.inf)
    return float(entr(softmax(similarity, 1)).sum(1).mean())


def density_ratio(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The density ratio target / source at each source latent.

    A logistic regression tells the domains apart; each latent is scored by one that was not fitted on it.

    Args:
        source: Latents, shape (N, D).
        target: Latents, shape (M, D).

    Returns:
        Estimates of p_target / p_source, shape (N,); their mean is 1 up to estimation error.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.concatenate([source, target]).astype(np.float64)
    domain = np.repeat([0, 1], [len(source), len(target)])
    # Regularised more strongly the more columns there are: with more columns than rows any two samples separate.
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=1 / rows.shape[1], max_iter=1000))
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    p = cross_val_predict(judge, rows, domain, cv=folds, method="predict_proba")
    p = np.asarray(p)[: len(source), 1]
    return p / np.maximum(1 - p, 1e-6) * len(source) / len(target)


def importance_weighted(right: np.ndarray, ratio: np.ndarray) -> float:
    """Importance-weighted accuracy (IW): the source accuracy, reweighted to the target density.

    Args:
        right: Whether each source image is classified correctly, shape (N,).
        ratio: Density ratio of each image, shape (N,).

    Source: Sugiyama et al. 2007, JMLR 8, 985.
    """
    return float((right * ratio).sum() / ratio.sum())


def deep_embedded(loss: np.ndarray, ratio: np.ndarray) -> float:
    """Deep embedded validation (DEV): minus the importance-weighted loss, with a control variate.

    Args:
        loss: Loss of each source image, shape (N,).
        ratio: Density ratio of each image, shape (N,).

    Source: You et al. 2019, PMLR 97, 7124.
    """
    weighted = loss * ratio
    variance = ratio.var()
    slope = -np.mean((weighted - weighted.mean()) * (ratio - ratio.mean())) / variance if variance > 0 else 0.0
    return -float(weighted.mean() + slope * ratio.mean() - slope)


def target_scores(source: Outputs, source_labels: np.ndarray, target: Outputs) -> dict[str, float]:
    """Every score that needs no target labels; higher is better in each.

    Args:
        source: Outputs of the validation images of the source.
        source_labels: Their classes, shape (N,).
        target: Outputs of the validation images of the target.
    """
    latents, logits = (rows[:_MOST].cpu().numpy() for rows in source)
    labels = source_labels[:_MOST]
    ratio = density_ratio(latents, target.latents[:_MOST].cpu().numpy())
    target_logits = target.logits.cpu().numpy()
    loss = logsumexp(logits.astype(np.float64), 1) - logits[np.arange(len(labels)), labels]
    return {
        "information": information(target_logits),
        "certainty": certainty(target_logits),
        "snd": neighbourhood_density(target_logits),
        "iw": importance_weighted(logits.argmax(1) == labels, ratio),
        "dev": deep_embedded(loss, ratio),
    }
