"""What a network decides, and when its decision has changed: the one definition of a flip.

A network decides by the largest of its logits, and of equal ones the first, as `argmax` does. Its output for an image
is the one it gives that image alone, as it was opened: a batch, or a faster rewrite of it, may round otherwise. An
output that is not finite is an outcome of its own, neither the old class nor a new one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustkit.engine.batching import Batches
from robustkit.models import AuditedClassifier
from robustkit.records import NOT_FINITE

# Instead of a class that must be reached.
UNTARGETED = -1

# How far the logits of a batch may lie from those of its images alone, relative to the largest: preflight refuses more.
_BATCH_ROUNDING = 1e-4


def decide(logits: Tensor) -> Tensor:
    """The class of each answer, or `NOT_FINITE`.

    Args:
        logits: Shape (..., K).

    Returns:
        Shape (...), int64.

    Examples:
        >>> decide(torch.tensor([[0.0, 2.0], [1.0, 1.0], [0.0, torch.nan]])).tolist()
        [1, 0, -1]
    """
    return torch.where(logits.isfinite().all(-1), logits.argmax(-1), NOT_FINITE)


def margin(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """How far answers are past the decision boundary: above 0 flipped, below 0 not, at 0 `flips` says which.

    Untargeted, the best other logit minus the label's; targeted, the target's minus the best other.

    Args:
        logits: P answers for each of M images, shape (M, P, K).
        labels: The class to leave, shape (M,).
        targets: The class to reach, shape (M,); `UNTARGETED` for any other class.

    Returns:
        Shape (M, P), in logits; minus infinity where the output is not finite.
    """
    # One class is compared with the best of the others: the label untargeted, the target targeted.
    untargeted = targets == UNTARGETED
    index = torch.where(untargeted, labels, targets)[:, None, None].expand(-1, logits.shape[1], 1)
    mine = logits.gather(2, index).squeeze(2)
    others = logits.scatter(2, index, -torch.inf).amax(2)
    ahead = torch.where(untargeted[:, None], others - mine, mine - others)
    return torch.where(logits.isfinite().all(2), ahead, -torch.inf)


def flips(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Which answers are another class than the label, and the target where there is one; shapes as in `margin`."""
    decided = decide(logits)
    changed = (decided != labels[:, None]) & (decided != NOT_FINITE)
    return torch.where((targets == UNTARGETED)[:, None], changed, decided == targets[:, None])


@torch.inference_mode()
def answers(classifier: AuditedClassifier, images: Tensor) -> Tensor:
    """The network's own answer for each image alone: one forward pass each.

    Args:
        classifier: The network.
        images: Network input, shape (N, C, H, W), on any device.

    Returns:
        Logits, shape (N, K), on the network's device.
    """
    alone = Batches(1)
    return alone.run(lambda i, _: classifier(images[i : i + 1].clone().to(classifier.device)), len(images))


@torch.inference_mode()
def settled(classifier: AuditedClassifier, images: Tensor, logits: Tensor) -> Tensor:
    """The logits of a batch, those replaced by the image's own answer where rounding could decide.

    Args:
        classifier: The network.
        images: The images of the batch, shape (N, C, H, W).
        logits: What the network said of the batch, shape (N, K).

    Returns:
        Shape (N, K).
    """
    two = logits.topk(min(2, logits.shape[1]), dim=1).values
    room = _BATCH_ROUNDING * logits.abs().amax(1).clamp_min(classifier.magnitude)
    near = (two[:, 0] - two[:, -1] <= room) & logits.isfinite().all(1)
    if not bool(near.any()):
        return logits
    logits = logits.clone()
    logits[near] = answers(classifier, images[near]).to(logits.device)
    return logits
