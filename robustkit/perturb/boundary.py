"""How far an image lies from the nearest other class, in network input: DeepFool, and what noise says of the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from robustkit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robustkit.models import AuditedClassifier

_CLASSES = 10  # the likeliest others that are looked at
_HALVINGS = 12


def boundary_distance(
    classifier: AuditedClassifier, images: Tensor, labels: Tensor, *, steps: int = 20, overshoot: float = 0.02
) -> np.ndarray:
    """The Euclidean distance to where the class changes, as DeepFool finds it: exact where the boundaries are flat.

    Each step goes to the nearest boundary of the network's linear approximation; the crossing is then found by halving
    the way. A nearer boundary that the search does not see makes the distance too large, never too small.

    Args:
        classifier: The network.
        images: Network input, shape (N, C, H, W).
        labels: True classes, shape (N,).
        steps: Most steps.
        overshoot: How far beyond the linear boundary a step goes, relative to the whole way.

    Returns:
        Shape (N,), float64: 0 where the class is wrong already, infinite where no boundary is found.

    Source: Moosavi-Dezfooli, Fawzi & Frossard 2016, arXiv:1511.04599.
    """
    with torch.inference_mode(False), torch.enable_grad():
        start, labels = images.detach().clone(), labels.clone()
        way = torch.zeros_like(start)
        crossed = _decide(classifier(start)) != labels
        wrong = crossed.clone()
        for _ in range(steps):
            open_ = (~crossed).nonzero()[:, 0]
            if not len(open_):
                break
            way[open_] += _step(classifier, start[open_] + (1 + overshoot) * way[open_], labels[open_])
            crossed[open_] = _classes(classifier, start[open_] + (1 + overshoot) * way[open_]) != labels[open_]
        low, high = torch.zeros(len(start), device=start.device), torch.full((len(start),), 1 + overshoot).to(start)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            beyond = _classes(classifier, start + middle[:, None, None, None] * way) != labels
            low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
        found = high * way.flatten(1).norm(dim=1)
        found = torch.where(crossed, found, torch.inf).masked_fill(wrong, 0.0)
    return found.cpu().double().numpy()


def flat_error(distance: np.ndarray, sigma: float) -> np.ndarray:
    """How often white noise of `sigma` leaves the half-space whose border lies at `distance`: Phi(-d / sigma)."""
    return norm.cdf(-np.asarray(distance, dtype=np.float64) / sigma)


def implied_distance(error: np.ndarray | float, sigma: float) -> np.ndarray:
    """The distance of a flat border from which noise of `sigma` errs so often: -sigma Phi^-1(error).

    Source: Ford, Gilmer, Carlini & Cubuk 2019, arXiv:1901.10513.

    Examples:
        >>> float(implied_distance(0.5, 0.1)), float(implied_distance(0.0, 0.1))
        (-0.0, inf)
    """
    return -sigma * norm.ppf(error)


def _classes(classifier: AuditedClassifier, images: Tensor) -> Tensor:
    with torch.no_grad():
        return _decide(classifier(images))


def _decide(logits: Tensor) -> Tensor:
    from robustkit.perturb.decision import decide  # here, as what is below needs no network

    return decide(logits)


def _step(classifier: AuditedClassifier, images: Tensor, labels: Tensor) -> Tensor:
    """The shortest way to a boundary of the linear approximation, shape of the images; zero if there is no way."""
    images = images.detach().requires_grad_()
    logits = classifier(images)
    others = logits.detach().scatter(1, labels[:, None], -torch.inf).topk(min(_CLASSES, logits.shape[1] - 1)).indices
    own = logits.gather(1, labels[:, None])
    best, way = torch.full((len(images),), torch.inf).to(images), torch.zeros_like(images)
    for k in range(others.shape[1]):
        gap = (own - logits.gather(1, others[:, k : k + 1]))[:, 0]
        (slope,) = torch.autograd.grad(gap.sum(), images, retain_graph=k + 1 < others.shape[1])
        steepness = slope.flatten(1).norm(dim=1)
        # A hair at least, so that an image on the very border leaves it.
        distance = gap.detach().clamp_min(0) / steepness + 1e-7
        nearer = (distance < best) & (steepness > 0)
        best = torch.where(nearer, distance, best)
        step = -(distance / steepness)[:, None, None, None] * slope
        way = torch.where(nearer[:, None, None, None], step, way)
    return way
