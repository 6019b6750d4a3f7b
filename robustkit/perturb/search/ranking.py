"""Ranks all cells of an image by gradients: to first order, or with the first layers exact and the rest linear."""

from __future__ import annotations

import torch
from torch import Tensor

from robustkit.errors import InputError
from robustkit.models import AuditedClassifier
from robustkit.perturb.search.base import UNTARGETED, Problem
from robustkit.perturb.search.cells import Cells
from robustkit.perturb.search.lattice import Lattice, find_lattice, lattice_change, replaced

# Only the best few rivals are differentiated: with many classes the others are too far away.
_RIVALS = 9
# How far from each other the peaks of the ranking are at least, in pixels.
_APART = 4
# Images in one forward and backward pass.
_BATCH = 16


def has_gradients(classifier: AuditedClassifier | None) -> bool:
    """Whether the logits can be differentiated with respect to the images."""
    if classifier is None:
        return False
    with torch.inference_mode(False), torch.enable_grad():
        images = torch.zeros(1, *classifier.input_shape, device=classifier.device, requires_grad=True)
        return classifier(images).requires_grad


def rank_cells(cells: Cells, most: int, *, effort: float = 0.0, peaks: bool = False) -> Tensor:
    """The most promising cells of each image.

    To first order the margin changes by gradient x (value - clean). That misses the effect of ReLU and pooling on a
    change as large as a bad pixel; with `effort` above 0 the change of an early layer's output is computed exactly,
    and the gradient is taken there.

    Args:
        cells: The cells; those that need no query are ranked last.
        most: Number of cells to return.
        effort: Work per image that the exact part may cost, in forward passes; 0 for first order.
        peaks: Whether cells that beat all cells of the same option up to `_APART` pixels away come first: neighbours
            have nearly the same rank, with the same error.

    Returns:
        Cells, best first, shape (N, `most` or fewer), int64.

    Raises:
        InputError: If the classifier cannot be differentiated.
    """
    problem, classifier = cells.problem, cells.problem.classifier
    if classifier is None or not has_gradients(classifier):
        raise InputError("ranking by gradients needs a PyTorch network that can be differentiated; use best-first")
    lattice = find_lattice(classifier, problem.images[:1], cells.options, effort) if effort > 0 else None
    parts = []
    # Gradients are wanted even where the attack as a whole runs in inference mode.
    with torch.inference_mode(False):
        for rows in torch.arange(len(problem), device=cells.left.device).split(_BATCH):
            scores = _predicted_margins(problem, classifier, rows, lattice)
            if peaks:
                scores = _peaks_first(scores)
            scores = scores.flatten(1).masked_fill(cells.tried[rows], -torch.inf)
            parts.append(scores.topk(min(most, cells.count), dim=1).indices)
    problem.each.gradient += min(_RIVALS, problem.clean_logits.shape[1] - 1)
    problem.each.partial += 0 if lattice is None else lattice.spacing**2 * problem.values.size
    return torch.cat(parts)


def _peaks_first(scores: Tensor) -> Tensor:
    """Scores, shape (B, H, W, V), with local maxima moved above all others."""
    maps = scores.permute(0, 3, 1, 2)
    best = torch.nn.functional.max_pool2d(maps, 2 * _APART + 1, 1, _APART)
    span = maps.amax((1, 2, 3), keepdim=True) - maps.amin((1, 2, 3), keepdim=True)
    return torch.where(maps == best, maps, maps - span - 1).permute(0, 2, 3, 1)


def _predicted_margins(
    problem: Problem, classifier: AuditedClassifier, rows: Tensor, lattice: Lattice | None
) -> Tensor:
    """The margin that the gradients predict for every cell of some images, shape (B, H, W, V)."""
    images = problem.images[rows].clone()
    targeted = problem.targets[rows] != UNTARGETED
    chosen = torch.where(targeted, problem.targets[rows], problem.labels[rows])[:, None]
    logits = problem.clean_logits[rows]
    rivals = logits.scatter(1, chosen, -torch.inf).topk(min(_RIVALS, logits.shape[1] - 1)).indices  # (B, J)
    lead = logits.gather(1, rivals) - logits.gather(1, chosen)
    slope = _slope(problem, classifier, images, chosen, rivals, lattice)
    if lattice is None:
        change = _first_order(problem, images, slope)
    else:
        problem.passes.partial += len(images) * lattice.spacing**2 * problem.values.size
        change = lattice_change(classifier, images, problem.values, slope, lattice)
    margin = (lead[..., None, None, None] + change).amax(1)
    return torch.where(targeted[:, None, None, None], -margin, margin)


def _slope(
    problem: Problem,
    classifier: AuditedClassifier,
    images: Tensor,
    chosen: Tensor,
    rivals: Tensor,
    lattice: Lattice | None,
) -> Tensor:
    """Gradients of rival minus chosen logit, at the images or at the lattice's layer, shape (B, J, ...)."""
    problem.passes.gradient += len(images) * rivals.shape[1]
    with torch.enable_grad():
        if lattice is None:
            at = images.requires_grad_()
            logits = classifier(at)
        else:
            with replaced(lattice.layer) as seen:
                logits = classifier(images)
            at = seen[0]
        lead = logits.gather(1, rivals) - logits.gather(1, chosen)  # (B, J)
        columns = lead.sum(0)
        slopes = [torch.autograd.grad(column, at, retain_graph=True)[0] for column in columns]
    images.requires_grad_(False)
    return torch.stack(slopes, 1)


def _first_order(problem: Problem, images: Tensor, slope: Tensor) -> Tensor:
    """Gradient times change of value, shape (B, J, H, W, V)."""
    clean = images.permute(0, 2, 3, 1)
    options = []
    for option in range(problem.values.size):
        index = torch.full(clean.shape[:3], option, device=clean.device)
        change = (problem.values.option(clean, index) - clean).permute(0, 3, 1, 2)
        options.append((slope * change[:, None]).sum(2))
    return torch.stack(options, -1)
