"""The incremental evaluator: a candidate's few changed pixels are followed through the network, and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from robustkit.engine.candidates import Candidates
from robustkit.engine.chain_trial import Trial, trial_candidates
from robustkit.engine.follower import Follower
from robustkit.engine.plain import PlainEvaluator
from robustkit.engine.plan import make_plan
from robustkit.models import AuditedClassifier

# Sides of the boxes that changed pixels are put into.
_BOXES = (1, 2, 4, 8, 16)
# Bytes for the clean maps of one box size.
_MEMORY = 1 << 30
# Multiplications that a trial may cost, about a second on one core, and its least candidates of an image.
_TRIAL_WORK = 5e10
_TRIAL_LEAST = 24


class IncrementalEvaluator:
    """Scores candidates by recomputing the windows of each map that their pixels reach.

    Clean maps are kept for as many images as fit; of a candidate only the changed window is carried through the
    layers, exactly, until a layer is not known or the window is most of the map: from there whole maps go on. Pixels
    that lie together are followed as one box. Candidates whose pixels lie apart, networks that do not trace, and
    networks whose windows do not give the plain logits in a trial are left to the plain evaluator.

    Args:
        classifier: The classifier; its network is copied.
        images: Clean network input, shape (N, C, H, W), on the classifier's device.
        plain: The plain evaluator of the same images.
        memory: Bytes for the clean maps.
        worth: Windows are used while they cost at most this share of the work of whole maps, layer by layer and in
            total.

    Attributes:
        name: `incremental`.
        tolerance: How far a logit may lie from the plain evaluator's, for every value scored so far: eight times the
            largest difference in the trials, which reach every border and a box around all values scored.
    """

    name = "incremental"

    def __init__(
        self,
        classifier: AuditedClassifier,
        images: Tensor,
        *,
        plain: PlainEvaluator | None = None,
        memory: int = _MEMORY,
        worth: float = 0.9,
    ) -> None:
        self.classifier = classifier
        self.images = images
        self.memory, self.worth = memory, worth
        self.plain = plain or PlainEvaluator(classifier, images)
        self.tolerance = 0.0
        self._refusal = self.plain.why_not_traced or ("" if len(images) else "there are no images")
        self._followers: dict[int, Follower | None] = {}
        if not self._refusal:
            self._low, self._high = _widened(images.amin((0, 2, 3)), images.amax((0, 2, 3)))

    @property
    def refusal(self) -> str:
        """Why full forward passes answer instead of windows; empty if windows do."""
        if not self._refusal and self._follower(1) is None:
            self._refusal = self._refusal or "the windows of a changed pixel save too little"
        return self._refusal

    @property
    def reason(self) -> str:
        """What is computed on windows and how the rest runs, for a summary."""
        follower = None if self.refusal else self._follower(1)
        if follower is None:
            return f"full forward passes: {self.refusal}; {self.plain.reason}"
        return f"{follower.reason}; within {self.tolerance:.1e} of the plain logits"

    def clean(self) -> Tensor:
        """Logits of the clean images, shape (N, K)."""
        return self.plain.clean()

    @torch.inference_mode()
    def __call__(self, candidates: Candidates) -> Tensor:
        """Logits of candidates, shape (M, P, K)."""
        m, p, pixels = candidates.row.shape
        if len(candidates) == 0:
            return self.images.new_zeros(m, p, self.classifier.classes)
        if pixels == 0:
            return self.clean()[candidates.image][:, None].expand(m, p, -1).clone()
        if self.refusal or not self._covers(candidates.value):
            return self.plain(candidates)
        flat = Candidates(
            candidates.image.repeat_interleave(p),
            candidates.row.flatten(0, 1)[:, None],
            candidates.column.flatten(0, 1)[:, None],
            candidates.value.flatten(0, 1)[:, None],
        )
        return self._by_box(flat).unflatten(0, (m, p))

    def _by_box(self, candidates: Candidates) -> Tensor:
        """Logits of candidates that each have a row of their own, shape (B, K)."""
        if candidates.pixels == 1:
            return self._followed(candidates, 1)
        spread = torch.maximum(_spread(candidates.row), _spread(candidates.column))  # (B,)
        logits = self.images.new_empty(len(candidates), self.classifier.classes)
        smaller = 0
        for box in (*_BOXES, max(self.images.shape[2:])):
            rows = ((spread > smaller) & (spread <= box)).nonzero().squeeze(1)
            smaller = max(smaller, box)
            if len(rows):
                logits[rows] = self._followed(candidates.select(rows), box)
        return logits

    def _followed(self, candidates: Candidates, box: int) -> Tensor:
        follower = self._follower(box)
        return self.plain(candidates)[:, 0] if follower is None else follower(candidates)

    def _follower(self, box: int) -> Follower | None:
        """What follows boxes of one size; None where full forward passes are as good."""
        if box not in self._followers:
            self._followers[box] = None
            graph = self.plain.graph
            if graph is not None and box in _BOXES and box <= min(self.images.shape[2:]):
                plan = make_plan(graph, self.images.shape[1:], box=box, worth=self.worth)
                if plan.work < self.worth * plan.full_work:
                    follower = Follower(graph, plan, self.images, self.classifier.output, self.memory)
                    self._followers[box] = follower if self._passes(follower) else None
        return self._followers[box]

    @torch.inference_mode()
    def _passes(self, follower: Follower) -> bool:
        """Compares windows with full forward passes over the box of values, and notes the tolerance."""
        candidates = trial_candidates(self.images, self._low, self._high)
        least = int(_TRIAL_WORK / (follower.plan.full_work + 1) / len(candidates.image))
        p = min(candidates.row.shape[1], max(_TRIAL_LEAST, least))
        candidates = Candidates(
            candidates.image.repeat_interleave(p),
            candidates.row[:, :p].flatten(0, 1)[:, None],
            candidates.column[:, :p].flatten(0, 1)[:, None],
            candidates.value[:, :p].flatten(0, 1)[:, None],
        )
        trial = Trial.of(follower(candidates), self.plain(candidates)[:, 0])
        if trial.passed:
            self.tolerance = max(self.tolerance, trial.tolerance)
        else:
            self._refusal = f"logits from windows are {trial.error:.3g} from the plain ones, of size {trial.scale:.3g}"
        return trial.passed

    def _covers(self, value: Tensor) -> bool:
        """Whether windows may answer for these values; the trial is repeated when they leave its box."""
        low, high = torch.aminmax(value.flatten(0, -2), dim=0)
        if not bool((low.isfinite() & high.isfinite()).all()):
            return False
        if bool(((low < self._low) | (high > self._high)).any()):
            self._low, self._high = _widened(torch.minimum(self._low, low), torch.maximum(self._high, high))
            for follower in self._followers.values():
                if follower is not None and not self._passes(follower):
                    break
        return not self.refusal


def _spread(at: Tensor) -> Tensor:
    """How many cells the pixels of each candidate span, shape (B, 1, L) to (B,)."""
    return at[:, 0].amax(1) - at[:, 0].amin(1) + 1


def _widened(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """A box of values with half its width added on every side, so that it is left rarely."""
    room = (high - low) / 2 + 1e-3 * torch.maximum(low.abs(), high.abs()) + 1e-6
    return low - room, high + room
