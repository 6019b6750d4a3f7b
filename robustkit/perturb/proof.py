"""What counts as a flip, and how one is proved: alone, through the plain network, in float32."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustkit.engine import Batches, Candidates, paint
from robustkit.errors import InputError
from robustkit.models import AuditedClassifier
from robustkit.perturb.search.base import Problem

# How far the logits of one image may lie from each other in two batches, relative to the largest.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class FlipRule:
    """When a candidate is a success: the predicted class changes, to the target where there is one.

    Attributes:
        probability: What the new class's probability must exceed besides, in [0, 1); `None` for the change alone.
            The published searches ask for 0.5.
    """

    probability: float | None = None

    def __post_init__(self) -> None:
        if self.probability is not None and not 0 <= self.probability < 1:
            raise InputError(f"expected 'argmax' or a probability in [0, 1) for a success, got {self.probability}")

    @classmethod
    def parse(cls, success: str | float) -> FlipRule:
        """The rule from `"argmax"` or a probability.

        Raises:
            InputError: If it is neither.
        """
        if success == "argmax":
            return cls()
        try:
            return cls(float(success))
        except ValueError as error:
            raise InputError(f"expected 'argmax' or a probability in [0, 1) for a success, got {success!r}") from error

    def reached(self, problem: Problem, rows: Tensor, logits: Tensor) -> Tensor:
        """Which candidates are a success; outputs that are not finite never are.

        Args:
            problem: The images.
            rows: Row of each image, shape (M,).
            logits: Shape (M, P, K).

        Returns:
            Shape (M, P), bool.
        """
        reached = problem.flips(rows, logits)
        if self.probability is not None:
            reached &= logits.permute(2, 0, 1).contiguous().softmax(0).amax(0) > self.probability
        return reached

    def near(self, problem: Problem, rows: Tensor, logits: Tensor, tolerance: float) -> Tensor:
        """Which candidates are so near to the boundary that rounding could decide, shape (M, P), bool.

        Args:
            problem: The images.
            rows: Row of each image, shape (M,).
            logits: Shape (M, P, K).
            tolerance: How far a logit may lie from the network's own, beyond rounding.
        """
        own = 0.0 if problem.classifier is None else problem.classifier.magnitude
        room = 2 * (tolerance + _ROUNDING * logits.abs().amax(2).clamp_min(own))
        return problem.margin(rows, logits).abs() <= room


@dataclass(frozen=True, eq=False)
class Proof:
    """A flip that was seen on the image alone.

    Attributes:
        logits: Of the perturbed image, shape (K,).
        latent_distance: Euclidean distance between the latents of the clean and the perturbed image; `None`
            where one of them has no latent.
    """

    logits: Tensor
    latent_distance: float | None


@torch.inference_mode()
def ask_network(
    classifier: AuditedClassifier, images: Tensor, single: Candidates, *, at_once: int = 1, change: float = 0.0
) -> Tensor:
    """Paints candidates into their images and runs these through the network as it was opened.

    Args:
        classifier: The network.
        images: Clean network input, shape (N, C, H, W).
        single: M candidates of P = 1.
        at_once: How many go through together; by default each alone.
        change: By how much all pixels are raised besides, relative to their values and more to the right than to the
            left, so that no network that takes the level away is blind to it.

    Returns:
        Logits, shape (M, 1, K).
    """
    ramp = 1 + change * torch.linspace(0.5, 1.5, images.shape[3], device=images.device)

    def forward(start: int, stop: int) -> Tensor:
        part = slice(start, stop)
        painted = paint(images[single.image[part]], single.row[part, 0], single.column[part, 0], single.value[part, 0])
        return classifier(painted * ramp if change else painted)

    return Batches(at_once).run(forward, len(single.image))[:, None]


@torch.inference_mode()
def prove(
    classifier: AuditedClassifier, problem: Problem, row: int, pixels: Candidates, rule: FlipRule
) -> Proof | None:
    """Writes the pixels into the clean image and runs it alone through the plain network.

    Args:
        classifier: The classifier.
        problem: The images.
        row: Which of them.
        pixels: One candidate, M = P = 1.
        rule: What counts as a flip.

    Returns:
        The proof, or `None` when the image does not flip.
    """
    clean = problem.images[row : row + 1]
    painted = paint(clean, pixels.row[0], pixels.column[0], pixels.value[0])
    logits = classifier(painted)
    rows = torch.tensor([row], device=clean.device)
    if not bool(rule.reached(problem, rows, logits[:, None])):
        return None
    if classifier.latent_name is None:
        return Proof(logits[0].cpu(), None)
    try:
        before, after = classifier.embed(torch.cat([clean, painted])).cpu().double()
    except InputError:  # the network takes another path for this image; it flips all the same
        return Proof(logits[0].cpu(), None)
    return Proof(logits[0].cpu(), float(torch.linalg.vector_norm(after - before)))
