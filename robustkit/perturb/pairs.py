"""Two bad pixels side by side: every pair of neighbours with every pair of declared values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustkit.engine import Candidates, Evaluator, make_evaluator
from robustkit.models import AuditedClassifier
from robustkit.perturb.decision import UNTARGETED, answers, decide, margin
from robustkit.perturb.proof import ask_network
from robustkit.perturb.values import ValueSet

# Candidates at once: a bound of memory that changes no answer.
_AT_ONCE = 1 << 15
# Cells of an image on which the evaluator is compared with the network itself, and how much further apart than there
# the two are taken to be at most.
_COMPARED = 32
_SAFETY = 10.0


@dataclass(frozen=True, eq=False)
class PairsFound:
    """What pairs of neighbouring pixels do to N images.

    Attributes:
        cells: How many pairs of pixels and values an image has.
        correct: Which images are classified correctly, shape (N,), bool; nothing was tried on the others.
        flipped: Which of them some pair flips, proved by the network alone, shape (N,), bool.
        certified: Which of them no pair flips or comes near to flipping, shape (N,), bool.
        best_margin: The largest margin seen, shape (N,); an image that is flipped is left at the first proof.
    """

    cells: int
    correct: np.ndarray
    flipped: np.ndarray
    certified: np.ndarray
    best_margin: np.ndarray


@torch.inference_mode()
def survey_pairs(classifier: AuditedClassifier, images: Tensor, labels: Tensor, *, values: ValueSet) -> PairsFound:
    """Tries every pair of neighbouring pixels, side by side or one above the other, with every pair of values.

    Args:
        classifier: The classifier.
        images: Clean network input, shape (N, C, H, W).
        labels: True classes, shape (N,).
        values: What each of the two pixels may become.
    """
    images, labels = images.to(classifier.device), labels.to(classifier.device)
    correct = decide(answers(classifier, images)) == labels
    found = {name: np.zeros(len(images), bool) for name in ("flipped", "certified")}
    best = np.full(len(images), np.nan)
    pairs = neighbours(images.shape[2], images.shape[3]).to(images.device)
    for i in correct.nonzero().squeeze(1).tolist():
        one = _Image(classifier, images[i : i + 1], labels[i : i + 1], values)
        found["flipped"][i], found["certified"][i] = one.search(pairs)
        best[i] = one.best
    return PairsFound(len(pairs) * values.size**2, correct.cpu().numpy(), **found, best_margin=best)


def neighbours(height: int, width: int) -> Tensor:
    """Every pair of neighbouring pixels: row and column of the one, then of the other, shape (L, 4), int64.

    Examples:
        >>> neighbours(2, 2).tolist()
        [[0, 0, 0, 1], [1, 0, 1, 1], [0, 0, 1, 0], [0, 1, 1, 1]]
    """
    across = torch.cartesian_prod(torch.arange(height), torch.arange(width - 1))
    down = torch.cartesian_prod(torch.arange(height - 1), torch.arange(width))
    step = torch.tensor([[0, 1], [1, 0]])
    return torch.cat([torch.cat([at, at + way], 1) for at, way in zip((across, down), step, strict=True)])


class _Image:
    """One image on its way through all pairs."""

    def __init__(self, classifier: AuditedClassifier, image: Tensor, label: Tensor, values: ValueSet) -> None:
        self.classifier, self.image, self.label, self.values = classifier, image, label, values
        self.target = torch.full_like(label, UNTARGETED)
        self.evaluator: Evaluator = make_evaluator(classifier, image)
        self.best, self.bound = -np.inf, 0.0

    def search(self, pairs: Tensor) -> tuple[bool, bool]:
        """Whether some pair flips the image, and whether none does or comes near to it."""
        self.bound, near = self._error(pairs), False
        for candidates in self._candidates(pairs):
            margins = self._margins(self.evaluator(candidates))
            if not bool((margins > -torch.inf).all()):
                near = True  # what is not finite is no flip, and certifies nothing
            self.best = max(self.best, float(margins.max()))
            room = max(self.bound, 2 * float(self.evaluator.tolerance))
            for k in (margins >= -room).nonzero().squeeze(1).tolist():
                alone = self._margins(ask_network(self.classifier, self.image, _only(candidates, k)))
                if bool(alone[0] > 0):
                    return True, False
                near = near or bool(alone[0] > -room)
        return False, not near

    def _candidates(self, pairs: Tensor) -> Iterator[Candidates]:
        options = torch.cartesian_prod(*[torch.arange(self.values.size, device=pairs.device)] * 2)  # (V^2, 2)
        zero = torch.zeros(1, dtype=torch.int64, device=pairs.device)
        for some in pairs.split(max(1, _AT_ONCE // len(options))):
            place = some.repeat_interleave(len(options), 0).view(1, -1, 2, 2)
            row, column = place[..., 0].contiguous(), place[..., 1].contiguous()  # (1, P, 2)
            option = options.repeat(len(some), 1)[None]
            clean = self.image[0][:, row, column].permute(1, 2, 3, 0)  # (1, P, 2, C)
            yield Candidates(zero, row, column, self.values.option(clean, option))

    def _error(self, pairs: Tensor) -> float:
        """How far the evaluator's margins are taken to lie from the network's own."""
        candidates = next(self._candidates(pairs[:: max(1, len(pairs) // _COMPARED)]))
        rng = np.random.default_rng(0)
        chosen = rng.choice(candidates.row.shape[1], min(_COMPARED, candidates.row.shape[1]), replace=False)
        said, apart, size = self.evaluator(candidates), 0.0, 0.0
        for k in chosen.tolist():
            own = ask_network(self.classifier, self.image, _only(candidates, k))
            gap = (self._margins(own) - self._margins(said[:, k : k + 1])).abs()
            apart = max(apart, float(gap.nan_to_num(0.0)))
            size = max(size, float(own.abs().nan_to_num(0.0).max()))
        return _SAFETY * max(apart, size * torch.finfo(torch.float32).eps)

    def _margins(self, logits: Tensor) -> Tensor:
        return margin(logits, self.label, self.target)[0]


def _only(candidates: Candidates, k: int) -> Candidates:
    one = slice(k, k + 1)
    return Candidates(candidates.image, candidates.row[:, one], candidates.column[:, one], candidates.value[:, one])
